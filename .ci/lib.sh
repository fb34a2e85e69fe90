# What ./trawl, ./check and .ci/run share. Sourced by bash with $top set to the source folder.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# need GROUP...: installs the packages of those groups (.ci/packages) that are missing; 1 when it cannot.
need() {
    local wanted=() missing=() package root=() group
    for group; do
        read -ra words <<<"$(sed -n "s/^$group://p" "$top/.ci/packages" | tr '\n' ' ')"
        wanted+=("${words[@]}")
    done
    if ! command -v dpkg-query >/dev/null; then
        say "this is no Debian; assuming that these are here: ${wanted[*]}"
        return 0
    fi
    local present
    present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null)
    for package in "${wanted[@]}"; do
        [[ $'\n'"$present"$'\n' == *$'\n'"installed $package"$'\n'* ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    if ((EUID)); then
        if ! command -v sudo >/dev/null; then
            say "missing packages; as root: apt-get install --no-install-recommends ${missing[*]}"
            return 1
        fi
        root=(sudo)
    fi
    say "installing ${#missing[@]} missing packages: ${missing[*]}"
    install_packages "${missing[@]}" >"$log.apt" 2>&1 && return 0
    tail -n 15 "$log.apt" >&2
    say "the packages could not be installed"
    return 1
}

# Installs without questions and without starting (or enabling at boot) the services that come along.
install_packages() {
    local policy=/usr/sbin/policy-rc.d own_policy= code unit
    local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update </dev/null || return 1
    if [[ ! -e $policy ]]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy"
        "${root[@]}" chmod 755 "$policy"
    fi
    if [[ " $* " == *" postfix "* ]]; then
        echo 'postfix postfix/main_mailer_type select No configuration' | "${root[@]}" debconf-set-selections
    fi
    "${apt[@]}" install --no-install-recommends "$@" </dev/null
    code=$?
    [[ $own_policy ]] && "${root[@]}" rm -f "$policy"
    if command -v systemctl >/dev/null; then
        for unit in openssh-server:ssh postfix:postfix nftables:nftables nsd:nsd slurmctld:slurmctld slurmd:slurmd munge:munge; do
            [[ " $* " == *" ${unit%:*} "* ]] && "${root[@]}" systemctl disable --quiet "${unit#*:}.service"
        done
    fi
    return $code
}

# As whom to build: `sudo ./trawl` must not leave files of root in somebody's build folder.
builder() {
    local owner
    owner=$(stat -c '%u %g' "$build" 2>/dev/null || stat -c '%u %g' "$top")
    if ((EUID == 0)) && [[ $owner != 0\ * ]]; then
        setpriv --reuid="${owner% *}" --regid="${owner#* }" --clear-groups -- "$@"
    else
        "$@"
    fi
}

# configure OPTION...: sets the build folder up, or changes options in one that is there.
configure() {
    local options="$build/.trawl-options"
    if [[ -f $build/build.ninja ]]; then
        [[ -f $options && $(<"$options") == "$*" ]] && return
        builder meson configure "$build" "$@" >"$log" 2>&1 || return
    else
        builder mkdir -p "$build" && [[ -d $build/meson-private ]] && builder rm -rf "$build"/* # interrupted before
        builder meson setup "$build" "$top" "$@" >"$log" 2>&1 </dev/null || return
    fi
    builder tee "$options" <<<"$*" >/dev/null
}

# compile TARGET...: ninja with its output in $log; progress on stderr when that is a terminal.
compile() {
    set -o pipefail
    NINJA_STATUS='[%f/%t] ' builder ninja -C "$build" -j "$(nproc)" "$@" 2>&1 </dev/null | if [[ -t 2 ]]; then
        while IFS= read -r line; do
            printf '%s\n' "$line"
            [[ $line == \[*/*\]* ]] && printf '\r\e[Kbuilding %s' "${line:0:72}" >&2
        done
        printf '\r\e[K' >&2
    else
        cat
    fi >"$log"
}

# The part of a failed build's log that says why.
explain() {
    {
        grep -E -m 12 'error:|ERROR:|FAILED:|undefined reference|No such file' "$log" || tail -n 15 "$log"
    } | cut -c 1-400 >&2
}

# every_suite_but SUITE...: the names of the other suites of $build.
every_suite_but() {
    python3 - "$build" "$@" <<'END'
import json, sys
tests = json.load(open(sys.argv[1] + "/meson-info/intro-tests.json"))
print("\n".join(sorted({s.split(":")[-1] for t in tests for s in t["suite"]} - set(sys.argv[2:]))))
END
}

# run_suites [SUITE...]: builds and runs the suites of $build, quietly but for what failed; the last line counts.
run_suites() {
    local suite arguments=()
    [[ -t 2 ]] || say "building"
    compile all meson-test-prereq || {
        explain
        say "the build failed"
        return 122
    }
    # A job array on a real Slurm is for --long, each header alone for .ci/run, or for when they are named.
    if (($# == 0)); then set -- $(every_suite_but headers $([[ ${TRAWL_LONG-} ]] || echo slurm)); fi
    for suite; do arguments+=(--suite "$suite"); done
    [[ ${TRAWL_LONG-} ]] && arguments+=(--timeout-multiplier 20)
    [[ ${wrapper-} ]] && arguments+=(--wrapper "$wrapper")
    builder rm -f "$build/meson-logs/testlog.json"
    say "running the suites"
    builder meson test -C "$build" --no-rebuild "${arguments[@]}" >"$log" 2>&1 </dev/null
    [[ -f $build/meson-logs/testlog.json ]] || tail -n 15 "$log" >&2
    python3 "$top/.ci/tally.py" "$build" "$@"
}
