"""Every flag of the connector, once."""

from __future__ import annotations

from dataclasses import dataclass

from mesos_twisted.config import BOOL, BYTES, DURATION, NAMES, PATH, TEXT, Kind, choice, flag
from mesos_twisted.zookeeper.url import parse_zk_url, without_credentials


def _zk(text: str) -> str:
    parse_zk_url(text)
    return text


#: Shown without the credentials.
_ZK: Kind[str] = Kind("zk", _zk, without_credentials)


@dataclass(frozen=True, slots=True)
class ConnectConfig:
    """What can be set on a connector."""

    master: tuple[str, ...] = flag(
        NAMES, (), "the masters as host:port[,host:port], or zk://host:port,…/path"
    )
    zk_tls: bool = flag(BOOL, False, "speak TLS with ZooKeeper, by the connector's certificate")
    announce: str | None = flag(
        _ZK,
        None,
        "be found by clients that look for masters in ZooKeeper: zk://[user:password@]host:port,…"
        "/path, another path than the masters' own",
    )
    zk_acl: str | None = flag(
        TEXT, None, "who may write what is announced: scheme:identity;… (unset: its maker)"
    )
    agent: str | None = flag(TEXT, None, "one agent as host:port, instead of the masters")
    listen: tuple[str, ...] = flag(
        NAMES,
        ("127.0.0.1:5050",),
        "loopback addresses as address:port, or unix:/path; more than one with commas",
    )
    tls_ca_file: str | None = flag(PATH, None, "the authorities the cluster is signed by (PEM)")
    tls_cert_file: str | None = flag(
        PATH, None, "the certificate the connector speaks with, for all its clients (PEM)"
    )
    tls_key_file: str | None = flag(PATH, None, "the certificate's private key (PEM)")
    tls_crl_file: str | None = flag(PATH, None, "revoked certificates (PEM), read again on SIGHUP")
    allow_uid: tuple[str, ...] = flag(
        NAMES, (), "users (names or numbers) who may connect beside root and the connector's own"
    )
    leader_timeout: float = flag(
        DURATION, 9.0, "how long a request waits for a master that leads before it is answered 503"
    )
    max_body: int = flag(BYTES, 5 << 20, "largest body of a request")
    max_stream_buffer: int = flag(BYTES, 64 << 20, "a client this far behind its stream is cut")
    logging_level: str = flag(
        choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "what is worth a log line"
    )
    log_format: str = flag(choice("json", "text"), "json", "one JSON object a line, or plain text")
