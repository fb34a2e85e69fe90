#!/usr/bin/env python3
"""pace.py RATE SECONDS READY: watches the echo requests that this network namespace receives (its counter InEchos, read about
every millisecond) and says how evenly they came. Creates
the file READY when it has begun, and ends when none has come for SECONDS."""
import sys
import time

rate, patience = float(sys.argv[1]), float(sys.argv[2])
snmp = open("/proc/net/snmp")


def echoes():
    snmp.seek(0)
    names, values = [line.split() for line in snmp if line.startswith("Icmp:")]
    return int(values[names.index("InEchos")])


start = before = echoes()
seen = []  # (when, how many so far), at each change
waited_since = time.monotonic()
open(sys.argv[3], "w").close()
while True:
    now, count = time.monotonic(), echoes()
    if count != before:
        before = count
        seen.append((now, count - start))
        waited_since = now
    elif now - waited_since > patience:
        break
    time.sleep(0.0005)

if len(seen) < 2 or seen[-1][1] < 2:
    sys.exit(f"pace.py: {seen[-1][1] if seen else 0} echo requests came, too few to measure")
(first, had), (last, total) = seen[0], seen[-1]
average = (total - had) / (last - first)

# The largest number that came within 10 ms: how bursty the pace is. Several may fall into one reading.
largest, left = 0, 0
for right, (when, count) in enumerate(seen):
    while seen[left][0] < when - 0.010:
        left += 1
    largest = max(largest, count - (seen[left - 1][1] if left else 0))
print(f"{rate:>10.0f}/s{average:14.2f}/s{100 * (average - rate) / rate:+9.2f} %{total:10} echoes"
      f"{largest:8} at most in 10 ms (even: {max(1, rate / 100):.0f})")
