#!/usr/bin/env python3
"""ssh_asyncssh.py PORT USER KEY KNOWN_HOSTS JOBS TIMES COMMAND < HOSTS: asyncssh, JOBS hosts at once (ssh_errand.hpp).
Key and known_hosts are read once."""
import asyncio
import sys

import asyncssh

port, user, key_file, known_hosts, jobs, times, command = sys.argv[1:]
key = asyncssh.read_private_key(key_file)
known = asyncssh.read_known_hosts(known_hosts)


async def run(connection):
    process = await connection.create_process(command, encoding=None, stdin=asyncssh.DEVNULL)
    output = 0
    while piece := await process.stdout.read(32768):
        output += len(piece)
    await process.wait_closed()
    return f"{process.exit_status} {output}"


async def visit(host, place):
    try:
        async with place, asyncssh.connect(host, int(port), username=user, client_keys=[key], known_hosts=known,
                                           config=None, agent_path=None, connect_timeout=120, login_timeout=120) as connection:
            for _ in range(int(times)):
                last = await run(connection)
        print(f"{host} {last}")
    except Exception as why:  # whatever it is, it is a failure of this host
        print(f"{host} failed: {why}")


async def visit_all(hosts):
    place = asyncio.Semaphore(int(jobs))
    await asyncio.gather(*(visit(host, place) for host in hosts))

asyncio.run(visit_all(sys.stdin.read().split()))
