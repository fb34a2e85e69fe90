#!/usr/bin/env python3
"""headers.py DIR COMPILER...: every header compiles alone (TAP, one case a header).

Public headers with nothing but -std=c++20 -Iinclude -DASIO_STANDALONE: a consumer has no more. Those of src/
with -Isrc too. The compiler's words are remarks of the failed case.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys


def compile_alone(top, header, compiler):
    flags = ["-std=c++20", "-DASIO_STANDALONE", f"-I{top / 'include'}"]
    if header.is_relative_to(top / "src") or header.is_relative_to(top / "tests"):
        flags += [f"-I{top / 'src'}", f"-I{top / 'tests'}"]
    if "clang" in compiler[-1]:
        flags += ["-DASIO_HAS_CO_AWAIT=1", "-DASIO_HAS_STD_COROUTINE=1"]
    # Twice: the guard works too.
    source = f'#include "{header}"\n#include "{header}"\n'
    return subprocess.run([*compiler, *flags, "-fsyntax-only", "-x", "c++", "-"], input=source,
                          capture_output=True, text=True)


def main(top, *compiler):
    top = pathlib.Path(top)
    headers = [h for folder in ("include", "src", "tests") for h in sorted((top / folder).rglob("*.hpp"))
               if h.parent.name != "pch"]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = pool.map(lambda h: compile_alone(top, h, compiler), headers)
        bad = 0
        for number, (header, result) in enumerate(zip(headers, results), 1):
            fine = result.returncode == 0
            bad += not fine
            print(f"{'ok' if fine else 'not ok'} {number} {header.relative_to(top)} compiles alone", flush=True)
            if not fine:
                print("\n".join(f"# {line}" for line in result.stderr.splitlines()[:12]))
    print(f"1..{len(headers)}")
    return bad > 0 or not headers


sys.exit(main(*sys.argv[1:]))
