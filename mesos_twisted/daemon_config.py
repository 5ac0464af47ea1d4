"""The flags that master and agent have in common, each declared once.

A flag of the same name that means something else on either (where work is kept, which port) is
declared by the daemon itself. `{daemon}` in a help is the daemon's own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesos_twisted.config import BOOL, BYTES, DURATION, INT, NAMES, PATH, PORT, TEXT, choice, flag


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """What an operator can set on a master and on an agent alike."""

    DAEMON: ClassVar[str] = "daemon"

    ip: str = flag(TEXT, "127.0.0.1", "the IP address to listen on")
    advertise_ip: str | None = flag(TEXT, None, "the IP address others reach this {daemon} at")
    advertise_port: int | None = flag(PORT, None, "the port others reach this {daemon} at")
    hostname: str | None = flag(TEXT, None, "the host name others reach this {daemon} by")
    domain: str | None = flag(TEXT, None, "this {daemon}'s fault domain as JSON")
    zk_tls: bool = flag(BOOL, False, "speak TLS with ZooKeeper, by this {daemon}'s certificate")
    tls_cert_file: str | None = flag(
        PATH, None, "this {daemon}'s certificate, with its chain (PEM)"
    )
    tls_key_file: str | None = flag(PATH, None, "the certificate's private key (PEM)")
    tls_ca_file: str | None = flag(PATH, None, "the authorities that peers must be signed by (PEM)")
    tls_crl_file: str | None = flag(PATH, None, "revoked certificates (PEM), read again on SIGHUP")
    authenticate_http_readonly: bool = flag(BOOL, True, "reading needs a principal")
    authenticate_http_readwrite: bool = flag(BOOL, True, "changing needs a principal")
    operators: tuple[str, ...] = flag(
        NAMES, (), "principals of the credentials that may do everything"
    )
    acls: str | None = flag(TEXT, None, "who may do what: JSON, or file:///path of it")
    max_stream_buffer: int = flag(BYTES, 64 << 20, "a stream this far behind its reader is cut")
    max_unauthenticated_connections: int = flag(INT, 1000, "connections still in their handshake")
    max_loop_lag: float = flag(DURATION, 5.0, "no watchdog ping when the event loop lags so much")
    logging_level: str = flag(
        choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "what is worth a log line"
    )
    log_format: str = flag(choice("json", "text"), "json", "one JSON object a line, or plain text")
