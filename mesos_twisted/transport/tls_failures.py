"""Why a TLS handshake failed: a short stable reason to count by, and words for a person. Pure."""

from __future__ import annotations

import enum
import ssl

from mesos_twisted.errors import UnavailableError


class TlsError(UnavailableError):
    """A TLS connection failed; `reason` is a `HandshakeFailure`'s value."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class HandshakeFailure(enum.Enum):
    """The reasons failed handshakes are counted by."""

    PLAINTEXT = "plaintext"
    TIMEOUT = "timeout"
    TOO_MANY = "too_many"
    TOO_LONG = "too_long"
    CLOSED = "closed"
    CONTEXT = "context"
    PROTOCOL = "protocol"
    VERSION = "version"
    CIPHER = "cipher"
    NO_CERTIFICATE = "no_certificate"
    EXPIRED = "certificate_expired"
    NOT_YET_VALID = "certificate_not_yet_valid"
    UNKNOWN_CA = "certificate_unknown_ca"
    REVOKED = "certificate_revoked"
    PURPOSE = "certificate_purpose"
    HOSTNAME = "certificate_hostname"
    CERTIFICATE = "certificate_other"
    PEER_ALERT = "peer_alert"
    OTHER = "other"


# X.509 verification codes of OpenSSL (x509_vfy.h).
_VERIFY = {
    9: HandshakeFailure.NOT_YET_VALID,
    10: HandshakeFailure.EXPIRED,
    18: HandshakeFailure.UNKNOWN_CA,
    19: HandshakeFailure.UNKNOWN_CA,
    20: HandshakeFailure.UNKNOWN_CA,
    21: HandshakeFailure.UNKNOWN_CA,
    23: HandshakeFailure.REVOKED,
    26: HandshakeFailure.PURPOSE,
    62: HandshakeFailure.HOSTNAME,
    64: HandshakeFailure.HOSTNAME,
}
_REASONS = {
    "UNSUPPORTED_PROTOCOL": HandshakeFailure.VERSION,
    "UNKNOWN_PROTOCOL": HandshakeFailure.VERSION,
    "VERSION_TOO_LOW": HandshakeFailure.VERSION,
    "WRONG_VERSION_NUMBER": HandshakeFailure.VERSION,
    "NO_SHARED_CIPHER": HandshakeFailure.CIPHER,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": HandshakeFailure.NO_CERTIFICATE,
}


def classify(problem: ssl.SSLError) -> tuple[HandshakeFailure, str]:
    """The reason to count and a phrase saying what OpenSSL or the peer found wrong."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        reason = _VERIFY.get(problem.verify_code, HandshakeFailure.CERTIFICATE)
        return reason, f"the peer's certificate is not accepted: {problem.verify_message}"
    name = problem.reason or ""
    if "_ALERT_" in name:
        words = name.partition("_ALERT_")[2].replace("_", " ").lower()
        return HandshakeFailure.PEER_ALERT, f"the peer refused with the TLS alert {words!r}"
    words = name.replace("_", " ").lower() or "unknown"
    return _REASONS.get(name, HandshakeFailure.OTHER), f"TLS failed: {words}"
