"""Reads pages again and again: `python -m bench.reader PORT DIRECTORY EVERY_S PATH...`.

One after the other, beginning one each EVERY_S seconds, until standard input closes; then it prints
{"pages": n, "bytes": n, "longest": seconds}.
"""

from __future__ import annotations

import json
import select
import sys
import time
from itertools import cycle
from pathlib import Path

from bench.client import Client
from mesos_twisted.local.layout import Layout


def main(port: str, directory: str, every_s: str, *paths: str) -> None:
    """Read until standard input closes. Raises RuntimeError for an answer that is not 200."""
    pages = size = 0
    longest, due = 0.0, time.monotonic()
    with Client("localhost", int(port), Layout(Path(directory), 1), "operator") as client:
        for path in cycle(paths):
            if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
                break
            began = time.monotonic()
            if path.startswith("GET_"):
                call = json.dumps({"type": path}).encode()
                answer = client.request("POST", "/api/v1", call, keep=False)
            else:
                answer = client.request("GET", path, keep=False)
            if answer.status != 200:
                raise RuntimeError(f"{path} answered {answer.status}")
            pages, size = pages + 1, size + int(answer.headers["x-size"])
            longest = max(longest, time.monotonic() - began)
            due = max(due + float(every_s), time.monotonic())
    print(json.dumps({"pages": pages, "bytes": size, "longest": longest}))


if __name__ == "__main__":
    main(*sys.argv[1:])
