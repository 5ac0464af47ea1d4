"""`mesos-twisted local` and `mesos-twisted demo`: a cluster on this machine, and a job on it.

Exit codes: 0 ended as asked (with --once: the job finished), 1 trouble, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from mesos_twisted.demo.wordcount import Identity, WordCount
from mesos_twisted.errors import MesosError, UnavailableError
from mesos_twisted.local.cluster import LocalCluster
from mesos_twisted.local.layout import Layout, prepare
from mesos_twisted.sdk.scheduler import SchedulerDriver
from mesos_twisted.sdk.values import framework_info

DEFAULT_FILES = Path("/usr/share/common-licenses")
TOP_WORDS = 10
JOB_TIMEOUT_S = 300.0


def start(name: str, arguments: Sequence[str]) -> int:
    """Run `local` or `demo` until Ctrl-C, or until the job has ended; the exit status."""
    options = _options(name, arguments)
    files = _files(options.files) if name == "demo" else []
    from twisted.internet import reactor

    program = _Program(reactor, name, options, files)
    program.run()
    return program.status


def _options(name: str, arguments: Sequence[str]) -> argparse.Namespace:
    about = {
        "local": "A whole cluster on this machine, over mutual TLS; ends with Ctrl-C.",
        "demo": "A whole cluster on this machine and a distributed word count on it.",
    }
    parser = argparse.ArgumentParser(prog=f"mesos-twisted {name}", description=about[name])
    parser.add_argument("--dir", type=Path, default=Path("cluster"), help="where it keeps things")
    parser.add_argument("--agents", type=int, default=2, help="how many agents (default 2)")
    parser.add_argument(
        "--port", type=int, default=5050, help="the master's port if it is free (0: any)"
    )
    if name == "demo":
        parser.add_argument("--once", action="store_true", help="end when the job has ended")
        parser.add_argument("files", nargs="*", type=Path, help="texts whose words are counted")
    options = parser.parse_args(list(arguments))
    if options.agents < 1:
        parser.error("--agents must be at least 1")
    if not 0 <= options.port < 65536:
        parser.error("--port must be from 0 to 65535")
    return options


def _files(given: list[Path]) -> list[Path]:
    for path in given:
        if not path.is_file() or not os.access(path, os.R_OK):
            raise UnavailableError(f"{path} is not a readable file; give texts to count")
    files = given or sorted(p for p in DEFAULT_FILES.glob("*") if p.is_file())
    if not files:
        raise UnavailableError(f"No file in {DEFAULT_FILES}; give texts to count as arguments")
    # Two names of one file (the licences are linked to each other) are one text.
    return sorted({path.resolve() for path in files})


def say(text: str) -> None:
    """A line of progress, at once."""
    print(text, flush=True)


class _Program:
    """One run of the command, from the first certificate to the last process."""

    def __init__(
        self, reactor: Any, name: str, options: argparse.Namespace, files: list[Path]
    ) -> None:
        self.status = 0
        self._reactor, self._name, self._options, self._files = reactor, name, options, files
        self._cluster: LocalCluster | None = None
        self._interrupted: Deferred[str] = Deferred()
        self._ending = False

    def run(self) -> None:
        """Returns when every process has ended."""
        self._reactor.callWhenRunning(self._begin)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self._reactor.run()

    def _begin(self) -> None:
        ensureDeferred(self._work()).addErrback(self._failed).addBoth(self._end)

    def _end(self, _: object) -> None:
        if self._reactor.running and not self._ending:
            self._reactor.stop()

    def _failed(self, failure: Failure) -> None:
        if failure.check(MesosError):
            say(f"mesos-twisted {self._name}: {failure.getErrorMessage()}")
        else:
            failure.printTraceback(sys.stderr)
        self.status = 1

    def _trouble(self, sentence: str) -> None:
        self.status = 1
        say(sentence)
        self._interrupt(sentence)

    def _interrupt(self, reason: str) -> None:
        if not self._interrupted.called:
            self._interrupted.callback(reason)

    def _stop(self) -> Deferred[None] | None:
        self._ending = True
        self._interrupt("interrupted")
        if self._cluster is None:
            return None
        cluster, self._cluster = self._cluster, None
        return ensureDeferred(cluster.stop())

    async def _work(self) -> None:
        layout = Layout(self._options.dir.resolve(), self._options.agents)
        say(f"certificates and work directories: {layout.root}")
        prepare(layout)
        cluster = self._cluster = LocalCluster(
            self._reactor, layout, self._trouble, self._options.port
        )
        say(f"starting a master and {layout.agents} agents over mutual TLS (logs: {layout.logs})")
        await cluster.start()
        say(f"the cluster is up: {cluster.url}")
        if self._name == "demo":
            await self._demo(cluster)
            if self._options.once:
                return
        self._tell(cluster)
        if not self._interrupted.called:
            await self._interrupted

    async def _demo(self, cluster: LocalCluster) -> None:
        layout = cluster.layout
        identity = Identity(layout.cert("framework"), layout.key("framework"), layout.ca)
        agents = layout.agents
        job = WordCount(self._files, identity, say, maps_wanted=4 * agents, reduces_wanted=agents)
        leader = cluster.leader("framework")
        info = framework_info("word count", getpass.getuser(), principal="framework")
        driver = SchedulerDriver(self._reactor, job, info, leader)
        say(f"counting the words of {len(self._files)} files")
        ended = driver.start()
        deadline = self._reactor.callLater(
            JOB_TIMEOUT_S, job.give_up, f"the job did not finish within {JOB_TIMEOUT_S:g} s"
        )
        self._interrupted.addCallback(_pass_on, job)
        reason = await job.done
        if deadline.active():
            deadline.cancel()
        if reason is None:
            await self._result(cluster, driver, job)
        await driver.stop(teardown=True)
        await ended
        if reason is not None:
            self.status = 1
            raise UnavailableError(f"the job failed: {reason}")

    async def _result(self, cluster: LocalCluster, driver: SchedulerDriver, job: WordCount) -> None:
        counts: dict[str, int] = {}
        for work in job.reduces:
            path = job.sandbox(driver, work) + "/result.json"
            url = f"{work.agent_url}/files/download?path={path}"
            answer = await cluster.http.request("GET", url)
            if answer.status != 200:
                raise UnavailableError(f"{work.name}'s result could not be read: {answer.status}")
            counts.update(msgspec.json.decode(answer.body, type=dict[str, int]))
        total = sum(counts.values())
        agents = len({work.agent_id for work in (*job.maps, *job.reduces)})
        say(f"result: {total} words, {len(counts)} different ones, counted on {agents} agents")
        for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP_WORDS]:
            say(f"  {count:>8}  {word}")

    def _tell(self, cluster: LocalCluster) -> None:
        layout = cluster.layout
        base = (
            f"--master {cluster.master} --cacert {layout.ca} "
            f"--cert {layout.cert('operator')} --key {layout.key('operator')}"
        )
        tool = Path(sys.executable).with_name("mesos-twisted")
        curl = (
            f"curl --cacert {layout.ca} --cert {layout.cert('operator')} "
            f"--key {layout.key('operator')} {cluster.url}state-summary"
        )
        say(f"logs:       {layout.logs}")
        say(f"state page: {cluster.url}  (user operator, secret in {layout.operator_secret})")
        say("try next:")
        say(f"  {tool} run {base} -- 'echo hello from $(hostname)'")
        say(f"  {tool} agent list {base}")
        say(f"  {curl}")
        say("Ctrl-C ends the cluster.")


def _pass_on(reason: str, job: WordCount) -> str:
    job.give_up(reason)
    return reason
