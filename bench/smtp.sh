#!/bin/bash
# Messages side by side, in one run: smtp::pool (smtp.cpp), the bare dialogue (smtp_stick.cpp), the library's dialogue over
# blocking sockets (threaded/smtp.cpp), smtp-source, smtplib, aiosmtplib, nodemailer; and one message by trawl mail, msmtp, curl.
#
#     bench/smtp.sh [-n ROUNDS] [-m MESSAGES] [-w WORKLOADS] [BUILD]
#
# -n 5; -m 20000: of the fastest, the others send fewer; -w chunking,pipelining,each,1000,5000,tls,submit (docs/benchmarks.md
# says what they are). All speak to smtp_sink.cpp on loopback, messages of 4 KB to one recipient. A tool that is missing is
# named with its Debian package and left out. BUILD is a build folder with -Dbench=true.
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd -P) || exit 1
say() { printf 'smtp.sh: %s\n' "$*" >&2; }
rounds=5 count=20000 workloads=chunking,pipelining,each,1000,5000,tls,submit
while getopts n:m:w: option; do
    case $option in
    n) rounds=$OPTARG ;; m) count=$OPTARG ;; w) workloads=$OPTARG ;;
    *) sed -n '5p;7,9s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
build=$(readlink -f "${1:-$here/../build}")
for program in smtp smtp-sink smtp-stick threaded-smtp measure; do
    [[ -x $build/bench/bench-$program ]] || { say "no $build/bench/bench-$program: ninja -C $build"; exit 1; }
done
trawl=$build/src/cli/trawl pool=$build/bench/bench-smtp stick=$build/bench/bench-smtp-stick
ulimit -n "$(ulimit -Hn)"
export NODE_PATH=${NODE_PATH:-/usr/share/nodejs} # where Debian has nodemailer, whoever made node

work=$(mktemp -d "${TMPDIR:-/tmp}/trawl-bench.XXXXXX") || exit 1
trap 'kill "${servers[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
servers=()
port=$((20000 + RANDOM % 10000))
until_it_answers() {
    for _ in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.02
    done
    say "the sink does not listen"
    exit 1
}
sink() { # VARIABLE EXTENSION...: sets the variable to the port of one that offers them
    printf -v "$1" %s "$((++port))"
    shift
    "$build/bench/bench-smtp-sink" "$port" "$@" 2>>"$work/log" &
    servers+=($!)
    until_it_answers "$port"
}
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$work/key" -out "$work/ca" 2>"$work/log" || { say "$(cat "$work/log")"; exit 1; }
cat "$work/key" "$work/ca" >"$work/pem"
sink chunking PIPELINING CHUNKING
sink pipelining PIPELINING
sink secure PIPELINING CHUNKING "STARTTLS=$work/pem"
yes b@example.com | head -n $((count / 4)) >"$work/recipients"
"$pool" "$pipelining" 1 1 | grep -q '^accepted=1 ' || { say "the library sends nothing"; exit 1; }

missing() { # NAME PACKAGE TEST...
    local name=$1 package=$2
    shift 2
    "$@" >/dev/null 2>&1 && return 1
    say "$name is left out: apt-get install $package"
}
declare -A without
missing smtp-source postfix type -P smtp-source && without[smtp-source]=1
missing aiosmtplib python3-aiosmtplib /usr/bin/python3 -c 'import aiosmtplib' && without[aiosmtplib]=1
missing nodemailer node-nodemailer node -e 'require("nodemailer")' && without[nodemailer]=1
missing msmtp msmtp type -P msmtp && without[msmtp]=1
missing curl curl type -P curl && without[curl]=1

