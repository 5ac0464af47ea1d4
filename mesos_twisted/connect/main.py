"""`mesos-twisted connect`: for clients that cannot speak TLS, or have no certificate.

It listens on loopback or a Unix socket in plaintext, follows the leading master, and speaks mutual
TLS for its clients. SIGHUP reads the certificates again.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from twisted.logger import Logger

from mesos_twisted import config
from mesos_twisted.clock import make_steady
from mesos_twisted.connect.config import ConnectConfig
from mesos_twisted.connect.net.connector import Connector
from mesos_twisted.connect.settings import check
from mesos_twisted.errors import MesosError
from mesos_twisted.logs import Logging
from mesos_twisted.systemd import Notifier

_log = Logger()


def start(arguments: Sequence[str]) -> int:
    """Run a connector until it is asked to end; its exit status."""
    loaded = config.load(ConnectConfig, arguments, os.environ)
    if loaded.help_asked:
        title = "mesos-twisted connect: a loopback door to the cluster for clients without TLS"
        print(config.help_text(ConnectConfig, title), end="")
        return 0
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    settings = loaded.config
    check(settings)
    if loaded.check_only:
        return 0
    Logging(sys.stderr, settings.log_format, settings.logging_level).begin()
    from twisted.internet import reactor

    make_steady(reactor)
    run: Any = reactor
    status = 0

    def failed(sentence: str) -> None:
        nonlocal status
        status = 1
        _log.error("Stopping: {sentence}", sentence=sentence)
        run.stop()

    connector = Connector(reactor, settings, Notifier(os.environ), failed)
    try:
        connector.start()
    except MesosError as error:
        print(f"mesos-twisted connect: {error}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGHUP, lambda *_: run.callFromThread(connector.reload))
    run.addSystemEventTrigger("before", "shutdown", connector.stop)
    run.callWhenRunning(connector.tell_ready)
    run.run()
    return status
