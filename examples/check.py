#!/usr/bin/env python3
"""check.py BUILD: runs every example and reads what it prints (TAP, one case an example)."""
import contextlib
import getpass
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()


class Skip(Exception):
    pass


def run(name, *words, text="", status=0, **more):
    done = subprocess.run([BUILD / name, *map(str, words)], input=text, capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == status, f"{name} exits {done.returncode}: {done.stderr[-500:]}"
    return done.stdout


def needs(*programs):
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Skip(f"needs {program}")
    return [shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin") for p in programs]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until_it_listens(port, process):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("the server does not listen")


@contextlib.contextmanager
def server(*words, **more):
    process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, **more)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def hello_later(_):
    start = time.monotonic()
    out = run("hello_later")
    assert sorted(out.splitlines()[:3]) == [f"hello from task {n}" for n in (1, 2, 3)], out
    assert 2.99 < time.monotonic() - start < 5.5, "three waits of 3 s are not together"


def upper(_):
    with server(BUILD / "upper_server", stdout=subprocess.PIPE, text=True) as process:
        port = int(re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", process.stdout.readline())[1])
        # A silent client and one that dies do not keep the others waiting.
        silent = socket.create_connection(("127.0.0.1", port))
        socket.create_connection(("127.0.0.1", port)).close()
        lines = [f"line {n}" for n in range(50)]
        assert sorted(run("upper_client", port, *lines).splitlines()) == sorted(line.upper() for line in lines)
        silent.sendall(b"one\ntw")
        silent.sendall(b"o\n")
        answers = silent.makefile()
        answer = answers.readline() + answers.readline()
        assert answer == "ONE\nTWO\n", answer
        process.terminate()
        assert process.wait(10) == 0, "SIGTERM is no clean end"
    run("upper_client", free_port(), "nobody listens", status=1)


def tickets(folder):
    out = run("tickets", folder / "one.json")
    assert out == "without a lock: 100 of 100 got a ticket\nwith a lock: 1 of 100 got a ticket\n", out
    shared = folder / "shared.json"
    shared.write_text('{"count":1}\n')
    sellers = [subprocess.Popen([BUILD / "tickets", shared, "locked"], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sold = sum(int(re.search(r": (\d+) of 100", s.communicate(timeout=60)[0])[1]) for s in sellers)
    assert sold == 1, f"{sold} of one ticket sold by three processes"
    assert shared.read_text() == '{"count":0}\n', shared.read_text()


def kitchen(_):
    lines = run("kitchen").splitlines()
    assert lines[-1] == "12 dishes cooked and eaten", lines[-1]
    eaten = [re.search(r"ate (dish \d of \w+)", line)[1] for line in lines if " ate " in line]
    assert sorted(eaten) == sorted(f"dish {n} of {cook}" for n in range(1, 7) for cook in ("Ida", "Jon")), eaten
    assert max(int(w) for w in re.findall(r"(\d+) waiting", "\n".join(lines))) <= 4, "the queue is bounded"


def pipeline(folder):
    target = folder / "out.txt"
    target.write_text("kept\n")
    text = "".join(f"line {n}\n" for n in range(500))
    run("pipeline", target, text=text)
    assert target.read_text() == "kept\n" + text.upper()
    run("pipeline", folder / "missing" / "out.txt", status=1)


def counter(_):
    assert run("counter") == "without the mutex: 100 - 100 = 99\nwith the mutex: 100 - 100 = 0\n"


def cpu_or_wait(_):
    figures = re.findall(r"(\d+\.\d+) s, (\d+) heartbeats", run("cpu_or_wait", 80_000_000))
    assert len(figures) == 3, figures
    (loop, starved), (pool, beating), (waits, steady) = [(float(s), int(n)) for s, n in figures]
    assert starved <= 10, f"{starved} heartbeats although the loop was busy"
    assert beating > starved, "the pool leaves the loop free"
    assert 2.0 <= waits < 4.0 and steady > 50, f"400 waits of 2 s took {waits} s, {steady} heartbeats"


def json_types(_):
    out = run("json_types").splitlines()
    assert out[-1] == "the round trip kept every byte", out[-1]
    kinds = {"std::nullptr_t", "bool", "std::int64_t", "std::uint64_t", "double", "json::string", "json::array", "json::object"}
    assert {line.split(" -> ")[1] for line in out[:-1]} == kinds, out


def embed(_):
    lines = sorted(run("embed").splitlines())
    assert [line.split(": ")[0] for line in lines] == ["callback", "coroutine", "future"], lines
    assert "cancel" in lines[0].lower() or "abort" in lines[0].lower(), lines[0]
    assert lines[1:] == ["coroutine: 42", "future: 100"], lines


def sweep(_):
    if os.geteuid():
        low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ping_group_range").read_text().split())
        if not any(low <= group <= high for group in [os.getegid(), *os.getgroups()]):
            raise Skip("needs the right to ping")
    lines = run("sweep", "127.0.0.0/28", "127.1.2.3").splitlines()
    assert lines[-1] == "17 of 17 are up", lines[-1]
    assert sorted(lines[:-1]) == sorted([f"127.0.0.{n}: up" for n in range(16)] + ["127.1.2.3: up"])
    run("sweep", "10.0.0.300", status=1)


def ssh(folder):
    keygen, sshd = needs("ssh-keygen", "sshd")
    for name in ("host", "key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port()
    (folder / "authorized").write_text((folder / "key.pub").read_text())
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n")
    if not os.geteuid():
        os.makedirs("/run/sshd", exist_ok=True)
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    with server(sshd, "-D", "-f", folder / "config", stderr=subprocess.DEVNULL) as process:
        until_it_listens(port, process)
        words = (getpass.getuser(), folder / "key", known, port, "echo out; echo err >&2; exit 3", "127.0.0.1")
        assert run("ssh", *words) == "[127.0.0.1]OUT:\nout\n[127.0.0.1]ERROR:\nerr\n"
        stranger = folder / "nobody_known"
        stranger.write_text("")
        assert run("ssh", *words[:2], stranger, *words[3:]) == "", "a host that is not known must be refused"


def mail(_):
    sys.path.append("/usr/lib/python3/dist-packages")  # for a python3 that is not Debian's
    try:
        from aiosmtpd.controller import Controller
    except ImportError:
        raise Skip("needs python3-aiosmtpd") from None
    received = []

    class Handler:
        async def handle_RCPT(self, server, session, envelope, address, options):
            if address.startswith("nobody"):
                return "550 5.1.1 no such user"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):
            received.append(envelope)
            return "250 OK"

    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        out = run("mail", controller.port, "Ops <ops@example.org>", "Nachtlauf: größer", "bob@example.org", "nobody@example.org",
                  text="Alles gut.\n.\nEnde\n")
    finally:
        controller.stop()
    assert out == "bob@example.org: accepted 250\nnobody@example.org: refused 550\n", out
    import email.policy
    letter = email.message_from_bytes(received[0].content, policy=email.policy.default)
    assert letter["Subject"] == "Nachtlauf: größer", letter["Subject"]
    assert letter.get_content().splitlines() == ["Alles gut.", ".", "Ende"], letter.get_content()
    assert received[0].rcpt_tos == ["bob@example.org"]


def backup(folder):
    source = folder / "source"
    (source / "deep").mkdir(parents=True)
    (source / "a.txt").write_text("a\n" * 1000)
    (source / "deep" / "b.bin").write_bytes(os.urandom(300_000))
    out = run("backup", source, folder / "archives", folder / "restored")
    assert re.match(r"source_full_\d{8}\.tar\.gz: ", out), out
    assert out.count(" 0 errors") == 2, out
    assert not subprocess.run(["diff", "-r", source, folder / "restored"], capture_output=True).stdout
    names = subprocess.run(["tar", "-tzf", next((folder / "archives").glob("*.tar.gz"))], capture_output=True, text=True, check=True)
    assert "deep/b.bin" in names.stdout, names.stdout


def main():
    examples = [hello_later, upper, tickets, kitchen, pipeline, counter, cpu_or_wait, json_types, embed, sweep, ssh, mail, backup]
    outcome = {}

    def one(example):
        with tempfile.TemporaryDirectory() as folder:
            try:
                example(pathlib.Path(folder))
            except Skip as e:
                outcome[example] = f" # SKIP {e}"
            except Exception as e:  # an assertion, a time limit, a program that is not there
                outcome[example] = e

    waiting = [threading.Thread(target=one, args=(e,)) for e in (hello_later,)]
    for thread in waiting:
        thread.start()
    for example in examples[1:]:
        one(example)
    for thread in waiting:
        thread.join()
    bad = 0
    for number, example in enumerate(examples, 1):
        result = outcome.get(example, "")
        failed = isinstance(result, Exception)
        bad += failed
        print(f"{'not ok' if failed else 'ok'} {number} {example.__name__}{'' if failed else result}")
        if failed:
            print(f"# {type(result).__name__} {result}".replace("\n", "\n# "))
    print(f"1..{len(examples)}")
    return bad > 0


sys.exit(main())
