"""TLS without ciphers: what `ssl` does for a handshake and for records, in the clear.

Production's `TLSConnection`, its server factory and its clients run over this unchanged, and so do
its checks of roles and names: certificates are real ones in DER, and a context accepts a peer as
OpenSSL would (authority, dates, revocation, purpose, host), with OpenSSL's own codes and alerts.
The flights are those of TLS 1.3: a client is done when it has seen the server's certificate, the
server when it has seen the client's, so a client learns only by reading that it was refused.

    authority = SimAuthority("cluster")
    mine = authority.issue(Role.MASTER, "m1", "m1.sim", "10.0.0.1")
    contexts = SimContexts(authority, mine, reactor.seconds)   instead of security.net.tls's
    authority.revoke(mine); contexts.reload()

Keys, serials and dates follow from names, so the bytes are the same in every process.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesos_twisted.errors import BugError, Problem
from mesos_twisted.security.core.principal import Role, identity_uri
from mesos_twisted.security.net.identity import PeerIdentity, Side, identify
from mesos_twisted.security.net.tls import HTTP_1_1, MESOS_LINK, ContextSource
from mesos_twisted.testing.sim.net import EPOCH

_HEADER: Final = struct.Struct(">BHH")
_VERSION: Final = 0x0303
_ALERT, _HANDSHAKE, _DATA = 0x15, 0x16, 0x17
_KINDS: Final = frozenset((_ALERT, _HANDSHAKE, _DATA))
_HEADER_SIZE: Final = _HEADER.size
_RECORD: Final = 16384
_CLOSE_NOTIFY: Final = "CLOSE_NOTIFY"
_SERVERS: Final = (Role.MASTER, Role.AGENT)

#: OpenSSL's verification codes: its words, and the alert that the peer gets.
_REFUSALS: Final = {
    9: ("certificate is not yet valid", "SSLV3_ALERT_BAD_CERTIFICATE"),
    10: ("certificate has expired", "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
    20: ("unable to get local issuer certificate", "TLSV1_ALERT_UNKNOWN_CA"),
    23: ("certificate revoked", "SSLV3_ALERT_CERTIFICATE_REVOKED"),
    26: ("unsuitable certificate purpose", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    62: ("Hostname mismatch, certificate is not valid for '{}'.", "SSLV3_ALERT_BAD_CERTIFICATE"),
    64: ("IP address mismatch, certificate is not valid for '{}'.", "SSLV3_ALERT_BAD_CERTIFICATE"),
}


@dataclass(frozen=True, slots=True)
class SimCertificate:
    """A certificate and nothing else: here nobody proves that he has the key."""

    der: bytes
    serial: int
    not_after: float


class SimAuthority:
    """Signs certificates, and takes them back. Two of one name and cluster are the same."""

    def __init__(self, cluster: str, name: str = "authority") -> None:
        self.cluster = cluster
        self._name = f"sim {cluster} {name}"
        #: Serials; contexts know them after their `reload`.
        self.revoked: dict[int, None] = {}

    def issue(
        self,
        role: Role,
        name: str,
        *hosts: str,
        not_before: float = EPOCH - 300.0,
        not_after: float = EPOCH + 365 * 86400.0,
        generation: int = 0,
    ) -> SimCertificate:
        """A certificate; dates in epoch seconds. Another `generation` has another serial."""
        uri = identity_uri(self.cluster, role, name)
        if isinstance(uri, Problem):
            raise BugError(uri.sentence)
        return _issue(self._name, role, uri, hosts, not_before, not_after, generation)

    def revoke(self, certificate: SimCertificate) -> None:
        """Whoever reloads accepts it no more."""
        self.revoked[certificate.serial] = None

    def signed(self, der: bytes) -> bool:
        """Whether it is one of ours."""
        return _signed(self._name, der)


@cache
def _key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


@cache
def _issue(
    authority: str,
    role: Role,
    uri: str,
    hosts: tuple[str, ...],
    not_before: float,
    not_after: float,
    generation: int,
) -> SimCertificate:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role in _SERVERS:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    text = f"{authority}/{uri}/{hosts}/{generation}"
    serial = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big") >> 1 | 1 << 126
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(uri.rpartition("/")[2]))
        .issuer_name(_name(authority))
        .public_key(_key(text).public_key())
        .serial_number(serial)
        .not_valid_before(_moment(not_before))
        .not_valid_after(_moment(not_after))
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(_key(authority), None)
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return SimCertificate(der, serial, not_after)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


@cache
def _signed(authority: str, der: bytes) -> bool:
    try:
        certificate = x509.load_der_x509_certificate(der)
        signature, signed = certificate.signature, certificate.tbs_certificate_bytes
        _key(authority).public_key().verify(signature, signed)
    except Exception:
        # Not a certificate, or not with our signature.
        return False
    return True


@cache
def _known(der: bytes, side: Side) -> PeerIdentity | Problem:
    return identify(der, side)


class SimContexts(ContextSource):
    """One host's contexts: in place of `ContextSource`, without files.

    `now` gives epoch seconds on the host's clock, by which dates are judged. A `certificate` set
    later counts after `reload`, as a new file would.
    """

    def __init__(
        self,
        authority: SimAuthority,
        certificate: SimCertificate | None,
        now: Callable[[], float],
        *,
        server_alpn: Sequence[str] = (MESOS_LINK, HTTP_1_1),
        client_alpn: Sequence[str] = (HTTP_1_1,),
        require_client_cert: bool = False,
    ) -> None:
        self.authority = authority
        self.certificate = certificate
        self.now = now
        self.require_client_cert = require_client_cert
        self._server_names, self._client_names = tuple(server_alpn), tuple(client_alpn)
        self._shown = certificate
        self._revoked: frozenset[int] = frozenset(authority.revoked)

    def server_context(self) -> ssl.SSLContext:
        """For accepted connections."""
        return cast(ssl.SSLContext, SimContext(self, self._server_names))

    def client_context(self, alpn: Sequence[str] | None = None) -> ssl.SSLContext:
        """For connections made."""
        names = self._client_names if alpn is None else tuple(alpn)
        return cast(ssl.SSLContext, SimContext(self, names))

    @property
    def shown(self) -> SimCertificate | None:
        """The certificate that peers see."""
        return self._shown

    @property
    def not_after(self) -> float | None:
        """When the certificate ends."""
        return None if self._shown is None else self._shown.not_after

    @property
    def list_not_after(self) -> float | None:
        """The list of revoked certificates never ends."""
        return None

    def is_revoked(self, der: bytes) -> bool:
        """As of the last `reload`."""
        known = _known(der, Side.CLIENT)
        return not isinstance(known, Problem) and known.serial in self._revoked

    def is_revoked_serial(self, issuer: bytes, serial: int) -> bool:
        """As of the last `reload`."""
        return serial in self._revoked

    def reload(self) -> Problem | None:
        """Take what is there now; never fails."""
        self._shown, self._revoked = self.certificate, frozenset(self.authority.revoked)
        return None

    def refusal(self, der: bytes, side: Side, host: str | None) -> int:
        """OpenSSL's code for why this peer is not accepted; 0 when it is."""
        known = _known(der, side)
        if not self.authority.signed(der):
            return 20
        if isinstance(known, Problem):
            return 26
        now = self.now()
        if known.serial in self._revoked:
            return 23
        if now < known.not_before:
            return 9
        if now > known.not_after:
            return 10
        if host is not None and not known.speaks_for(host):
            return 64 if host.replace(".", "").isdigit() else 62
        return 0


