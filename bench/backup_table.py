#!/usr/bin/env python3
"""backup_table.py < ROWS: the table of backup.sh, medians.

ROWS: lines "workload tool wall_ms cpu_ms rss_kb code bytes", one a round.
"""
import sys
from statistics import median

PEERS = {"trawl-default": "tar-pigz", "trawl-fast": "tar-igzip", "trawl-zstd": "tar-zstd"}
rounds = {}
for line in sys.stdin:
    workload, tool, *values = line.split()
    rounds.setdefault(workload, {}).setdefault(tool, []).append([float(v) for v in values])

for workload, tools in rounds.items():
    print(f"{workload:12}{'CPU s':>9}{'wall s':>9}{'RSS MB':>9}{'MB':>9}")
    for tool, rows in tools.items():
        wall, cpu, rss, code, size = (median(row[i] for row in rows) for i in range(5))
        failed = "" if code == 0 else f"   exit {code:.0f}"
        print(f"  {tool:14}{cpu / 1000:5.2f}{wall / 1000:9.2f}{rss / 1024:9.0f}{size / 1e6:9.1f}{failed}")
    for tool, peer in PEERS.items():
        if tool in tools and peer in tools:
            # Of one round, so that what else the machine does meets both.
            pairs = list(zip(tools[tool], tools[peer]))
            cpu, wall = (median(a[i] / b[i] for a, b in pairs if b[i]) for i in (1, 0))
            text = f"  {tool} / {peer}: CPU {cpu:.2f}, wall {wall:.2f}"
            if workload != "restore":
                text += f", size {median(a[4] / b[4] for a, b in pairs if b[4]):.3f}"
            print(text)
    print()
