#!/usr/bin/env python3
"""icmp_table.py ROWS [CALLS]: the tables of icmp.sh.

ROWS: lines "workload tool probes alive wall_ms cpu_ms rss_kb code found", one a round. CALLS: "workload tool calls".
"""
import sys
from statistics import median

rounds, calls = {}, {}
for line in open(sys.argv[1]):
    workload, tool, probes, alive, *values = line.split()
    key = (workload, tool)
    rounds.setdefault(key, []).append([int(probes), int(alive)] + [float(v) for v in values])
if len(sys.argv) > 2:
    for line in open(sys.argv[2]):
        workload, tool, number = line.split()
        calls[workload, tool] = int(number)

for workload in dict.fromkeys(w for w, _ in rounds):
    print(f"\n{workload}")
    print(f"{'':14}{'wall ms':>10}{'x stick':>9}{'CPU us/probe':>14}{'x stick':>9}{'RSS MB':>8}{'missed':>14}{'calls/probe':>13}")
    stick = rounds.get((workload, "stick"))
    columns = [[row[i] for row in stick] for i in (2, 3)] if stick else None
    for (w, tool), rows in rounds.items():
        if w != workload:
            continue
        probes, alive = rows[0][:2]
        wall, cpu, rss = (median(row[i] for row in rows) for i in (2, 3, 4))
        missed = sorted(alive - int(row[6]) for row in rows)
        ratios = [f"{value / median(column):.2f}" for value, column in zip((wall, cpu), columns)] if columns else ["", ""]
        spread = f"{missed[0]}" if missed[0] == missed[-1] else f"{missed[0]}..{missed[-1]}"
        per_probe = f"{calls[w, tool] / probes:.3f}" if (w, tool) in calls else ""
        killed = sum(1 for row in rows if row[5] == 124)
        note = f"  did not end in {killed} of {len(rows)} rounds" if killed else ""
        print(f"{tool:14}{wall:10.1f}{ratios[0]:>9}{cpu * 1000 / probes:14.2f}{ratios[1]:>9}{rss / 1024:8.1f}{spread:>14}{per_probe:>13}{note}")
