"""The core alone: trawl's beside plain threads and asyncio, by their own programs. For bench/compare."""
import re
import subprocess
import sys

NAMES = ("trawl", "threads", "asyncio")
LINE = re.compile(r"^\s*(\S.*?)\s{2,}(-?[0-9.]+) (ns|us|ms|B|KiB|MiB)\b")
# What is called differently by the three, in the order of the table: (title, trawl, threads and asyncio).
SAME = [
    ("start and join a task that does nothing", "a task spawned and joined"),
    ("queue: push and pop, nobody waits", "queue push + pop, nobody waits"),
    ("queue: an element that somebody waits for", "a wait that is woken (queue hand-over)"),
    ("a deadline armed and cancelled", "a deadline armed and cancelled in such a wait"),
    ("work on a pool and back", "an offload round trip"),
    ("a task that waits, in memory", "an idle child of a task_group, with its deadline"),
]


def parse(text):
    """What a program printed: {label: (value, unit)}."""
    return {found[1]: (float(found[2]), found[3]) for found in map(LINE.match, text.splitlines()) if found}


def measure(build, here):
    programs = {"trawl": [str(build / "bench/bench-async")], "threads": [str(build / "bench/bench-threaded-core")],
                "asyncio": [sys.executable, str(here / "threaded/core.py")]}
    seen = {name: parse(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)
            for name, command in programs.items()}
    result = []
    for title, label in SAME:
        values = {name: figures.get(label) for name, figures in seen.items()}
        unit = next((value[1] for value in values.values() if value), "")
        result.append({"what": title, "unit": unit, **{name: value[0] if value else None for name, value in values.items()}})
    return result


def table(rows):
    if not rows:
        return ""
    lines = ["", f"{'the core':46}{'':>4}{'trawl':>12}{'threads':>12}{'asyncio':>12}"]
    for one in rows:
        values = "".join(f"{one[name]:>12,.1f}" if one[name] is not None else f"{'-':>12}" for name in NAMES)
        lines.append(f"{one['what']:46}{one['unit']:>4}{values}")
    return "\n".join(lines) + "\n"
