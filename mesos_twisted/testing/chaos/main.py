"""The process of a framework of a run.

python -m mesos_twisted.testing.chaos.main --name NAME --dir DIR --master URL --certs DIR
"""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

from msgspec import structs
from twisted.internet import reactor as installed
from twisted.logger import globalLogBeginner, textFileLogObserver

from mesos_twisted.clock import Timers
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk import SchedulerDriver, framework_info
from mesos_twisted.sdk.connect import master_client
from mesos_twisted.testing.chaos.framework import TICK_S, Chaotic, Ledger


def main(arguments: list[str]) -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m mesos_twisted.testing.chaos.main")
    parser.add_argument("--name", required=True)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--master", required=True)
    parser.add_argument("--certs", type=Path, required=True)
    parser.add_argument("--zk_tls", action="store_true")
    options = parser.parse_args(arguments)
    reactor: Any = installed
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    ledger = Ledger(options.dir / f"{options.name}.ledger")
    chaotic = Chaotic(options.dir, options.name, ledger, Random(f"{options.name} {os.getpid()}"))
    info = framework_info(options.name, getpass.getuser(), failover_timeout_s=3600.0)
    if chaotic.framework_id is not None:
        info = structs.replace(info, id=m.FrameworkID(value=chaotic.framework_id))
    tls = [options.certs / file for file in ("ca.pem", "framework.pem", "framework-key.pem")]
    client = master_client(reactor, [options.master], *tls, zk_tls=options.zk_tls)
    driver = SchedulerDriver(reactor, chaotic, info, client)
    chaotic.know(driver)
    driver.start().addCallback(lambda _: reactor.stop())
    Timers(reactor).every(TICK_S, chaotic.tick, driver)
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
