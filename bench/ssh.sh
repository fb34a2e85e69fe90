#!/bin/bash
# SSH fan-outs side by side, in one run: trawl ssh, the library (ssh.cpp), blocking libssh with a thread for each host
# (threaded_ssh.cpp), asyncssh, paramiko, and the tools that start ssh for each host. As root, for a network namespace of its
# own in which a thousand addresses of 127/8 answer.
#
#     bench/ssh.sh [-n ROUNDS] [-w WORKLOADS] [-t TOOLS] [-H HOSTS] [-M HOSTS] [-I SESSIONS] [-T SECONDS] [BUILD]
#
# -n 3; -w lab64,lab1000,further,flood,idle,sshd,dropbear (docs/benchmarks.md says what they are); -t trawl,library,threads,
# asyncssh,paramiko,xargs,pssh,pdsh,clush; -H 1000, -M 1000: hosts of flood, 10 MB each; -I 10000: idle sessions; -T 300: a run
# that lasts longer is killed. A tool that is missing is named with its Debian package and left out. BUILD is a build folder
# with -Dbench=true.
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd -P) || exit 1
say() { printf 'ssh.sh: %s\n' "$*" >&2; }
((EUID == 0)) || { say "needs root: a network namespace, and servers that log users in"; exit 1; }
[[ $TRAWL_BENCH_INSIDE ]] || TRAWL_BENCH_INSIDE=yes exec unshare --net --mount -- "${BASH_SOURCE[0]}" "$@"
rounds=3 workloads=lab64,lab1000,further,flood,idle,sshd,dropbear size=1000 flooded=1000 idle=10000 limit=300
tools=trawl,library,threads,asyncssh,paramiko,xargs,pssh,pdsh,clush
while getopts n:w:t:H:M:I:T: option; do
    case $option in
    n) rounds=$OPTARG ;; w) workloads=$OPTARG ;; t) tools=$OPTARG ;; H) size=$OPTARG ;; M) flooded=$OPTARG ;;
    I) idle=$OPTARG ;; T) limit=$OPTARG ;;
    *) sed -n '6p;8,11s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
build=$(readlink -f "${1:-$here/../build}")
trawl=$build/src/cli/trawl library=$build/bench/bench-ssh threads=$build/bench/bench-threaded-ssh measure=$build/bench/bench-measure
for program in "$trawl" "$library" "$threads" "$measure"; do
    [[ -x $program ]] || { say "no $program: meson setup $build -Dbench=true && ninja -C $build"; exit 1; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/trawl-bench.XXXXXX") || exit 1
trap 'kill "${servers[@]}" 2>/dev/null; wait; umount /etc/passwd; rm -rf "$work"' EXIT
servers=()
ip link set lo up || exit 1
ulimit -n "$(ulimit -Hn)"
# dropbear knows one place for the keys of a user: a home. Here, and nowhere else, the user has one in the scratch folder.
user=$(id -un)
mkdir -m 700 "$work/home" "$work/home/.ssh"
awk -F: -v OFS=: -v home="$work/home" '$3 == 0 { $6 = home; $7 = "/bin/sh" } { print }' /etc/passwd >"$work/passwd"
mount --bind "$work/passwd" /etc/passwd || exit 1
export HOME=$work/home

# ---- servers: lab, sshd and dropbear, each on its port of all addresses ----

declare -A port=([lab]=2201 [sshd]=2202 [dropbear]=2203)
hosts() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; ++i) printf "127.8.%d.%d\n", i / 250, i % 250 + 1 }'; }
known_hosts() { hosts "$size" | awk -v port="$1" -v key="$2" '{ printf "[%s]:%d %s\n", $0, port, key }'; }
until_it_answers() { # PORT NAME
    for _ in $(seq 200); do
        (exec 3<>"/dev/tcp/127.8.0.1/$1") 2>/dev/null && return
        sleep 0.05
    done
    say "$2 does not start: $(cat "$work/$2.log")"
    exit 1
}
declare -A key known
start() {
    [[ ${key[$1]-} ]] && return
    key[$1]=$work/user known[$1]=$work/$1.known
    [[ -e $work/user ]] || ssh-keygen -q -t ed25519 -N '' -f "$work/user" || exit 1
    cp "$work/user.pub" "$work/home/.ssh/authorized_keys"
    case $1 in
    lab)
        hosts "$size" >"$work/lab.hosts"
        "$trawl" lab --hosts "@$work/lab.hosts" --ssh-port "${port[lab]}" --smtp-port 0 --dir "$work/lab" 2>"$work/lab.log" &
        servers+=($!)
        until [[ -s $work/lab/known_hosts ]]; do kill -0 $! || exit 1; sleep 0.05; done
        # asyncssh does not take the key as libssh writes it.
        key[lab]=$work/lab.key known[lab]=$work/lab/known_hosts
        cp "$work/lab/id_ed25519" "${key[lab]}" && ssh-keygen -q -p -N '' -f "${key[lab]}" >/dev/null || exit 1
        ;;
    sshd)
        ssh-keygen -q -t ed25519 -N '' -f "$work/sshd.host" || exit 1
        printf '%s\n' "ListenAddress 0.0.0.0:${port[sshd]}" "HostKey $work/sshd.host" "StrictModes no" "UsePAM no" \
            "PidFile none" "PermitRootLogin yes" "MaxStartups 1000" "UseDNS no" "PrintMotd no" "LogLevel ERROR" >"$work/sshd.config"
        mkdir -p /run/sshd
        "$(type -P sshd || echo /usr/sbin/sshd)" -D -e -f "$work/sshd.config" 2>"$work/sshd.log" &
        servers+=($!)
        known_hosts "${port[sshd]}" "$(cut -d' ' -f1,2 "$work/sshd.host.pub")" >"$work/sshd.known"
        ;;
    dropbear)
        dropbearkey -t ed25519 -f "$work/dropbear.host" 2>/dev/null | grep '^ssh-ed25519' >"$work/dropbear.pub" || exit 1
        "$(type -P dropbear || echo /usr/sbin/dropbear)" -F -E -p "${port[dropbear]}" -r "$work/dropbear.host" 2>"$work/dropbear.log" &
        servers+=($!)
        known_hosts "${port[dropbear]}" "$(cut -d' ' -f1,2 "$work/dropbear.pub")" >"$work/dropbear.known"
        ;;
    esac
    until_it_answers "${port[$1]}" "$1"
    cat >"$work/$1.ssh_config" <<END
