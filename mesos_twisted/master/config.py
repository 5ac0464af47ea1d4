"""Every flag of the master, once; those an agent has as well are in daemon_config.

Names, syntax and defaults are Mesos's where it has the flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesos_twisted.config import (
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INT,
    NAMES,
    PATH,
    PORT,
    TEXT,
    Kind,
    choice,
    flag,
)
from mesos_twisted.daemon_config import DaemonConfig
from mesos_twisted.zookeeper.url import parse_zk_url, without_credentials


def _zk(text: str) -> str:
    parse_zk_url(text)
    return text


#: Shown without the credentials.
ZK: Kind[str] = Kind("zk", _zk, without_credentials)


@dataclass(frozen=True, slots=True)
class MasterConfig(DaemonConfig):
    """What an operator can set on a master."""

    DAEMON: ClassVar[str] = "master"

    work_dir: str = flag(PATH, "/var/lib/mesos/master", "where the registry is kept")
    port: int = flag(PORT, 5050, "the TLS port for frameworks, agents and operators")
    cluster: str | None = flag(TEXT, None, "the cluster's name, shown in the state")
    zk: str | None = flag(
        ZK, None, "the ensemble that elects the leader: zk://[user:password@]host:port,…/path"
    )
    zk_session_timeout: float = flag(
        DURATION, 6.0, "silence after which ZooKeeper takes the leadership away"
    )
    zk_acl: str | None = flag(
        TEXT, None, "who may write our nodes: scheme:identity;… (unset: its maker)"
    )
    registry: str = flag(
        choice("replicated_log", "sqlite", "in_memory"),
        "replicated_log",
        "where admitted agents and weights are kept: with --zk in ZooKeeper, else in SQLite",
    )
    registry_zk_path: str | None = flag(
        TEXT, None, "the registry's path in ZooKeeper (unset: that of --zk and _registry)"
    )
    authenticate_http_frameworks: bool = flag(BOOL, True, "only known schedulers may subscribe")
    credentials: str | None = flag(PATH, None, "file of principals and scrypt-hashed secrets")
    jwt_secret_key: str | None = flag(PATH, None, "file with the key that signs accepted tokens")
    root_submissions: bool = flag(BOOL, True, "frameworks may run as root")
    allocator: str = flag(TEXT, "hierarchical", "the placement policy: hierarchical, priority, …")
    allocation_interval: float = flag(DURATION, 1.0, "time between periodic allocations")
    role_sorter: str = flag(choice("drf", "random"), "drf", "how roles are ordered")
    framework_sorter: str = flag(
        choice("drf", "random"), "drf", "how a role's frameworks are ordered"
    )
    offer_timeout: float | None = flag(DURATION, None, "unused offers are rescinded after this")
    min_allocatable_resources: str = flag(
        TEXT, "cpus:0.01|mem:32", "the least an offer holds: any one of these"
    )
    filter_gpu_resources: bool = flag(BOOL, True, "offer GPU agents only to GPU frameworks")
    offer_constraints_re2_max_mem: int = flag(
        BYTES, 4096, "most memory for one pattern of offer constraints"
    )
    offer_constraints_re2_max_program_size: int = flag(
        INT, 100, "largest program of one pattern of offer constraints"
    )
    fair_sharing_excluded_resource_names: tuple[str, ...] = flag(
        NAMES, (), "resources that do not count for fair shares"
    )
    require_agent_domain: bool = flag(BOOL, False, "agents without a fault domain are refused")
    roles: tuple[str, ...] = flag(NAMES, (), "the only roles frameworks may use; empty: any")
    weights: str | None = flag(TEXT, None, "role weights at first start: role=2.5,other=1")
    whitelist: str | None = flag(PATH, None, "file of host names that may be offered, re-read")
    agent_ping_timeout: float = flag(DURATION, 15.0, "time an agent has to answer a ping")
    max_agent_ping_timeouts: int = flag(INT, 5, "missed pings after which an agent is unreachable")
    agent_reregister_timeout: float = flag(DURATION, 600.0, "time agents have to return")
    agent_removal_rate_limit: str | None = flag(
        TEXT, None, "agents marked unreachable in a time at most, as 1/10mins; unset: no limit"
    )
    recovery_agent_removal_limit: str = flag(
        TEXT, "100%", "more agents than this missing after a failover stop the master"
    )
    max_completed_frameworks: int = flag(INT, 50, "finished frameworks kept for display")
    max_completed_tasks_per_framework: int = flag(INT, 1000, "finished tasks kept for each")
    max_unreachable_tasks_per_framework: int = flag(INT, 1000, "unreachable tasks kept for each")
    max_operator_event_stream_subscribers: int = flag(INT, 1000, "open operator streams; oldest go")
    publish_per_framework_metrics: bool = flag(BOOL, True, "count calls and events by framework")
    registry_fetch_timeout: float = flag(DURATION, 60.0, "time to read the registry at start")
    registry_gc_interval: float = flag(DURATION, 900.0, "time between looks for agents to forget")
    registry_max_agent_age: float = flag(
        DURATION, 14 * 86400.0, "unreachable and gone agents are forgotten after this"
    )
    registry_max_agent_count: int = flag(
        INT, 102_400, "unreachable agents, and gone ones, remembered at most"
    )
    registry_store_timeout: float = flag(DURATION, 20.0, "time for one write of the registry")
    max_scheduler_body: int = flag(BYTES, 5 << 20, "largest body of a scheduler call")
    max_operator_body: int = flag(BYTES, 1 << 20, "largest body of any other request")
    allocation_budget: float = flag(FLOAT, 0.01, "seconds one slice of an allocation may take")
    external_log_file: str | None = flag(PATH, None, "a log file to show under /master/log")


#: Flags of Mesos that are accepted and do nothing here.
WITHOUT_EFFECT = {
    "quorum": "there is no replicated log; ZooKeeper or SQLite keeps the registry",
    "log_auto_initialize": "there is no replicated log to initialize",
    "registry_strict": "the registry is always strict",
    "authenticate_agents": "an agent always proves itself by an agent's certificate",
    "authenticate_frameworks": "frameworks speak HTTP here: see --authenticate_http_frameworks",
    "authenticators": "certificates, Basic and tokens are all built in",
    "http_authenticators": "certificates, Basic and tokens are all built in",
    "http_framework_authenticators": "certificates, Basic and tokens are all built in",
    "authentication_v0_timeout": "the old libprocess authentication is not spoken",
    "authorizers": "the local authorizer is built in",
    "webui_dir": "the pages are part of the package",
    "hostname_lookup": "host names are not looked up; set --hostname",
    "initialize_driver_logging": "there is no driver library",
    "logbufsecs": "logs are never buffered",
    "log_dir": "logs go to standard error; use the journal",
    "quiet": "set --logging_level",
    "version": "use mesos-twisted --version",
    "memory_profiling": "not built in",
    "modules": "C++ modules cannot be loaded; policies are Python entry points",
    "modules_dir": "C++ modules cannot be loaded; policies are Python entry points",
    "hooks": "C++ modules cannot be loaded",
    "ip_discovery_command": "set --ip",
    "master_contender": "C++ modules cannot be loaded",
    "master_detector": "C++ modules cannot be loaded",
    "allocator_agent_recovery_factor": "offers never wait for returning agents",
    "allocator_recovery_timeout": "offers never wait for returning agents",
    "max_executors_per_agent": "an agent's executors are not limited",
}

#: Flags of Mesos whose effect an operator would miss: a master that is given one does not start.
REFUSED = {
    "firewall_rules": "no path can be switched off; set --acls, which refuse by principal",
    "rate_limits": "calls are not limited by principal; leave it out, what one connection may hold "
    "is bounded by --max_scheduler_body and --max_stream_buffer",
}

ALIASES = {
    "authenticate": "authenticate_frameworks",
    "authenticate_http": "authenticate_http_readwrite",
    "user_sorter": "role_sorter",
    "slave_ping_timeout": "agent_ping_timeout",
    "max_slave_ping_timeouts": "max_agent_ping_timeouts",
    "slave_reregister_timeout": "agent_reregister_timeout",
    "slave_removal_rate_limit": "agent_removal_rate_limit",
    "recovery_slave_removal_limit": "recovery_agent_removal_limit",
    "authenticate_slaves": "authenticate_agents",
    "max_executors_per_slave": "max_executors_per_agent",
}
