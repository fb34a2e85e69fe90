#!/usr/bin/env python3
"""ssh_table.py < ROWS: the tables of ssh.sh.

ROWS: lines "workload tool hosts times wall_ms cpu_ms rss_kb code failed", one a round. Runs of `further` come in pairs, with
one command a session and with many: what they differ by is the price of the others.
"""
import sys
from statistics import median

runs = {}
for line in sys.stdin:
    workload, tool, hosts, times, *values = line.split()
    runs.setdefault(workload, {}).setdefault(tool, []).append([int(hosts), int(times)] + [float(v) for v in values])


def spread(values, digits):
    """The median, and in brackets the least and the most."""
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f}..{high:.{digits}f})"


def show(rows):
    """(name, wall of each round in ms, CPU of each round in ms a session or command, RSS in MB, failures)"""
    ours = {"trawl": None, "library": None}
    for name, wall, cpu, *_ in rows:
        if name in ours:
            ours[name] = (median(wall), median(cpu))
    base = ours["trawl"] or ours["library"]
    print(f"{'':10}{'wall ms':>24}{'x':>7}{'CPU ms each':>28}{'x':>7}{'RSS MB':>8}{'failed':>8}")
    for name, wall, cpu, rss, failed in rows:
        ratios = [f"{median(v) / b:.1f}" for v, b in zip((wall, cpu), base)] if base else ["", ""]
        print(f"{name:10}{spread(wall, 0):>24}{ratios[0]:>7}{spread(cpu, 3):>28}{ratios[1]:>7}{rss:8.1f}{failed:8.0f}")


for workload, tools in runs.items():
    print(f"\n{workload}")
    rows = []
    for tool, all_rounds in tools.items():
        rss, failed = median(r[4] for r in all_rounds) / 1024, sum(r[6] for r in all_rounds)
        if workload == "further":
            pairs = list(zip(all_rounds[::2], all_rounds[1::2]))
            more = [many[0] * many[1] - one[0] for one, many in pairs]
            wall = [many[2] - one[2] for one, many in pairs]
            cpu = [(many[3] - one[3]) / n for (one, many), n in zip(pairs, more)]
        else:
            wall, cpu = [r[2] for r in all_rounds], [r[3] / r[0] for r in all_rounds]
        rows.append((tool, wall, cpu, rss, failed))
    show(rows)
