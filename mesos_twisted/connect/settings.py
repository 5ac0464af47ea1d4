"""What a connector's flags amount to, checked before anything starts."""

from __future__ import annotations

import os
import pwd

from mesos_twisted import config
from mesos_twisted.connect.config import ConnectConfig
from mesos_twisted.connect.core.address import (
    Address,
    TcpAddress,
    parse_listen,
    split_host_port,
)
from mesos_twisted.connect.core.announcement import announced, check_place
from mesos_twisted.errors import MalformedError
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.zookeeper.acl import acl_for
from mesos_twisted.zookeeper.records import Acl
from mesos_twisted.zookeeper.url import ZkUrl, is_zk_url, parse_zk_url


def check(settings: ConnectConfig) -> None:
    """Raises MalformedError or UnavailableError when these settings cannot work."""
    config.require(settings, "tls_ca_file", "the cluster is checked by it")
    if bool(settings.master) == bool(settings.agent):
        raise MalformedError("Give either --master=host:port[,…] or --agent=host:port")
    if masters_url(settings) is None:
        for master in settings.master:
            split_host_port(master, "--master")
    if settings.agent:
        split_host_port(settings.agent, "--agent")
    addresses(settings)
    allowed_users(settings)
    announcement(settings)
    contexts(settings)


def masters_url(settings: ConnectConfig) -> ZkUrl | None:
    """Where the masters are elected; None when they are told by name. Raises MalformedError."""
    text = ",".join(settings.master)
    return parse_zk_url(text) if is_zk_url(text) else None


def announcement(settings: ConnectConfig) -> tuple[ZkUrl, TcpAddress, tuple[Acl, ...]] | None:
    """Where to announce which listener, and who may write there. Raises MalformedError."""
    if settings.announce is None:
        if settings.zk_acl is not None:
            raise MalformedError("--zk_acl needs --announce=zk://host:port/path")
        return None
    if settings.agent:
        raise MalformedError(
            "--announce needs --master: clients look for masters there, not agents"
        )
    url = parse_zk_url(settings.announce)
    check_place(url, masters_url(settings))
    try:
        acl = acl_for(settings.zk_acl, settings.zk_tls or url.credentials is not None)
    except MalformedError as error:
        raise MalformedError(f"Bad value for --zk_acl: {error}") from None
    return url, announced(addresses(settings)), acl


def addresses(settings: ConnectConfig) -> list[Address]:
    """Where to listen. Raises MalformedError."""
    if not settings.listen:
        raise MalformedError("--listen is empty; give an address like 127.0.0.1:5050")
    return [parse_listen(text) for text in settings.listen]


def allowed_users(settings: ConnectConfig) -> frozenset[int]:
    """User ids that may connect: root's, the connector's own, and those asked for."""
    allowed = {0, os.geteuid()}
    for word in settings.allow_uid:
        if word.isdecimal():
            allowed.add(int(word))
            continue
        try:
            allowed.add(pwd.getpwnam(word).pw_uid)
        except KeyError:
            raise MalformedError(f"--allow_uid={word}: there is no such user here") from None
    return frozenset(allowed)


def contexts(settings: ConnectConfig) -> ContextSource:
    """The connector's certificates. Raises MalformedError or UnavailableError."""
    return ContextSource(
        CertificateFiles(
            ca_bundle=settings.tls_ca_file or "",
            cert=settings.tls_cert_file,
            key=settings.tls_key_file,
            crl=settings.tls_crl_file,
        )
    )
