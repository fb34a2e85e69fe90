#!/bin/bash
# Copies side by side, in one run, against one sshd on loopback: trawl sftp and OpenSSH's sftp, with the same cipher.
#
#     bench/sftp.sh [-n ROUNDS] [-c CIPHER] [-m MEGABYTES] [-f FILES] [-d MS] [TRAWL]
#
# -n 5; -c aes128-gcm@openssh.com; -m 512: one file of that size; -f 2000: files of 4 KiB; -d: a round trip of so many ms,
# made by a proxy (delay.py), and then nothing but one file of 64 MB unless -m says otherwise. Files are in $TMPDIR, or in
# /dev/shm, so that no disk is measured. CPU is that of the client: for sftp with the ssh that it starts.
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd -P) || exit 1
rounds=5 cipher=aes128-gcm@openssh.com megabytes='' files=2000 delay=''
while getopts n:c:m:f:d: option; do
    case $option in
    n) rounds=$OPTARG ;; c) cipher=$OPTARG ;; m) megabytes=$OPTARG ;; f) files=$OPTARG ;; d) delay=$OPTARG ;;
    *) sed -n '4p;6,8s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
: "${megabytes:=$([[ $delay ]] && echo 64 || echo 512)}"
trawl=$(readlink -f "${1:-$here/../build/src/cli/trawl}")
say() { printf 'sftp.sh: %s\n' "$*" >&2; }
[[ -f $trawl && -x $trawl ]] || { say "no $trawl: build it, or name another as the last argument"; exit 1; }

place=${TMPDIR:-$([[ -w /dev/shm ]] && echo /dev/shm || echo /tmp)}
work=$(mktemp -d "$place/trawl-bench.XXXXXX") || exit 1
trap 'kill $server $proxy 2>/dev/null; wait; rm -rf "$work"' EXIT
"${CXX:-g++}" -std=c++20 -O2 -o "$work/measure" "$here/measure.cpp" || exit 1

# ---- the server ----

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
ssh-keygen -q -t ed25519 -N '' -f "$work/host" && ssh-keygen -q -t ed25519 -N '' -f "$work/user" || exit 1
cat >"$work/sshd_config" <<END
ListenAddress 127.0.0.1:$port
HostKey $work/host
AuthorizedKeysFile $work/user.pub
Ciphers $cipher
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
Subsystem sftp internal-sftp
END
mkdir -p /run/sshd 2>/dev/null
$(type -P sshd || echo /usr/sbin/sshd) -D -e -f "$work/sshd_config" 2>"$work/sshd.log" &
server=$!
if [[ $delay ]]; then
    behind=$port port=$(free_port)
    python3 "$here/delay.py" "$port" "$behind" "$delay" &
    proxy=$!
fi
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 $server 2>/dev/null || { say "sshd does not start: $(cat "$work/sshd.log")"; exit 1; }
    sleep 0.1
done
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$work/host.pub")" >"$work/known_hosts"

# ---- what is copied ----

here_dir=$work/here there=$work/there back=$work/back
mkdir -p "$here_dir/many"
head -c "${megabytes}M" /dev/urandom >"$here_dir/big"
for i in $(seq "$files"); do head -c 4096 /dev/urandom >"$here_dir/many/$i"; done

with_trawl() { "$trawl" sftp "$@"; }
trawl_login=(-F none -i "$work/user" -p "$port" -u "$(id -un)" --known-hosts "$work/known_hosts" -t 600)
ssh_login=(-q -F /dev/null -i "$work/user" -P "$port" -o IdentitiesOnly=yes -o IdentityAgent=none
    -o "UserKnownHostsFile=$work/known_hosts" -b "$work/batch")
# choose TOOL COPY: sets `command`.
choose() {
    local words
    case $2 in
    put) words=("$here_dir/big" "$there/") ;; get) words=("$here_dir/big" "$back/") ;;
    put_many) words=("$here_dir/many" "$there/") ;; get_many) words=("$here_dir/many" "$back/") ;;
    esac
    local way=${2%_many} flag=''
    [[ $2 == *_many ]] && flag=-r
    if [[ $1 == sftp ]]; then
        echo "$way $flag ${words[*]}" >"$work/batch"
        command=(sftp "${ssh_login[@]}" "$(id -un)@127.0.0.1")
    elif [[ $way == put ]]; then
        command=("$trawl" sftp put $flag "${trawl_login[@]}" "${words[0]}" "127.0.0.1:${words[1]}")
    else
        command=("$trawl" sftp get $flag "${trawl_login[@]}" "127.0.0.1:${words[0]}" "${words[1]}")
    fi
}

copies="put get"
[[ $delay ]] || copies+=" put_many get_many"
for copy in $copies; do
    for round in $(seq "$rounds"); do
        for tool in trawl sftp; do
            rm -rf "$there" "$back" && mkdir "$there" "$back"
            choose $tool "$copy"
            took=$("$work/measure" 600 "$work/out" "${command[@]}")
            diff -rq "$here_dir/$([[ $copy == *_many ]] && echo many || echo big)" \
                "$work/$([[ $copy == put* ]] && echo there || echo back)/$([[ $copy == *_many ]] && echo many || echo big)" \
                >/dev/null || { say "$copy with $tool: not the same files ($took)"; exit 1; }
            echo "$copy $tool $took" >>"$work/rows"
        done
    done
done
echo "$(nproc) cores, $(uname -sr), load $(cut -d' ' -f1-3 /proc/loadavg), $cipher${delay:+, round trip of $delay ms}, $rounds rounds, medians"
python3 "$here/sftp_table.py" "$megabytes" "$files" <"$work/rows"
