#!/usr/bin/env python3
"""ping.py NETWORK: the script that many of us have had for years, as a thing to measure against:
a thread for each host, and a ping process in each thread."""
import ipaddress
import subprocess
import sys
import threading

alive = []


def ask(host):
    ping = subprocess.run(["ping", "-n", "-q", "-c2", "-W1", str(host)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if ping.returncode == 0:
        alive.append(host)


threads = [threading.Thread(target=ask, args=(host,)) for host in ipaddress.ip_network(sys.argv[1])]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for host in sorted(alive):
    print(f"{host}: up")
