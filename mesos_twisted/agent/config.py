"""Every flag of the agent, once; those a master has as well are in daemon_config.

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
    another_default,
    choice,
    flag,
)
from mesos_twisted.daemon_config import DaemonConfig
from mesos_twisted.zookeeper.url import without_credentials

#: Shown without a ZooKeeper URL's credentials.
MASTERS: Kind[str] = Kind("text", str, without_credentials)


@dataclass(frozen=True, slots=True)
class AgentConfig(DaemonConfig):
    """What an operator can set on an agent."""

    DAEMON: ClassVar[str] = "agent"

    master: str | None = flag(
        MASTERS, None, "where the masters are: host:port[,host:port…] or zk://host:port,…/path"
    )
    zk_session_timeout: float = flag(
        DURATION, 30.0, "silence after which ZooKeeper's word on the leader counts no more"
    )
    standby_links: bool = flag(
        BOOL, True, "keep a link to each master that may lead later; needs --master=zk://…"
    )
    work_dir: str = flag(PATH, "/var/lib/mesos/agent", "sandboxes, checkpoints and caches")
    runtime_dir: str = flag(PATH, "/var/run/mesos", "the launcher's socket and journal")
    port: int = flag(PORT, 5051, "the TLS port for operators and executors")
    executor_port: int = flag(
        PORT, 0, "loopback port for executors without TLS; 0: any, kept over restarts"
    )
    resources: str | None = flag(
        TEXT, None, "what to offer; the rest is found out: cpus:4;mem:1024"
    )
    attributes: str | None = flag(TEXT, None, "what to tell frameworks: rack:r1;level:10")
    default_role: str = flag(TEXT, "*", "the role of resources that name none")
    authenticate_http_executors: bool = flag(BOOL, True, "executors prove who they are")
    http_credentials: str | None = flag(PATH, None, "file of principals and scrypt-hashed secrets")
    jwt_secret_key: str | None = flag(
        PATH, None, "file with the key that signs executors' tokens; made in work_dir when unset"
    )
    containerizers: tuple[str, ...] = flag(NAMES, ("mesos",), "containerizers, first that accepts")
    launcher: str = flag(choice("posix"), "posix", "how containers are started")
    isolation: tuple[str, ...] = flag(
        NAMES, ("posix/cpu", "posix/mem", "posix/rlimits", "disk/du"), "isolators, in order"
    )
    launcher_dir: str | None = flag(PATH, None, "where the built launcher is kept")
    launcher_start: str = flag(
        choice("own", "socket"), "own", "who starts the launcher: the agent, or systemd's socket"
    )
    switch_user: bool = flag(BOOL, True, "run tasks as their user (when the agent is root)")
    enforce_container_disk_quota: bool = flag(BOOL, False, "end containers over their disk")
    container_disk_watch_interval: float = flag(DURATION, 15.0, "how often sandboxes are measured")
    executor_registration_timeout: float = flag(DURATION, 60.0, "time to subscribe after launch")
    executor_reregistration_timeout: float = flag(DURATION, 2.0, "time to return after a restart")
    executor_shutdown_grace_period: float = flag(DURATION, 5.0, "time to end when asked to")
    http_executor_domain_sockets: bool = flag(BOOL, False, "executor API on a Unix socket as well")
    domain_socket_location: str | None = flag(
        PATH, None, "where that socket is; agent.sock in runtime_dir if unset"
    )
    executor_environment_variables: str | None = flag(TEXT, None, "JSON of names and values")
    recover: str = flag(
        choice("reconnect", "cleanup"), "reconnect", "keep old tasks, or end them, forget and leave"
    )
    strict: bool = flag(BOOL, True, "a damaged checkpoint stops the agent; else the rest is used")
    recovery_timeout: float = flag(
        DURATION, 900.0, "time executors wait for a lost agent, and the agent for its launcher"
    )
    reconfiguration_policy: str = flag(
        choice("equal", "additive"), "equal", "how resources and attributes may change on restart"
    )
    registration_backoff_factor: float = flag(DURATION, 1.0, "first wait before registering again")
    fetcher_cache_dir: str | None = flag(PATH, None, "cache of fetched files; in work_dir if unset")
    fetcher_cache_size: int = flag(BYTES, 2 << 30, "how much the cache may hold")
    fetcher_stall_timeout: float = flag(DURATION, 60.0, "a download without data ends after this")
    gc_delay: float = flag(DURATION, 604800.0, "how long sandboxes are kept")
    gc_disk_headroom: float = flag(FLOAT, 0.1, "share of the disk to keep free")
    disk_watch_interval: float = flag(DURATION, 60.0, "how often the disk is measured")
    container_logger_max_size: int = flag(BYTES, 10 << 20, "stdout and stderr are rotated here")
    container_logger_max_files: int = flag(INT, 3, "rotated files kept for each")
    max_completed_executors_per_framework: int = flag(INT, 150, "finished executors kept")
    max_operator_body: int = flag(BYTES, 1 << 20, "largest body of a request")
    max_stream_buffer: int = another_default(DaemonConfig, "max_stream_buffer", 16 << 20)
    max_unauthenticated_connections: int = another_default(
        DaemonConfig, "max_unauthenticated_connections", 200
    )
    external_log_file: str | None = flag(PATH, None, "a log file to show under /slave/log")


_LATER = "containers are POSIX processes here"
_MODULES = "C++ modules cannot be loaded"

#: Flags of Mesos that are accepted and do nothing here.
WITHOUT_EFFECT = {
    "http_heartbeat_interval": "it is for streams of attached containers, which are not built; "
    "schedulers hear a heartbeat each 15 s and executors each 30 min, as from Mesos",
    "authenticatee": "agents prove themselves by certificate",
    "authentication_backoff_factor": "agents prove themselves by certificate",
    "authentication_timeout_min": "agents prove themselves by certificate",
    "authentication_timeout_max": "agents prove themselves by certificate",
    "credential": "agents prove themselves by certificate",
    "authorizer": "the local authorizer is built in",
    "http_authenticators": "certificates, Basic and tokens are all built in",
    "hostname_lookup": "host names are not looked up; set --hostname",
    "initialize_driver_logging": "there is no driver library",
    "logbufsecs": "logs are never buffered",
    "log_dir": "logs go to standard error; use the journal",
    "quiet": "set --logging_level",
    "version": "use mesos-twisted --version",
    "memory_profiling": "not built in",
    "modules": _MODULES,
    "modules_dir": _MODULES,
    "hooks": _MODULES,
    "secret_resolver": _MODULES,
    "resource_estimator": _MODULES,
    "qos_controller": _MODULES,
    "container_logger": "output is always rotated by size",
    "ip_discovery_command": "set --ip",
    "master_detector": "set --master",
    "http_command_executor": "command tasks need no executor process",
    "frameworks_home": "relative executor paths are not rewritten",
    "hadoop_home": "only file, http and https are fetched",
    "sandbox_directory": _LATER,
    "cgroups_root": _LATER,
    "cgroups_hierarchy": _LATER,
    "cgroups_enable_cfs": _LATER,
    "cgroups_limit_swap": _LATER,
    "cgroups_destroy_timeout": _LATER,
    "cgroups_cpu_enable_pids_and_tids_count": _LATER,
    "image_providers": _LATER,
    "docker": _LATER,
    "docker_kill_orphans": _LATER,
    "docker_registry": _LATER,
    "docker_remove_delay": _LATER,
    "docker_socket": _LATER,
    "docker_stop_timeout": _LATER,
    "docker_store_dir": _LATER,
    "perf_duration": _LATER,
    "perf_interval": _LATER,
    "revocable_cpu_low_priority": _LATER,
    "systemd_enable_support": "tasks outlive the agent without it",
    "systemd_runtime_directory": "tasks outlive the agent without it",
    "oversubscribed_resources_interval": "nothing is oversubscribed",
    "qos_correction_interval_min": "nothing is oversubscribed",
    "gc_non_executor_container_sandboxes": "every sandbox is collected",
}

WITHOUT_EFFECT |= dict.fromkeys(
    (
        "appc_simple_discovery_uri_prefix",
        "appc_store_dir",
        "default_container_shm_size",
        "docker_config",
        "docker_ignore_runtime",
        "docker_mesos_image",
        "docker_volume_checkpoint_dir",
        "docker_volume_chown",
        "host_path_volume_force_creation",
        "image_gc_config",
        "image_provisioner_backend",
        "volume_gid_range",
    ),
    "containers have no images and no volumes of their own",
)
WITHOUT_EFFECT |= dict.fromkeys(
    (
        "agent_subsystems",
        "allowed_devices",
        "cgroups_net_cls_primary_handle",
        "cgroups_net_cls_secondary_handles",
        "perf_events",
        "seccomp_config_dir",
        "xfs_kill_containers",
        "xfs_project_range",
        "xfs_quota_headroom",
    ),
    "it tunes an isolator that --isolation does not have",
)
WITHOUT_EFFECT |= dict.fromkeys(
    (
        "check_agent_port_range_only",
        "container_ports_isolated_range",
        "container_ports_watch_interval",
        "egress_burst",
        "egress_ceil_limit",
        "egress_flow_classifier_parent",
        "egress_rate_limit_per_container",
        "egress_rate_per_cpu",
        "egress_unique_flow_per_container",
        "ephemeral_ports_per_container",
        "eth0_name",
        "ingress_burst",
        "ingress_ceil_limit",
        "ingress_isolate_existing_containers",
        "ingress_rate_limit_per_container",
        "ingress_rate_per_cpu",
        "lo_name",
        "maximum_egress_rate_limit",
        "maximum_ingress_rate_limit",
        "minimum_egress_rate_limit",
        "minimum_ingress_rate_limit",
        "network_cni_metrics",
        "network_cni_root_dir_persist",
        "network_enable_rate_statistics",
        "network_enable_snmp_statistics",
        "network_enable_socket_statistics_details",
        "network_enable_socket_statistics_summary",
        "network_link_speed",
        "network_rate_statistics_interval",
        "network_rate_statistics_window",
    ),
    "containers use this host's network, and no isolator of --isolation looks at it",
)
WITHOUT_EFFECT |= {
    "agent_features": "an agent tells the capabilities it has, and none can be taken from it",
    "disk_profile_adaptor": _MODULES,
    "executor_reregistration_retry_interval": "executors speak HTTP, and come back by themselves",
    "ip6": "this agent listens on --ip alone",
    "ip6_discovery_command": "this agent listens on --ip alone",
}

_CAPABILITIES = "the capabilities of tasks cannot be limited; run them as a user with --switch_user"
_NAMESPACES = "containers share this host's namespaces; leave it out"
_PROVIDERS = "resource providers and CSI plugins are not built; declare disks with --resources"
_NETWORKS = "containers use this host's network and no CNI network can be joined; leave it out"

#: Flags of Mesos whose effect an operator would miss: an agent that is given one does not start.
REFUSED = {
    "bounding_capabilities": _CAPABILITIES,
    "effective_capabilities": _CAPABILITIES,
    "csi_plugin_config_dir": _PROVIDERS,
    "resource_provider_config_dir": _PROVIDERS,
    "default_container_dns": "containers resolve names as this host does; leave it out",
    "default_container_info": "containers take nothing by default; frameworks set ContainerInfo",
    "disallow_sharing_agent_ipc_namespace": _NAMESPACES,
    "disallow_sharing_agent_pid_namespace": _NAMESPACES,
    "enforce_container_ports": "no container is ended for the ports it listens on; leave it out",
    "firewall_rules": "no path can be switched off; set --acls, which refuse by principal",
    "network_cni_config_dir": _NETWORKS,
    "network_cni_plugins_dir": _NETWORKS,
    "nvidia_gpu_devices": "devices are not given to containers; leave it out",
    "seccomp_profile_name": "containers run without a seccomp filter; leave it out",
}

ALIASES = {
    "allowed_capabilities": "effective_capabilities",
    "executor_secret_key": "jwt_secret_key",
    "slave_subsystems": "agent_subsystems",
}
