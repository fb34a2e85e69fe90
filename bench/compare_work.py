"""The workloads of bench/compare: for each model the command that does N of them, and how many were lost. Every model of a
workload gets the same input, and the same check looks at what came of it."""
import glob
import ipaddress
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

POOL = 64          # threads of the bounded pool, and processes at a time of the peers
LETTER_BYTES = 4096


@dataclass
class Command:
    words: list
    stdin: str = "/dev/null"
    threads: int = 1   # that it wants
    expected: int = 0  # items, when not N


def lines(text):
    return "".join(f"{line}\n" for line in text)


class Workload:
    def __init__(self, place):
        self.place = place  # a Place of bench/compare

    def prepare(self, n):
        """Before the rounds of N."""

    def before(self):
        """Before each run."""

    def program(self, name):
        return str(self.place.build / "bench" / name)

    def script(self, name):
        return [sys.executable, str(self.place.here / "threaded" / name)]


class Icmp(Workload):
    name, unit = "icmp", "hosts"
    what = "One echo to each of N addresses of 127/8, all of which answer; one second of patience."

    def network(self, n):
        return ipaddress.ip_network(f"127.64.0.0/{32 - (n - 1).bit_length()}")

    def models(self, n):
        net = str(self.network(n))
        yield "async", Command([self.program("bench-mixed"), f"icmp={net}"])
        yield "threads", Command([self.program("bench-threaded-icmp"), net], threads=n)
        yield "pool", Command([self.program("bench-threaded-icmp"), "--threads", str(POOL), net], threads=min(n, POOL))
        yield "python", Command([*self.script("ping.py"), net], threads=2 * n)
        if shutil.which("fping"):
            # It keeps 65,535 numbers for ten seconds and gives up at one more.
            few = min(n, 65535)
            first = self.network(n)[0]
            yield "fping", Command(["fping", "-a", "-i0", "-r0", "-t1000", "-g", str(first), str(first + few - 1)], expected=few)

    def found(self, model, out):
        text = out.read_text()
        return text.count("\n") if model == "fping" else len(re.findall(r"^[0-9.]+: up", text, re.M))


class Ssh(Workload):
    name, unit = "ssh", "sessions"
    what = "N sessions on 1,024 hosts: host key checked, login by key, one command, its output compared."
    hosts = 1024

    def prepare(self, n):
        first = ipaddress.ip_address("127.8.0.0")
        self.file = self.place.work / "hosts"
        self.file.write_text(lines(first + i % self.hosts for i in range(n)))
        lab = self.place.lab
        self.config = self.place.work / "ssh_config"
        self.config.write_text(lines(["Host *", f"Port {lab.ssh_port}", "User bench", f"IdentityFile {lab.folder}/id_ed25519",
                                      "IdentitiesOnly yes", "IdentityAgent none", f"UserKnownHostsFile {lab.folder}/known_hosts",
                                      "StrictHostKeyChecking yes", "BatchMode yes", "LogLevel ERROR", "ConnectTimeout 120"]))

    def python(self):
        for candidate in (sys.executable, "/usr/bin/python3"):
            if subprocess.run([candidate, "-c", "import paramiko"], capture_output=True).returncode == 0:
                return candidate
        return None

    def models(self, n):
        lab = self.place.lab
        yield "async", Command([self.program("bench-mixed"), f"ssh={self.file}:{lab.ssh_port}:{lab.folder}"])

        def told(jobs):
            return [lab.ssh_port, "bench", f"{lab.folder}/id_ed25519", f"{lab.folder}/known_hosts", str(jobs), "1", "echo ok"]

        threaded = self.program("bench-threaded-ssh")
        if os.path.exists(threaded):
            yield "threads", Command([threaded, *told(n)], str(self.file), n)
            yield "pool", Command([threaded, *told(POOL)], str(self.file), min(n, POOL))
        script, python = self.place.here / "ssh_paramiko.py", self.python()
        if script.exists() and python:
            yield "python", Command([python, str(script), *told(n)], str(self.file), 2 * n)
        if shutil.which("ssh"):
            yield "xargs ssh", Command(["xargs", "-a", str(self.file), "-P", str(POOL), "-I", "{}", "ssh", "-n", "-F", str(self.config),
                                        "{}", "echo ok"], threads=POOL)
        if shutil.which("parallel-ssh"):
            yield "pssh", Command(["parallel-ssh", "-i", "-t", "0", "-p", str(POOL), "-h", str(self.file), "-x", f"-F {self.config}",
                                   "echo ok"], threads=POOL)

    def found(self, model, out):
        pattern = r"^ok$" if model in ("xargs ssh", "pssh") else r"^127[0-9.]+ 0 3$"
        return len(re.findall(pattern, out.read_text(), re.M))


