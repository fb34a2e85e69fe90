#!/usr/bin/env python3
"""macros.py DIR COMPILER...: what the public headers bring into a consumer's sources (TAP, a case a header).

One run of the preprocessor over all of them (-E -dD) tells which file each macro comes from: those of include/trawl
define none but TRAWL_*, and change none of others. What they include is Asio, the standard library and the C library.
"""
import pathlib
import re
import subprocess
import sys

MARKER = re.compile(r'# \d+ "([^"]*)"')
MACRO = re.compile(r"#(define|undef) (\w+)")
# Of whom no header may appear in a consumer's sources (CONVENTIONS, "Files").
INSIDE = re.compile(r"/(libssh|boost|openssl|fmt|toml\+\+|CLI)/|/(ares\w*|zstd|zlib|archive\w*|libdeflate|magic)\.h$")


def preprocess(top, headers, compiler):
    flags = ["-std=c++20", "-DASIO_STANDALONE", f"-I{top / 'include'}"]
    if "clang" in compiler[-1]:
        flags += ["-DASIO_HAS_CO_AWAIT=1", "-DASIO_HAS_STD_COROUTINE=1"]
    source = "".join(f'#include "{header}"\n' for header in headers)
    return subprocess.run([*compiler, *flags, "-E", "-dD", "-x", "c++", "-"], input=source, check=True,
                          capture_output=True, text=True).stdout


def brought_in(text):
    """File: its macros, and what it includes, in the order of the text."""
    macros, includes, stack = {}, {}, [""]
    for line in text.splitlines():
        if marker := MARKER.match(line):
            file = marker[1]
            if line.endswith(" 1") or " 1 " in line[len(marker[0]):]:
                includes.setdefault(stack[-1], []).append(file)
                stack.append(file)
            elif " 2" in line[len(marker[0]):] and len(stack) > 1:
                stack.pop()
        elif macro := MACRO.match(line):
            macros.setdefault(stack[-1], []).append(macro.groups())
    return macros, includes


def main(top, *compiler):
    top = pathlib.Path(top)
    headers = sorted((top / "include").rglob("*.hpp"))
    macros, includes = brought_in(preprocess(top, headers, compiler))
    seen = {file for files in includes.values() for file in files}
    cases = []
    for header in headers:
        name = header.relative_to(top / "include")
        leaked = [f"#{what} {macro}" for what, macro in macros.get(str(header), [])
                  if not macro.startswith("TRAWL_")]
        cases.append((f"{name} leaks no macro", leaked if str(header) in seen else ["it was not read"]))
    cases.append(("no header of what trawl is made of is read", sorted(filter(INSIDE.search, seen))))
    # Or the two above would find nothing whatever there is.
    standard = sum(len(names) for file, names in macros.items() if "/asio/" in file)
    cases.append(("the macros of Asio are seen", [] if standard > 100 else [f"{standard} only"]))
    for number, (name, wrong) in enumerate(cases, 1):
        print(f"{'not ok' if wrong else 'ok'} {number} {name}")
        print("".join(f"# {line}\n" for line in wrong[:12]), end="")
    print(f"1..{len(cases)}")
    return any(wrong for _, wrong in cases)


sys.exit(main(*sys.argv[1:]))
