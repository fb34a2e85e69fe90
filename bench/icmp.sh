#!/bin/bash
# Sweeps side by side, in one run: trawl, the stick (icmp_stick.cpp: what the kernel allows), fping, nmap, zmap, masscan and
# a script with a thread for each host. As root, for raw sockets and network namespaces; nothing leaves this machine.
#
#     bench/icmp.sh [-n ROUNDS] [-w WORKLOADS] [-t TOOLS] [-T SECONDS] [-c] [-p] [-r] [TRAWL]
#
# -n 5; -w lo24,veth16,tenth16,veth112 and -t stick,trawl,fping,nmap,zmap,masscan,threads; -T 60: a run that lasts longer is
# killed (masscan: 15 seconds, it often does not end); -c: count system calls with strace, in runs of their own; -p: only
# the pacing of trawl ping --rate, as the far side sees it; -r: only how exact the round trips are that trawl ping reports. A
# tool that is missing is named and left out.
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd -P) || exit 1
rounds=5 workloads=lo24,veth16,tenth16,veth112 tools=stick,trawl,fping,nmap,zmap,masscan,threads limit=60 calls='' pacing='' trips=''
while getopts n:w:t:T:cpr option; do
    case $option in
    n) rounds=$OPTARG ;; w) workloads=$OPTARG ;; t) tools=$OPTARG ;; T) limit=$OPTARG ;; c) calls=yes ;; p) pacing=yes ;; r) trips=yes ;;
    *) sed -n '5,10s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
trawl=$(readlink -f "${1:-$here/../build/src/cli/trawl}")
say() { printf 'icmp.sh: %s\n' "$*" >&2; }
((EUID == 0)) || { say "needs root: raw sockets and network namespaces"; exit 1; }
[[ -x $trawl ]] || { say "no $trawl: build it, or name another as the last argument"; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/trawl-bench.XXXXXX") || exit 1
near=trawl-near-$$ far=trawl-far-$$
trap 'ip netns del $near 2>/dev/null; ip netns del $far 2>/dev/null; rm -rf "$work"' EXIT
for program in icmp_stick measure; do
    "${CXX:-g++}" -std=c++20 -O2 -o "$work/$program" "$here/$program.cpp" || exit 1
done

# ---- the network: near, where the tools run, and far, which answers for whole prefixes ----

inside() { ip netns exec "$@"; }
network() {
    ip netns add $near && ip netns add $far && ip -n $near link add near type veth peer name far netns $far || return
    local side last
    for side in near far; do
        last=$([[ $side == near ]] && echo 1 || echo 2)
        ip -n ${!side} addr add 10.99.0.$last/24 dev $side
        ip -n ${!side} addr add fd00:99::$last/64 dev $side nodad
        ip -n ${!side} link set lo up
        ip -n ${!side} link set $side up
    done
    ip -n $near route add default via 10.99.0.2
    ip -n $near route add default via fd00:99::2
    inside $far sysctl -q net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 net.ipv4.icmp_msgs_per_sec=10000000 \
        net.ipv4.icmp_msgs_burst=10000000 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip -n $far route add blackhole default
    ip -n $far -6 route add blackhole default
    ip -n $far route add local 10.72.0.0/14 dev lo  # for the pacing
    ip -n $far route add local 10.77.0.0/16 dev lo
    ip -n $far route add local fd00:77::/112 dev lo
    # 26 of each 256 addresses of 10.78.0.0/16.
    for net in {0..255}; do printf "route add local 10.78.$net.%s dev lo\n" 0/28 16/29 24/31; done | ip -n $far -batch -
    inside $near ping -c 1 -W 2 10.77.0.1 >/dev/null && inside $near ping -c 1 -W 2 fd00:77::1 >/dev/null
}
network || { say "the network namespaces could not be set up"; exit 1; }
gateway=$(ip -n $far -o link show far | sed 's/.*ether \([0-9a-f:]*\).*/\1/')
addresses() { python3 -c 'import ipaddress, sys; print(*ipaddress.ip_network(sys.argv[1]), sep="\n")' "$1"; }

# workload: its prefix, first and last address, how many, how many of them live
declare -A prefix=([lo24]=127.1.0.0/24 [veth16]=10.77.0.0/16 [tenth16]=10.78.0.0/16 [veth112]=fd00:77::/112)
declare -A first=([lo24]=127.1.0.0 [veth16]=10.77.0.0 [tenth16]=10.78.0.0 [veth112]=fd00:77::)
declare -A last=([lo24]=127.1.0.255 [veth16]=10.77.255.254 [tenth16]=10.78.255.254)
declare -A size=([lo24]=256 [veth16]=65536 [tenth16]=65536 [veth112]=65536)
declare -A live=([lo24]=256 [veth16]=65536 [tenth16]=6656 [veth112]=65536)

# ---- the tools: all send one echo to each target and wait 500 ms for its answer ----

# choose TOOL WORKLOAD: sets `command` and `answers`, how one line of a live host looks like. 1: it cannot do that.
choose() {
    local net=${prefix[$2]} v6=
    [[ $2 == veth112 ]] && v6=yes
    answers='^'
    case $1 in
    stick) command=("$work/icmp_stick" "${first[$2]}" "${size[$2]}" 500) ;;
    trawl) command=("$trawl" ping -q --retries 0 --timeout 0.5 "$net") answers=': up' ;;
    fping)
        command=(fping -a -i0 -r0 -t500)
        if [[ $v6 ]]; then command+=(-6 -f "$work/fping6"); else command+=(-g "${first[$2]}" "${last[$2]}"); fi
        ;;
    nmap) command=(nmap -sn -PE -n -T5 --max-retries 0 ${v6:+-6} "$net" -oG -) answers='Status: Up' ;;
    zmap)
        [[ $2 == lo24 || $v6 ]] && return 1
        command=(zmap -q -C /dev/null -b /dev/null -M icmp_echoscan -r 0 -c 1 -i near -G "$gateway" -S 10.99.0.1 -f saddr -o - "$net")
        ;;
    masscan)
        [[ $2 == lo24 || $v6 ]] && return 1
        command=(masscan --ping "$net" --rate 10000000 --wait 1 -e near --router-mac "${gateway//:/-}" --adapter-ip 10.99.0.1 -oL -)
        answers='^open'
        ;;
    threads) [[ $2 == lo24 ]] || return 1; command=(python3 "$here/threaded/ping.py" "$net") ;;
    *) say "no tool $1"; return 1 ;;
    esac
}
# found TOOL WORKLOAD FILE: live hosts reported. fping keeps 65,535 numbers and gets that many targets: the last is a gift.
found() {
    local n
    if [[ $1 == stick ]]; then n=$(sed -n 's/alive \([0-9]*\).*/\1/p' "$3"); else n=$(grep -c -- "$answers" "$3"); fi
    [[ $1 == fping && ($2 == veth16 || $2 == veth112) ]] && n=$((n + 1))
    echo "${n:-0}"
}
seconds_of() { if [[ $1 == masscan && $limit -gt 15 ]]; then echo 15; else echo "$limit"; fi; }

