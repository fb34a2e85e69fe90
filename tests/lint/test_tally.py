#!/usr/bin/env python3
"""./check's counting: a suite that crashed, hung or did not run is never taken for passed (TAP)."""
import json
import pathlib
import subprocess
import sys
import tempfile

TALLY = pathlib.Path(__file__).resolve().parents[2] / ".ci/tally.py"


def tally(runs, known=None, wanted=()):
    """The last line and the exit status for a log of `runs`: (name, result, TAP text)."""
    with tempfile.TemporaryDirectory() as folder:
        build = pathlib.Path(folder)
        (build / "meson-info").mkdir()
        (build / "meson-logs").mkdir()
        tests = [{"name": name, "suite": [f"trawl:{name}"], "cmd": [name], "protocol": "exitcode" if text is None else "tap"}
                 for name, _, text in known or runs]
        (build / "meson-info/intro-tests.json").write_text(json.dumps(tests))
        (build / "meson-logs/testlog.json").write_text("".join(
            json.dumps({"name": name, "command": [name], "result": result, "stdout": text or "", "duration": 1.0,
                        "returncode": 0 if result == "OK" else 1}) + "\n" for name, result, text in runs))
        done = subprocess.run([sys.executable, TALLY, build, *wanted], capture_output=True, text=True)
        return done.stdout.splitlines()[-1] if done.stdout else done.stderr, done.returncode


TWO = "ok 1 a\nok 2 b - c\n1..2\n"
CASES = [
    ("cases are counted, not suites", [("a", "OK", TWO), ("b", "OK", None)], "3 passed, 0 failed", 0),
    ("a failed case fails", [("a", "FAIL", "ok 1 a\nnot ok 2 b\n# b.cpp:3: x\n1..2\n")], "1 passed, 1 failed", 1),
    ("a skipped case is counted apart", [("a", "OK", TWO + "ok 3 c # SKIP no right\n")], "2 passed, 0 failed, 1 skipped", 0),
    ("a skipped suite without TAP is counted apart", [("a", "OK", TWO), ("b", "SKIP", None)], "2 passed, 0 failed, 1 skipped", 0),
    ("a crash after good cases fails", [("a", "ERROR", "ok 1 a\nok 2 b\n")], "2 passed, 1 failed", 1),
    ("a suite that hung fails", [("a", "TIMEOUT", "ok 1 a\n")], "1 passed, 1 failed", 1),
    ("a suite without cases fails", [("a", "OK", TWO), ("b", "OK", "1..0\n")], "2 passed, 1 failed", 1),
    ("a sanitizer's exit status fails", [("a", "FAIL", TWO)], "2 passed, 1 failed", 1),
    ("nothing at all is no success", [("a", "OK", "1..0 # SKIP\n")], "0 passed, 1 failed", 1),
]


def main():
    number, bad = 0, 0
    outcomes = [(name, tally(runs), (line, code)) for name, runs, line, code in CASES]
    outcomes.append(("a suite that did not run fails",
                     tally([("a", "OK", TWO)], known=[("a", "OK", TWO), ("b", "OK", TWO)]), ("2 passed, 1 failed", 1)))
    outcomes.append(("only the named suites count",
                     tally([("a", "OK", TWO)], known=[("a", "OK", TWO), ("b", "OK", TWO)], wanted=["a"]), ("2 passed, 0 failed", 0)))
    outcomes.append(("a suite of an unknown name fails", tally([("a", "OK", TWO)], wanted=["a", "z"]), ("2 passed, 1 failed", 1)))
    for number, (name, got, wanted) in enumerate(outcomes, 1):
        fine = got == wanted
        bad += not fine
        print(f"{'ok' if fine else 'not ok'} {number} {name}")
        if not fine:
            print(f"# {got} instead of {wanted}")
    print(f"1..{number}")
    return bad > 0


sys.exit(main())
