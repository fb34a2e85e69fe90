#!/bin/bash
# check.sh TRAWL: sweeps 127.0.0.0/20 by a job array of four on a Slurm of its own (TAP).
# munged, slurmctld and slurmd run as plain processes of this user, on loopback, with a configuration, key and
# state in one temporary folder; they are stopped by their ids. One element is killed and one is requeued while it
# runs; the merged results must have every target once.
set -u
trawl=$(realpath "$1")
missing=
for tool in munged slurmctld slurmd sbatch squeue scontrol scancel; do
    PATH=$PATH:/usr/sbin command -v $tool >/dev/null || missing+=" $tool"
done
if [[ $missing ]]; then
    echo "ok 1 a job array sweeps 4,096 targets # SKIP needs$missing (group slurm of .ci/packages)"
    echo "1..1"
    exit 0
fi
PATH=$PATH:/usr/sbin
number=0 bad=0 pids=() job=
work=$(mktemp -d "${TMPDIR:-/tmp}/trawl-slurm.XXXXXX") || exit 1
chmod 711 "$work" # munged wants its socket to be within everybody's reach
log=$work/check.log

result() { # STATUS NAME
    number=$((number + 1))
    if [[ $1 == 0 ]]; then
        echo "ok $number $2"
    else
        bad=1
        echo "not ok $number $2"
        tail -n 8 "$log" "$work"/slurm-*.out "$work"/slurmctld.log "$work"/slurmd.log 2>/dev/null | sed 's/^/# /'
    fi
}

# until_true SECONDS COMMAND...: 1 when it has not come true by then.
until_true() {
    local end=$((SECONDS + $1))
    while ! "${@:2}" >>"$log" 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

stop() {
    [[ $job ]] && scancel "$job" >>"$log" 2>&1 && until_true 20 no_job
    local at
    for ((at = ${#pids[@]} - 1; at >= 0; --at)); do # in the reverse order
        kill "${pids[at]}" 2>/dev/null
        until_true 10 gone "${pids[at]}" || kill -9 "${pids[at]}" 2>/dev/null
        wait "${pids[at]}" 2>/dev/null
    done
    rm -rf "$work"
}
gone() { ! kill -0 "$1"; }
no_job() { [[ -z $(squeue -h -j "$job" 2>/dev/null) ]]; }
trap stop EXIT
trap 'exit 1' INT TERM

start() { # NAME COMMAND...
    "${@:2}" >>"$work/$1.log" 2>&1 &
    pids+=($!)
}

free_ports() {
    python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in held))'
}

# ---- a Slurm of one machine ----

user=$(id -un) host=$(uname -n)
host=${host%%.*}
read -r controller_port node_port < <(free_ports)
mkdir "$work/state" "$work/spool"
(umask 077 && head -c 1024 /dev/urandom >"$work/munge.key")
cat >"$work/slurm.conf" <<END
ClusterName=trawl
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
SlurmUser=$user
SlurmdUser=$user
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until the credential of its first start has expired: 120 s, and no less than 5.
AuthInfo=socket=$work/munge.socket,cred_expire=5
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=100000
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MinJobAge=300
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=10 State=UP
END
export SLURM_CONF=$work/slurm.conf

start munged munged --foreground --key-file="$work/munge.key" --socket="$work/munge.socket" \
    --pid-file="$work/munged.pid" --log-file="$work/munged.own.log" --seed-file="$work/munge.seed" --num-threads=1
until_true 10 test -S "$work/munge.socket"
result $? "munged runs with a key of its own"
start slurmctld slurmctld -D -f "$SLURM_CONF"
until_true 20 scontrol ping
start slurmd slurmd -D -f "$SLURM_CONF"
idle() { [[ $(sinfo -h -o %T) == idle ]]; }
until_true 30 idle
started=$?
result $started "slurmctld and slurmd run as plain processes"
((started == 0)) || { echo "1..$number" && exit 1; }

# ---- the array ----

# 1,024 targets an element, slow enough to be killed on the way. The process id tells whom.
cat >"$work/sweep.sh" <<END
#!/bin/bash
echo \$\$ >$work/pid-\$SLURM_ARRAY_TASK_ID
exec $trawl ping --json --shard auto/4 --rate 100 127.0.0.0/20 --output $work/part-\$SLURM_ARRAY_TASK_ID.ndjson
END
job=$(sbatch --parsable --array=0-3 --cpus-per-task=1 --requeue --chdir="$work" --output="$work/slurm-%a.out" \
    --open-mode=append "$work/sweep.sh" 2>>"$log")
[[ $job ]]
result $? "the array is submitted"

running() { [[ -e $work/part-$1.ndjson.partial && $(wc -l <"$work/part-$1.ndjson.partial") -gt 20 ]]; }
state_of() { scontrol show job "${job}_$1" | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p'; }
failed() { [[ $(state_of "$1") == FAILED ]]; }
requeued() { [[ $(state_of "$1") =~ ^(PENDING|RUNNING|COMPLETED)$ ]]; }
restarted() { [[ $(scontrol show job "${job}_$1") == *Restarts=1* ]]; }

until_true 30 running 1 && until_true 30 running 2
running=$?
result $running "the elements run"
((running == 0)) || { echo "1..$number" && exit 1; }
kill -9 "$(<"$work/pid-2")" && until_true 20 failed 2 && [[ ! -e $work/part-2.ndjson ]]
result $? "an element that is killed leaves nothing under the final name"
scontrol requeue "${job}_2" >>"$log" 2>&1 && until_true 20 requeued 2
result $? "the killed element is requeued"
scontrol requeue "${job}_1" >>"$log" 2>&1 && [[ ! -e $work/part-1.ndjson ]]
result $? "an element is requeued while it runs"
"$trawl" merge "$work/part-2.ndjson.partial" >"$work/early" 2>"$work/refusal"
[[ $? == 1 && ! -s $work/early && $(<"$work/refusal") == *"part-2.ndjson.partial:"*"was killed"* ]]
result $? "what the killed element left cannot be merged"

all_there() { [[ -e $work/part-0.ndjson && -e $work/part-1.ndjson && -e $work/part-2.ndjson && -e $work/part-3.ndjson ]]; }
until_true 200 all_there && until_true 30 no_job
result $? "all elements end, and each file has its final name"
restarted 1 && restarted 2
result $? "Slurm says that two of them were started twice"
ls "$work"/*.partial >>"$log" 2>&1
result $((! $?)) "no partial file is left"

# ---- the merge ----

"$trawl" merge --output "$work/all.ndjson" "$work"/part-?.ndjson >>"$log" 2>&1
result $? "the four parts are merged"
"$trawl" merge "$work"/part-[013].ndjson >>"$log" 2>&1
[[ $? == 1 ]]
result $? "three of them are not"
python3 - "$work/all.ndjson" >>"$log" 2>&1 <<'END'
import collections, ipaddress, json, sys
records = [json.loads(line) for line in open(sys.argv[1])]
seen = collections.Counter(r["target"] for r in records if r["type"] == "host")
wanted = {str(a) for a in ipaddress.ip_network("127.0.0.0/20")}
summary = records[-1]
print(len(seen), "targets,", summary)
assert set(seen) == wanted and set(seen.values()) == {1}, "not each target exactly once"
assert summary["targets"] == summary["up"] == 4096 and summary["merged"] == 4, "the summary is wrong"
END
result $? "4,096 targets are there exactly once, all up"
echo "1..$number"
exit $bad
