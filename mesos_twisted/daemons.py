"""Start a daemon from its arguments: read the flags, say what is wrong with them, run it.

Exit codes: 0 ended as asked, 1 trouble while running, 2 a wrong flag or setting.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mesos_twisted import config
from mesos_twisted.errors import MesosError

DAEMONS = ("master", "agent", "launcher", "connect", "local", "demo", "simulate")
#: What `agent` can be asked for; without one of these it is the daemon.
AGENT_VERBS = ("list", "inspect", "drain", "deactivate", "reactivate", "gone")


def is_daemon(arguments: Sequence[str]) -> bool:
    """Do these arguments start a process that stays, rather than ask the cluster something?"""
    if not arguments or arguments[0] not in DAEMONS:
        return False
    return not (arguments[0] == "agent" and len(arguments) > 1 and arguments[1] in AGENT_VERBS)


def start(name: str, arguments: Sequence[str]) -> int:
    """Run the daemon until it ends; its exit status."""
    try:
        return _start(name, arguments)
    except MesosError as error:
        print(f"mesos-twisted {name}: {error}", file=sys.stderr)
        return 2


def _start(name: str, arguments: Sequence[str]) -> int:
    # Each daemon is imported only when it is the one to run: start-up time and memory.
    if name == "master":
        from mesos_twisted.master import config as master

        loaded = config.load(
            master.MasterConfig,
            arguments,
            os.environ,
            without_effect=master.WITHOUT_EFFECT,
            refused=master.REFUSED,
            aliases=master.ALIASES,
        )
        if _asked(loaded, "mesos-twisted master: offers resources to frameworks"):
            return 0
        from mesos_twisted.master.main import check, run

        return 0 if check(loaded.config) and loaded.check_only else run(loaded.config)
    if name == "agent":
        from mesos_twisted.agent import config as agent

        loaded_agent = config.load(
            agent.AgentConfig,
            arguments,
            os.environ,
            without_effect=agent.WITHOUT_EFFECT,
            refused=agent.REFUSED,
            aliases=agent.ALIASES,
        )
        if _asked(loaded_agent, "mesos-twisted agent: runs tasks on this machine"):
            return 0
        from mesos_twisted.agent.main import check as check_agent
        from mesos_twisted.agent.main import run as run_agent

        if check_agent(loaded_agent.config) and loaded_agent.check_only:
            return 0
        return run_agent(loaded_agent.config)
    if name == "launcher":
        from mesos_twisted.containerizer.zygote import start as launcher

        return launcher.start(arguments)
    if name == "connect":
        from mesos_twisted.connect import main as connect

        return connect.start(arguments)
    if name == "simulate":
        from mesos_twisted.testing.sim import main as simulation

        return simulation.start(arguments)
    from mesos_twisted.local import main as local

    return local.start(name, arguments)


def _asked(loaded: config.Loaded[config.T], title: str) -> bool:
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if loaded.help_asked:
        print(config.help_text(type(loaded.config), title), end="")
    return loaded.help_asked
