"""Flags declared once: a frozen dataclass per daemon, read from the command line, the environment
and a TOML file.

A value is taken from the first that has it: `--name=value`, `MESOS_NAME`, the TOML file given with
`--config`, the default. Mesos's own syntax holds: `--name` and `--no-name` for booleans, and
`file:///path` anywhere to read the value from a file. Help, documents and role defaults are made
from the declarations. This module knows no flag of its own but `--config`, `--check-config` and
`--help`.
"""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from mesos_twisted.errors import MalformedError
from mesos_twisted.units import format_bytes, format_duration, parse_bytes, parse_duration

T = TypeVar("T")
PREFIX = "MESOS_"
FILE_SCHEME = "file://"


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How a flag's text becomes a value and back."""

    name: str
    parse: Callable[[str], T]
    show: Callable[[T], str] = str


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise MalformedError(f"'{text}' is not a boolean; write true or false")


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise MalformedError(f"'{text}' is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise MalformedError(f"'{text}' is not a number") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _port(text: str) -> int:
    port = _integer(text)
    if not 0 <= port <= 65535:
        raise MalformedError(f"{port} is not a port; write a number from 0 to 65535")
    return port


def _lower(value: object) -> str:
    return str(value).lower()


def _joined(value: tuple[str, ...]) -> str:
    return ",".join(value)


TEXT: Kind[str] = Kind("text", str)
PATH: Kind[str] = Kind("path", str)
BOOL: Kind[bool] = Kind("boolean", _boolean, _lower)
INT: Kind[int] = Kind("number", _integer)
FLOAT: Kind[float] = Kind("number", _number, lambda value: f"{value:.15g}")
PORT: Kind[int] = Kind("port", _port)
DURATION: Kind[float] = Kind("duration", parse_duration, format_duration)
BYTES: Kind[int] = Kind("bytes", parse_bytes, format_bytes)
NAMES: Kind[tuple[str, ...]] = Kind("list", _names, _joined)


def choice(*words: str) -> Kind[str]:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise MalformedError(f"'{text}' is not known; choose one of {', '.join(words)}")
        return text

    return Kind("choice", parse)


def flag(kind: Kind[T], default: T | None, help: str, *, secret: bool = False) -> Any:
    """A dataclass field that is a flag. A secret's value is never shown."""
    return dataclasses.field(
        default=default, metadata={"kind": kind, "help": help, "secret": secret}
    )


def another_default(config: type, name: str, default: object) -> Any:
    """The field of a subclass of `config` whose flag differs from the inherited by its default."""
    (field,) = (one for one in dataclasses.fields(config) if one.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)


@dataclass(frozen=True, slots=True)
class Declared:
    """One flag as documents and help need it."""

    name: str
    kind: Kind[Any]
    default: object
    help: str
    secret: bool

    @property
    def default_text(self) -> str:
        """The default in flag syntax; empty when there is none."""
        return "" if self.default is None else self.kind.show(self.default)


def declared(config: type) -> list[Declared]:
    """Every flag of a config class: its own in their order, then those it inherits.

    `{daemon}` in a help is the class's `DAEMON`.
    """
    daemon = getattr(config, "DAEMON", "daemon")
    place = {name: number for number, name in enumerate(inspect.get_annotations(config))}
    fields = sorted(dataclasses.fields(config), key=lambda field: place.get(field.name, len(place)))
    return [
        Declared(
            field.name,
            field.metadata["kind"],
            field.default,
            field.metadata["help"].replace("{daemon}", daemon),
            field.metadata["secret"],
        )
        for field in fields
        if "kind" in field.metadata
    ]


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """A config and what was asked beside it."""

    config: T
    check_only: bool
    help_asked: bool
    warnings: tuple[str, ...]


def load(
    config: type[T],
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    without_effect: Mapping[str, str] | None = None,
    refused: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    read_file: Callable[[str], str] | None = None,
) -> Loaded[T]:
    """The config that these sources give. Raises MalformedError with one sentence.

    `without_effect` maps flags of Mesos that mean nothing here to the reason: they are accepted
    with a warning, so that an old command line still starts. `refused` maps those that ask for
    something which would be missed, to what to do: only switched off are they accepted. `aliases`
    maps old spellings to new.
    """
    read = read_file or _read
    flags = {item.name: item for item in declared(config)}
    ignored, renamed = _Ignored(without_effect or {}, refused or {}), dict(aliases or {})
    texts: dict[str, tuple[str, str]] = {}
    given = _command_line(argv, flags, ignored, renamed)
    path = given.pop("config", None) or environ.get(PREFIX + "CONFIG")
    check_only = given.pop("check_config", "false") == "true"
    help_asked = given.pop("help", "false") == "true"
    if path:
        for name, value in _toml(path, read).items():
            name = renamed.get(name, name)
            if name in ignored and name not in flags:
                ignored.note(name, f"{name} in {path}", value)
            elif name not in flags:
                raise MalformedError(
                    f"Unknown setting '{name}' in {path}; see --help for the names"
                )
            else:
                texts[name] = (value, f"{name} in {path}")
    for key, value in environ.items():
        name = key.removeprefix(PREFIX).lower()
        name = renamed.get(name, name)
        if key.startswith(PREFIX) and name in flags:
            texts[name] = (value, key)
        elif key.startswith(PREFIX) and name in ignored:
            ignored.note(name, key, value)
    for name, value in given.items():
        texts[name] = (value, f"--{name}")
    values = {name: _parse(flags[name], *texts[name], read) for name in texts}
    return Loaded(config(**values), check_only, help_asked, tuple(ignored.warnings))


class _Ignored:
    """Flags of Mesos that are no flags here, and what is said of those that were given."""

    def __init__(self, without_effect: Mapping[str, str], refused: Mapping[str, str]) -> None:
        self._without_effect, self._refused = without_effect, refused
        self.warnings: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._without_effect or name in self._refused

    def note(self, name: str, where: str, value: str) -> None:
        """Raises MalformedError for a refused one, unless its value says that it is off."""
        why = self._refused.get(name)
        if why is None:
            self.warnings.append(f"{where} has no effect: {self._without_effect[name]}")
        elif value.lower() in ("false", "0", "no"):
            self.warnings.append(f"{where} has no effect: it is off here in any case")
        else:
            raise MalformedError(f"{where} cannot be honoured: {why}")


def _command_line(
    argv: Sequence[str],
    flags: Mapping[str, Declared],
    ignored: _Ignored,
    renamed: Mapping[str, str],
) -> dict[str, str]:
    known = {*flags, "config", "check_config", "help"}
    given: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            raise MalformedError(f"Unexpected argument '{word}'; flags are written --name=value")
        text, has_value, value = word[2:].partition("=")
        name = text.replace("-", "_")
        name = renamed.get(name, name)
        if name not in known and name.startswith("no_") and not has_value:
            name, value, has_value = renamed.get(name[3:], name[3:]), "false", "="
        if name not in known and name in ignored:
            if not has_value and words and not words[0].startswith("--"):
                value = words.pop(0)
            ignored.note(name, f"--{name}", value)
            continue
        if name not in known:
            raise MalformedError(f"Unknown flag '--{text}'; see --help for the names")
        if name in given:
            raise MalformedError(f"The flag '--{name}' is given twice")
        boolean = name in ("check_config", "help") or (
            name in flags and flags[name].kind.name == "boolean"
        )
        if not has_value:
            if boolean:
                value = "true"
            elif words and not words[0].startswith("--"):
                value = words.pop(0)
            else:
                raise MalformedError(f"The flag '--{name}' needs a value: --{name}=VALUE")
        given[name] = value
    return given


def _parse(item: Declared, text: str, where: str, read: Callable[[str], str]) -> Any:
    if text.startswith(FILE_SCHEME) and item.kind is not PATH:
        text = read(text.removeprefix(FILE_SCHEME)).strip()
    elif text.startswith(FILE_SCHEME):
        text = text.removeprefix(FILE_SCHEME)
    try:
        return item.kind.parse(text)
    except MalformedError as error:
        shown = "its value" if item.secret else str(error)
        raise MalformedError(f"Bad value for {where}: {shown}") from None


def _toml(path: str, read: Callable[[str], str]) -> dict[str, str]:
    try:
        document = tomllib.loads(read(path))
    except tomllib.TOMLDecodeError as error:
        raise MalformedError(f"The configuration {path} is not valid TOML: {error}") from None
    return {
        name.replace("-", "_"): _toml_text(name, value, path) for name, value in document.items()
    }


def _toml_text(name: str, value: object, path: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    raise MalformedError(
        f"The setting '{name}' in {path} must be a string, number, boolean or list"
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise MalformedError(f"Cannot read {path}: {reason}") from None


def document(config: object) -> dict[str, str]:
    """Every set flag with its value as text, as `/flags` answers; secrets are masked."""
    out: dict[str, str] = {}
    for item in declared(type(config)):
        value = getattr(config, item.name)
        if value is not None:
            out[item.name] = "********" if item.secret else item.kind.show(value)
    return out


def help_text(config: type, title: str) -> str:
    """What `--help` prints."""
    lines = [
        title,
        "",
        "Flags may also be set as MESOS_NAME in the environment or in the file of --config.",
        "",
        "  --config=FILE              a TOML file with any of the settings below",
        "  --check-config             check all settings, then exit",
    ]
    for item in declared(config):
        boolean = item.kind.name == "boolean"
        head = f"  --[no-]{item.name}" if boolean else f"  --{item.name}={item.kind.name.upper()}"
        default = f" (default: {item.default_text})" if item.default_text else ""
        lines.append(f"{head:<40} {item.help}{default}")
    return "\n".join(lines) + "\n"


def require(config: object, name: str, why: str) -> str:
    """The text value of a flag that must be set. Raises MalformedError."""
    value = getattr(config, name)
    if not value:
        raise MalformedError(f"--{name} is required: {why}")
    return cast(str, value)