class SimContext:
    """In place of an `ssl.SSLContext`; a new one for each connection costs nothing."""

    def __init__(self, source: SimContexts, alpn: tuple[str, ...]) -> None:
        self.source = source
        self.alpn = alpn

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> Any:
        """As `ssl.SSLContext.wrap_bio`."""
        return SimTls(self, incoming, outgoing, server_side, server_hostname)


class SimTls:
    """In place of an `ssl.SSLObject`."""

    __slots__ = (
        "_done",
        "_ended",
        "_header",
        "_host",
        "_incoming",
        "_outgoing",
        "_peer",
        "_plain",
        "_record",
        "_selected",
        "_sent",
        "_server",
        "context",
    )

    def __init__(
        self,
        context: SimContext,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server: bool,
        host: str | None,
    ) -> None:
        self.context = context
        self._incoming, self._outgoing = incoming, outgoing
        self._server, self._host = server, host
        self._header = b""
        self._record = b""
        self._plain = b""
        self._sent = self._done = self._ended = False
        self._selected: str | None = None
        self._peer: bytes | None = None

    # As ssl.SSLObject

    def do_handshake(self) -> None:
        """Raises SSLWantReadError until it is done, or what OpenSSL would."""
        while not self._done:
            if self._server:
                self._serve()
            else:
                self._ask()

    def read(self, size: int = _RECORD) -> bytes:
        """Plaintext of one record; b"" once the peer has said that it ends."""
        while not self._plain:
            if self._ended:
                return b""
            kind, body = self._take()
            if kind == _DATA:
                self._plain = body
            elif kind == _ALERT:
                self._alerted(body)
            else:
                raise _error("UNEXPECTED_MESSAGE", "a handshake in the middle")
        data = self._plain
        if len(data) <= size:
            self._plain = b""
            return data
        self._plain = data[size:]
        return data[:size]

    def write(self, data: bytes | memoryview) -> int:
        """One record at most; how much of `data` it took."""
        piece = data if len(data) <= _RECORD else data[:_RECORD]
        size = len(piece)
        self._outgoing.write(_HEADER.pack(_DATA, _VERSION, size) + piece)
        return size

    def unwrap(self) -> None:
        """Say that it ends; raises SSLWantReadError unless the peer has said so too."""
        self._put(_ALERT, _CLOSE_NOTIFY.encode())
        if not self._ended:
            raise ssl.SSLWantReadError(2, "The operation did not complete (read)")

    def pending(self) -> int:
        """Plaintext bytes that wait to be read."""
        return len(self._plain)

    def selected_alpn_protocol(self) -> str | None:
        """What ALPN settled on."""
        return self._selected

    def getpeercert(self, binary_form: bool = False) -> bytes | None:
        """The peer's certificate in DER."""
        if not binary_form:
            raise BugError("Only certificates in DER are simulated")
        return self._peer if self._done else None

    def version(self) -> str:
        """What it passes for."""
        return "TLSv1.3"

    # The handshake

    def _ask(self) -> None:
        source = self.context.source
        if not self._sent:
            self._sent = True
            names = ",".join(self.context.alpn)
            self._put(_HANDSHAKE, f"hello {names} {self._host or ''}".encode())
        selected, _, certificate = self._flight().partition(b" ")
        self._accept(certificate, Side.SERVER, self._host)
        self._selected = selected.decode() or None
        self._peer = certificate
        self._put(_HANDSHAKE, b"" if source.shown is None else source.shown.der)
        self._done = True

    def _serve(self) -> None:
        source = self.context.source
        if not self._sent:
            words = self._flight().split(b" ")
            if len(words) != 3 or words[0] != b"hello":
                self._refuse("TLSV1_ALERT_DECODE_ERROR", _error("BAD_DATA", "no hello"))
            offered = words[1].decode().split(",")
            self._selected = next((name for name in self.context.alpn if name in offered), None)
            if source.shown is None:
                raise BugError("A server without a certificate was asked for one")
            self._sent = True
            self._put(_HANDSHAKE, (self._selected or "").encode() + b" " + source.shown.der)
        certificate = self._flight()
        if certificate:
            self._accept(certificate, Side.CLIENT, None)
            self._peer = certificate
        elif source.require_client_cert:
            reason = "PEER_DID_NOT_RETURN_A_CERTIFICATE"
            self._refuse("TLSV13_ALERT_CERTIFICATE_REQUIRED", _error(reason, reason))
        self._done = True

    def _flight(self) -> bytes:
        kind, body = self._take()
        if kind == _ALERT:
            self._alerted(body)
        if kind != _HANDSHAKE:
            self._refuse(
                "SSLV3_ALERT_UNEXPECTED_MESSAGE", _error("UNEXPECTED_MESSAGE", "no handshake")
            )
        return body

    def _accept(self, certificate: bytes, side: Side, host: str | None) -> None:
        code = self.context.source.refusal(certificate, side, host)
        if code:
            words, alert = _REFUSALS[code]
            sentence = words.format(host)
            problem: Any = ssl.SSLCertVerificationError(1, f"certificate verify failed: {sentence}")
            problem.reason = "CERTIFICATE_VERIFY_FAILED"
            problem.verify_code, problem.verify_message = code, sentence
            self._refuse(alert, problem)

    def _refuse(self, alert: str, problem: ssl.SSLError) -> None:
        self._put(_ALERT, alert.encode())
        raise problem

    def _alerted(self, body: bytes) -> None:
        name = body.decode("ascii", "replace")
        if name == _CLOSE_NOTIFY:
            self._ended = True
            if not self._done:
                raise _error("UNEXPECTED_EOF_WHILE_READING", "closed in the handshake")
            return
        raise _error(name, name)

    # Records

    def _put(self, kind: int, body: bytes) -> None:
        self._outgoing.write(_HEADER.pack(kind, _VERSION, len(body)) + body)

    def _take(self) -> tuple[int, bytes]:
        """The next record; as OpenSSL, no byte more than it is taken from the BIO."""
        read, header = self._incoming.read, self._header
        if len(header) < _HEADER_SIZE:
            header += read(_HEADER_SIZE - len(header))
            if len(header) < _HEADER_SIZE:
                self._header = header
                raise ssl.SSLWantReadError(2, "The operation did not complete (read)")
        kind, version, length = _HEADER.unpack(header)
        if version != _VERSION or length > _RECORD or kind not in _KINDS:
            raise _error("WRONG_VERSION_NUMBER", "not a record")
        record = self._record
        if len(record) < length:
            record += read(length - len(record))
            if len(record) < length:
                self._header, self._record = header, record
                raise ssl.SSLWantReadError(2, "The operation did not complete (read)")
        self._record = self._header = b""
        return kind, record


def _error(reason: str, words: str) -> ssl.SSLError:
    problem: Any = ssl.SSLError(1, words)
    problem.reason = reason
    return cast(ssl.SSLError, problem)
