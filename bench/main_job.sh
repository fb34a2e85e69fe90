#!/bin/bash
# The main job at size: 200 embedded hosts (in a process of their own), a backup of 500 MB meanwhile, one mail.
# bench/main_job.sh [TRAWL [HOSTS [MEGABYTES [ROUNDS]]]]: prints the summary of each round, with hold and lag, and the
# number of threads. Needs about twice MEGABYTES of disk in $TMPDIR.
trawl=${1:-$(dirname "$0")/../build/src/cli/trawl} hosts=${2:-200} megabytes=${3:-500} rounds=${4:-3}
trawl=$(readlink -f "$trawl")
place=$(mktemp -d "${TMPDIR:-/tmp}/trawl-bench.XXXXXX") || exit 1
trap 'kill $lab 2>/dev/null; wait $lab 2>/dev/null; rm -rf "$place"' EXIT

"$trawl" lab --hosts "127.7.0.1-$hosts" --ssh-port 2222 --smtp-port 2525 --dir "$place/lab" 2>"$place/lab.log" &
lab=$!
for _ in $(seq 100); do
    [[ -s $place/lab/known_hosts ]] && (exec 3<>/dev/tcp/127.0.0.1/2525) 2>/dev/null && break
    sleep 0.1
done

mkdir "$place/source"
for i in $(seq $((megabytes / 10))); do # text that compresses about as logs do, and some that does not
    { seq $((i * 1000000)) $((i * 1000000 + 900000)) | head -c 8M; head -c 2M /dev/urandom; } >"$place/source/part$i"
done

cat >"$place/plan.toml" <<PLAN
[sweep]
targets = ["127.7.0.1-$hosts"]
[ssh]
user = "$(id -un)"
port = 2222
identity = "lab/id_ed25519"
known_hosts = "lab/known_hosts"
commands = ["uname -a", "echo done"]
jobs = 100
timeout = 60.0
[[backup]]
source = "source"
destination = "backups"
kind = "full"
[mail]
server = "127.0.0.1:2525"
from = "bench@example.org"
to = ["admin@example.org"]
PLAN

for round in $(seq "$rounds"); do
    rm -rf "$place/backups"
    most=0
    "$trawl" run "$place/plan.toml" --json >"$place/out" 2>"$place/err" &
    run=$!
    while kill -0 $run 2>/dev/null; do
        now=$(ls /proc/$run/task 2>/dev/null | wc -l)
        ((now > most)) && most=$now
        sleep 0.05
    done
    wait $run
    echo "round $round: exit $?, at most $most threads"
    tail -n 1 "$place/out"
    cat "$place/err" >&2
done
