"""Principals and their secrets: Mesos's credential files as values, and checking one secret.

Both file forms are read: JSON `{"credentials": [{"principal", "secret"}]}` and lines of
`principal secret`. A secret may be a scrypt hash, `scrypt$<log2 n>$<r>$<p>$<salt>$<hash>`.
This module opens no file and draws no randomness: keys and salts are arguments.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mesos_twisted.errors import MalformedError
from mesos_twisted.security.core.secret import Secret, same_bytes

_PREFIX: Final = "scrypt$"
_LOG2_N: Final = 14
_R: Final = 8
_P: Final = 1
_HASH_BYTES: Final = 32
_MIN_SALT_BYTES: Final = 16
#: Room for the dearest parameters a file may ask for: 128 * n * r with n = 2**17 and r = 8.
_MAX_MEMORY: Final = 160 * 1024 * 1024
_MAX_LOG2_N: Final = 17
_MAX_SECRET_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Hashed:
    """A scrypt hash and how it was made."""

    log2_n: int
    r: int
    p: int
    salt: bytes
    digest: Secret

    def matches(self, secret: bytes) -> bool:
        """Is this the secret? Takes about 50 ms with the usual parameters."""
        return same_bytes(
            _scrypt(secret, self.salt, self.log2_n, self.r, self.p), self.digest.reveal()
        )


@dataclass(frozen=True, slots=True)
class Credential:
    """One principal and its secret, plain or hashed; neither shows in a repr."""

    principal: str
    secret: Secret | Hashed


@dataclass(frozen=True, slots=True)
class Credentials:
    """A credential file's content, and one sentence for each thing an operator should mend."""

    entries: tuple[Credential, ...]
    warnings: tuple[str, ...] = ()


def hash_secret(secret: bytes, salt: bytes) -> str:
    """The text to put in a credential file instead of the secret; `salt` is 16 random bytes."""
    digest = _scrypt(secret, salt, _LOG2_N, _R, _P)
    return f"{_PREFIX}{_LOG2_N}${_R}${_P}${_b64(salt)}${_b64(digest)}"


def parse_credentials(text: str | bytes, where: str) -> Credentials:
    """The file's entries in order; `where` names the file in every sentence.

    Raises MalformedError, whose text never repeats any part of a secret.
    """
    try:
        source = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise MalformedError(f"{where} is not UTF-8 text.") from None
    is_json = source.lstrip()[:1] == "{"
    pairs = list(_json_pairs(source, where) if is_json else _text_pairs(source, where))
    entries: dict[str, Credential] = {}
    warnings = []
    for place, principal, secret in pairs:
        if not principal or not secret:
            raise MalformedError(f"{place} needs a principal and a secret that are not empty.")
        if ":" in principal:
            raise MalformedError(f"{place}: a principal cannot hold a colon in HTTP Basic.")
        if principal in entries:
            raise MalformedError(f"{place} names principal '{principal}' a second time.")
        if secret.startswith(_PREFIX):
            entries[principal] = Credential(principal, _parse_hash(secret, place))
        else:
            entries[principal] = Credential(principal, Secret(secret.encode()))
            warnings.append(
                f"{place}: the secret of principal '{principal}' is stored in plain text; "
                "replace it with the line `mesos-twisted certs hash-secret` prints."
            )
    return Credentials(tuple(entries.values()), tuple(warnings))


def _json_pairs(source: str, where: str) -> Iterable[tuple[str, str, str]]:
    try:
        document: Any = msgspec.json.decode(source)
    except (msgspec.DecodeError, RecursionError):
        # The decoder's own words may quote the text, so they are not repeated.
        raise MalformedError(f"{where} is not valid JSON.") from None
    # A single {"principal", "secret"} object is Mesos's `--credential` form.
    items = [document] if "principal" in document else document.get("credentials")
    if not isinstance(items, list):
        raise MalformedError(f'{where} must hold {{"credentials": [...]}}.')
    for index, item in enumerate(items):
        place = f"{where}, credentials[{index}]"
        if not isinstance(item, dict):
            raise MalformedError(f"{place} must be an object.")
        principal, secret = item.get("principal"), item.get("secret")
        if not isinstance(principal, str) or not isinstance(secret, str):
            raise MalformedError(f"{place} needs `principal` and `secret`, both strings.")
        yield place, principal, secret


