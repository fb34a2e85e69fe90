"""For the check.py of service/ and tutorial/: cases, and what they ask, started for one case and ended behind it."""
import contextlib
import getpass
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

SERVICE = sys.argv[1]
TRAWL = sys.argv[2] if len(sys.argv) > 2 else None
CASES = []


class Skip(Exception):
    pass


def case(sentence):
    return lambda function: CASES.append((sentence, function)) or function


def until(what, limit=20):
    """Asks again until it is true; the loop is bounded, the answer awaited."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that in time")


class Running:
    """A service at a free port."""

    def __init__(self, *options):
        self.process = subprocess.Popen([SERVICE, "--listen", "127.0.0.1:0", *map(str, options)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.url = line.split()[-1] if line else ""
        assert self.url.startswith("http://127.0.0.1:"), line + self.process.stderr.read()
        self.port = int(self.url.rsplit(":", 1)[1])

    def curl(self, path, *words, data=None):
        """Status, fields in lower case, body."""
        body = [] if data is None else ["-H", "content-type: application/json", "--data-binary", data if isinstance(data, str) else json.dumps(data)]
        done = subprocess.run(["curl", "-sSi", "-m", "60", *words, *body, self.url + path], capture_output=True, timeout=90)
        assert done.returncode == 0, done.stderr.decode()
        head, _, text = done.stdout.decode().partition("\r\n\r\n")
        while head.startswith("HTTP/1.1 100"):
            head, _, text = text.partition("\r\n\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        return int(head.split()[1]), fields, text

    def job(self, data, *words, path="/jobs"):
        status, fields, text = self.curl(path, *words, data=data)
        assert status == 200, (status, text)
        assert fields["content-type"] == "application/x-ndjson", fields
        return [json.loads(line) for line in text.splitlines()]

    def jobs(self):
        return json.loads(self.curl("/jobs")[2])

    def stream(self, data):
        """A curl whose output is read line by line."""
        return subprocess.Popen(["curl", "-sSN", "-m", "60", "-H", "content-type: application/json", "-d", json.dumps(data),
                                 self.url + "/jobs"], stdout=subprocess.PIPE, text=True)

    def raw(self, data):
        """Everything that comes back until the service closes."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@contextlib.contextmanager
def service(*options):
    one = Running(*options)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            code, err = one.stop()
            assert code == 0, f"it exits {code}: {err[-2000:]}"


@contextlib.contextmanager
def world(folder):
    """SSH hosts 127.7.4.1 to 127.7.4.4 and a mail server: what trawl lab says of them."""
    if not TRAWL:
        raise Skip("needs the command trawl, which this build leaves out")
    hosts = subprocess.Popen([TRAWL, "--json", "lab", "--hosts", "127.7.4.1-4", "--dir", folder, "--ssh-port", "0", "--smtp-port", "0"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = until(lambda: hosts.stdout.readline())
        yield json.loads(said)
    finally:
        hosts.terminate()
        hosts.communicate(timeout=20)


@contextlib.contextmanager
def lab(folder):
    """The port of the SSH hosts."""
    with world(folder) as said:
        yield said["ssh_port"]


def ssh(port, command, targets="127.7.4.1-4", **more):
    return {"ssh": {"targets": targets, "command": command, "user": getpass.getuser(), "key": "id_ed25519", "port": port, **more}}


def may_ping():
    if not os.geteuid():
        return True
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ping_group_range").read_text().split())
    return any(low <= group <= high for group in [os.getegid(), *os.getgroups()])


def run_cases(subject):
    """Each with a folder of its own; True when one failed."""
    failed = False
    print(f"1..{len(CASES)}")
    for number, (sentence, run) in enumerate(CASES, 1):
        words = f"{number} {subject}: {sentence}"
        try:
            if not may_ping():
                raise Skip("needs the right to ping")
            with tempfile.TemporaryDirectory() as folder:
                run(pathlib.Path(folder))
            print(f"ok {words}", flush=True)
        except Skip as why:
            print(f"ok {words} # SKIP {why}", flush=True)
        except Exception as why:  # a failed case must not hide those behind it
            failed = True
            print(f"not ok {words}\n" + "\n".join(f"# {line}" for line in f"{type(why).__name__}: {why}".splitlines()), flush=True)
    return failed
