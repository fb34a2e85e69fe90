#!/usr/bin/env python3
"""check.py BUILD TRAWL: the programs of docs/tutorial run, and its pages show what is compiled (TAP)."""
import getpass
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "service"))
from running import case, run_cases, until, world  # noqa: E402

BUILD = pathlib.Path(sys.argv[1])
PAGES = sorted((HERE.parents[1] / "docs/tutorial").glob("[1-5]-*.md"))
SOURCES = {path.name: path.read_text() for path in HERE.glob("*.[ch]pp")}
BLOCK = re.compile(r"^\[`(\w+\.[ch]pp)`\]\(\.\./\.\./examples/tutorial/\1\):\n\n```cpp\n(.*?)^```$", re.M | re.S)


def words(folder, said, command, *more):
    return ["127.7.4.1-4", getpass.getuser(), folder / "id_ed25519", folder / "known_hosts", said["ssh_port"], command, *more]


def whole_night(folder, said):
    (folder / "etc").mkdir()
    (folder / "etc/motd").write_text("hello\n")
    return words(folder, said, "echo fine", said["smtp_server"].rsplit(":", 1)[1], "ops@example.org", folder / "etc", folder / "backups")


def run(page, *arguments, status=0):
    done = subprocess.run([BUILD / f"page{page}", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, (done.returncode, done.stderr)
    return done


def letters(folder):
    return sorted((folder / "Maildir/new").glob("*"))


@case("every block of code on a page is part of the source that it names")
def _(_):
    assert len(PAGES) == 5, PAGES
    for page in PAGES:
        text = page.read_text()
        blocks = BLOCK.findall(text)
        assert len(blocks) == text.count("```cpp"), f"{page.name}: a block without its source's name"
        for name, block in blocks:
            assert block in SOURCES[name], f"{page.name}: not in {name}:\n{block}"


@case("every line of the sources is on a page, but for what they include")
def _(_):
    shown = {name: "" for name in SOURCES}
    for page in PAGES:
        for name, block in BLOCK.findall(page.read_text()):
            shown[name] += block
    for name, source in SOURCES.items():
        for line in source.splitlines():
            if line.strip() and not re.match(r"#|//|using |namespace ", line):
                assert line in shown[name].splitlines(), f"{name}: on no page: {line}"


@case("page 1 lists who answers, and names a target that is none")
def _(_):
    assert sorted(run(1, "127.0.0.0/30", "127.0.0.9").stdout.splitlines()) == [f"127.0.0.{n} is up" for n in (0, 1, 2, 3, 9)]
    assert "127.0.0.300" in run(1, "127.0.0.300", status=2).stderr


@case("page 2 runs a command on every host, and a host that fails fails alone")
def _(folder):
    with world(folder) as said:
        lines = sorted(run(2, *words(folder, said, "echo fine")).stdout.splitlines())
        assert lines == [f"ok   127.7.4.{n}: fine" for n in (1, 2, 3, 4)], lines
        known = (folder / "known_hosts").read_text().splitlines(keepends=True)
        (folder / "known_hosts").write_text("".join(line for line in known if "127.7.4.3]" not in line))
        lines = run(2, *words(folder, said, "echo fine")).stdout.splitlines()
        assert [line[:15] for line in lines if not line.startswith("ok")] == ["FAIL 127.7.4.3:"], lines
    assert "too few" in run(2, "127.0.0.1", status=2).stderr


@case("page 3 mails what the hosts said")
def _(folder):
    with world(folder) as said:
        out = run(3, *words(folder, said, "echo fine", said["smtp_server"].rsplit(":", 1)[1], "ops@example.org")).stdout
        assert out.startswith("ops@example.org: accepted"), out
        letter, = letters(folder)
        assert letter.read_text().count("fine") == 4, letter.read_text()


@case("page 4 saves a folder meanwhile, and what has changed the next time")
def _(folder):
    with world(folder) as said:
        arguments = whole_night(folder, said)
        run(4, *arguments)
        (folder / "etc/motd").write_text("hello again\n")
        run(4, *arguments)
        assert len(list((folder / "backups").glob("*.tar.gz"))) == 2
        assert all("saved" in letter.read_text() and "fine" in letter.read_text() for letter in letters(folder))
        assert len(letters(folder)) == 2


@case("page 5 serves until SIGTERM and ends in the midst of a night")
def _(folder):
    with world(folder) as said:
        arguments = whole_night(folder, said)
        arguments[5] = f"touch {folder}/asked; sleep 60"
        busy = subprocess.Popen([BUILD / "page5", *map(str, arguments)], stderr=subprocess.PIPE, text=True)
        until((folder / "asked").exists)
        busy.send_signal(signal.SIGTERM)
        _, err = busy.communicate(timeout=20)
        assert busy.returncode == 0 and "trawl_loop_hold_seconds_p999" in err, (busy.returncode, err)
        assert letters(folder) == [], "a night that was stopped mails nothing"
        arguments[5] = "echo fine"
        idle = subprocess.Popen([BUILD / "page5", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert idle.stdout.readline() == "the report is on its way\n"
        idle.send_signal(signal.SIGTERM)
        idle.communicate(timeout=20)
        assert idle.returncode == 0 and len(letters(folder)) == 1


sys.exit(run_cases("tutorial"))