usable=()
for tool in ${tools//,/ }; do
    program=$tool
    [[ $tool == threads ]] && program=ping
    if [[ $tool == stick || $tool == trawl ]] || type -P "$program" >/dev/null; then usable+=("$tool"); else say "$program is not installed: left out"; fi
done
[[ $calls ]] && ! type -P strace >/dev/null && { say "strace is not installed: no system calls"; calls=''; }

# ---- pacing ----

pace() { # RATE TARGETS
    rm -f "$work/ready"
    inside $far python3 "$here/pace.py" "$1" 2.5 "$work/ready" &
    local watch=$!
    until [[ -e $work/ready ]] || ! kill -0 $watch 2>/dev/null; do sleep 0.05; done
    inside $near "$work/measure" "$limit" /dev/null "$trawl" ping -q --retries 0 --timeout 0.5 --rate "$1" "$2" >/dev/null
    wait $watch
}
if [[ $pacing ]]; then
    printf '%12s%16s%11s\n' asked came error
    pace 1 10.72.0.0/29
    pace 100 10.72.0.0/24
    pace 10000 10.72.0.0/17
    pace 100000 10.72.0.0/14
    exit
fi

# ---- round trips ----

if [[ $trips ]]; then
    for period in 0.5 0.01; do # 128 and 6,400 echoes a second
        inside $near python3 "$here/rtt.py" near "$trawl" ping --json -e -c "$(awk "BEGIN { print 8 / $period }")" -p $period 10.77.0.0/26
    done
    exit
fi

# ---- rounds: every tool once in each, so that what else the machine does meets them all ----

addresses fd00:77::/112 | sed '$d' >"$work/fping6"
for workload in ${workloads//,/ }; do
    [[ ${prefix[$workload]-} ]] || { say "no workload $workload"; exit 2; }
    for round in $(seq "$rounds"); do
        for tool in "${usable[@]}"; do
            choose "$tool" "$workload" || { ((round == 1)) && say "$workload: not with $tool"; continue; }
            [[ -t 2 ]] && printf '\r\e[K%s %s/%s %s' "$workload" "$round" "$rounds" "$tool" >&2
            took=$(inside $near "$work/measure" "$(seconds_of "$tool")" "$work/out" "${command[@]}")
            echo "$workload $tool ${size[$workload]} ${live[$workload]} $took $(found "$tool" "$workload" "$work/out")" >>"$work/rows"
        done
    done
    for tool in ${calls:+"${usable[@]}"}; do
        choose "$tool" "$workload" || continue
        inside $near timeout -k 1 $(($(seconds_of "$tool") * 4)) strace -f -c -U calls -o "$work/calls" "${command[@]}" >/dev/null 2>&1
        awk -v row="$workload $tool" '$NF == "total" { print row, $1 }' "$work/calls" >>"$work/all_calls"
    done
done
[[ -t 2 ]] && printf '\r\e[K' >&2
echo "$(nproc) cores, $(uname -sr), load $(cut -d' ' -f1-3 /proc/loadavg), $rounds rounds, medians; missed: fewest..most"
python3 "$here/icmp_table.py" "$work/rows" $([[ -f $work/all_calls ]] && echo "$work/all_calls")
