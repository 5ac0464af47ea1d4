"""A master's chores: forget idle fragments and agents lost long ago, notice new certificates, cut
revoked peers, read the whitelist.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from twisted.logger import Logger

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.master.net.driver import MasterDriver
from mesos_twisted.master.net.setup import Trust
from mesos_twisted.master.views.operator import OperatorViews
from mesos_twisted.master.views.pages import Pages
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.transport.listen import Listener
from mesos_twisted.transport.tls_factory import TLSServerFactory

#: Seconds after which fragments that nobody asked for give their memory back.
IDLE_S = 300.0
WHITELIST_S = 5.0
#: A revoked peer keeps its connections no longer than this once the list is on disk.
CERTIFICATES_S = 30.0


class Owner(Protocol):
    """The parts looked after."""

    config: MasterConfig
    driver: MasterDriver
    metrics: Metrics
    state: MasterState
    pages: Pages
    views: OperatorViews
    trust: Trust

    def now(self) -> float:
        """Epoch seconds."""
        ...

    def reload(self) -> bool:
        """Take the certificates as they are on disk; false when they are not good."""
        ...


class Upkeep:
    """The chores of one master."""

    log = Logger()

    def __init__(self, owner: Owner, timers: Timers) -> None:
        self._owner = owner
        self._timers = timers
        self._series: list[Timer] = []
        self._whitelist: str | None = None
        config = owner.config
        files = (
            config.tls_cert_file,
            config.tls_key_file,
            config.tls_ca_file,
            config.tls_crl_file,
        )
        self._files = [file for file in files if file is not None]
        self._marks = self._marked()

    def start(self) -> None:
        """The chores come at their times from here on."""
        self._series.append(self._timers.every(IDLE_S, self._forget_idle))
        self._series.append(self._timers.every(IDLE_S, self._forget_frameworks))
        self._series.append(self._timers.every(CERTIFICATES_S, self._look_at_certificates))
        gc_s = self._owner.config.registry_gc_interval
        if gc_s > 0:
            self._series.append(self._timers.every(gc_s, self._forget_agents))
        # As in Mesos, a star in place of a path means every host.
        if self._owner.config.whitelist not in (None, "*"):
            self._series.append(self._timers.every(WHITELIST_S, self._read_whitelist))
            self._read_whitelist()

    def stop(self) -> None:
        """No chore comes after this."""
        for timer in self._series:
            timer.cancel()
        self._series.clear()

    def cut_revoked(self, listener: Listener) -> None:
        """Connections whose certificate is on the revocation list now are closed."""
        factory = listener.factory
        if not isinstance(factory, TLSServerFactory):
            return
        contexts, cut = self._owner.trust.contexts, 0
        for connection in factory.connections():
            certificate = connection.peer_certificate()
            if certificate is not None and contexts.is_revoked(certificate):
                connection.abortConnection()
                cut += 1
        if cut:
            self.log.info("Cut {count} connections of revoked certificates", count=cut)

    def _look_at_certificates(self) -> None:
        marks = self._marked()
        # Files of a rotation may be replaced one by one: a reload that fails is tried again.
        if marks != self._marks and self._owner.reload():
            self._marks = marks

    def _marked(self) -> list[tuple[int, int, int]]:
        marks: list[tuple[int, int, int]] = []
        for file in self._files:
            try:
                found = os.stat(file)
                marks.append((found.st_ino, found.st_mtime_ns, found.st_size))
            except OSError:
                marks.append((0, 0, 0))
        return marks

    def _forget_idle(self) -> None:
        self._owner.pages.forget_idle()
        self._owner.views.forget_idle()

    def _forget_agents(self) -> None:
        if self._owner.state.leading:
            self._owner.driver.handle(ev.RegistryGcDue(self._owner.now()))

    def _forget_frameworks(self) -> None:
        """Counters of frameworks that are no longer even history cost memory for nothing."""
        state = self._owner.state
        kept = {
            framework.metrics
            for table in (state.frameworks, state.completed)
            for framework in table.values()
        }
        # A prefix is `master/frameworks/<name>/<id>/`: four parts and a slash.
        self._owner.metrics.forget(
            lambda name: (
                name.startswith("master/frameworks/")
                and "/".join(name.split("/")[:4]) + "/" not in kept
            )
        )

    def _read_whitelist(self) -> None:
        path = self._owner.config.whitelist
        if path is None:
            return
        try:
            text = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            self.log.error(
                "The whitelist {path} cannot be read and stays as it was: {why}",
                path=path,
                why=str(error),
            )
            return
        if text != self._whitelist:
            self._whitelist = text
            names = frozenset(line.strip() for line in text.splitlines() if line.strip())
            self._owner.driver.handle(ev.WhitelistRead(None if names == {"*"} else names))
