#!/usr/bin/env python3
"""delay.py LISTEN TARGET MS: a TCP proxy on 127.0.0.1 that adds a round trip of MS milliseconds; bandwidth is not bounded."""
import socket
import sys
import threading
import time
from collections import deque

listen, target, half = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 2000


def carry(source, sink):
    """Half of the round trip for each piece; the end of the stream is one, too."""
    waiting, some = deque(), threading.Condition()

    def write():
        while True:
            with some:
                while not waiting:
                    some.wait()
                due, piece = waiting.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not piece:
                    return sink.shutdown(socket.SHUT_WR)
                sink.sendall(piece)
            except OSError:
                return

    threading.Thread(target=write, daemon=True).start()
    piece = b"x"
    while piece:
        try:
            piece = source.recv(1 << 18)
        except OSError:
            piece = b""
        with some:
            waiting.append((time.monotonic() + half, piece))
            some.notify()


with socket.create_server(("127.0.0.1", listen)) as server:
    while True:
        client, _ = server.accept()
        host = socket.create_connection(("127.0.0.1", target))
        for s in (client, host):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for ends in ((client, host), (host, client)):
            threading.Thread(target=carry, args=ends, daemon=True).start()
