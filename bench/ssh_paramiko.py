#!/usr/bin/env python3
"""ssh_paramiko.py PORT USER KEY KNOWN_HOSTS JOBS TIMES COMMAND < HOSTS: paramiko with a thread for each of JOBS hosts
(ssh_errand.hpp). known_hosts is read once, and each client is given the line of its own host."""
import sys
from concurrent.futures import ThreadPoolExecutor

import paramiko

port, user, key_file, known_hosts, jobs, times, command = sys.argv[1:]
key = paramiko.Ed25519Key.from_private_key_file(key_file)
known = paramiko.HostKeys(known_hosts)


def run(client):
    channel = client.get_transport().open_session()
    channel.exec_command(command)
    channel.shutdown_write()
    output = 0
    while piece := channel.recv(32768):
        output += len(piece)
    while channel.recv_stderr(32768):
        pass
    status = channel.recv_exit_status()
    channel.close()
    return f"{status} {output}"


def visit(host):
    try:
        with paramiko.SSHClient() as client:
            name = f"[{host}]:{port}"
            for kind, shown in (known.lookup(name) or {}).items():
                client.get_host_keys().add(name, kind, shown)
            client.connect(host, int(port), user, pkey=key, allow_agent=False, look_for_keys=False,
                           timeout=120, banner_timeout=120, auth_timeout=120)
            for _ in range(int(times)):
                last = run(client)
        return f"{host} {last}"
    except Exception as why:  # whatever it is, it is a failure of this host
        return f"{host} failed: {why}"


with ThreadPoolExecutor(int(jobs)) as pool:
    for line in pool.map(visit, sys.stdin.read().split()):
        print(line)
