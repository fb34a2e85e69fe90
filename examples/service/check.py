#!/usr/bin/env python3
"""check.py SERVICE TRAWL: asks a running service for everything it offers (TAP, one case a sentence).

TRAWL gives the SSH hosts (trawl lab); without it those cases are skipped.
"""
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from running import SERVICE, Running, Skip, case, lab, run_cases, service, ssh, until


SLOW = {"sweep": {"targets": "127.0.0.0/16", "rate": 100}}


@case("GET /metrics is Prometheus text with a histogram for each watched host")
def _(_):
    with service("--watch", "127.0.0.1-3", "--every", "0.2") as s:
        text = until(lambda: (t := s.curl("/metrics")[2]).count("probe_success{") == 3 and t)
        status, fields, _ = s.curl("/metrics")
        assert fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8", fields
        sample = re.compile(r'([a-z_0-9]+)(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? ([-+.e0-9]+)')
        kinds, samples = {}, []
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                assert name not in kinds, f"{name} has two TYPE lines"
                kinds[name] = kind
            elif not line.startswith("# HELP "):
                found = sample.fullmatch(line)
                assert found, line
                name = re.sub("_(bucket|sum|count)$", "", found[1]) if found[1] not in kinds else found[1]
                assert name in kinds, f"{line} comes before its TYPE"
                samples.append((found[1], found[2], float(found[4])))
        assert kinds["smokeping_response_duration_seconds"] == "histogram"
        assert "trawl_loop_lag_seconds_p99" in kinds and "trawl_log_records_total" in kinds, kinds
        for n in (1, 2, 3):
            of = f'ip="127.0.0.{n}"'
            buckets = [v for name, labels, v in samples if name.endswith("_bucket") and of in labels]
            count = [v for name, labels, v in samples if name == "smokeping_response_duration_seconds_count" and of in labels]
            assert len(buckets) == 21 and buckets == sorted(buckets) and [buckets[-1]] == count, (buckets, count)
            assert [v for name, labels, v in samples if name == "probe_success" and of in labels] == [1]


@case("GET /healthz tells how late the loop is")
def _(_):
    with service() as s:
        status, _, text = s.curl("/healthz")
        told = json.loads(text)
        assert status == 200 and told["status"] == "ok" and 0 <= told["loop_lag"] < 0.5, text


@case("HEAD is GET without the body")
def _(_):
    with service() as s:
        for path in ("/", "/jobs"):
            whole, head = s.curl(path), s.curl(path, "--head")
            assert head[0] == 200 and head[1] == whole[1] and head[2] == "", head


@case("a sweep streams a record for each target and a summary at the end")
def _(_):
    with service() as s:
        records = s.job({"sweep": {"targets": "127.0.0.0/27", "rate": 10000, "timeout": 0.5, "retries": 0}})
        assert sorted(r["target"] for r in records[:-1]) == sorted(f"127.0.0.{n}" for n in range(32)), records
        assert all(r["status"] == "up" and r["rtt"] > 0 for r in records[:-1])
        assert records[-1]["type"] == "summary" and records[-1]["counts"] == {"up": 32}, records[-1]
        assert s.jobs() == [], "a job that has been streamed is forgotten"


@case("results come while the job runs, and a client that leaves cancels it")
def _(_):
    with service() as s:
        client = s.stream(SLOW)
        assert json.loads(client.stdout.readline())["type"] == "host"
        assert [j["status"] for j in s.jobs()] == ["running"]
        client.kill()
        client.communicate()
        until(lambda: s.jobs() == [])


@case("a command runs on many hosts")
def _(folder):
    with lab(folder) as port, service("--keys", folder) as s:
        records = s.job(ssh(port, "echo out; echo err >&2; exit 3", jobs=2))
        assert sorted(r["target"] for r in records[:-1]) == [f"127.7.4.{n}" for n in (1, 2, 3, 4)], records
        assert all((r["stdout"], r["stderr"], r["exit_status"]) == ("out\n", "err\n", 3) for r in records[:-1]), records
        assert records[-1]["counts"] == {"ok": 4}, records[-1]
        assert s.job(ssh(port, r"printf 'a\377'", "127.7.4.1"))[0]["stdout"] == {"b64": "Yf8="}


