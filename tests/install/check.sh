#!/bin/bash
# check.sh BUILD COMPILER shared|static: installs BUILD into an empty folder and builds consumers against it, outside
# the source tree, that know pkg-config only, CMake only, or Meson (TAP). With COMPILER, and with the other one of
# g++ and clang++-19 where it is installed; as C++20 and C++23.
set -u
build=$(realpath "$1") compiler=$2 kind=$3
here=$(dirname "$(realpath "$0")")
source=$(realpath "$here/../..")
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT
number=0 bad=0
result() { # STATUS NAME [LOG]
    number=$((number + 1))
    if [[ $1 == 0 ]]; then
        echo "ok $number $2"
    else
        bad=1
        echo "not ok $number $2"
        sed 's/^/# /' "${3:-$dest/log}" | tail -n 30
    fi
}
skip() { number=$((number + 1)) && echo "ok $number $1 # SKIP $2"; }

DESTDIR=$dest meson install -C "$build" --no-rebuild >"$dest/log" 2>&1
result $? "it installs"
pc=$(find "$dest" -name trawl.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
export PKG_CONFIG_PATH=${pc%/*}
config() { pkg-config --define-variable=prefix="$dest$prefix" "$@" trawl; }
# Also for a static libtrawl without --static: that would ask for what libssh or libarchive, which stay shared, need.
libraries=$(config --libs) 2>"$dest/log"
result $? "pkg-config knows it ($kind)"
if [[ $kind == shared ]]; then libraries+=" -Wl,-rpath,$(config --variable=libdir)"; fi

# The consumers, each in the background: what it says is in NAME.log, its exit status in NAME.rc.
strict="-Wall -Wextra -Wpedantic -Werror"
other=$([[ $compiler == *clang* ]] && echo g++ || echo clang++-19)
coroutines() { [[ $1 == *clang* ]] && echo "-DASIO_HAS_CO_AWAIT=1 -DASIO_HAS_STD_COROUTINE=1"; }
by_pkg_config() { # NAME COMPILER STANDARD
    $2 -std="$3" $strict $(config --cflags) $(coroutines "$2") -o "$dest/$1" "$here/consumer.cpp" $libraries &&
        timeout 60 "$dest/$1"
}
by_cmake() { # NAME COMPILER STANDARD
    cmake -S "$here/cmake" -B "$dest/$1" -DCONSUMER="$here/consumer.cpp" -DCMAKE_CXX_COMPILER="$2" \
        -DCMAKE_CXX_STANDARD="${3#c++}" -DCMAKE_PREFIX_PATH="$dest$prefix" &&
        cmake --build "$dest/$1" && timeout 60 "$dest/$1/consumer"
}
# The whole library is not built again: its part is what the other suites test. The consumer's own source is compiled
# by the flags that the subproject hands out, and the rest of the plan is asked for.
by_subproject() { # NAME COMPILER STANDARD
    mkdir -p "$dest/$1.source/subprojects" && cp "$here/subproject/meson.build" "$here/consumer.cpp" "$dest/$1.source" &&
        ln -s "$source" "$dest/$1.source/subprojects/trawl" &&
        CXX=$2 meson setup "$dest/$1" "$dest/$1.source" -Dcpp_std="$3" --force-fallback-for=trawl \
            $([[ $2 == *clang* ]] && echo "-Dcpp_args=-Wno-deprecated-declarations") &&
        ninja -C "$dest/$1" consumer.p/consumer.cpp.o &&
        ninja -C "$dest/$1" -n consumer | grep -q "Linking target consumer"
}
consumers=()
start() { # NAME METHOD COMPILER STANDARD
    consumers+=("$1")
    ("$2" "$1" "$3" "$4" >"$dest/$1.log" 2>&1; echo $? >"$dest/$1.rc") &
    while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
}
start pkg-config-20 by_pkg_config "$compiler" c++20
start pkg-config-23 by_pkg_config "$compiler" c++23
if command -v cmake >/dev/null; then
    start cmake-20 by_cmake "$compiler" c++20
    if command -v "$other" >/dev/null; then start cmake-other-23 by_cmake "$other" c++23; fi
fi
start subproject by_subproject "$compiler" c++20
wait

consumer() { # NAME WHAT
    if [[ " ${consumers[*]} " == *" $1 "* ]]; then
        result "$(<"$dest/$1.rc")" "$2" "$dest/$1.log"
    else
        skip "$2" "not installed"
    fi
}
consumer pkg-config-20 "a consumer with a header-only Asio and pkg-config builds and runs ($compiler, C++20)"
consumer pkg-config-23 "the same as C++23"
consumer cmake-20 "a consumer that uses find_package(trawl) builds and runs ($compiler, C++20)"
consumer cmake-other-23 "the same with $other as C++23"
consumer subproject "a project with trawl in subprojects configures and compiles"

if command -v cmake >/dev/null; then
    sed 's/0\.1 REQUIRED/99 REQUIRED/' "$here/cmake/CMakeLists.txt" >"$dest/CMakeLists.txt"
    ! cmake -S "$dest" -B "$dest/later" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$dest$prefix" >"$dest/log" 2>&1 &&
        grep -q 'requested version "99"' "$dest/log"
    result $? "find_package refuses a version that is not there"
else
    skip "find_package refuses a version that is not there" "not installed"
fi

# What a consumer may not have to know.
config --cflags | grep -oE 'ASIO_SEPARATE_COMPILATION|libssh|Boost|boost' >"$dest/log"
result $((! $?)) "its flags name nothing of the inside"
ls "$dest$prefix/include/trawl"/*.hpp >/dev/null 2>"$dest/log"
result $? "the headers are where they belong"
missing=
for header in "$source"/include/trawl/*.hpp "$source"/include/trawl/detail/*.hpp; do
    relative=${header#*/include/}
    [[ -f $dest$prefix/include/$relative ]] || missing+="$relative "
done
echo "$missing" >"$dest/log"
[[ -z $missing ]]
result $? "every public header is installed"
"$dest$prefix/bin/trawl" --version >"$dest/log" 2>&1
result $? "the installed command runs"

if [[ $kind == shared ]]; then
    program=$dest/pkg-config-20
    ldd "$program" 2>/dev/null | grep -q "libtrawl.so.0 => $dest" && ! readelf -d "$program" | grep -E 'NEEDED.*(ssh|archive|cares)' >"$dest/log"
    result $? "the consumer needs libtrawl.so.0 only, not what it is made of"

    library=$(config --variable=libdir)/libtrawl.so
    real=$(readlink -f "$library")
    { readelf -d "$library" | grep SONAME && ls -l "${library%/*}"; } >"$dest/log"
    grep -q '\[libtrawl\.so\.0\]' "$dest/log" && [[ $real == *.so.$(pkg-config --modversion trawl) ]]
    result $? "its soname is libtrawl.so.0, its file has the whole version"

    nm -DC --defined-only "$library" | cut -d' ' -f 3- >"$dest/symbols"
    grep -q '^trawl::' "$dest/symbols" &&
        ! grep -E '(^|[ <(])(boost|fmt|toml|CLI)::|^(ssh|sftp|ares|SSL|archive|ZSTD|libdeflate)_' "$dest/symbols" >"$dest/log"
    result $? "it exports no symbol of what it is made of"
fi
echo "1..$number"
exit $bad
