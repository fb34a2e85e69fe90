"""Runs one command and says what it took; finds out what this machine can bear; serves the peers. For bench/compare."""
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

# What a program holds at most, as part of the memory that was free before; one that wants more is killed.
MEMORY_PART = 0.4
# Threads and processes that a model may start, as part of what the system has left: others work here, too.
THREAD_PART = 0.6


def read(path, otherwise=""):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return otherwise


def thread_ceiling():
    """(threads a program may have, which limit says so)."""
    def number(text):
        return int(text) if text.strip().isdigit() else None

    maps = number(read("/proc/sys/vm/max_map_count"))
    limits = {
        "kernel.pid_max": number(read("/proc/sys/kernel/pid_max")),
        "kernel.threads-max": number(read("/proc/sys/kernel/threads-max")),
        "vm.max_map_count, two a thread,": maps // 2 if maps else None,
        "the control group's pids.max": number(read("/sys/fs/cgroup/pids.max")),
    }
    own = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if os.geteuid() != 0 and own != resource.RLIM_INFINITY:
        limits["RLIMIT_NPROC"] = own
    used = int(read("/proc/loadavg", "0 0 0 0/0 0").split()[3].split("/")[1])
    which, most = min(((name, value) for name, value in limits.items() if value), key=lambda one: one[1])
    return int((most - used) * THREAD_PART), f"{which} allows {most:,}, of which no more than {THREAD_PART:.0%} are used here"


def free_kb():
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    return 1 << 20


def child_of(pid):
    words = read(f"/proc/{pid}/task/{pid}/children").split()
    return int(words[0]) if words else None


def watch(pid):
    """(threads and child processes, resident KB) of a process now."""
    threads = resident = 0
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("Threads:"):
            threads = int(line.split()[1])
        elif line.startswith("VmRSS:"):
            resident = int(line.split()[1])
    return threads + len(read(f"/proc/{pid}/task/{pid}/children").split()), resident


def stop(measure, child):
    """Ends what was started, and waits for it: by its id, and its group, which bench-measure made for it."""
    if child:
        try:
            os.killpg(child, signal.SIGKILL)
        except OSError:
            pass
    measure.kill()


def run(measure_program, command, work, stdin="/dev/null", limit=60):
    """Runs a command under bench-measure: its rusage, and the most threads seen. `said` is the end of its stderr."""
    out, err = work / "stdout", work / "stderr"
    line = [measure_program, str(int(limit)), str(out), "sh", "-c", 'exec "$@" <"$0" 2>"$BENCH_STDERR"', stdin, *command]
    bound = free_kb() * MEMORY_PART
    measure = subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True, env={**os.environ, "BENCH_STDERR": str(err)})
    threads, too_big, child, used = 1, False, None, None
    pause = 0.002
    try:
        while True:
            done, _, used = os.wait4(measure.pid, os.WNOHANG)
            if done:
                measure.returncode = 0
                break
            child = child_of(measure.pid) or child
            if child:
                now, resident = watch(child)
                threads = max(threads, now)
                if resident > bound and not too_big:
                    too_big = True
                    os.killpg(child, signal.SIGKILL)
            time.sleep(pause)
            pause = min(pause * 1.3, 0.05)
    finally:
        if measure.returncode is None:
            stop(measure, child)
            measure.wait()
    wall, cpu, rss, code = measure.stdout.read().split()
    measure.stdout.close()
    code = int(code)
    note = f"killed: more than {bound / 1024:.0f} MB" if too_big else f"did not end in {limit:.0f} s" if code == 124 else ""
    return {"wall_ms": float(wall), "cpu_ms": float(cpu), "rss_mb": int(rss) / 1024, "switches": used.ru_nvcsw + used.ru_nivcsw,
            "threads": threads, "code": code, "note": note, "stopped": bool(note) or code >= 126, "out": out, "said": last_line(err)}


def last_line(file, having=""):
    lines = [line for line in read(file).splitlines() if line.strip() and having in line]
    return lines[-1][:200] if lines else ""


class Lab:
    """The peers in a process of their own (bench-lab): SSH hosts, and a mail server."""

    def __init__(self, program, folder, hosts):
        self.folder = folder
        self.process = subprocess.Popen([program, str(folder), hosts], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        start_new_session=True)
        words = self.process.stdout.readline().split()
        if len(words) != 3 or words[0] != "ready":
            self.process.kill()
            raise RuntimeError(f"bench-lab does not start: {self.process.communicate()[1].strip()}")
        self.ssh_port, self.smtp_port = words[1:]

    def take_mail(self):
        """How many messages have come since the last call; removes them."""
        count = 0
        for message in os.scandir(self.folder / "mail/Maildir/new"):
            os.unlink(message.path)
            count += 1
        return count

    def close(self):
        self.process.terminate()
        self.process.communicate()


def first_line(*command):
    """What a program says of its version; empty when it is not installed."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return ((done.stdout + done.stderr).strip().splitlines() or [""])[0]


def now():
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def machine(source):
    """What a reader has to know to judge the figures."""
    cpu = next((line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")), "?")
    memory = int(read("/proc/meminfo", "x 0").split()[1]) // 1024
    commit = first_line("git", "-C", str(source), "describe", "--always", "--dirty")
    versions = {
        "trawl": commit, "compiler": first_line("c++", "--version"), "Python": first_line("python3", "--version"),
        "libssh": first_line("pkg-config", "--modversion", "libssh"), "fping": first_line("fping", "-v"),
        "OpenSSH": first_line("ssh", "-V"), "Postfix": first_line("postconf", "-d", "-h", "mail_version"),
        "tar": first_line("tar", "--version"), "gzip": first_line("gzip", "--version"),
    }
    system = next((line.split("=")[1].strip('"') for line in read("/etc/os-release").splitlines() if line.startswith("PRETTY_NAME")), "?")
    return {"date": now(), "cpu": cpu, "cores": os.cpu_count(), "memory_mb": memory,
            "kernel": os.uname().release, "system": system, "versions": {name: text for name, text in versions.items() if text}}
