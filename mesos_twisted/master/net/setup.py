"""From a master's flags to the parts that need no reactor: policy, allocator, who is trusted.

Raises MesosError with one sentence for every setting that cannot work.
"""

from __future__ import annotations

import ipaddress
import json
import os
import pwd
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mesos_twisted import MESOS_VERSION
from mesos_twisted import config as flags
from mesos_twisted.build_stamp import build_stamp
from mesos_twisted.config import require
from mesos_twisted.errors import MalformedError, MesosError, Problem
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.core.allocator.interface import Allocator, AllocatorOptions, Sorter
from mesos_twisted.master.core.allocator.regexes import RegexLimits
from mesos_twisted.master.core.state import MASTER_CAPABILITIES, Policy
from mesos_twisted.master.net import coordination
from mesos_twisted.master.net.gate import OPEN_FRAMEWORK, OPEN_OPERATOR, Realm
from mesos_twisted.master.net.policies import make_allocator
from mesos_twisted.master.views.facts import Facts
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.quantities import Quantities, parse_quantities
from mesos_twisted.resources.roles import ANY_ROLE, check_role
from mesos_twisted.security.core.acls import parse_acls
from mesos_twisted.security.core.attempts import AttemptLimiter
from mesos_twisted.security.core.authorizer import AclPolicy, Authorizer, OwnThings
from mesos_twisted.security.core.credentials import CredentialStore
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net.files import read_bytes, read_credentials, read_token_key
from mesos_twisted.security.net.http_auth import (
    MASTER_READONLY,
    MASTER_READWRITE,
    MASTER_SCHEDULER,
    Authenticator,
)
from mesos_twisted.security.net.identity import IdentityCache, Side
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.units import parse_percentage, parse_rate

#: Bytes, or instructions: a larger limit would be none.
_LARGEST_REGEX = 1 << 30


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may do what here."""

    contexts: ContextSource
    identities: IdentityCache
    authorizer: Authorizer
    scheduler: Realm
    readonly: Realm
    readwrite: Realm


def check(config: MasterConfig) -> bool:
    """True when a master could start with these settings; raises MesosError otherwise."""
    # First what needs no file.
    authorizer(config)
    policy(config)
    allocator(config)
    weights(config)
    master_info(config, "check", config.port)
    coordination.check(config)
    contexts(config)
    if config.credentials is not None:
        read_credentials(config.credentials)
    if config.jwt_secret_key is not None:
        read_token_key(config.jwt_secret_key)
    return True


def contexts(config: MasterConfig) -> ContextSource:
    """This master's TLS contexts."""
    cert = require(config, "tls_cert_file", "every connection is under TLS")
    key = require(config, "tls_key_file", "every connection is under TLS")
    read_bytes(cert, "certificate")
    authorities = require(config, "tls_ca_file", "the authorities that peers must be signed by")
    return ContextSource(CertificateFiles(authorities, cert, key, config.tls_crl_file))


def authorizer(config: MasterConfig) -> Authorizer:
    """The operator's ACLs, or each principal its own."""
    if config.acls is not None:
        try:
            return Authorizer(AclPolicy(parse_acls(config.acls)))
        except MalformedError as error:
            raise MalformedError(f"Bad value for --acls: {error}") from None
    try:
        own = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        own = None
    return Authorizer(OwnThings(own))


def trust(
    config: MasterConfig, now: Callable[[], float], own: ContextSource | None = None
) -> Trust:
    """Everything about identity; `own` contexts are used in place of the files'."""
    store = None
    if config.credentials is not None:
        store = CredentialStore(read_credentials(config.credentials).entries, os.urandom(32))
    tokens = None if config.jwt_secret_key is None else read_token_key(config.jwt_secret_key)
    # Wrong proofs are counted together, whatever the realm they were tried in.
    limiter = AttemptLimiter()

    def authenticator(realm: str) -> Authenticator:
        return Authenticator(
            realm,
            now=now,
            store=store,
            operators=frozenset(config.operators),
            tokens=tokens,
            token_roles=frozenset({Role.FRAMEWORK}),
            limiter=limiter,
        )

    return Trust(
        contexts(config) if own is None else own,
        IdentityCache(Side.CLIENT, config.cluster),
        authorizer(config),
        Realm(authenticator(MASTER_SCHEDULER), config.authenticate_http_frameworks, OPEN_FRAMEWORK),
        Realm(
            authenticator(MASTER_READONLY),
            config.authenticate_http_readonly,
            OPEN_OPERATOR,
            changes=False,
        ),
        Realm(authenticator(MASTER_READWRITE), config.authenticate_http_readwrite, OPEN_OPERATOR),
    )


def policy(config: MasterConfig) -> Policy:
    """What the core needs of the flags."""
    for role in config.roles:
        problem = check_role(role)
        if problem is not None:
            raise MalformedError(f"Bad value for --roles: {problem.sentence}")
    for name, limit in (
        ("offer_constraints_re2_max_mem", config.offer_constraints_re2_max_mem),
        ("offer_constraints_re2_max_program_size", config.offer_constraints_re2_max_program_size),
    ):
        if not 0 < limit <= _LARGEST_REGEX:
            raise MalformedError(
                f"Bad value for --{name}: {limit} is not from 1 to {_LARGEST_REGEX}"
            )
    return Policy(
        offer_timeout_s=config.offer_timeout,
        agent_ping_timeout_s=config.agent_ping_timeout,
        max_agent_ping_timeouts=config.max_agent_ping_timeouts,
        agent_reregister_timeout_s=config.agent_reregister_timeout,
        removal_interval_s=_read(config, "agent_removal_rate_limit", parse_rate, 0.0),
        recovery_removal_limit=_read(config, "recovery_agent_removal_limit", parse_percentage, 1.0),
        registry_max_agent_age_s=config.registry_max_agent_age,
        registry_max_agent_count=_no_less(0, config, "registry_max_agent_count"),
        max_completed_frameworks=config.max_completed_frameworks,
        max_completed_tasks_per_framework=config.max_completed_tasks_per_framework,
        max_unreachable_tasks_per_framework=config.max_unreachable_tasks_per_framework,
        roles=frozenset(config.roles) or None,
        root_submissions=config.root_submissions,
        require_agent_domain=config.require_agent_domain,
        publish_per_framework_metrics=config.publish_per_framework_metrics,
        regex_limits=RegexLimits(
            config.offer_constraints_re2_max_mem, config.offer_constraints_re2_max_program_size
        ),
        allocation_budget=agents_per_slice(config),
    )


