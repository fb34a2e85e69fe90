#!/bin/bash
# Look-ups side by side, in one run, against one nsd of its own on loopback: bench-dns (bare c-ares and the library), trawl
# dns, dnsperf, massdns, and for addresses adnslogres (package adns-tools); what is not installed is named and left out.
#
#     bench/dns.sh [-n ROUNDS] [-c NAMES] [-w WINDOW] [BUILD]
#
# -n 5; -c 100000; -w 1000: questions in flight. Every client asks for each name once in a round; medians. CPU is that of the
# client, lost are names without an answer in the worst round. As root nsd has port 53 of an address of its own, since adns
# knows no other port; it has 200 in flight, for with more its socket overflows and it waits.
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd -P) || exit 1
rounds=5 count=100000 window=1000
while getopts n:c:w: option; do
    case $option in
    n) rounds=$OPTARG ;; c) count=$OPTARG ;; w) window=$OPTARG ;;
    *) sed -n '5p;7,9s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
build=$(readlink -f "${1:-$here/../build}")
trawl=$build/src/cli/trawl
say() { printf 'dns.sh: %s\n' "$*" >&2; }
for program in "$trawl" "$build/bench/bench-dns" "$build/bench/bench-measure"; do
    [[ -f $program && -x $program ]] || { say "no $program: build it, or name another folder as the last argument"; exit 1; }
done
nsd=$(PATH=$PATH:/usr/sbin type -P nsd) || { say "needs nsd"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/trawl-bench.XXXXXX") || exit 1
trap 'kill $server 2>/dev/null; wait; rm -rf "$work"' EXIT

# ---- the server ----

address=127.0.0.1
if ((EUID == 0)); then
    address=127.77.0.53 port=53
else
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
fi
awk -v n="$count" -v dir="$work" 'BEGIN {
    soa = "@ SOA ns.example. h.example. 1 2 3 4 5\n@ NS ns.example.\n"
    zone = dir "/forward"; back = dir "/reverse"
    print "$ORIGIN example.\n$TTL 300\n" soa "ns A 127.0.0.1" >zone
    print "$ORIGIN 10.in-addr.arpa.\n$TTL 300\n" soa >back
    for (i = 0; i < n; ++i) {
        a = int(i / 65536); b = int(i / 256) % 256; c = i % 256
        printf "n%d A 10.%d.%d.%d\nn%d AAAA 2001:db8::%x:%x\n", i, a, b, c, i, int(i / 65536), i % 65536 >zone
        printf "%d.%d.%d PTR n%d.example.\n", c, b, a, i >back
        printf "n%d.example\n", i >(dir "/names")
        printf "n%d.example A\n", i >(dir "/queries")
        printf "10.%d.%d.%d\n", a, b, c >(dir "/addresses")
    }
}'
cat >"$work/nsd.conf" <<END
server:
 ip-address: $address@$port
 server-count: 1
 username: ""
 chroot: ""
 database: ""
 rrl-ratelimit: 0
 zonesdir: "$work"
 pidfile: "$work/pid"
 xfrdfile: "$work/xfrd"
 zonelistfile: "$work/list"
 xfrdir: "$work"
remote-control:
 control-enable: no
zone:
 name: example
 zonefile: forward
zone:
 name: 10.in-addr.arpa
 zonefile: reverse
END
"$nsd" -d -c "$work/nsd.conf" 2>"$work/nsd.log" &
server=$!
until "$trawl" dns -q --server $address:$port -t 0.5 --tries 1 n0.example >/dev/null 2>&1; do
    kill -0 $server 2>/dev/null || { say "nsd does not start: $(cat "$work/nsd.log")"; exit 1; }
    sleep 0.2
done

# ---- who asks ----

# measure NAME PATTERN COMMAND...: a line of rate, CPU us each and lost names; answers are the lines of its output that match
measure() {
    local name=$1 pattern=$2 figures; shift 2
    figures=$("$build/bench/bench-measure" 120 "$work/out" "$@")
    awk -v n="$count" -v got="$(grep -cE "$pattern" "$work/out")" \
        '{ printf "%.0f %.2f %d\n", n / $1 * 1000, $2 * 1000 / n, n - got }' <<<"$figures" >>"$work/rows/$name"
}
has() { type -P "$1" >/dev/null || { ((round > 0)) || say "$1 is not installed, and left out"; return 1; }; }
mkdir "$work/rows"
echo "$address:$port" >"$work/resolvers"
to=(--server $address:$port -j "$window")
for ((round = 0; round < rounds; ++round)); do
    "$build/bench/bench-dns" $address:$port "$work/names" "$window" 1 >"$work/out"
    for name in '1 bare ares_query' '2 resolver::look_up' '3 resolver::addresses, A and AAAA'; do
        sed -n "s/^${name#* } *//p" "$work/out" | awk -v n="$count" '{ print $1, $2, n - $3 }' >>"$work/rows/$name"
    done
    measure '4 trawl dns' ': 10\.' "$trawl" dns "${to[@]}" "@$work/names"
    measure '5 trawl dns --json' '"status":"answered"' "$trawl" dns --json "${to[@]}" "@$work/names"
    if has dnsperf; then
        "$build/bench/bench-measure" 120 "$work/out" dnsperf -s $address -p $port -d "$work/queries" -n 1 -c 1 -T 1 \
            -q "$window" -b 4096 >"$work/figures"
        awk -v n="$count" -v got="$(awk '/Queries completed:/ { print $3 }' "$work/out")" \
            '{ printf "%.0f %.2f %d\n", n / $1 * 1000, $2 * 1000 / n, n - got }' "$work/figures" >>"$work/rows/6 dnsperf"
    fi
    has massdns && measure '7 massdns' ' A 10\.' massdns -q $( ((EUID)) || echo --root) -r "$work/resolvers" -t A -s "$window" -o S "$work/names"
    measure '8 trawl dns --reverse' ': n[0-9]+\.example' "$trawl" dns --reverse "${to[@]}" "@$work/addresses"
    if ((port == 53)) && has adnslogres; then
        measure '9 adnslogres (PTR)' '^n[0-9]+\.example' env \
            ADNS_RES_CONF_TEXT="clearnameservers
nameserver $address" sh -c "exec adnslogres -c 200 <$work/addresses"
    fi
done

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
printf '%s names, %s in flight, %s rounds, load average %s\n' "$count" "$window" "$rounds" "$(cut -d' ' -f1 /proc/loadavg)"
printf '%-34s %12s %12s %8s\n' '' 'questions/s' 'CPU us each' lost
for file in "$work/rows"/*; do
    name=$(basename "$file")
    printf '%-34s %12s %12s %8s\n' "${name#* }" "$(cut -d' ' -f1 "$file" | median)" "$(cut -d' ' -f2 "$file" | median)" \
        "$(cut -d' ' -f3 "$file" | sort -n | tail -1)"
done
