"""How this master is chosen and where its registry is: alone, or with others through ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from mesos_twisted.clock import Timers
from mesos_twisted.election.interfaces import Elector
from mesos_twisted.election.standalone import StandaloneElector
from mesos_twisted.election.zookeeper import ZooKeeperElector
from mesos_twisted.errors import MalformedError
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.registry.interfaces import Registry
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.registry.zookeeper import ZooKeeperRegistry
from mesos_twisted.zookeeper.acl import acl_for
from mesos_twisted.zookeeper.net.ensemble import ClientContexts, Ensemble
from mesos_twisted.zookeeper.records import OPEN_ACL, Acl
from mesos_twisted.zookeeper.url import check_path, parse_zk_url

_log = Logger()

#: The shortest and longest session that makes sense, in seconds.
_SESSION_S = (1.0, 300.0)


def check(config: MasterConfig) -> None:
    """Raises MalformedError when the flags contradict each other."""
    if config.zk is None:
        for name in ("registry_zk_path", "zk_acl"):
            if getattr(config, name) is not None:
                raise MalformedError(f"--{name} needs --zk=zk://host:port/path")
        return
    if config.registry != "replicated_log":
        raise MalformedError(
            f"--registry={config.registry} is this master's alone and would be lost with it; with "
            "--zk leave --registry out"
        )
    low, high = _SESSION_S
    if not low <= config.zk_session_timeout <= high:
        raise MalformedError(f"--zk_session_timeout must be between {low:g} and {high:g} seconds")
    registry, election = registry_zk_path(config), parse_zk_url(config.zk).path
    if registry == election or registry.startswith(f"{election}/"):
        raise MalformedError(
            f"--registry_zk_path={registry} lies in the election's path {election}, whose nodes "
            "clients take for masters; choose one beside it"
        )
    acl(config)


def acl(config: MasterConfig) -> tuple[Acl, ...]:
    """What our nodes are made with. Raises MalformedError."""
    url = None if config.zk is None else parse_zk_url(config.zk)
    identified = config.zk_tls or (url is not None and url.credentials is not None)
    try:
        return acl_for(config.zk_acl, identified)
    except MalformedError as error:
        raise MalformedError(f"Bad value for --zk_acl: {error}") from None


def registry_zk_path(config: MasterConfig) -> str:
    """Where the registry is in ZooKeeper. Raises MalformedError."""
    if config.registry_zk_path is None:
        return f"{parse_zk_url(config.zk or '').path}_registry"
    try:
        return check_path(config.registry_zk_path.rstrip("/"))
    except MalformedError as error:
        raise MalformedError(f"Bad value for --registry_zk_path: {error}") from None


def parts(
    config: MasterConfig,
    reactor: Any,
    contexts: ClientContexts,
    chance: Callable[[], float],
    embedded: Callable[[MasterConfig, Any], Registry],
) -> tuple[Elector, Registry]:
    """What the flags ask for. `chance()` gives random numbers in [0, 1), `embedded` a registry in
    a file of this master's own.
    """
    check(config)
    if config.zk is None:
        memory = config.registry == "in_memory"
        return StandaloneElector(), MemoryRegistry() if memory else embedded(config, reactor)
    url, allowed = parse_zk_url(config.zk), acl(config)
    if allowed == OPEN_ACL:
        _log.warn(
            "Anyone who reaches ZooKeeper at {zk} may change the election and the registry; give "
            "--zk credentials (zk://user:password@…), or set --zk_tls",
            zk=str(url),
        )
    ensemble = Ensemble(
        reactor,
        url,
        config.zk_session_timeout,
        chance,
        contexts if config.zk_tls else None,
    )
    elector = ZooKeeperElector(ensemble.client, url.path, allowed, Timers(reactor))
    # New at each start: the registry knows its own earlier tries by it.
    name = f"{config.hostname or config.ip}:{config.port} {int(chance() * 2**48):012x}"
    registry = ZooKeeperRegistry(
        ensemble.client(),
        registry_zk_path(config),
        allowed,
        name,
        lambda: elector.node,
    )
    return elector, registry
