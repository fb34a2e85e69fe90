#!/usr/bin/env python3
"""smtp_peers.py CLIENT PORT MESSAGES CONNECTIONS EACH [CA]: the messages of bench/smtp.cpp by smtplib, with a thread for each
connection, or by aiosmtplib. EACH: 1, a new connection for every message; 0, kept ones. CA: STARTTLS, and a certificate of this
authority for localhost."""
import asyncio
import itertools
import ssl
import sys
import threading

client, port, messages, connections, each = sys.argv[1], *map(int, sys.argv[2:6])
context = ssl.create_default_context(cafile=sys.argv[6]) if len(sys.argv) > 6 else None
host = "localhost" if context else "127.0.0.1"
name = "bench.example.com"
text = ("From: <a@example.com>\r\nTo: <b@example.com>\r\nDate: Sat, 01 Jan 2022 00:00:00 +0000\r\n"
        "Message-Id: <1.2@bench.example.com>\r\nSubject: bench\r\n\r\n")
text = (text + ("X" * 62 + "\r\n") * ((4096 - len(text)) // 64 + 1)).encode()
left = iter(range(messages))  # next() of it is atomic in CPython
accepted = []


def batch():
    """The message that was taken from `left`, and others that go over the same connection."""
    return [0] if each else itertools.chain([0], left)


def work_smtplib():
    import smtplib
    for _ in left:
        server = smtplib.SMTP(host, port, local_hostname=name, timeout=120)
        if context:
            server.starttls(context=context)
        for _ in batch():
            server.sendmail("a@example.com", ["b@example.com"], text)
            accepted.append(1)
        server.quit()


async def work_aiosmtplib():
    import aiosmtplib
    for _ in left:
        server = aiosmtplib.SMTP(hostname=host, port=port, timeout=120, local_hostname=name, start_tls=False)
        await server.connect()
        if context:
            await server.starttls(tls_context=context)
        for _ in batch():
            await server.sendmail("a@example.com", ["b@example.com"], text)
            accepted.append(1)
        await server.quit()


async def all_aiosmtplib():
    await asyncio.gather(*(work_aiosmtplib() for _ in range(connections)))


if client == "smtplib":
    threads = [threading.Thread(target=work_smtplib) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
else:
    asyncio.run(all_aiosmtplib())
print(f"accepted={len(accepted)}")
sys.exit(len(accepted) != messages)
