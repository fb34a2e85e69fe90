#!/usr/bin/env python3
"""sftp_table.py MEGABYTES FILES < ROWS: the table of sftp.sh.

ROWS: lines "copy tool wall_ms cpu_ms rss_kb code", one a round; each round of trawl stands before that of sftp.
"""
import sys
from statistics import median

megabytes, files = float(sys.argv[1]), int(sys.argv[2])
rounds = {}
for line in sys.stdin:
    copy, tool, *values = line.split()
    rounds.setdefault(copy, {}).setdefault(tool, []).append([float(v) for v in values])

print(f"{'':10}{'tool':8}{'wall ms':>10}{'CPU ms':>10}{'RSS MB':>8}{'':>16}{'':>16}")
for copy, tools in rounds.items():
    for tool, rows in tools.items():
        wall, cpu, rss = (median(row[i] for row in rows) for i in (0, 1, 2))
        if copy.endswith("many"):
            rate, cost = f"{files / wall * 1000:,.0f} files/s", f"{cpu / files * 1000:.0f} us/file"
        else:
            rate, cost = f"{megabytes * 1.048576 / wall * 1000:.0f} MB/s", f"{cpu / megabytes * 1.024:.2f} CPU s/GiB"
        print(f"{copy:10}{tool:8}{wall:10.0f}{cpu:10.0f}{rss / 1024:8.1f}{rate:>16}{cost:>16}")
    # Neighbours in time, so that what else the machine does meets both.
    pairs = list(zip(tools["trawl"], tools["sftp"]))
    cpu, wall = (median(a[i] / b[i] for a, b in pairs) for i in (1, 0))
    print(f"{copy:10}trawl / sftp: CPU {cpu:.2f}, wall {wall:.2f}\n")
