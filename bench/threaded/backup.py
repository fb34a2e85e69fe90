#!/usr/bin/env python3
"""backup.py SOURCE DESTINATION: a full backup as the tutorials make it: tarfile, then the MD5 of every file, read again in
pieces of 4 KiB, into a dictionary that is pickled."""
import hashlib
import os
import pickle
import sys
import tarfile
import time

source, destination = sys.argv[1:]
name = os.path.basename(os.path.normpath(source))
archive = os.path.join(destination, f"{name}_full_{time.strftime('%Y%m%d')}.tar.gz")
os.makedirs(destination, exist_ok=True)


def check_md5(path):
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while piece := file.read(4096):
            digest.update(piece)
    return digest.hexdigest()


with tarfile.open(archive, "w:gz") as tar:
    tar.add(source, arcname=".")
digests = {}
for folder, _, files in os.walk(source):
    for file in files:
        path = os.path.join(folder, file)
        digests[path] = check_md5(path)
with open(os.path.join(destination, f"{name}.md5"), "wb") as out:
    pickle.dump(digests, out)
print(f"{len(digests)} files in {archive}")
