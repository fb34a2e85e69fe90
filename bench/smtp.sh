#!/bin/bash
# Messages a second beside smtp-source and a bare stick, one sink for all, one after the other in
# each round:
#
#     bench/smtp.sh BUILD SINK STICK [CONNECTIONS [MESSAGES [ROUNDS]]]
#
# Both are programs of yours. "SINK PORT" is an SMTP server that announces PIPELINING and CHUNKING and
# costs little (Postfix's smtp-sink is itself the limit). STICK is a bare client, with -p PORT, -s
# CONNECTIONS, -m MESSAGES, -d (keep connections), -P (PIPELINING), -X (the next envelope behind the
# dot) and -B N (N messages a write, by BDAT); "" leaves it out. Prints medians of messages a second,
# CPU us each and RSS.
set -eu
build=$1 sink=$2 stick=$3 at_once=${4:-50} count=${5:-20000} rounds=${6:-5}
port=$((20000 + RANDOM % 20000))
scratch=$(mktemp -d)
$sink $port & pid=$!
trap 'kill $pid; rm -r "$scratch"' EXIT
until (: </dev/tcp/127.0.0.1/$port) 2>/dev/null; do sleep 0.05; done

measure() { # NAME MESSAGES COMMAND...
    local name=$1 n=$2; shift 2
    "$build/bench/bench-measure" 120 /dev/null "$@" |
        awk -v n="$n" '{ printf "%.0f %.2f %.1f %d\n", n / $1 * 1000, $2 * 1000 / n, $3 / 1024, $4 }' \
        >>"$scratch/$name"
}
for ((round = 0; round < rounds; ++round)); do
    measure 'trawl_pool,_CHUNKING' $count "$build/bench/bench-smtp" $port $count $at_once
    measure 'trawl_pool,_one_per_connection' $((count / 4)) \
        "$build/bench/bench-smtp" $port $((count / 4)) $at_once 4096 1
    measure 'smtp-source,_reused' $((count / 2)) \
        smtp-source -d -s $at_once -m $((count / 2)) -l 4096 127.0.0.1:$port
    measure 'smtp-source,_one_per_connection' $((count / 4)) \
        smtp-source -s $at_once -m $((count / 4)) -l 4096 127.0.0.1:$port
    [ -z "$stick" ] && continue
    measure 'stick,_BDAT_4_a_write' $count "$stick" -p $port -s $at_once -m $count -d -B 4
    measure 'stick,_grouped' $count "$stick" -p $port -s $at_once -m $count -d -P -X
    measure 'stick,_one_per_connection' $((count / 4)) \
        "$stick" -p $port -s $at_once -m $((count / 4)) -P
done
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
printf '%-34s %10s %8s %8s %5s\n' client messages/s CPU_us RSS_MB exit
for file in "$scratch"/*; do
    printf '%-34s %10s %8s %8s %5s\n' "$(basename "$file" | tr _ ' ')" \
        "$(cut -d' ' -f1 "$file" | median)" "$(cut -d' ' -f2 "$file" | median)" \
        "$(cut -d' ' -f3 "$file" | median)" "$(cut -d' ' -f4 "$file" | sort -n | tail -1)"
done