def _text_pairs(source: str, where: str) -> Iterable[tuple[str, str, str]]:
    for number, line in enumerate(source.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"{where}, line {number}"
        if len(words) != 2:
            raise MalformedError(f"{place} must be `principal secret`, two words.")
        yield place, words[0], words[1]


def _parse_hash(text: str, place: str) -> Hashed:
    try:
        log2_n, r, p, salt, digest = text.removeprefix(_PREFIX).split("$")
        hashed = Hashed(int(log2_n), int(r), int(p), _unb64(salt), Secret(_unb64(digest)))
    except (ValueError, binascii.Error):
        raise MalformedError(
            f"{place}: the scrypt hash is not of the form scrypt$<log2 n>$<r>$<p>$<salt>$<hash>."
        ) from None
    sound = (
        10 <= hashed.log2_n <= _MAX_LOG2_N
        and 1 <= hashed.r <= 8
        and 1 <= hashed.p <= 4
        and len(hashed.salt) >= _MIN_SALT_BYTES
        and len(hashed.digest.reveal()) == _HASH_BYTES
    )
    if not sound:
        raise MalformedError(
            f"{place}: the scrypt hash needs log2 n of 10 to {_MAX_LOG2_N}, r of 1 to 8, p of 1 to "
            f"4, a salt of {_MIN_SALT_BYTES} bytes or more and a hash of {_HASH_BYTES} bytes."
        )
    return hashed


class CredentialStore:
    """Checks secrets; remembers good ones under a keyed digest, so only the first check is dear.

    `key` is random and new for each process; `memory` bounds how many good checks are kept.
    """

    def __init__(self, credentials: Iterable[Credential], key: bytes, memory: int = 1024) -> None:
        if len(key) < 16:
            raise MalformedError("The key of a credential store must have 16 bytes or more.")
        self._entries = {entry.principal: entry.secret for entry in credentials}
        self._key = key
        self._memory = memory
        self._good: dict[bytes, None] = {}
        # Unknown principals cost what known ones cost, so time does not tell who exists.
        hashes = [s for s in self._entries.values() if isinstance(s, Hashed)]
        self._decoy = hashes[0] if hashes else None

    def __len__(self) -> int:
        return len(self._entries)

    def is_remembered(self, principal: str, secret: bytes) -> bool:
        """Was this very pair found good before? Cheap, whatever the answer."""
        return self._mark(principal, secret) in self._good

    def verify(self, principal: str, secret: bytes) -> bool:
        """Is this the principal's secret? A first good check of a hashed one takes about 50 ms."""
        if len(secret) > _MAX_SECRET_BYTES:
            return False
        mark = self._mark(principal, secret)
        if mark in self._good:
            return True
        known = self._entries.get(principal)
        if isinstance(known, Hashed):
            good = known.matches(secret)
        elif known is not None:
            # Digests have one length, so not even the secret's length shows in the time.
            good = same_bytes(self._digest(secret), self._digest(known.reveal()))
        else:
            good = False
            if self._decoy is not None:
                self._decoy.matches(secret)
            else:
                same_bytes(self._digest(secret), self._digest(b""))
        if good:
            if len(self._good) >= self._memory:
                del self._good[next(iter(self._good))]
            self._good[mark] = None
        return good

    def _mark(self, principal: str, secret: bytes) -> bytes:
        name = principal.encode()
        return hmac.digest(self._key, len(name).to_bytes(4, "big") + name + secret, "sha256")

    def _digest(self, secret: bytes) -> bytes:
        return hmac.digest(self._key, secret, "sha256")


def _scrypt(secret: bytes, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        secret, salt=salt, n=1 << log2_n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=_HASH_BYTES
    )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
