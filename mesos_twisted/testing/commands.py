"""The command line as a user starts it: a process of its own, with settings in its environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from mesos_twisted.testing.processes import RunningCluster

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Done:
    """What a command left."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """`mesos-twisted` against one cluster as one identity; None is nobody."""

    cluster: RunningCluster
    identity: str | None = "operator"

    def environment(self, **more: str) -> dict[str, str]:
        """The user's environment, with nothing of the test process's settings in it."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
        clean["HOME"] = str(self.cluster.root / "home")
        clean["MESOS_TWISTED_MASTER"] = self.cluster.master
        clean["MESOS_TWISTED_CACERT"] = str(self.cluster.ca)
        if self.identity is not None:
            clean["MESOS_TWISTED_CERT"] = str(self.cluster.cert(self.identity))
            clean["MESOS_TWISTED_KEY"] = str(self.cluster.key(self.identity))
        return clean | more

    def start(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """A command that runs on; the caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "mesos_twisted", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(**more),
            start_new_session=True,
        )

    def __call__(self, *words: str, timeout_s: float = TIMEOUT_S, **more: str) -> Done:
        """Run a command to its end. Raises AssertionError when it does not end in time."""
        process = self.start(*words, **more)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(
                f"{' '.join(words)} did not end in {timeout_s:g} s:\n{out!r}\n{err!r}"
            ) from None
        return Done(process.returncode, out.decode(errors="surrogateescape"), err.decode())
