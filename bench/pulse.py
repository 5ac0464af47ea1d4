"""Asks a master's /health again and again: `python -m bench.pulse PORT DIRECTORY`.

A process of its own, so that nothing else a benchmark does delays it. When standard input closes it
prints the delays as a JSON list of seconds. A delay counts the master's pauses, and also the
scheduling of a busy machine.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path

from bench.client import Client
from mesos_twisted.local.layout import Layout

EVERY_S = 0.002


def main(port: str, directory: str) -> None:
    """Ask until standard input closes."""
    delays = []
    with Client("localhost", int(port), Layout(Path(directory), 1), "operator") as client:
        wire = client.wire("GET", "/health")
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], EVERY_S)[0]:
            began = time.monotonic()
            client.socket.sendall(wire)
            _, fields = client.head()
            for _ in client.body(fields):
                pass
            delays.append(time.monotonic() - began)
    print(json.dumps(delays))


if __name__ == "__main__":
    main(*sys.argv[1:])
