"""What every command has: common options, exit codes, and one reactor run a command.

Exit codes: 0 ok, 1 error, 2 wrong usage or setting, 3 not found, 4 denied, 5 unreachable,
6 timed out, 7 done in part, 130 interrupted. `run` exits with its task's own status. Which commands
there are is not known here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import click
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from mesos_twisted.cli.client import Cluster, DeniedError, NotFoundError, TimedOutError
from mesos_twisted.cli.render import clean
from mesos_twisted.cli.settings import resolve
from mesos_twisted.clock import make_steady
from mesos_twisted.errors import MalformedError, MesosError, UnavailableError

OK, ERROR, USAGE, NOT_FOUND, DENIED, UNREACHABLE, TIMED_OUT, PARTIAL = range(8)
INTERRUPTED = 130
_CODES = (
    (NotFoundError, NOT_FOUND),
    (DeniedError, DENIED),
    (UnavailableError, UNREACHABLE),
    (TimedOutError, TIMED_OUT),
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


def with_reactor(work: Callable[[Any], Coroutine[Any, Any, int | None]]) -> None:
    """Run `work(reactor)` in one reactor run and exit with what it returns."""
    from twisted.internet import reactor

    async def whole() -> int:
        return await work(reactor) or OK

    sys.exit(run_reactor(reactor, whole))


def run_reactor(reactor: Any, work: Callable[[], Awaitable[int]]) -> int:
    """Run a coroutine to its end; a MesosError becomes its sentence and exit code.

    SIGINT and SIGTERM cancel it, and the reactor waits for what it does then.
    """
    make_steady(reactor)
    status = ERROR
    over: Deferred[None] = Deferred()
    running: list[Deferred[int]] = []

    def ended(result: object) -> None:
        nonlocal status
        if isinstance(result, Failure):
            error = result.value
            status = tell(error) if error is not None else ERROR
        elif isinstance(result, int):
            status = result
        over.callback(None)

    def begin() -> None:
        started: Deferred[int] = ensureDeferred(work())  # type: ignore[arg-type]  # any awaitable
        running.append(started)
        started.addBoth(ended)
        started.addBoth(lambda _: _stop(reactor))

    def interrupted() -> Deferred[None]:
        if not over.called:
            running[0].cancel()
        return over

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", interrupted)
    reactor.run()
    return status


def _stop(reactor: Any) -> None:
    try:
        reactor.stop()
    except ReactorNotRunning:
        # It is being stopped already: the interrupt waited for the work to end.
        return


def tell(error: BaseException) -> int:
    """Print what went wrong; the exit code that fits."""
    if isinstance(error, CancelledError):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Whoever read our output left: there is nobody to tell, now or when the process exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    if not isinstance(error, MesosError):
        raise error
    click.echo(f"mesos-twisted: {clean(str(error))}", err=True)
    return next((code for kind, code in _CODES if isinstance(error, kind)), ERROR)
