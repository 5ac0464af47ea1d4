"""Where the master is and who is asking: from flags, the environment, and a file.

The file is `~/.config/mesos-twisted/config.toml` (or `MESOS_TWISTED_CONFIG`):

    master = "host:5050"          # or a list, or "zk://host:2181,…/path"
    cacert = "/path/ca.pem"
    cert = "/path/me.pem"
    key = "/path/me-key.pem"

`MESOS_TWISTED_MASTER`, `_CACERT`, `_CERT`, `_KEY`, `_PRINCIPAL` and `_SECRET_FILE` stand for the
same settings; `zk_tls = true` (`_ZK_TLS`) speaks TLS with ZooKeeper too. Secrets are read from
files, never from an argument.
"""

from __future__ import annotations

import base64
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mesos_twisted.errors import MalformedError
from mesos_twisted.transport.messages import Headers
from mesos_twisted.zookeeper.url import is_zk_url, parse_zk_url

NAMES = ("master", "cacert", "cert", "key", "principal", "secret_file", "zk_tls")
PREFIX = "MESOS_TWISTED_"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach the cluster. `masters` are host:port; the rest are paths or None."""

    masters: tuple[str, ...]
    cacert: str
    cert: str | None = None
    key: str | None = None
    principal: str | None = None
    secret_file: str | None = None
    zk_tls: str = "false"

    def headers(self) -> Headers:
        """The Authorization header of a principal with a secret; nothing for a certificate."""
        if not self.principal or not self.secret_file:
            return ()
        secret = _text(Path(self.secret_file)).strip()
        pair = base64.b64encode(f"{self.principal}:{secret}".encode()).decode()
        return (("Authorization", f"Basic {pair}"),)


def resolve(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that flags, environment and file give together. Raises MalformedError."""
    file = _file(environ)
    values: dict[str, str] = {}
    for name in NAMES:
        value = flags.get(name) or environ.get(PREFIX + name.upper()) or file.get(name)
        if value:
            values[name] = value
    if "master" not in values:
        raise MalformedError(
            "No master is known: give --master host:5050, set MESOS_TWISTED_MASTER, or write "
            f'master = "host:5050" into {_path(environ)}'
        )
    if "cacert" not in values:
        raise MalformedError(
            "No authority is known to check the master by: give --cacert ca.pem, set "
            f"MESOS_TWISTED_CACERT, or write cacert into {_path(environ)}"
        )
    masters = tuple(word.strip() for word in values.pop("master").split(",") if word.strip())
    if is_zk_url(",".join(masters)):
        parse_zk_url(",".join(masters))
        return Settings(masters, **values)
    for master in masters:
        host, _, port = master.rpartition(":")
        if not host or not port.isdigit():
            raise MalformedError(f"'{master}' is not a master's address; write host:port")
    return Settings(masters, **values)


def _path(environ: Mapping[str, str]) -> Path:
    given = environ.get(PREFIX + "CONFIG")
    if given:
        return Path(given)
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return Path(base) / "mesos-twisted" / "config.toml"


def _file(environ: Mapping[str, str]) -> dict[str, str]:
    path = _path(environ)
    if not path.exists():
        if environ.get(PREFIX + "CONFIG"):
            raise MalformedError(f"The configuration {path} does not exist")
        return {}
    try:
        document = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise MalformedError(f"The configuration {path} is not valid TOML: {error}") from None
    out: dict[str, str] = {}
    for name, value in document.items():
        if name not in NAMES:
            raise MalformedError(
                f"Unknown setting '{name}' in {path}; known are {', '.join(NAMES)}"
            )
        out[name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return out


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise MalformedError(f"Cannot read {path}: {error.strerror}") from None
