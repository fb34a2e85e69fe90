#!/usr/bin/env python3
"""tally.py BUILD [SUITE...]: the failures of the last `meson test` in BUILD, then "N passed, N failed".

Counts test cases. A suite that crashed, timed out, printed no case or did not run at all has failed, whatever
its cases say. Exit 0 only when nothing failed and something passed.
"""
import collections
import json
import pathlib
import re
import sys

CASE = re.compile(r"(not ok|ok)\b\s*(?:\d+\s*)?(?:-\s*)?(.*?)\s*(?:#\s*(SKIP|TODO)\b\s*(.*))?$", re.I)


def cases(run):
    """(passed, skipped, [(failed case, its lines)]) of a suite that printed TAP."""
    passed, skipped, failed, remarks = 0, [], [], None
    for line in run.get("stdout", "").splitlines():
        case = CASE.match(line)
        if case and case[3]:
            skipped.append((case[2], case[4] or ""))
            remarks = None
        elif case and case[1].lower() == "ok":
            passed += 1
            remarks = None
        elif case:
            remarks = []
            failed.append((case[2], remarks))
        elif remarks is not None and line.startswith("#"):
            remarks.append(line[1:].strip())
    return passed, skipped, failed


def last_lines(run, count=25):
    text = run.get("stdout", "") + run.get("stderr", "")
    return [line for line in text.splitlines() if not line.startswith("ok ")][-count:]


def main(build, *wanted):
    logs = pathlib.Path(build)
    known = json.loads((logs / "meson-info/intro-tests.json").read_text())
    runs = collections.defaultdict(list)
    log = logs / "meson-logs/testlog.json"
    for line in log.read_text().splitlines() if log.exists() else []:
        run = json.loads(line)
        runs[tuple(run["command"])].append(run)

    passed, failed, skipped = 0, 0, 0
    selected = [t for t in known if not wanted or {s.split(":")[-1] for s in t["suite"]} & set(wanted)]
    for missing in set(wanted) - {s.split(":")[-1] for t in known for s in t["suite"]}:
        print(f"FAILED {missing}: there is no such suite")
        failed += 1
    for test in selected:
        name = test["name"]
        mine = runs.get(tuple(test["cmd"]), [])
        if not mine:
            print(f"FAILED {name}: it did not run")
            failed += 1
            continue
        run = mine[-1]
        fine = run["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
        if test["protocol"] != "tap":
            skipped += run["result"] == "SKIP"
            passed += fine and run["result"] != "SKIP"
            failed += not fine
            if not fine:
                print(f"FAILED {name}: {run['result'].lower()}, exit status {run.get('returncode')}")
                print("\n".join("    " + line for line in last_lines(run)))
            continue
        good, passed_over, bad = cases(run)
        passed += good
        skipped += len(passed_over)
        failed += len(bad)
        for case, why in passed_over:
            print(f"skipped {name}: {case}: {why}")
        for case, remarks in bad:
            print(f"FAILED {name}: {case}")
            print("\n".join("    " + remark for remark in remarks))
        if not good and not bad and not passed_over or (not fine and not bad) or run["result"] in ("TIMEOUT", "INTERRUPT"):
            failed += 1
            print(f"FAILED {name}: {run['result'].lower()} after {run.get('duration', 0):.1f} s, "
                  f"exit status {run.get('returncode')}, {good} cases passed before")
            print("\n".join("    " + line for line in last_lines(run)))
        elif not fine and run.get("stderr"):
            print("\n".join("    " + line for line in run["stderr"].splitlines()[-40:]))

    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


sys.exit(main(*sys.argv[1:]))
