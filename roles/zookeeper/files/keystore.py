"""Puts key and certificate into the one file that ZooKeeper reads: keystore.py KEY CERT OUT USER.

Prints `changed` when OUT was written. It is never readable by others, not for a moment.
"""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path


def main(key: Path, cert: Path, out: Path, user: str) -> None:
    wanted = key.read_bytes().rstrip() + b"\n" + cert.read_bytes()
    uid = pwd.getpwnam(user).pw_uid
    if out.exists():
        there = out.stat()
        if (there.st_uid, there.st_mode & 0o777) == (uid, 0o400) and out.read_bytes() == wanted:
            return
    new = out.with_name(f".{out.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with open(descriptor, "wb") as stream:
        stream.write(wanted)
        os.fchown(descriptor, uid, -1)
        os.fsync(descriptor)
    new.replace(out)
    print("changed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
