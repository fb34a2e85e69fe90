#!/usr/bin/env python3
"""backup_tree.py FOLDER [FILES [MEGABYTES [SEED]]]: a tree to back up, the same for the same numbers.

Most files are small text: words by Zipf's law, in the manner of sources, configuration and documentation; some are
records of numbers and binary tables; three large ones are a log, a table, and bytes that do not compress.
backup_tree.py --small FOLDER FILES: files of 0 to 1,000 bytes, a thousand in a folder.
backup_tree.py --change FOLDER SEED: a round of work on it: 1 % of the files changed, 0.2 % deleted, 0.2 % renamed,
0.1 % new, and the log longer.
"""
import os
import random
import sys


def vocabulary(rng, size=6000):
    syllables = [a + b for a in "b c d f g h k l m n p r s t v w st tr pl".split() for b in "a e i o u an er in on es".split()]
    return ["".join(rng.choices(syllables, k=rng.choice((1, 1, 2, 2, 2, 3, 3, 4)))) for _ in range(size)]


class Writer:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.words = vocabulary(random.Random(7))
        self.weights = []
        total = 0.0
        for rank in range(1, len(self.words) + 1):
            total += 1.0 / rank
            self.weights.append(total)

    def pick(self, n):
        return self.rng.choices(self.words, cum_weights=self.weights, k=n)

    def prose(self, size):
        lines, n = [], 0
        while n < size:
            line = " ".join(self.pick(self.rng.randint(6, 14))) + ".\n"
            lines.append(line)
            n += len(line)
        return "".join(lines).encode()[:size]

    def source(self, size):
        lines, n = ["#pragma once\n\n#include <%s.h>\n" % w for w in self.pick(3)], 0
        while n < size:
            a, b, c, d = self.pick(4)
            kind = self.rng.random()
            if kind < 0.3:
                line = "    int %s_%s = %s(%d, %s);\n" % (a, b, c, self.rng.randint(0, 4096), d)
            elif kind < 0.5:
                line = "#define %s_%s 0x%08x\n" % (a.upper(), b.upper(), self.rng.getrandbits(32))
            elif kind < 0.7:
                line = "    /* %s */\n" % " ".join(self.pick(8))
            elif kind < 0.9:
                line = "extern struct %s *%s_%s(const char *%s, unsigned long %s);\n" % (a, b, c, d, a)
            else:
                line = "}\n\nstatic void %s_%s(void) {\n" % (a, b)
            lines.append(line)
            n += len(line)
        return "".join(lines).encode()[:size]

    def table(self, size):
        return b"".join(self.rng.randint(0, 3000).to_bytes(4, "little") + self.rng.randint(0, 255).to_bytes(2, "little")
                        for _ in range(size // 6 + 1))[:size]

    def log(self, size):
        lines, n = [], 0
        while n < size:
            line = "2026-11-%02d %02d:%02d:%02d.%06d host%d svc[%d]: %s\n" % (
                self.rng.randint(1, 30), self.rng.randint(0, 23), self.rng.randint(0, 59), self.rng.randint(0, 59),
                self.rng.randint(0, 999999), self.rng.randint(0, 200), self.rng.randint(0, 30000), " ".join(self.pick(9)))
            lines.append(line)
            n += len(line)
        return "".join(lines).encode()[:size]

    def numbers(self, size):
        return "".join("%s\n" % ",".join(str(self.rng.randint(0, 10**6)) for _ in range(8)) for _ in range(size // 50)).encode()

    def content(self, size):
        kind = self.rng.random()
        return (self.source if kind < 0.6 else self.prose if kind < 0.85 else self.table)(size)


def write(path, data, age):
    with open(path, "wb") as out:
        out.write(data)
    os.utime(path, ns=(0, 1_780_000_000_000_000_000 + age))


def make(folder, files, megabytes, seed):
    w = Writer(seed)
    large = megabytes * 100_000  # a tenth each
    mean = megabytes * 700_000 / files
    folders = [""]
    for i in range(files // 30):
        folders.append(os.path.join(w.rng.choice(folders[-200:]), "%s%d" % (w.pick(1)[0], i)))
        os.makedirs(os.path.join(folder, folders[-1]), exist_ok=True)
    for i in range(files - 3):
        size = min(int(w.rng.lognormvariate(0, 1.2) * mean / 2.05), 4_000_000)
        place = os.path.join(folder, w.rng.choice(folders))
        write(os.path.join(place, "%s_%d.%s" % (w.pick(1)[0], i, w.rng.choice(("c", "h", "txt", "conf", "dat")))),
              w.content(size), w.rng.randint(0, 10**15))
    write(os.path.join(folder, "large.log"), w.log(large), 1)
    write(os.path.join(folder, "large.csv"), w.numbers(large), 2)
    write(os.path.join(folder, "large.bin"), w.rng.randbytes(large), 3)


def change(folder, seed):
    w = Writer(seed)
    names = sorted(os.path.join(d, f) for d, _, found in os.walk(folder) for f in found if not f.startswith("large."))
    w.rng.shuffle(names)
    n = len(names)
    take = lambda share: [names.pop() for _ in range(max(1, int(n * share)))]
    for path in take(0.01):
        with open(path, "r+b") as out:
            size = os.fstat(out.fileno()).st_size
            out.seek(w.rng.randint(0, size))
            out.write(w.content(max(10, size // 5)))
    for path in take(0.002):
        os.remove(path)
    for path in take(0.002):
        os.rename(path, path + ".renamed")
    for path in take(0.001):
        write(path + ".new", w.content(5000), 5)
    with open(os.path.join(folder, "large.log"), "ab") as out:
        out.write(w.log(1_000_000))


def make_small(folder, files):
    w = Writer(1)
    text = w.source(1_000_000)
    for i in range(files):
        at = os.path.join(folder, "part%d" % (i // 1000))
        if i % 1000 == 0:
            os.makedirs(at)
        begin = w.rng.randrange(999_000)
        write(os.path.join(at, "file%d" % i), text[begin : begin + w.rng.randint(0, 1000)], i)


if sys.argv[1] == "--change":
    change(sys.argv[2], int(sys.argv[3]))
elif sys.argv[1] == "--small":
    make_small(sys.argv[2], int(sys.argv[3]))
else:
    numbers = [int(a) for a in sys.argv[2:]] + [36000, 500, 1][len(sys.argv) - 2:]
    make(sys.argv[1], *numbers)