# one WORKLOAD CLIENT MESSAGES COMMAND...: a line of the table's raw figures.
one() {
    local row="$1;$2" messages=$3
    [[ ${without[$2]-} ]] && return
    shift 3
    [[ -t 2 ]] && printf '\r\e[K%s/%s %s' "$round" "$rounds" "$row" >&2
    "$build/bench/bench-measure" 120 /dev/null "$@" |
        awk -v n="$messages" '{ print n / $1 * 1000, $2 * 1000 / n, $3 / 1024, $4, $1 / n }' >>"$work/row.$row"
    [[ -e $work/order ]] && grep -qxF "$row" "$work/order" || echo "$row" >>"$work/order"
}
peers() { # CLIENT ARGUMENT...
    case $1 in
    nodemailer) node "$here/smtp_nodemailer.js" "${@:2}" ;;
    *) /usr/bin/python3 "$here/smtp_peers.py" "$@" ;;
    esac
}
export -f peers
export here
by_others() { # WORKLOAD PORT MESSAGES EACH CONNECTIONS
    local reused=()
    (($4)) || reused=(-d)
    one "$1" smtp-source "$3" smtp-source "${reused[@]}" -s "$5" -m "$3" -l 4096 "127.0.0.1:$2"
    for client in smtplib aiosmtplib nodemailer; do
        one "$1" "$client" $(($3 / 8)) bash -c 'peers "$@"' - "$client" "$2" $(($3 / 8)) "$5" "$4"
    done
}
by_tls() { # WORKLOAD MESSAGES EACH
    one "$1" pool "$2" "$pool" "$secure" "$2" 50 4096 "$3" "$work/ca"
    for client in smtplib aiosmtplib; do
        one "$1" "$client" $(($2 / 4)) bash -c 'peers "$@"' - "$client" "$secure" $(($2 / 4)) 50 "$3" "$work/ca"
    done
}
letter=$work/letter
printf 'From: <a@example.com>\r\nTo: <b@example.com>\r\nSubject: bench\r\n\r\n' >"$letter"
yes "$(printf 'X%.0s' {1..62})" | head -n 62 | sed 's/$/\r/' >>"$letter"
submit() { # CLIENT COMMAND...
    one submit "$1" 1 bash -c 'exec "$@" <"$0"' "$letter" "${@:2}"
}
for round in $(seq "$rounds"); do
    for workload in ${workloads//,/ }; do
        case $workload in
        chunking)
            one chunking pool "$count" "$pool" "$chunking" "$count" 50
            one chunking stick "$count" "$stick" "$chunking" "$count" 50 chunks
            ;;
        pipelining)
            one pipelining pool "$count" "$pool" "$pipelining" "$count" 50
            one pipelining stick "$count" "$stick" "$pipelining" "$count" 50 group
            by_others pipelining "$pipelining" $((count / 2)) 0 50
            ;;
        each)
            one each pool $((count / 4)) "$pool" "$chunking" $((count / 4)) 50 4096 1
            one each stick $((count / 4)) "$stick" "$chunking" $((count / 4)) 50 each
            one each threads $((count / 4)) bash -c 'exec "$@" <"$0"' "$work/recipients" \
                "$build/bench/bench-threaded-smtp" --threads 50 "$chunking" 4096
            by_others each "$chunking" $((count / 4)) 1 50
            ;;
        1000)
            one 1000 clients "$count" "$pool" clients "$pipelining" "$count" 1000
            one 1000 'clients, CHUNKING' $((count * 2)) "$pool" clients "$chunking" $((count * 2)) 1000
            one 1000 smtp-source $((count / 2)) smtp-source -d -s 1000 -m $((count / 2)) -l 4096 "127.0.0.1:$pipelining"
            ;;
        5000)
            one 5000 clients $((count * 2)) "$pool" clients "$pipelining" $((count * 2)) 5000
            one 5000 'clients, CHUNKING' $((count * 5)) "$pool" clients "$chunking" $((count * 5)) 5000
            one 5000 'clients, STARTTLS' $((count * 2)) "$pool" clients "$secure" $((count * 2)) 5000 4096 0 "$work/ca"
            ;;
        tls)
            by_tls 'TLS, new' $((count / 10)) 1
            by_tls 'TLS, kept' $((count / 2)) 0
            ;;
        submit)
            for _ in {1..10}; do
                submit 'trawl mail' "$trawl" mail --server "127.0.0.1:$pipelining" --tls none -f a@example.com -s bench b@example.com
                submit 'trawl sendmail' env "TRAWL_SMTP_SERVER=127.0.0.1:$pipelining" "$trawl" sendmail -i -f a@example.com b@example.com
                submit msmtp msmtp --host=127.0.0.1 --port="$pipelining" -f a@example.com b@example.com
                submit curl curl -s "smtp://127.0.0.1:$pipelining" --mail-from a@example.com --mail-rcpt b@example.com -T -
            done
            ;;
        esac
    done
done
[[ -t 2 ]] && printf '\r\e[K' >&2
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
echo "$(nproc) cores, $(uname -sr), load $(cut -d' ' -f1-3 /proc/loadavg), $rounds rounds, medians"
printf '%-14s %-22s %11s %9s %9s %8s %4s\n' workload client messages/s CPU_us wall_ms RSS_MB exit
while read -r row; do
    column() { cut -d' ' -f"$1" "$work/row.$row"; }
    printf '%-14s %-22s %11.0f %9.2f %9.3f %8.1f %4d\n' "${row%;*}" "${row#*;}" "$(column 1 | median)" "$(column 2 | median)" \
        "$(column 5 | median)" "$(column 3 | median)" "$(column 4 | sort -n | tail -1)"
done <"$work/order"
