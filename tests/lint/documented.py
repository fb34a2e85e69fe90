#!/usr/bin/env python3
"""documented.py DIR: every public symbol is documented (TAP, a case a header): what Doxygen misses is a remark."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

WARNING = re.compile(r".*?include/trawl/([a-z_]+\.hpp):(\d+: (?:error|warning): .*)")


def complaints(top, changes=""):
    """Of one run of Doxygen over the public headers, without its output."""
    with tempfile.TemporaryDirectory() as folder:
        settings = (top / "docs/Doxyfile").read_text() + f"\nOUTPUT_DIRECTORY = {folder}\nGENERATE_HTML = NO\nGENERATE_XML = YES\n{changes}\n"
        done = subprocess.run(["doxygen", "-"], input=settings, cwd=top, capture_output=True, text=True)
    return done.stderr.splitlines()


def main(top):
    top = pathlib.Path(top)
    headers = sorted(h.name for h in (top / "include/trawl").glob("*.hpp"))
    if not shutil.which("doxygen"):
        print("1..1\nok 1 every public symbol is documented # SKIP needs doxygen")
        return False
    missing, others = {name: [] for name in headers}, []
    for line in complaints(top):
        found = WARNING.fullmatch(line)
        (missing[found[1]] if found else others).append(found[2] if found else line)
    cases = [(f"every symbol of {name} is documented", lines) for name, lines in missing.items()]
    cases.append(("Doxygen has nothing else to complain of", others))
    # Or the cases above would hold whatever there is: without the comments there is much to find.
    bare = complaints(top, 'INPUT_FILTER = "python3 docs/doxygen_filter.py --bare"')
    cases.append(("without comments nearly everything is missing", [] if len(bare) > 100 else [f"{len(bare)} complaints only"]))
    print(f"1..{len(cases)}")
    for number, (name, wrong) in enumerate(cases, 1):
        print(f"{'not ok' if wrong else 'ok'} {number} {name}")
        print("".join(f"# {line}\n" for line in wrong[:20]), end="")
    return any(wrong for _, wrong in cases)


sys.exit(main(*sys.argv[1:]))
