"""Mutual TLS: the `ssl` contexts of this host, from files that may change while it runs.

`ContextSource` reads key, certificate, trust bundle and revocation list together; `reload` swaps
all of them or none. Connections already open keep what they began with; `is_revoked` tells which
of them must be cut. TLS 1.3 is preferred, 1.2 only with ECDHE and AEAD. This module refuses to know
sockets and HTTP: the transport drives the contexts through memory buffers.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from twisted.logger import Logger

from mesos_twisted.errors import MalformedError, MesosError, Problem
from mesos_twisted.security.net.certificates import CRL_MARK
from mesos_twisted.security.net.files import exposure, read_bytes
from mesos_twisted.security.net.identity import read_certificate
from mesos_twisted.security.net.own_chain import is_complete, show_no_authority

#: OpenSSL's words for ECDHE with AES-GCM or ChaCha20-Poly1305; TLS 1.3 suites are always on.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

HTTP_1_1 = "http/1.1"
MESOS_LINK = "mesos-link/1"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where this host's identity and trust are. Without `cert` and `key` it can only be a client.

    `ca_bundle` may hold several authorities; `crl`, when given, must hold a list for each of them.
    """

    ca_bundle: str
    cert: str | None = None
    key: str | None = None
    crl: str | None = None


@dataclass(frozen=True, slots=True)
class _Loaded:
    server: ssl.SSLContext | None
    client: ssl.SSLContext
    revoked: frozenset[tuple[bytes, int]]
    not_after: float | None
    list_not_after: float | None