Host *
    Port ${port[$1]}
    User $user
    IdentityFile ${key[$1]}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile ${known[$1]}
    StrictHostKeyChecking yes
    BatchMode yes
    LogLevel ERROR
    ConnectTimeout 120
END
}

# ---- the clients ----

# choose TOOL SERVER JOBS TIMES COMMAND BYTES: sets `command`, `answers`, how the line of a host looks that has answered with
# BYTES bytes, and `input`. 1: it cannot do that.
choose() {
    local config=$work/$2.ssh_config told=("${port[$2]}" "$user" "${key[$2]}" "${known[$2]}" "$3" "$4" "$5")
    input=$work/hosts answers="^127[0-9.]* 0 $6\$"
    case $1 in
    library) command=("$library" "${told[@]}") ;;
    threads) command=("$threads" "${told[@]}") ;;
    asyncssh | paramiko) command=("${python[$1]}" "$here/ssh_$1.py" "${told[@]}") ;;
    *)
        (($4 == 1)) || return 1
        input=/dev/null answers='\bok$'
        ;;&
    trawl | stream*)
        command=("$trawl" ssh -F none -u "$user" -i "${key[$2]}" --known-hosts "${known[$2]}" -p "${port[$2]}" -j "$3" -t 120)
        [[ $1 == stream* ]] && command+=(--stream)
        command+=("@$work/hosts" -- "$5")
        ;;
    xargs) command=(xargs -a "$work/hosts" -P "$3" -I {} ssh -n -F "$config" {} "$5") ;;
    pssh) command=(parallel-ssh -i -t 0 -p "$3" -h "$work/hosts" -x "-F $config" "$5") ;;
    pdsh) command=(env "PDSH_SSH_ARGS_APPEND=-F $config" pdsh -R ssh -f "$3" -w "^$work/hosts" "$5") ;;
    clush) command=(clush -q -f "$3" -o "-F $config" --hostfile "$work/hosts" "$5") ;;
    esac
}
there() {
    local package=$1
    case $1 in
    trawl | library | threads | xargs) return 0 ;;
    asyncssh | paramiko)
        package=python3-$1
        local each
        for each in python3 /usr/bin/python3; do "$each" -c "import $1" 2>/dev/null && python[$1]=$each && return; done
        ;;
    pssh) type -P parallel-ssh >/dev/null && return ;;
    clush) package=clustershell; type -P clush >/dev/null && return ;;
    pdsh) type -P pdsh >/dev/null && return ;;
    esac
    say "$1 is left out: apt-get install $package"
    return 1
}
declare -A python # the first one is not always Debian's
usable=()
for tool in ${tools//,/ }; do there "$tool" && usable+=("$tool"); done

flood="yes 'a line of output, about as long as lines are, and 80 bytes of them in each line.' | head -c 10000000"
# one WORKLOAD TOOL SERVER HOSTS JOBS TIMES COMMAND BYTES: a row of the table.
one() {
    choose "$2" "$3" "$5" "$6" "$7" "$8" || return
    hosts "$4" >"$work/hosts"
    [[ -t 2 ]] && printf '\r\e[K%s %s/%s %s' "$1" "$round" "$rounds" "$2" >&2
    local took good out=$work/out
    [[ $2 == stream* ]] && out=/dev/null # gigabytes
    took=$("$measure" "$limit" "$out" bash -c 'exec "$@" <"$0"' "$input" "${command[@]}")
    good=$(grep -a -c -- "$answers" "$out")
    [[ $2 == stream* && $took == *' 0' ]] && good=$4
    echo "$1 $2 $4 $6 $took $(($4 - good))" >>"$work/rows"
}
for workload in ${workloads//,/ }; do
    case $workload in
    sshd) there_is=$(type -P sshd || ls /usr/sbin/sshd 2>/dev/null) package=openssh-server ;;
    dropbear) there_is=$(type -P dropbear || ls /usr/sbin/dropbear 2>/dev/null) package=dropbear-bin ;;
    *) there_is=yes ;;
    esac
    [[ $there_is ]] || { say "$workload is left out: apt-get install $package"; continue; }
    server=lab
    [[ $workload == sshd || $workload == dropbear ]] && server=$workload
    start "$server"
    for round in $(seq "$rounds"); do
        for tool in "${usable[@]}"; do
            case $workload:$tool in
            lab1000:xargs | lab1000:pssh | lab1000:pdsh | lab1000:clush) ;; # a thousand processes of ssh at once
            lab64:*) one lab64 "$tool" lab "$size" 64 1 'echo ok' 3 ;;
            lab1000:*) one lab1000 "$tool" lab "$size" 1000 1 'echo ok' 3 ;;
            sshd:*) one sshd "$tool" sshd $((size < 200 ? size : 200)) 64 1 'echo ok' 3 ;;
            dropbear:*) one dropbear "$tool" dropbear $((size < 100 ? size : 100)) 4 1 'echo ok' 3 ;; # it takes five at a time from an address
            further:library | further:threads | further:asyncssh | further:paramiko) # the others run one command
                one further "$tool" lab 4 4 1 'echo ok' 3
                one further "$tool" lab 4 4 251 'echo ok' 3
                ;;
            flood:trawl) # 1 MiB of each is kept; and then all of it, as it comes
                one flood trawl lab "$flooded" 64 1 "echo ok; $flood" 0
                one flood stream64 lab "$flooded" 64 1 "$flood" 0
                one flood stream1000 lab "$flooded" 1000 1 "$flood" 0
                ;;
            flood:threads | flood:asyncssh | flood:paramiko) one flood "$tool" lab "$flooded" 64 1 "$flood" 10000000 ;;
            idle:library)
                files=$((($(ulimit -n) - size - 200) / 2)) # two for each session on both sides, and one for each host of the lab
                hosts $((size < 100 ? size : 100)) >"$work/hosts"
                "$library" idle "${port[lab]}" "$user" "${key[lab]}" "${known[lab]}" 64 $((idle < files ? idle : files)) 'echo ok' \
                    <"$work/hosts" >>"$work/idle" 2>>"$work/idle.log"
                ;;
            esac
        done
    done
done
[[ -t 2 ]] && printf '\r\e[K' >&2
echo "$(nproc) cores, $(uname -sr), load $(cut -d' ' -f1-3 /proc/loadavg), $rounds rounds, medians (fewest..most)"
[[ -e $work/rows ]] && python3 "$here/ssh_table.py" <"$work/rows"
[[ -e $work/idle ]] && { echo; echo idle; sort "$work/idle"; head -3 "$work/idle.log" >&2; }
true
