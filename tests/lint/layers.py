#!/usr/bin/env python3
"""Dependencies point down only (DESIGN, "Tree"); siblings never include each other. TAP: one case a module.

    {cli, lab} -> plan -> {icmp, ssh, mail, backup} -> {net, dns} -> async;  targets and json know no I/O.
"""
import pathlib
import re
import sys

# Module: what it may include besides itself. net connects to names, so it may know dns.
BELOW = {
    "async": set(),
    "record": set(),
    "targets": {"async"},
    "dns": {"async"},
    "net": {"async", "dns"},
    "icmp": {"async", "net", "dns", "targets", "record"},
    "ssh": {"async", "net", "dns", "targets", "record"},
    "mail": {"async", "net", "dns", "targets", "record"},
    "backup": {"async", "net", "dns", "targets", "record"},
}
LIBRARY = set(BELOW)
BELOW["json"] = {"async", "record", "targets", "dns", "net", "icmp", "ssh", "mail", "backup"}
BELOW["plan"] = LIBRARY | {"json"}
BELOW["lab"] = {"async", "net", "dns", "targets", "ssh", "mail", "record", "json"}
BELOW["cli"] = LIBRARY | {"json", "plan", "lab"}

HEADER = {  # public headers whose module has another name
    "async": "async", "task_group": "async", "queue": "async", "mutex": "async", "limiter": "async",
    "offload_pool": "async", "error": "async", "observer": "async", "watchdog": "async", "detail": "async",
    "fair_share": "async",
    "sftp": "ssh", "smtp": "mail", "mime": "mail", "dkim": "mail", "tcp_probe": "net",
}
# Third-party headers and the only modules of src/ that name them.
THIRD_PARTY = {
    "libssh/": {"ssh", "lab"},
    "ares": {"dns"},
    "archive": {"backup"},
    "CLI/": {"cli"},
    "toml++/": {"cli", "plan"},
}
PUBLIC = re.compile(r"trawl/|asio/.|[a-z_]+$")  # trawl, Asio narrowly, the standard library
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def module_of_public(name):
    stem = name.split("/")[1].removesuffix(".hpp")
    begin = stem.split("_")[0]  # smtp_direct.hpp belongs to smtp.hpp
    return HEADER.get(stem) or HEADER.get(begin, begin)


def module_of(path):
    """The module of src/MODULE/FILE; json/record is a module of its own: the values that everyone may write."""
    return "record" if path.parts[1:] in (("json", "record.hpp"), ("json", "record.cpp")) else path.parts[1]


def broken(top):
    """{module: [what is wrong]}"""
    found = {module: [] for module in BELOW}
    for path in sorted((top / "src").rglob("*.[ch]pp")):
        local = path.relative_to(top)
        if len(local.parts) < 3 or local.parts[1] == "pch":
            continue
        module = module_of(local)
        found.setdefault(module, [])
        if module not in BELOW:
            found[module].append(f"{local}: this module has no place in the layers")
            continue
        for mark, name in INCLUDE.findall(path.read_text()):
            used = None
            if name.startswith("trawl/"):
                used = module_of_public(name)
                if used == "trawl":
                    found[module].append(f"{local}: includes all of trawl")
                    continue
            elif mark == '"' and "/" in name:
                used = module_of(pathlib.Path("src") / name)
            if used and used != module and used not in BELOW[module]:
                found[module].append(f"{local}: {module} must not know {used} ({name})")
            for prefix, users in THIRD_PARTY.items():
                if mark == "<" and name.startswith(prefix) and module not in users:
                    found[module].append(f"{local}: only {', '.join(sorted(users))} may include <{name}>")
    found["include"] = []
    for path in sorted((top / "include").rglob("*.hpp")):
        local = path.relative_to(top)
        own = module_of_public("/".join(local.parts[1:]))
        for mark, name in INCLUDE.findall(path.read_text()):
            if mark == '"' or not PUBLIC.match(name):
                found["include"].append(f"{local}: a public header must not include {name}")
            elif name.startswith("trawl/") and own != "trawl":
                used = module_of_public(name)
                if used != own and used not in BELOW.get(own, set()):
                    found["include"].append(f"{local}: {own} must not know {used} ({name})")
    return found


def main(top):
    found = broken(pathlib.Path(top))
    for number, (module, complaints) in enumerate(found.items(), 1):
        print(f"{'not ok' if complaints else 'ok'} {number} {module} includes only what is below it")
        for line in complaints:
            print(f"# {line}")
    print(f"1..{len(found)}")
    return any(found.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]))
