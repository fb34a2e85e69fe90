#!/bin/bash
# tests/fuzz/run.sh [SECONDS [ENTRY...]]: libFuzzer on every parser of a stranger's bytes (or those named), SECONDS each
# (60). Builds with clang-19 into build-fuzz. What it learns is kept in build-fuzz/corpus/ENTRY; inputs that crash, hang or
# break a property in build-fuzz/found/ENTRY, and the exit code is then 1. To run one again: build-fuzz/tests/fuzz/fuzz-ENTRY
# FILE; to have ./check replay it, add it to tests/fuzz/corpus/ENTRY.
top=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd -P) || exit 121
build=$top/build-fuzz seconds=${1:-60}
shift
entries=("$@")
((${#entries[@]})) || entries=(icmp targets smtp mime known_hosts manifest dns ssh_config sftp mail spool sts ignore sparse manifest_search socks sealed service)
command -v clang++-19 >/dev/null || { echo "run.sh: clang++-19 is missing (packages clang-19 libclang-rt-19-dev)" >&2; exit 120; }

[[ -f $build/build.ninja ]] ||
    CC=clang-19 CXX=clang++-19 meson setup "$build" "$top" -Dfuzz=true -Dcli=false -Ddefault_library=static \
        -Db_lundef=false "-Dcpp_args=-Wno-sign-conversion -Wno-deprecated-declarations" >&2 || exit 121
ninja -C "$build" "${entries[@]/#/tests/fuzz/fuzz-}" >&2 || exit 122

failures=0
for entry in "${entries[@]}"; do
    mkdir -p "$build/corpus/$entry" "$build/found/$entry"
    if "$build/tests/fuzz/fuzz-$entry" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="$build/found/$entry/" "$build/corpus/$entry" "$top/tests/fuzz/corpus/$entry" \
        >"$build/found/$entry.log" 2>&1; then
        echo "$entry: $(sed -n 's/.*number_of_executed_units: *//p' "$build/found/$entry.log") inputs, nothing found"
    else
        failures=$((failures + 1))
        echo "$entry: FOUND $(ls "$build/found/$entry" | wc -l) input(s), see $build/found/$entry and $build/found/$entry.log"
        grep -E -m 3 'ERROR|what\(\)|runtime error|SUMMARY' "$build/found/$entry.log"
    fi
done
exit $((failures > 0))
