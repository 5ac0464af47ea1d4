"""What the text of the agent's flags means, judged without opening a file.

Raises MalformedError with one sentence that names the flag, for every value that cannot work.
"""

from __future__ import annotations

import ipaddress
import json
import os

from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.agent.net.leader import parse_masters
from mesos_twisted.agent.net.resources_auto import given_resources
from mesos_twisted.config import require
from mesos_twisted.containerizer.build import unknown_isolator
from mesos_twisted.containerizer.zygote.protocol import MAX_SOCKET_PATH, SOCKET_NAME
from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.attributes import Attributes, parse_attributes
from mesos_twisted.resources.roles import check_role
from mesos_twisted.security.core.acls import parse_acls
from mesos_twisted.zookeeper.url import is_zk_url, parse_zk_url

#: In the runtime directory, where no other place is set.
DOMAIN_SOCKET_NAME = "agent.sock"
#: Mesos's own bound.
MAX_REREGISTRATION_S = 15.0
_TLS = "every connection is under TLS"


def judge(config: AgentConfig) -> None:
    """Every flag has a value that can work, as far as its text tells."""
    masters(config)
    advertised_ip(config)
    given_resources(config.resources, config.default_role)
    attributes(config)
    domain(config)
    executor_environment(config)
    _acls(config)
    problem = check_role(config.default_role)
    if problem is not None:
        raise MalformedError(f"Bad value for --default_role: {problem.sentence}")
    problem = unknown_isolator(config.isolation)
    if problem is not None:
        raise MalformedError(problem.sentence)
    if "mesos" not in config.containerizers:
        named = ",".join(config.containerizers)
        raise MalformedError(f"--containerizers={named} names no containerizer here; add 'mesos'")
    if not 0 <= config.gc_disk_headroom <= 1:
        raise MalformedError(
            f"--gc_disk_headroom={config.gc_disk_headroom:g} is no share; write 0 to 1"
        )
    if config.executor_reregistration_timeout > MAX_REREGISTRATION_S:
        raise MalformedError(
            "--executor_reregistration_timeout is more than 15secs, which is the most; executors "
            "that wait for a lost agent are given --recovery_timeout"
        )
    if config.container_logger_max_files < 0:
        raise MalformedError("--container_logger_max_files is negative; write 0 or more")
    _socket_path("runtime_dir", os.path.join(config.runtime_dir, SOCKET_NAME))
    domain_socket(config)
    require(config, "tls_ca_file", "the authorities that peers must be signed by")
    require(config, "tls_cert_file", _TLS)
    require(config, "tls_key_file", _TLS)


def _acls(config: AgentConfig) -> None:
    if config.acls is None:
        return
    try:
        parse_acls(config.acls)
    except MalformedError as error:
        raise MalformedError(f"Bad value for --acls: {error}") from None


def masters(config: AgentConfig) -> tuple[tuple[str, int], ...]:
    """Hosts and ports of `--master`; none where ZooKeeper tells them."""
    text = require(config, "master", "host:port of the masters")
    try:
        if is_zk_url(text):
            parse_zk_url(text)
            return ()
        return parse_masters(text)
    except MalformedError as error:
        raise MalformedError(f"Bad value for --master: {error}") from None


def advertised_ip(config: AgentConfig) -> str:
    """The address others reach this agent at."""
    ip = config.advertise_ip or config.ip
    try:
        unspecified = ipaddress.ip_address(ip).is_unspecified
    except ValueError:
        raise MalformedError(f"'{ip}' is not an IP address; set --ip or --advertise_ip") from None
    if unspecified:
        raise MalformedError(f"--ip={ip} is every address: say which one with --advertise_ip")
    return ip


def attributes(config: AgentConfig) -> Attributes:
    """What to tell frameworks of this agent."""
    found = parse_attributes(config.attributes or "")
    if isinstance(found, Problem):
        raise MalformedError(f"Bad value for --attributes: {found.sentence}")
    return found


def domain(config: AgentConfig) -> m.DomainInfo | None:
    """The fault domain; None where none is set."""
    if config.domain is None:
        return None
    try:
        json.loads(config.domain)
    except ValueError as error:
        raise MalformedError(f"Bad value for --domain: it is not valid JSON ({error})") from None
    try:
        return codec_json.decode(m.DomainInfo, config.domain.encode())
    except MalformedError as error:
        raise MalformedError(f"Bad value for --domain: {error}") from None


def executor_environment(config: AgentConfig) -> tuple[tuple[str, str], ...]:
    """What every executor and task finds in its environment."""
    text = config.executor_environment_variables
    if text is None:
        return ()
    try:
        plain = json.loads(text)
    except ValueError:
        plain = None
    if not isinstance(plain, dict) or not all(isinstance(v, str) for v in plain.values()):
        raise MalformedError(
            "--executor_environment_variables must be a JSON object of names and texts"
        )
    for name, value in plain.items():
        if not name or "=" in name or "\0" in name + value:
            raise MalformedError(
                f"--executor_environment_variables cannot set '{name}': a name is not empty "
                "and holds no '=', and nothing holds a NUL"
            )
    return tuple(plain.items())


def domain_socket(config: AgentConfig) -> str | None:
    """The path of the executors' Unix socket; None where it is not asked for."""
    if not config.http_executor_domain_sockets:
        return None
    if config.domain_socket_location is None:
        path = os.path.join(os.path.abspath(config.runtime_dir), DOMAIN_SOCKET_NAME)
    else:
        path = config.domain_socket_location
        if not path.startswith("/"):
            raise MalformedError(
                f"--domain_socket_location={path} is no absolute path; write where to make the "
                "socket"
            )
    _socket_path("domain_socket_location", path)
    return path


def _socket_path(name: str, path: str) -> None:
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise MalformedError(
            f"--{name} is too long: the socket {path} has more than {MAX_SOCKET_PATH} bytes"
        )