class ContextSource:
    """This host's contexts, built once and rebuilt by `reload`.

    Raises MalformedError or UnavailableError, with one sentence, when the files are not good.
    """

    log = Logger()

    def __init__(
        self,
        files: CertificateFiles,
        *,
        server_alpn: Sequence[str] = (MESOS_LINK, HTTP_1_1),
        client_alpn: Sequence[str] = (HTTP_1_1,),
        require_client_cert: bool = False,
    ) -> None:
        self._files = files
        self._server_alpn = list(server_alpn)
        self._client_alpn = list(client_alpn)
        self._require_client_cert = require_client_cert
        self._client_contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self._leaf_suffices = False
        self._loaded = self._load()

    def server_context(self) -> ssl.SSLContext:
        """The context for accepted connections. Raises MalformedError without a certificate."""
        context = self._loaded.server
        if context is None:
            raise MalformedError("A server needs a certificate and a key; set both files.")
        return context

    def client_context(self, alpn: Sequence[str] | None = None) -> ssl.SSLContext:
        """The context for connections made; `alpn` overrides the protocols offered."""
        if alpn is None:
            return self._loaded.client
        key = tuple(alpn)
        context = self._client_contexts.get(key)
        if context is None:
            context = self._client(key)
            self._client_contexts[key] = context
        return context

    @property
    def not_after(self) -> float | None:
        """When our own certificate ends, in epoch seconds; None without one."""
        return self._loaded.not_after

    @property
    def list_not_after(self) -> float | None:
        """When the first revocation list ends (epoch seconds): from then on nobody is accepted."""
        return self._loaded.list_not_after

    def is_revoked(self, der: bytes) -> bool:
        """Is this certificate on the list loaded last? What cannot be read counts as revoked."""
        if not self._loaded.revoked:
            return False
        certificate = read_certificate(der)
        if isinstance(certificate, Problem):
            return True
        return self.is_revoked_serial(certificate.issuer.public_bytes(), certificate.serial_number)

    def is_revoked_serial(self, issuer: bytes, serial: int) -> bool:
        """Like `is_revoked`, by issuer name (DER) and serial, as `PeerIdentity` keeps them."""
        return (issuer, serial) in self._loaded.revoked

    def reload(self) -> Problem | None:
        """Afterwards new connections use the files as they are now; a bad file changes nothing.

        The Problem says which file was bad; it is logged as well.
        """
        try:
            loaded = self._load()
            extra = {key: self._client(key) for key in self._client_contexts}
        except MesosError as error:
            problem = Problem("reload", f"{error} The certificates in use stay as they were.")
            self.log.error("Certificates not reloaded: {problem}", problem=problem.sentence)
            return problem
        self._loaded, self._client_contexts = loaded, extra
        self.log.info("Certificates reloaded: {revoked} revoked.", revoked=len(loaded.revoked))
        return None

    def _load(self) -> _Loaded:
        files = self._files
        if (files.cert is None) != (files.key is None):
            raise MalformedError("The certificate and its key must be set together.")
        trusted = _load_bundle(files.ca_bundle)
        lists = () if files.crl is None else _load_lists(files.crl, trusted)
        revoked = frozenset(
            (crl.issuer.public_bytes(), entry.serial_number) for crl in lists for entry in crl
        )
        # A list without an end never makes OpenSSL refuse anybody.
        ends = [crl.next_update_utc.timestamp() for crl in lists if crl.next_update_utc is not None]
        not_after = None
        self._leaf_suffices = False
        if files.cert is not None and files.key is not None:
            own = _load_pem(files.cert, "certificate")[0]
            self._leaf_suffices = is_complete(own, trusted)
            not_after = own.not_valid_after_utc.timestamp()
            warning = exposure(files.key, "private key")
            if warning is not None:
                raise MalformedError(warning)
        server = None if files.cert is None else self._server()
        client = self._client(self._client_alpn)
        return _Loaded(server, client, revoked, not_after, min(ends, default=None))

    def _server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._harden(context)
        context.num_tickets = 0
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        required = ssl.CERT_REQUIRED if self._require_client_cert else ssl.CERT_OPTIONAL
        context.verify_mode = required
        context.set_alpn_protocols(self._server_alpn)
        return context

    def _client(self, alpn: Sequence[str]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._harden(context)
        context.check_hostname = True
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(list(alpn))
        return context

    def _harden(self, context: ssl.SSLContext) -> None:
        files = self._files
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        context.set_ciphers(CIPHERS)
        try:
            context.load_verify_locations(files.ca_bundle)
            if files.crl is not None:
                context.load_verify_locations(files.crl)
                context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
            if files.cert is not None:
                # An encrypted key must fail here, not ask on a terminal nobody watches.
                context.load_cert_chain(files.cert, files.key, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            raise MalformedError(_explain(error, files)) from None
        if self._leaf_suffices:
            show_no_authority(context)


def _explain(error: OSError, files: CertificateFiles) -> str:
    reason = getattr(error, "reason", None) or ""
    if "MISMATCH" in reason:
        return f"The private key {files.key} does not belong to the certificate {files.cert}."
    if isinstance(error, ssl.SSLError):
        words = reason.replace("_", " ").lower() or "not a plain PEM key"
        return f"The certificate {files.cert} or its key {files.key} is not usable: {words}."
    reason = (error.strerror or "unknown error").lower()
    return f"The certificate {files.cert} or its key {files.key} cannot be read: {reason}."


def _load_pem(path: str, what: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(read_bytes(path, what))
    except ValueError:
        raise MalformedError(f"The {what} {path} is not a PEM certificate.") from None


def _load_bundle(path: str) -> list[x509.Certificate]:
    found = _load_pem(path, "trust bundle")
    for certificate in found:
        try:
            is_authority = certificate.extensions.get_extension_for_class(
                x509.BasicConstraints
            ).value.ca
        except (x509.ExtensionNotFound, ValueError):
            is_authority = False
        if not is_authority:
            raise MalformedError(
                f"The trust bundle {path} holds a certificate that is no authority "
                f"(serial {certificate.serial_number:x}); remove it."
            )
    return found


def _load_lists(path: str, trusted: list[x509.Certificate]) -> list[x509.CertificateRevocationList]:
    """The revocation lists, each signed by an authority of the bundle; every authority has one."""
    pieces = read_bytes(path, "revocation list").split(CRL_MARK)[1:]
    lists: list[x509.CertificateRevocationList] = []
    covered: set[bytes] = set()
    for piece in pieces:
        try:
            crl = x509.load_pem_x509_crl(CRL_MARK + piece)
            signed = any(_signed_by(crl, authority) for authority in trusted)
        except (ValueError, UnsupportedAlgorithm):
            raise MalformedError(f"The revocation list {path} is not a PEM CRL.") from None
        if not signed:
            raise MalformedError(
                f"The revocation list {path} holds a list that no authority of the bundle signed."
            )
        covered.add(crl.issuer.public_bytes())
        lists.append(crl)
    for authority in trusted:
        # OpenSSL refuses every certificate of an authority that has no list.
        if authority.subject.public_bytes() not in covered:
            raise MalformedError(
                f"The revocation list {path} has no list of the authority "
                f"'{authority.subject.rfc4514_string()}'; add it with `mesos-twisted certs crl`."
            )
    return lists


def _signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if crl.issuer != authority.subject:
        return False
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # TypeError
    except TypeError:
        # A key type that cannot sign lists did not sign this one.
        return False
