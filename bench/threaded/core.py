#!/usr/bin/env python3
"""core.py: what asyncio's own means cost, under the labels of bench-async. Medians of several rounds."""
import asyncio
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from statistics import median

ROUNDS = 5


def say(label, value, unit):
    print(f"{label:<64} {value:>10.1f} {unit}")


def nanoseconds(n, body):
    seen = []
    for _ in range(ROUNDS):
        async def timed():
            began = time.perf_counter_ns()
            await body(n)
            return (time.perf_counter_ns() - began) / n
        seen.append(asyncio.run(timed()))
    return median(seen)


async def nothing():
    pass


async def spawned(n):
    for _ in range(n // 100):
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(nothing())


async def push_pop(n):
    line = asyncio.Queue(64)
    for i in range(n):
        await line.put(i)
        await line.get()


async def handover(n, deadline=None):
    there, back = asyncio.Queue(1), asyncio.Queue(1)

    async def pop(line):
        if deadline is None:
            return await line.get()
        async with asyncio.timeout(deadline):
            return await line.get()

    async def echo():
        while (value := await pop(there)) is not None:
            await back.put(value)

    other = asyncio.create_task(echo())
    for i in range(n // 2):
        await there.put(i)
        await pop(back)
    await there.put(None)
    await other


async def offloads(n):
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(n):
            await loop.run_in_executor(pool, int)


async def memory(n):
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(n)]
    await asyncio.sleep(0)
    each = (tracemalloc.get_traced_memory()[0] - before) / n
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return each


say("a task spawned and joined", nanoseconds(20_000, spawned), "ns")
bare = nanoseconds(20_000, handover)
say("a wait that is woken (queue hand-over)", bare, "ns")
say("a deadline armed and cancelled in such a wait", nanoseconds(20_000, lambda n: handover(n, 3600)) - bare, "ns")
say("queue push + pop, nobody waits", nanoseconds(50_000, push_pop), "ns")
say("an offload round trip", nanoseconds(5_000, offloads) / 1000, "us")
tracemalloc.start()
say("an idle child of a task_group, with its deadline", asyncio.run(memory(10_000)), "B")
