"""The command line's entry: common options, exit codes, and one reactor run a command.

Exit codes: 0 ok, 1 error, 2 wrong usage, 3 not found, 4 denied, 5 unreachable, 6 timed out,
7 done in part. `run` exits with its task's own status.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import click
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from mesos_twisted import __version__
from mesos_twisted.cli.client import Cluster, DeniedError, NotFoundError
from mesos_twisted.cli.settings import resolve
from mesos_twisted.errors import MalformedError, MesosError, UnavailableError

OK, ERROR, USAGE, NOT_FOUND, DENIED, UNREACHABLE, TIMED_OUT, PARTIAL = range(8)
_CODES = (
    (NotFoundError, NOT_FOUND),
    (DeniedError, DENIED),
    (UnavailableError, UNREACHABLE),
    (MalformedError, USAGE),
)
F = TypeVar("F", bound=Callable[..., Any])


def cluster_options(command: F) -> F:
    """The options every command that asks the cluster has."""
    for option in reversed(
        (
            click.option("--master", metavar="HOST:PORT", help="a master, or several with commas"),
            click.option("--cacert", metavar="FILE", help="the authorities to check masters by"),
            click.option("--cert", metavar="FILE", help="your certificate"),
            click.option("--key", metavar="FILE", help="your certificate's key"),
            click.option("--principal", metavar="NAME", help="your name, when you have a secret"),
            click.option("--secret-file", metavar="FILE", help="the file with your secret"),
        )
    ):
        command = option(command)
    return command


output_option = click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", help="table or json"
)


def with_cluster(
    flags: dict[str, str | None], work: Callable[[Cluster, Any], Coroutine[Any, Any, int | None]]
) -> None:
    """Run `work(cluster, reactor)` in one reactor run and exit with what it returns."""
    from twisted.internet import reactor

    settings = resolve(flags)

    async def whole() -> int:
        cluster = Cluster(reactor, settings)
        try:
            return await work(cluster, reactor) or OK
        finally:
            await cluster.close()

    sys.exit(run_reactor(reactor, whole))


def run_reactor(reactor: Any, work: Callable[[], Awaitable[int]]) -> int:
    """Run a coroutine to its end; a MesosError becomes its sentence and exit code."""
    status = ERROR

    def ended(result: object) -> None:
        nonlocal status
        if isinstance(result, Failure):
            error = result.value
            status = tell(error) if error is not None else ERROR
        elif isinstance(result, int):
            status = result
        if reactor.running:
            reactor.stop()

    def begin() -> None:
        started: Deferred[int] = ensureDeferred(work())  # type: ignore[arg-type]  # any awaitable
        started.addBoth(ended)

    reactor.callWhenRunning(begin)
    reactor.run()
    return status


def tell(error: BaseException) -> int:
    """Print what went wrong; the exit code that fits."""
    if not isinstance(error, MesosError):
        raise error
    click.echo(f"mesos-twisted: {error}", err=True)
    return next((code for kind, code in _CODES if isinstance(error, kind)), ERROR)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mesos-twisted")
def cli() -> None:
    """A cluster of machines that many frameworks share, wire-compatible with Apache Mesos.

    Daemons: master, agent, connect. On one machine: local, demo. Each has its own --help.
    """


def main() -> None:
    """Run the command line."""
    from mesos_twisted.cli.commands import register

    register(cli)
    try:
        cli()
    except MesosError as error:
        sys.exit(tell(error))