@case("a host that nobody vouches for, one that is not there and a key that is none are failures with a reason")
def _(folder):
    with lab(folder) as port:
        keys = folder / "keys"
        keys.mkdir()
        (keys / "id_ed25519").write_text((folder / "id_ed25519").read_text())
        (keys / "broken").write_text("no key\n")
        with service("--keys", keys) as s:
            strange = s.job(ssh(port, "true", "127.7.4.1"))
            assert strange[0]["error"]["code"] == "host_key_unknown", strange
            absent = s.job(ssh(1, "true", "127.7.4.1"))
            assert absent[0]["error"]["phase"] == "connect" and absent[-1]["counts"] == {"failed": 1}, absent
            broken = s.job({"ssh": {**ssh(port, "true")["ssh"], "key": "broken"}})
            assert len(broken) == 1 and broken[0]["status"] == "failed" and "broken" in broken[0]["error"], broken


def gone(pid):
    """One look: between two the process may go."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@case("a client that leaves ends the commands on the hosts")
def _(folder):
    with lab(folder) as port, service("--keys", folder) as s:
        told = folder / "pid"
        client = s.stream(ssh(port, f"echo $$ > {told}.new; mv {told}.new {told}; exec sleep 60", "127.7.4.1"))
        until(told.exists)
        pid = int(told.read_text())
        client.kill()
        client.communicate()
        until(lambda: gone(pid))
        until(lambda: s.jobs() == [])


@case("a detached job keeps its results until it is deleted")
def _(_):
    with service() as s:
        status, fields, text = s.curl("/jobs?detach=1", data={"sweep": {"targets": "127.0.0.0/29"}})
        assert status == 202 and fields["location"] == "/jobs/" + json.loads(text)["id"], (status, fields, text)
        path = fields["location"]
        told = until(lambda: (t := json.loads(s.curl(path)[2]))["status"] == "done" and t)
        assert len(told["results"]) == 9 and told["counts"] == {"up": 8} and told["dropped"] == 0, told
        assert s.curl(path, "-X", "DELETE")[0] == 200
        assert s.curl(path)[0] == 404


@case("DELETE cancels a job that runs, detached or not")
def _(_):
    with service() as s:
        path = s.curl("/jobs?detach=1", data=SLOW)[1]["location"]
        client = s.stream(SLOW)
        client.stdout.readline()
        for job in s.jobs():
            assert json.loads(s.curl("/jobs/" + job["id"], "-X", "DELETE")[2])["status"] == "cancelled"
        last = json.loads(client.communicate(timeout=20)[0].splitlines()[-1])
        assert last["status"] == "cancelled" and last["error"] == "cancelled by DELETE", last
        assert client.returncode == 0, "the stream ends as it should"
        kept = until(lambda: (k := json.loads(s.curl(path)[2])["results"]) and k[-1]["type"] == "summary" and k)
        assert kept[-1]["status"] == "cancelled", kept


@case("so many jobs and no more run at a time")
def _(_):
    with service() as s:
        for _ in range(8):
            assert s.curl("/jobs?detach=1", data=SLOW)[0] == 202
        status, fields, text = s.curl("/jobs?detach=1", data=SLOW)
        assert status == 429 and fields["retry-after"] == "5" and "error" in json.loads(text), (status, fields, text)


@case("what is wrong with a job is said in one line")
def _(_):
    with service() as s:
        for data, word in (("", "no JSON"), ("{", "no JSON"), ("[]", "a job is"), ("{}", "a job is"), ('{"sweep":{},"ssh":{}}', "a job is"),
                           ('{"nmap":{}}', "nmap"), ('{"sweep":1}', "object"), ('{"sweep":{}}', "targets is missing"),
                           ('{"sweep":{"targets":5}}', "must be a text"), ('{"sweep":{"targets":"10.0.0.300"}}', "10.0.0.300"),
                           ('{"sweep":{"targets":"a.example"}}', "name"), ('{"sweep":{"targets":"10.0.0.0/8"}}', "65536"),
                           ('{"sweep":{"targets":"127.0.0.1","rate":1e9}}', "10000"), ('{"sweep":{"targets":"127.0.0.1","retries":0.5}}', "whole"),
                           ('{"sweep":{"targets":"127.0.0.1","timeout":0}}', "timeout"), ('{"sweep":{"targets":"127.0.0.1","x":1}}', '"x"'),
                           ('{"ssh":{"targets":"127.0.0.1"}}', "no keys"), ("[" * 1000, "no JSON")):
            status, _, text = s.curl("/jobs", data=data)
            assert status == 422 and word in json.loads(text)["error"], (data, status, text)
    with tempfile.TemporaryDirectory() as folder, service("--keys", folder) as s:
        for key in ("../id", ".ssh", "a/b", ""):
            status, _, text = s.curl("/jobs", data={"ssh": {"targets": "127.0.0.1", "command": "id", "user": "u", "key": key}})
            assert status == 422 and "ssh.key" in json.loads(text)["error"], (key, status, text)


@case("what is asked for wrongly is refused with the proper status")
def _(_):
    with service() as s:
        for expected, path, *words in ((404, "/none"), (404, "/jobs/99"), (404, "/jobs/x"), (404, "/jobsx"), (405, "/", "-X", "PUT"),
                                       (405, "/metrics", "-X", "POST"), (405, "/jobs", "-X", "DELETE"), (415, "/jobs", "-d", "{}"),
                                       (421, "/", "-H", "Host: evil.example"), (414, "/" + "x" * 3000), (431, "/", "-H", "X: " + "y" * 20000)):
            status, fields, text = s.curl(path, *words)
            assert status == expected and json.loads(text)["error"], (expected, path, status, text)
            assert status != 405 or "GET" in fields["allow"].upper(), fields
        large = "x" * 70000
        for words in ((), ("-H", "transfer-encoding: chunked"), ("-H", "expect: 100-continue")):
            status, _, text = s.curl("/jobs", *words, data=large)
            assert status == 413, (words, status, text)
        assert s.curl("/jobs", "-H", "expect: 100-continue", data={"sweep": {"targets": "127.0.0.1"}})[0] == 200


@case("bytes that are no HTTP get 400 or nothing, and harm nobody")
def _(_):
    host = b"Host: 127.0.0.1\r\n"
    with service() as s:
        for data, status in ((b"\x16\x03\x01\x02\x00", b"400"), (b"GET\r\n\r\n", b"400"), (b"GET / HTTP/1.1\r\n\r\n", b"400"),
                             (b"GET / HTTP/1.1\r\n" + host + host + b"\r\n", b"400"), (b"GET / HTTP/3.0\r\n" + host + b"\r\n", b"505"),
                             (b"CONNECT a:1 HTTP/1.1\r\n" + host + b"\r\n", b"400"), (b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n", b"400"),
                             (b"GET / HTTP/1.1\r\n" + host + b"a b: c\r\n\r\n", b"400"),
                             (b"POST /jobs HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", b"400"),
                             (b"POST /jobs HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
                             (b"POST /jobs HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
                             (b"", b""), (b"GET / HT", b"")):
            answer = s.raw(data)
            assert answer.split(b" ")[1:2] == ([status] if status else []), (data, answer[:200])
            assert not status or json.loads(answer.partition(b"\r\n\r\n")[2])["error"], answer
        assert s.curl("/healthz")[0] == 200


@case("requests may follow each other without waiting, and HTTP/1.0 gets a stream without chunks")
def _(_):
    with service() as s:
        one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET http://127.0.0.1/healthz HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n"
        answers = s.raw(one * 20 + last)
        assert answers.count(b"HTTP/1.1 200 OK") == 21 and answers.count(b"Connection: close") == 1, answers
        done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{num_connects} ", s.url + "/", "-o", "/dev/null", s.url + "/jobs"],
                              capture_output=True, text=True, timeout=60)
        assert done.stdout == "1 0 ", done
        records = s.job({"sweep": {"targets": "127.0.0.1"}}, "--http1.0")
        assert records[-1]["counts"] == {"up": 1}, records


@case("a client that is silent or slow loses its connection and delays nobody")
def _(_):
    with service("--idle", "0.5") as s:
        silent, slow = (socket.create_connection(("127.0.0.1", s.port), 20) for _ in range(2))
        slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert s.curl("/healthz")[0] == 200
        assert silent.recv(100) == b"", "the idle one is closed"
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 "), "the slow one is told"
        silent.close()
        slow.close()


@case("with a token, jobs are for its bearer, and only with one does it listen beyond loopback")
def _(folder):
    token = folder / "token"
    token.write_text("not-a-word-of-it\n")
    with service("--token-file", token) as s:
        for words in ((), ("-H", "Authorization: Bearer wrong"), ("-H", "Authorization: Basic not-a-word-of-it")):
            status, fields, _ = s.curl("/jobs", *words)
            assert status == 401 and fields["www-authenticate"] == "bearer", (status, fields)
        assert s.curl("/jobs", "-H", "Authorization: Bearer not-a-word-of-it")[0] == 200
        assert s.curl("/metrics")[0] == 200
    for words, said in ((["--listen", "0.0.0.0:0"], "--token-file"), (["--listen", "nonsense"], "ADDRESS:PORT"), (["--what"], "--what"),
                        (["--watch", "a.example"], "addresses"), (["--every", "x"], "--every"), (["--token-file", folder / "none"], "none")):
        done = subprocess.run([SERVICE, *map(str, words)], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1, done


@case("SIGTERM ends the jobs with a summary, then the service, with nothing left")
def _(folder):
    with lab(folder) as port:
        s = Running("--keys", folder, "--watch", "127.0.0.0/28", "--every", "0.1")
        sweep, command = s.stream(SLOW), s.stream(ssh(port, "sleep 60"))
        assert s.curl("/jobs?detach=1", data=ssh(port, "sleep 60"))[0] == 202
        sweep.stdout.readline()
        until(lambda: len(s.jobs()) == 3)
        idle = socket.create_connection(("127.0.0.1", s.port), 20)
        start = time.monotonic()
        code, err = s.stop()
        took = time.monotonic() - start
        assert code == 0, f"it exits {code}: {err[-2000:]}"
        assert took < 9, f"it took {took:.1f} s, which is what it grants those that do not end"
        for client in (sweep, command):
            out, _ = client.communicate(timeout=20)
            last = json.loads(out.splitlines()[-1])
            assert client.returncode == 0 and last["type"] == "summary" and last["error"] == "the service stops", last
        assert idle.recv(100) == b""
        idle.close()


@case("the status page shows the hosts in a browser")
def _(folder):
    browser = shutil.which("chromium")
    if not browser:
        raise Skip("needs chromium")
    with service("--watch", "127.0.0.1-5", "--every", "0.5") as s:
        until(lambda: len(json.loads(s.curl("/status")[2])["hosts"]) == 5)
        s.curl("/jobs?detach=1", data=SLOW)
        done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}",
                               "--virtual-time-budget=3000", "--dump-dom", s.url + "/"], capture_output=True, text=True, timeout=100)
        page = done.stdout
        assert "5 of 5 hosts are up" in page, (done.returncode, page[-1500:], done.stderr[-800:])
        assert page.count('<td class="up">up</td>') == 5 and "<td>127.0.0.3</td>" in page, page
        assert "<td>sweep</td><td>running</td><td>65536</td>" in page, page


@case("the page, its requests and its styles come from the service alone")
def _(_):
    with service() as s:
        status, fields, text = s.curl("/")
        assert status == 200 and "default-src 'none'" in fields["content-security-policy"], fields
        assert not re.search(r'(src|href)=|https?://|url\(', text), "something from elsewhere"


sys.exit(run_cases("service"))
