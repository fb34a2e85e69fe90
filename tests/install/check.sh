#!/bin/bash
# check.sh BUILD COMPILER shared|static: installs BUILD into an empty folder and builds a consumer against
# it that knows pkg-config only (TAP).
set -u
build=$(realpath "$1") compiler=$2 kind=$3
here=$(dirname "$(realpath "$0")")
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT
number=0 bad=0
result() { # STATUS NAME
    number=$((number + 1))
    if [[ $1 == 0 ]]; then echo "ok $number $2"; else bad=1 && echo "not ok $number $2" && sed 's/^/# /' "$dest/log" | tail -n 30; fi
}

DESTDIR=$dest meson install -C "$build" --no-rebuild >"$dest/log" 2>&1
result $? "it installs"
pc=$(find "$dest" -name trawl.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
export PKG_CONFIG_PATH=${pc%/*}
config() { pkg-config --define-variable=prefix="$dest$prefix" "$@" trawl; }
# Also for a static libtrawl without --static: that would ask for what libssh or libarchive, which stay shared, need.
libraries=$(config --libs) 2>"$dest/log"
result $? "pkg-config knows it ($kind)"

program=$dest/consumer
if [[ $kind == shared ]]; then libraries+=" -Wl,-rpath,$(config --variable=libdir)"; fi
$compiler -std=c++20 -Wall -Wextra -Wpedantic -Werror $(config --cflags) -o "$program" "$here/consumer.cpp" $libraries >"$dest/log" 2>&1
result $? "a consumer with a header-only Asio builds and links"
timeout 60 "$program" >"$dest/log" 2>&1
result $? "it runs"

# What a consumer may not have to know.
config --cflags | grep -oE 'ASIO_SEPARATE_COMPILATION|libssh|Boost|boost' >"$dest/log"
result $((! $?)) "its flags name nothing of the inside"
ls "$dest$prefix/include/trawl"/*.hpp >/dev/null 2>"$dest/log"
result $? "the headers are where they belong"
missing=
for header in "$here"/../../include/trawl/*.hpp "$here"/../../include/trawl/detail/*.hpp; do
    relative=${header#*/include/}
    [[ -f $dest$prefix/include/$relative ]] || missing+="$relative "
done
echo "$missing" >"$dest/log"
[[ -z $missing ]]
result $? "every public header is installed"
"$dest$prefix/bin/trawl" --version >"$dest/log" 2>&1
result $? "the installed command runs"
if [[ $kind == shared ]]; then
    ldd "$program" 2>/dev/null | grep -q "libtrawl.so.0 => $dest" && ! readelf -d "$program" | grep -E 'NEEDED.*(ssh|archive|cares)' >"$dest/log"
    result $? "the consumer needs libtrawl.so.0 only, not what it is made of"
fi
echo "1..$number"
exit $bad