def _read(
    config: MasterConfig, name: str, parse: Callable[[str], float], otherwise: float
) -> float:
    text: str | None = getattr(config, name)
    try:
        return otherwise if text is None else parse(text)
    except MalformedError as error:
        raise MalformedError(f"Bad value for --{name}: {error}") from None


def _no_less(least: int, config: MasterConfig, name: str) -> int:
    value: int = getattr(config, name)
    if value < least:
        raise MalformedError(f"Bad value for --{name}: {value} is below {least}")
    return value


def agents_per_slice(config: MasterConfig) -> int:
    """Agents one turn may look at: some fifty microseconds each, their offers included."""
    return max(50, int(config.allocation_budget * 20_000))


def allocator(config: MasterConfig) -> Allocator:
    """The placement policy, knowing nothing yet."""
    fault = domain(config)
    region = None
    if fault is not None and fault.fault_domain is not None:
        region = fault.fault_domain.region.name
    options = AllocatorOptions(
        allocation_interval_s=config.allocation_interval,
        role_sorter=Sorter(config.role_sorter),
        framework_sorter=Sorter(config.framework_sorter),
        min_allocatable=_least(config.min_allocatable_resources),
        filter_gpu_resources=config.filter_gpu_resources,
        excluded_from_fairness=frozenset(config.fair_sharing_excluded_resource_names),
        region=region,
    )
    made = make_allocator(config.allocator, options)
    if isinstance(made, Problem):
        raise MalformedError(f"Bad value for --allocator: {made.sentence}")
    return made


def _least(text: str) -> tuple[Quantities, ...]:
    found: list[Quantities] = []
    for part in text.split("|") if text else ():
        amounts = parse_quantities(part)
        if isinstance(amounts, Problem):
            raise MalformedError(f"Bad value for --min_allocatable_resources: {amounts.sentence}")
        found.append(amounts)
    return tuple(found)


def domain(config: MasterConfig) -> m.DomainInfo | None:
    """This master's fault domain."""
    if config.domain is None:
        return None
    try:
        json.loads(config.domain)
    except ValueError as error:
        raise MalformedError(f"Bad value for --domain: it is not valid JSON ({error})") from None
    try:
        return codec_json.decode(m.DomainInfo, config.domain.encode())
    except MesosError as error:
        raise MalformedError(f"Bad value for --domain: {error}") from None


def weights(config: MasterConfig) -> Mapping[str, float]:
    """The weights of the flag."""
    found: dict[str, float] = {}
    for part in (config.weights or "").split(","):
        if not part.strip():
            continue
        role, _, text = part.strip().partition("=")
        problem = check_role(role)
        try:
            weight = float(text)
        except ValueError:
            weight = 0.0
        if problem is not None or not 0.0 < weight < float("inf"):
            raise MalformedError(
                f"Bad value for --weights: '{part.strip()}' is not role=number above zero"
            )
        if config.roles and role not in (*config.roles, ANY_ROLE):
            raise MalformedError(f"Bad value for --weights: role '{role}' is not among --roles")
        found[role] = weight
    return found


def master_info(config: MasterConfig, master_id: str, port: int) -> m.MasterInfo:
    """This master as clients, agents and the elector know it."""
    ip_text = config.advertise_ip or config.ip
    try:
        address = ipaddress.ip_address(ip_text)
    except ValueError:
        raise MalformedError(f"'{ip_text}' is not an IP address; set --ip or --advertise_ip") from (
            None
        )
    if address.is_unspecified:
        raise MalformedError(
            f"--ip={ip_text} listens everywhere; set --advertise_ip to where others reach this "
            "master"
        )
    hostname = config.hostname or ("localhost" if address.is_loopback else socket.getfqdn())
    port = config.advertise_port or port
    # Mesos writes the address as it lies in memory, network order read as little-endian.
    number = int.from_bytes(address.packed, "little") if address.version == 4 else 0
    host = f"[{ip_text}]" if address.version == 6 else ip_text
    return m.MasterInfo(
        id=master_id,
        ip=number,
        port=port,
        pid=f"master@{host}:{port}",
        hostname=hostname,
        version=MESOS_VERSION,
        address=m.Address(hostname=hostname, ip=ip_text, port=port),
        domain=domain(config),
        capabilities=tuple(
            m.MasterInfoCapability(type=m.MasterInfoCapabilityType(name))
            for name in MASTER_CAPABILITIES
        ),
    )


def facts(config: MasterConfig) -> Facts:
    """What the pages say about this build and its flags."""
    stamp = build_stamp()
    return Facts(
        MESOS_VERSION,
        build_date=stamp.date,
        build_time=stamp.time,
        build_user=stamp.user,
        cluster=config.cluster,
        external_log_file=config.external_log_file,
        flags=flags.document(config),
    )
