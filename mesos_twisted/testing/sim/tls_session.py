"""One TLS connection of the simulation: its handshake and its records, in the clear.

It stands in for an `ssl.SSLObject`, down to what that raises; whom to accept is asked of its
`Judge`. The flights are those of TLS 1.3.
"""

from __future__ import annotations

import ssl
import struct
from typing import Any, Final, Protocol, cast

from mesos_twisted.errors import BugError
from mesos_twisted.security.net.identity import Side
from mesos_twisted.testing.sim.authority import SimCertificate

_HEADER: Final = struct.Struct(">BHH")
_VERSION: Final = 0x0303
_ALERT, _HANDSHAKE, _DATA = 0x15, 0x16, 0x17
_KINDS: Final = frozenset((_ALERT, _HANDSHAKE, _DATA))
_HEADER_SIZE: Final = _HEADER.size
_RECORD: Final = 16384
_CLOSE_NOTIFY: Final = "CLOSE_NOTIFY"

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


class Judge(Protocol):
    """One host's certificate, and whom it accepts."""

    require_client_cert: bool

    @property
    def shown(self) -> SimCertificate | None:
        """The certificate that peers see."""

    def refusal(self, der: bytes, side: Side, host: str | None) -> int:
        """OpenSSL's code for why this peer is not accepted; 0 when it is."""


class Context(Protocol):
    """What connections of one kind have in common."""

    source: Judge
    alpn: tuple[str, ...]


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
        context: Context,
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
