"""From an agent's flags to the parts that need no reactor: policy, resources, who is trusted.

Raises MesosError with one sentence for every setting that cannot work.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesos_twisted import MESOS_VERSION
from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.agent.core.state import Policy
from mesos_twisted.agent.net import flag_values
from mesos_twisted.agent.net.leader import FixedMasters, MasterSource
from mesos_twisted.agent.net.resources_auto import completed
from mesos_twisted.config import require
from mesos_twisted.election.leader import watch_zookeeper
from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.resources.attributes import attributes_to_messages
from mesos_twisted.security.core.acls import parse_acls
from mesos_twisted.security.core.authorizer import AclPolicy, Authorizer, OwnThings
from mesos_twisted.security.core.credentials import CredentialStore
from mesos_twisted.security.core.tokens import TokenKey
from mesos_twisted.security.net.files import create_private, read_credentials, read_token_key
from mesos_twisted.security.net.http_auth import (
    AGENT_EXECUTOR,
    AGENT_READONLY,
    AGENT_READWRITE,
    Authenticator,
)
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.zookeeper.url import is_zk_url


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may do what here; an authenticator is None where it was turned off."""

    contexts: ContextSource
    tokens: TokenKey
    authorizer: Authorizer
    reading: Authenticator | None
    changing: Authenticator | None
    executors: Authenticator


def prepare_work_dir(config: AgentConfig) -> str:
    """The work directory, made if needed, as an absolute path without symlinks."""
    path = os.path.abspath(config.work_dir)
    try:
        os.makedirs(path, mode=0o711, exist_ok=True)
        real = os.path.realpath(path)
        os.makedirs(os.path.join(real, "meta"), mode=0o700, exist_ok=True)
    except OSError as error:
        raise MalformedError(
            f"The work directory {path} cannot be made: {error.strerror}; set --work_dir"
        ) from None
    return real


def check(config: AgentConfig) -> bool:
    """True when an agent could start with these settings; raises MesosError otherwise.

    Every flag is judged before any file is opened: a wrong word is not hidden by a missing file.
    """
    flag_values.judge(config)
    contexts(config)
    if config.http_credentials is not None:
        read_credentials(config.http_credentials)
    if config.jwt_secret_key is not None:
        read_token_key(config.jwt_secret_key)
    return True


def masters(
    config: AgentConfig, reactor: Any, contexts: ContextSource, jitter: Callable[[], float]
) -> MasterSource:
    """Who `--master` names, or whom ZooKeeper does."""
    if config.master is None or not is_zk_url(config.master):
        return FixedMasters(flag_values.masters(config))
    return watch_zookeeper(
        reactor,
        config.master,
        jitter,
        contexts if config.zk_tls else None,
        config.zk_session_timeout,
    )


def contexts(config: AgentConfig) -> ContextSource:
    """This agent's TLS contexts."""
    return ContextSource(
        CertificateFiles(
            require(config, "tls_ca_file", "the authorities that peers must be signed by"),
            require(config, "tls_cert_file", "every connection is under TLS"),
            require(config, "tls_key_file", "every connection is under TLS"),
            config.tls_crl_file,
        ),
        # Links are opened by agents, never accepted.
        server_alpn=("http/1.1",),
    )


def trust(config: AgentConfig, work_dir: str, now: Callable[[], float]) -> Trust:
    """Everything about identity; a token key is made once per work directory when none is set."""
    tokens = _tokens(config, work_dir)
    store, operators = None, frozenset(config.operators)
    if config.http_credentials is not None:
        entries = read_credentials(config.http_credentials).entries
        store = CredentialStore(entries, os.urandom(32))

    def authenticator(realm: str) -> Authenticator:
        return Authenticator(realm, now=now, store=store, operators=operators, tokens=tokens)

    return Trust(
        contexts(config),
        tokens,
        authorizer(config),
        authenticator(AGENT_READONLY) if config.authenticate_http_readonly else None,
        authenticator(AGENT_READWRITE) if config.authenticate_http_readwrite else None,
        Authenticator(AGENT_EXECUTOR, now=now, tokens=tokens),
    )


def authorizer(config: AgentConfig) -> Authorizer:
    """The operator's ACLs, or each principal its own."""
    if config.acls is not None:
        return Authorizer(AclPolicy(parse_acls(config.acls)))
    try:
        own = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        own = None
    return Authorizer(OwnThings(own))


def _tokens(config: AgentConfig, work_dir: str) -> TokenKey:
    if config.jwt_secret_key is not None:
        return read_token_key(config.jwt_secret_key)
    path = Path(work_dir, "meta", "executor-token.key")
    # Kept over restarts: running executors hold tokens it signed.
    if not path.exists():
        try:
            create_private(path, os.urandom(64))
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise UnavailableError(f"The key {path} cannot be made: {reason}.") from None
    return read_token_key(path)


def policy(config: AgentConfig, work_dir: str, port: int, executor_endpoint: str) -> Policy:
    """What the core needs of the flags; `port` is the one listened on."""
    ip = flag_values.advertised_ip(config)
    port = config.advertise_port or port
    return Policy(
        hostname=config.hostname or ip,
        ip=ip,
        port=port,
        pid=f"slave(1)@{ip}:{port}",
        version=MESOS_VERSION,
        resources=completed(config.resources, config.default_role, work_dir),
        attributes=attributes_to_messages(flag_values.attributes(config)),
        domain=flag_values.domain(config),
        work_dir=work_dir,
        executor_endpoint=executor_endpoint,
        domain_socket=flag_values.domain_socket(config),
        switch_user=config.switch_user,
        executor_environment=flag_values.executor_environment(config),
        recovery_timeout_s=config.recovery_timeout,
        executor_registration_timeout_s=config.executor_registration_timeout,
        executor_reregistration_timeout_s=config.executor_reregistration_timeout,
        executor_shutdown_grace_period_s=config.executor_shutdown_grace_period,
        gc_delay_s=config.gc_delay,
        gc_disk_headroom=config.gc_disk_headroom,
        reconfiguration_policy=config.reconfiguration_policy,
        recover=config.recover,
        strict=config.strict,
        registration_backoff_s=config.registration_backoff_factor,
        max_completed_executors_per_framework=config.max_completed_executors_per_framework,
    )
