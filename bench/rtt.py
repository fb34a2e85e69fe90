#!/usr/bin/env python3
"""rtt.py INTERFACE COMMAND...: how exact the round trips are that COMMAND reports, a `trawl ping --json --each` of IPv4
addresses: beside those that the interface itself saw, from the kernel's stamps of both packets (AF_PACKET, SO_TIMESTAMPNS)."""
import json
import socket
import struct
import subprocess
import sys
import threading

ETH_P_ALL, SO_TIMESTAMPNS, BUFFER = 3, 35, 64 << 20
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
tap.bind((sys.argv[1], ETH_P_ALL))
tap.setsockopt(socket.SOL_SOCKET, 33, BUFFER)  # SO_RCVBUFFORCE
tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
tap.settimeout(0.5)

asked, answered = {}, {}  # (address, id, sequence) -> ns
ended = threading.Event()


def watch():
    while True:
        try:
            packet, extra, _, _ = tap.recvmsg(128, 64)
        except socket.timeout:
            if ended.is_set():
                return
            continue
        header = 4 * (packet[0] & 15)
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_ICMP or packet[header] not in (0, 8):
            continue
        seconds, nanoseconds = struct.unpack("qq", extra[0][2])
        number = struct.unpack_from("!HH", packet, header + 4)
        far = socket.inet_ntoa(packet[12:16] if packet[header] == 0 else packet[16:20])
        (answered if packet[header] == 0 else asked).setdefault((far, *number), seconds * 10**9 + nanoseconds)


watcher = threading.Thread(target=watch)
watcher.start()
told = subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, check=False).stdout
ended.set()
watcher.join()

seen = {}  # address -> the round trips, in the order of the requests
for which, when in sorted(asked.items(), key=lambda item: item[1]):
    seen.setdefault(which[0], []).append((answered[which] - when) / 1e3 if which in answered else None)
errors = []
for record in map(json.loads, told.splitlines()):
    if record["type"] != "echo" or record["status"] != "up" or record["duplicate"]:
        continue
    true = seen[record["address"]][record["index"]]
    errors.append(abs(record["rtt"] * 1e6 - true))
errors.sort()
if not errors:
    sys.exit("rtt.py: no echo was answered")
of = lambda part: errors[min(len(errors) - 1, int(part * len(errors)))]
print(f"{len(errors)} round trips, error in us: p50 {of(0.5):.1f}, p90 {of(0.9):.1f}, p99 {of(0.99):.1f}, most {errors[-1]:.1f}")
