#!/bin/bash
# check.sh BUILD [COMPILER...]: installs BUILD into an empty folder and builds consumers against it, outside the source
# tree, that know pkg-config only, CMake only, or Meson (TAP): with each COMPILER (g++ and clang++-19), as C++20 and
# C++23, against the shared library and the static one, as far as BUILD makes them (-Ddefault_library=both).
set -u
build=$(realpath "$1")
shift
compilers=("$@")
((${#compilers[@]})) || compilers=(g++ clang++-19)
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
config() { pkg-config --define-variable=prefix="$dest$prefix" "$@"; }
library=$(config --variable=libdir trawl)/libtrawl
kinds=()
[[ -f $library.so ]] && kinds+=(shared)
[[ -f $library.a ]] && kinds+=(static)
((${#kinds[@]})) && config --exists --print-errors trawl >"$dest/log" 2>&1
result $? "pkg-config knows it (${kinds[*]})"

# What a consumer links. Not by --static where both are installed: that would name what libssh or libarchive, which stay
# shared, are made of.
libraries() { # KIND
    if [[ $1 == shared ]]; then
        echo "$(config --libs trawl) -Wl,-rpath,${library%/*}"
    elif [[ ${kinds[*]} == static ]]; then
        config --libs trawl
    else
        config --libs trawl | sed 's/-ltrawl/-l:libtrawl.a/'
        pkg-config --libs $(config --print-requires-private trawl | sed 's/ *[<>=].*//')
        sed -n 's/^Libs\.private: *//p' "$pc"
    fi
}
linked_as() { # KIND PROGRAM
    ldd "$2" | grep -q "libtrawl\.so\.0 => $dest" && [[ $1 == shared ]] || { ! ldd "$2" | grep -q libtrawl && [[ $1 == static ]]; }
}

# The consumers, each in the background: what it says is in NAME.log, its exit status in NAME.rc.
strict="-Wall -Wextra -Wpedantic -Werror"
coroutines() { [[ $1 == *clang* ]] && echo "-DASIO_HAS_CO_AWAIT=1 -DASIO_HAS_STD_COROUTINE=1"; }
by_pkg_config() { # NAME COMPILER STANDARD
    local kind program
    $2 -std="$3" $strict $(config --cflags trawl) $(coroutines "$2") -c -o "$dest/$1.o" "$here/consumer.cpp" || return
    for kind in "${kinds[@]}"; do
        program=$dest/$1-$kind
        $2 -o "$program" "$dest/$1.o" $(libraries "$kind") && timeout 60 "$program" && linked_as "$kind" "$program" || return
    done
}
by_cmake() { # NAME COMPILER STANDARD
    local kind folder
    for kind in "${kinds[@]}"; do
        folder=$dest/$1-$kind
        cmake -S "$here/cmake" -B "$folder" -DCONSUMER="$here/consumer.cpp" -DCMAKE_CXX_COMPILER="$2" \
            -DCMAKE_CXX_STANDARD="${3#c++}" -DCMAKE_PREFIX_PATH="$dest$prefix" \
            -Dtrawl_USE_STATIC_LIBS="$([[ $kind == static ]] && echo ON || echo OFF)" &&
            cmake --build "$folder" && timeout 60 "$folder/consumer" && linked_as "$kind" "$folder/consumer" || return
    done
}
# The whole library is not built again: its part is what the other suites test. The consumer's own source is compiled
# by the flags that the subproject hands out, and the plan of the rest is looked at.
by_subproject() { # NAME COMPILER STANDARD
    local kind folder=$dest/$1 again= flags="-std=$3" # Meson 1.0 has no cpp_std=c++23
    [[ $2 == *clang* ]] && flags+=" -Wno-deprecated-declarations"
    mkdir -p "$folder.source/subprojects" && cp "$here/subproject/meson.build" "$here/consumer.cpp" "$folder.source" &&
        ln -s "$source" "$folder.source/subprojects/trawl" || return
    for kind in "${kinds[@]}"; do
        CXX=$2 meson setup $again "$folder" "$folder.source" -Dcpp_args="$flags" -Ddefault_library="$kind" \
            -Dtrawl:default_library="$kind" --force-fallback-for=trawl &&
            ninja -C "$folder" consumer.p/consumer.cpp.o &&
            ninja -C "$folder" -t commands consumer | tail -n 1 | grep -q "libtrawl\.$([[ $kind == static ]] && echo a || echo so)" || return
        again=--reconfigure
    done
}
declare -A consumers
start() { # METHOD COMPILER STANDARD NAME
    local name=$1-$2-$3
    consumers[$name]=$4
    ("by_$1" "$name" "$2" "$3" >"$dest/$name.log" 2>&1; echo $? >"$dest/$name.rc") &
    while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
}
for compiler in "${compilers[@]}"; do
    for standard in c++20 c++23; do
        with="($compiler, ${standard^^}, ${kinds[*]})"
        if ! command -v "$compiler" >/dev/null; then
            skip "consumers build and run $with" "not installed"
            continue
        fi
        start pkg_config "$compiler" "$standard" "a consumer with a header-only Asio and pkg-config builds and runs $with"
        start subproject "$compiler" "$standard" "a project with trawl in subprojects configures and compiles $with"
        if command -v cmake >/dev/null; then
            start cmake "$compiler" "$standard" "a consumer that uses find_package(trawl) builds and runs $with"
        else
            skip "a consumer that uses find_package(trawl) builds and runs $with" "not installed"
        fi
    done
done
wait
for name in $(printf '%s\n' "${!consumers[@]}" | sort); do result "$(<"$dest/$name.rc")" "${consumers[$name]}" "$dest/$name.log"; done

if command -v cmake >/dev/null; then
    sed 's/0\.1 REQUIRED/99 REQUIRED/' "$here/cmake/CMakeLists.txt" >"$dest/CMakeLists.txt"
    ! cmake -S "$dest" -B "$dest/later" -DCMAKE_CXX_COMPILER="${compilers[0]}" -DCMAKE_PREFIX_PATH="$dest$prefix" >"$dest/log" 2>&1 &&
        grep -q 'requested version "99"' "$dest/log"
    result $? "find_package refuses a version that is not there"
else
    skip "find_package refuses a version that is not there" "not installed"
fi

# What a consumer may not have to know.
config --cflags trawl | grep -oE 'ASIO_SEPARATE_COMPILATION|libssh|Boost|boost' >"$dest/log"
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

if [[ " ${kinds[*]} " == *" shared "* ]]; then
    program=$dest/pkg_config-${compilers[0]}-c++20-shared
    ldd "$program" >"$dest/log" 2>&1 && ! readelf -d "$program" | grep -E 'NEEDED.*(ssh|archive|cares)' >"$dest/log"
    result $? "the consumer needs libtrawl.so.0 only, not what it is made of"

    real=$(readlink -f "$library.so")
    { readelf -d "$library.so" | grep SONAME && ls -l "${library%/*}"; } >"$dest/log"
    grep -q '\[libtrawl\.so\.0\]' "$dest/log" && [[ $real == *.so.$(pkg-config --modversion trawl) ]]
    result $? "its soname is libtrawl.so.0, its file has the whole version"

    nm -DC --defined-only "$library.so" | cut -d' ' -f 3- >"$dest/symbols"
    grep -q '^trawl::' "$dest/symbols" &&
        ! grep -E '(^|[ <(])(boost|fmt|toml|CLI)::|^(ssh|sftp|ares|SSL|archive|ZSTD|libdeflate)_' "$dest/symbols" >"$dest/log"
    result $? "it exports no symbol of what it is made of"
fi
echo "1..$number"
exit $bad
