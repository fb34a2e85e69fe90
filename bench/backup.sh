#!/bin/bash
# Backups side by side, in one run, of one tree: trawl (default, fast, zstd, --append-delta), GNU tar -g with gzip, pigz,
# igzip and zstd, bsdtar, borg, restic, dar, duplicity, as far as they are installed, and threaded/backup.py (fulls only).
#
#     bench/backup.sh [-n ROUNDS] [-f FILES] [-m MEGABYTES] [-t TREE] [-o TOOL,...] [TRAWL]
#
# -n 3, -f 36000, -m 500; -t: a tree made before (backup_tree.py), which is changed; -o: only these. Each round: a full backup, one of the
# unchanged tree, 1 % of work on it, one of that, and a restore of the latest state. Trees and archives are in $TMPDIR, or
# in /dev/shm, so that no disk is measured. CPU is that of all processes of a backup. Restic encrypts, borg and restic
# deduplicate, tar does not hash.
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd -P) || exit 1
rounds=3 files=36000 megabytes=500 tree='' only=''
while getopts n:f:m:t:o: option; do
    case $option in
    n) rounds=$OPTARG ;; f) files=$OPTARG ;; m) megabytes=$OPTARG ;; t) tree=$OPTARG ;; o) only=,$OPTARG, ;;
    *) sed -n '5p;7,10s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
trawl=$(readlink -f "${1:-$here/../build/src/cli/trawl}")
say() { printf 'backup.sh: %s\n' "$*" >&2; }
[[ -x $trawl ]] || { say "no $trawl: build it, or name another as the last argument"; exit 1; }

place=${TMPDIR:-$([[ -w /dev/shm ]] && echo /dev/shm || echo /tmp)}
work=$(mktemp -d "$place/trawl-bench.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
"${CXX:-g++}" -std=c++20 -O2 -o "$work/measure" "$here/measure.cpp" || exit 1
if [[ ! $tree ]]; then
    tree=$work/tree
    mkdir "$tree" && python3 "$here/backup_tree.py" "$tree" "$files" "$megabytes" 1 || exit 1
fi
export BORG_REPO=$work/borg BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_BASE_DIR=$work/borg-base
export RESTIC_REPOSITORY=$work/restic RESTIC_PASSWORD=bench RESTIC_CACHE_DIR=$work/restic-cache

# One tool: make NUMBER makes a backup into $to, back brings the latest state into the folder $out. Scripts for sh.
declare -A make back begin
for level in default fast zstd append; do
    options="--level $level"
    [[ $level == zstd ]] && options=--zstd
    [[ $level == append ]] && options=--append-delta
    make[trawl-$level]="$trawl backup run -q $tree \$to --name b --full-on never $options"
    back[trawl-$level]="$trawl backup restore -q \$to \$out"
done
packed() { # NAME COMMAND UNPACK
    type -P "${2%% *}" >/dev/null || { say "no ${2%% *}"; return; }
    make[tar-$1]="tar -C $tree -g \$to/snapshot -cf - . | $2 > \$to/\$number.tar.x"
    back[tar-$1]="for each in \$(ls \$to/*.tar.x | sort -V); do $3 < \$each | tar -C \$out -g /dev/null -xf -; done"
}
packed gzip 'gzip -6' 'gzip -d'
packed pigz 'pigz -6' 'pigz -d'
packed igzip 'igzip -1' 'igzip -d'
packed zstd 'zstd -q -3 -T0' 'zstd -q -d'
if type -P bsdtar >/dev/null; then
    make[bsdtar-zstd]="bsdtar -C $tree --format pax --zstd \$(test \$number = 1 || echo --newer-than \$to/1.tar.x) -cf \$to/\$number.tar.x ."
    back[bsdtar-zstd]="for each in \$(ls \$to/*.tar.x | sort -V); do bsdtar -C \$out -xf \$each; done"
else
    say 'no bsdtar'
fi
if type -P borg >/dev/null; then
    begin[borg]='borg init -e none'
    make[borg]="cd $tree && borg create ::\$number ."
    back[borg]="cd \$out && borg extract ::\$number"
fi
if type -P restic >/dev/null; then
    begin[restic]='restic init -q'
    make[restic]="cd $tree && restic backup -q ."
    back[restic]="restic restore -q latest --target \$out"
fi
if type -P dar >/dev/null; then
    make[dar]="dar -Q -q -c \$to/\$number -R $tree -zgzip:6 \$(test \$number = 1 || echo -A \$to/\$((number - 1)))"
    back[dar]="for each in \$(ls \$to/*.dar | sort -V); do dar -Q -q -w -O -x \${each%.1.dar} -R \$out; done"
else
    say 'no dar'
fi
if type -P duplicity >/dev/null; then
    flags="--no-encryption --archive-dir $work/duplicity-cache"
    make[duplicity]="duplicity $flags $tree file://\$to"
    back[duplicity]="duplicity restore --force $flags file://\$to \$out"
else
    say 'no duplicity'
fi
make[python]="python3 $here/threaded/backup.py $tree \$to"
order=()
for tool in trawl-default tar-gzip tar-pigz trawl-fast tar-igzip trawl-zstd tar-zstd trawl-append bsdtar-zstd borg restic dar \
    duplicity python; do
    [[ ${make[$tool]-} && (! $only || $only == *",$tool,"*) ]] && order+=("$tool")
done

store() { case $1 in borg) echo "$work/borg" ;; restic) echo "$work/restic" ;; *) echo "$work/$1" ;; esac; }
size() { du -sb "$(store "$1")" 2>/dev/null | cut -f1; }
measure() { # WORKLOAD TOOL SCRIPT
    local before
    before=$(size "$2")
    echo "$1 $2 $("$work/measure" 600 /dev/null env to="$work/$2" out="$work/out" number="$number" sh -c "$3")" \
        $(($(size "$2") - ${before:-0}))
}
each() {
    for tool in "${order[@]}"; do
        [[ $1 == full || ${back[$tool]-} ]] && measure "$1" "$tool" "${make[$tool]}"
    done
}

for ((round = 1; round <= rounds; ++round)); do
    say "round $round of $rounds"
    for tool in "${order[@]}"; do
        rm -rf "$(store "$tool")" "$work"/{restic-cache,borg-base,duplicity-cache} && mkdir "$work/$tool"
        [[ ${begin[$tool]-} ]] && { rmdir "$work/$tool"; sh -c "${begin[$tool]}" >/dev/null 2>&1; }
    done
    number=1; each full
    sleep 3 # a file is racily clean for two seconds
    number=2; each unchanged
    python3 "$here/backup_tree.py" --change "$tree" $round
    number=3; each '1-percent'
    for tool in "${order[@]}"; do
        [[ ${back[$tool]-} ]] || continue
        rm -rf "$work/out" && mkdir "$work/out"
        measure restore "$tool" "${back[$tool]}"
    done
    rm -rf "$work/out"
done >"$work/rows" || exit 1
python3 "$here/backup_table.py" <"$work/rows"