class Smtp(Workload):
    name, unit = "smtp", "messages"
    what = "N messages of 4 KB, each over a connection of its own; counted in the server's folder."

    def prepare(self, n):
        self.file = self.place.work / "recipients"
        self.file.write_text(lines(f"user{i}@example.org" for i in range(n)))

    def before(self):
        self.place.lab.take_mail()

    def models(self, n):
        port = self.place.lab.smtp_port
        yield "async", Command([self.program("bench-mixed"), f"smtp={self.file}:{port}:{LETTER_BYTES}"])
        threaded = self.program("bench-threaded-smtp")
        yield "threads", Command([threaded, port, str(LETTER_BYTES)], str(self.file), n)
        yield "pool", Command([threaded, "--threads", str(POOL), port, str(LETTER_BYTES)], str(self.file), min(n, POOL))
        yield "python", Command([*self.script("mail.py"), port, str(LETTER_BYTES)], str(self.file), n)
        if shutil.which("smtp-source"):
            yield "smtp-source", Command(["smtp-source", "-s", str(min(n, POOL)), "-m", str(n), "-l", str(LETTER_BYTES),
                                          f"127.0.0.1:{port}"])

    def found(self, model, out):
        return self.place.lab.take_mail()


class Backup(Workload):
    name, unit = "backup", "files"
    what = "A full backup of N files of 4 KB in memory: archive, hashes, manifest; the archive is read again and counted."

    def prepare(self, n):
        self.source, self.target = self.place.work / "tree", self.place.work / "archives"
        shutil.rmtree(self.source, ignore_errors=True)
        for i in range(n):
            folder = self.source / f"{i // 256:03}"
            if i % 256 == 0:
                folder.mkdir(parents=True)
            noise = random.Random(i)
            text = lines(f"2026-11-23 12:{k % 60:02} host{i} job {k} ended, status 0" for k in range(45))
            (folder / f"{i}.log").write_bytes(text.encode()[:2048] + noise.randbytes(2048))

    def before(self):
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir()

    def models(self, n):
        told = [str(self.source), str(self.target)]
        yield "async", Command([self.program("bench-mixed"), f"backup={told[0]}:{told[1]}"])
        threaded = self.program("bench-threaded-backup")
        yield "threads", Command([threaded, *told], threads=n)
        yield "pool", Command([threaded, "--threads", str(os.cpu_count()), *told], threads=os.cpu_count())
        yield "python", Command([*self.script("backup.py"), *told])
        if shutil.which("tar") and shutil.which("gzip"):
            yield "tar | gzip", Command(["sh", "-c", 'tar -C "$1" -cf - . | gzip >"$2/tree.tar.gz"', "sh", *told])

    def found(self, model, out):
        archives = glob.glob(f"{self.target}/*.tar.gz")
        if len(archives) != 1:
            return 0
        listing = subprocess.run(["tar", "-tzf", archives[0]], capture_output=True, text=True).stdout
        return sum(name.endswith(".log") for name in listing.splitlines())


ALL = [Icmp, Ssh, Smtp, Backup]
