"""`mesos-twisted registry show|backup|restore`: what a master keeps of its cluster.

They work on the store itself, not through a master: show and backup at any time, restore when no
master runs on it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any, TypeVar

import click
from twisted.internet import defer
from twisted.internet.defer import Deferred

from mesos_twisted.cli.client import TimedOutError
from mesos_twisted.cli.context import output_option, with_reactor
from mesos_twisted.cli.render import show, show_document
from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.registry import raw
from mesos_twisted.registry.interfaces import RecordStore
from mesos_twisted.registry.operations import Snapshot
from mesos_twisted.registry.sqlite_file import SqliteRecords
from mesos_twisted.registry.zookeeper_records import ZooKeeperRecords
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.zookeeper.acl import acl_for
from mesos_twisted.zookeeper.net.ensemble import Ensemble
from mesos_twisted.zookeeper.url import check_path, is_zk_url, parse_zk_url

F = TypeVar("F", bound=Callable[..., Any])
_SESSION_S = 10.0
#: For a whole command; a registry of 50,000 agents takes seconds.
_LIMIT_S = 120.0
DEFAULT = "/var/lib/mesos/master/registry.sqlite"


def registry_option(command: F) -> F:
    """Which registry is meant, and how to reach it."""
    options = (
        click.option(
            "--registry",
            "where",
            metavar="FILE|ZK",
            default=DEFAULT,
            show_default=True,
            help="registry.sqlite in the master's work_dir, or zk://host:port/mesos as its --zk",
        ),
        click.option(
            "--registry-zk-path", metavar="PATH", help="as the master's; default: beside its path"
        ),
        click.option("--zk-acl", metavar="LIST", help="who may write, as the master's --zk_acl"),
        click.option("--zk-tls", is_flag=True, help="speak TLS with ZooKeeper"),
        click.option("--cacert", metavar="FILE", help="the authorities to check ZooKeeper by"),
        click.option("--cert", metavar="FILE", help="your certificate"),
        click.option("--key", metavar="FILE", help="your certificate's key"),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def registry() -> None:
    """What a master keeps of its cluster: agents, weights, and who led."""


@registry.command("show")
@registry_option
@output_option
def show_registry(where: str, output: str, **how: Any) -> None:
    """All agents the registry knows, and whose registry it is."""

    async def work(store: RecordStore) -> None:
        records = await store.read()
        found = raw.read(records)
        if output == "json":
            show_document(_document(records, found))
            return
        if found.master is not None:
            click.echo(
                f"registry {found.registry_id}, epoch {found.epoch}: "
                f"last led by {found.master.id} at {found.master.hostname}:{found.master.port}"
            )
        rows = [
            (info.id.value if info.id else "", info.hostname, "admitted", "")
            for info in found.agents
        ]
        for state, lost in (("unreachable", found.unreachable), ("gone", found.gone)):
            rows += [(agent_id, "", state, _when(at)) for agent_id, at in lost.items()]
        wanted = _wanted(found)
        rows = [
            (agent_id, host, f"{state}, {wanted[agent_id]}" if agent_id in wanted else state, since)
            for agent_id, host, state, since in rows
        ]
        show(output, rows, ("AGENT", "HOST", "STATE", "SINCE"), rows)
        if found.weights:
            click.echo("weights: " + ", ".join(f"{k}={v:g}" for k, v in found.weights.items()))

    _with_store(where, how, work)


@registry.command()
@registry_option
@click.argument("file", type=click.Path(dir_okay=False))
def backup(where: str, file: str, **how: Any) -> None:
    """Write all records, as they are at one moment, to FILE; a master may run meanwhile."""

    async def work(store: RecordStore) -> None:
        records = await store.read()
        _write_whole(file, raw.encode(records))
        click.echo(f"{len(records.records)} records of version {records.version} are in {file}.")

    _with_store(where, how, work)


@registry.command()
@registry_option
@click.option("--yes", is_flag=True, help="do not ask")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def restore(where: str, yes: bool, file: str, **how: Any) -> None:
    """Put the records of a backup in place of the registry's; no master may run on it.

    Agents admitted since the backup come back by themselves; what was marked gone or weighed since
    must be said again.
    """
    if not yes:
        click.confirm(f"Replace everything in {_shown(where)} by {file}?", abort=True)

    async def work(store: RecordStore) -> None:
        try:
            records = raw.decode(Path(file).read_bytes())
            raw.read(records)
        except OSError as error:
            raise MalformedError(f"{file} cannot be read: {error.strerror}") from None
        except MalformedError as error:
            raise MalformedError(f"{file} cannot be restored: {error}") from None
        await store.replace(records)
        click.echo(f"{len(records.records)} records are restored; start the master.")

    _with_store(where, how, work)


def _with_store(
    where: str, how: dict[str, Any], work: Callable[[RecordStore], Coroutine[Any, Any, None]]
) -> None:
    async def whole(reactor: Any) -> None:
        store = _store(where, how, reactor)
        try:
            done = Deferred.fromCoroutine(work(store))
            await done.addTimeout(_LIMIT_S, reactor)
        except defer.TimeoutError:
            raise TimedOutError(f"{_shown(where)} did not answer in {_LIMIT_S:g} s") from None
        finally:
            await store.close()

    with_reactor(whole)


def _shown(where: str) -> str:
    """Without a password."""
    return str(parse_zk_url(where)) if is_zk_url(where) else where


def _store(where: str, how: dict[str, Any], reactor: Any) -> RecordStore:
    if not is_zk_url(where):
        return SqliteRecords(where)
    url = parse_zk_url(where)
    contexts = None
    if how["zk_tls"]:
        if how["cacert"] is None:
            raise MalformedError("--zk-tls needs --cacert, the authorities to check ZooKeeper by")
        files = CertificateFiles(how["cacert"], how["cert"], how["key"] or how["cert"])
        contexts = ContextSource(files)
    ensemble = Ensemble(reactor, url, _SESSION_S, SystemRandom().random, contexts)
    identified = how["zk_tls"] or url.credentials is not None
    path = how["registry_zk_path"]
    return ZooKeeperRecords(
        ensemble.client(),
        f"{url.path}_registry" if path is None else check_path(path.rstrip("/")),
        acl_for(how["zk_acl"], identified),
        url.path,
    )


def _wanted(found: Snapshot) -> dict[str, str]:
    """What an operator wants of agents, in a word each."""
    words: dict[str, str] = dict.fromkeys(found.deactivated, "deactivated")
    words.update((name, one.state.value.lower()) for name, one in found.draining.items())
    return words


def _document(records: raw.Raw, found: Snapshot) -> dict[str, Any]:
    return {
        "registry_id": found.registry_id,
        "epoch": found.epoch,
        "schema": records.schema,
        "version": records.version,
        "master": None if found.master is None else _place(found.master),
        "agents": [
            {"id": info.id.value if info.id else "", "hostname": info.hostname, "port": info.port}
            for info in found.agents
        ],
        "unreachable": dict(found.unreachable),
        "gone": dict(found.gone),
        "weights": dict(found.weights),
        "deactivated": sorted(found.deactivated),
        "draining": {agent_id: one.state.value for agent_id, one in found.draining.items()},
        "unknown_tables": raw.unknown_tables(records),
    }


def _place(master: Any) -> dict[str, Any]:
    return {"id": master.id, "hostname": master.hostname, "port": master.port}


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write_whole(file: str, data: bytes) -> None:
    """The file has the data on disk, or is as it was: a backup that is cut short is none."""
    part = f"{file}.part"
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, file)
        directory = os.open(os.path.dirname(os.path.abspath(file)), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise UnavailableError(f"{file} cannot be written: {error.strerror}") from None
