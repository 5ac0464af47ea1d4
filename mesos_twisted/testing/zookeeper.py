"""Real ZooKeeper servers for tests: Debian's, on loopback, below a temporary directory.

`RealEnsemble.start` runs one server, or three that elect a leader, plain or over mutual TLS, and
waits until they serve. Nothing is installed as a service, and `stop` leaves no process.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.python.failure import Failure

from mesos_twisted.local.layout import free_port
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.security.net.tls import ContextSource
from mesos_twisted.testing.processes import wait_until
from mesos_twisted.zookeeper.net.client import ZooKeeperClient
from mesos_twisted.zookeeper.net.ensemble import Ensemble
from mesos_twisted.zookeeper.url import ZkUrl

T = TypeVar("T")

_JARS: Final = (
    "/usr/share/java/zookeeper.jar",
    # Its manifest names not all that TLS needs, and no logger.
    "/usr/share/java/netty-resolver.jar",
    "/usr/share/java/netty-codec.jar",
    "/usr/share/java/netty-transport-native-unix-common.jar",
    "/usr/share/java/slf4j-simple.jar",
)
_JAVA: Final = (
    "java",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
_MAIN: Final = "org.apache.zookeeper.server.quorum.QuorumPeerMain"


@dataclass
class ServerTls:
    """PEM files of the servers' identity, and of those whose clients they accept."""

    cert: Path
    key: Path
    ca: Path


@dataclass
class RealServer:
    """One server; `process` is None while it is down."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    address: str = "127.0.0.1"

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.directory / "log").read_text(errors="replace")


@dataclass
class RealEnsemble:
    """Servers that belong together."""

    servers: list[RealServer]
    tls: ServerTls | None = None
    options: tuple[str, ...] = field(default=())

    @classmethod
    def start(
        cls,
        root: Path,
        count: int = 1,
        tls: ServerTls | None = None,
        *,
        tick_ms: int = 200,
        sync: bool = False,
    ) -> RealEnsemble:
        """Servers that serve. With `sync` each write is flushed to disk, as in production.

        Raises AssertionError with their output when they do not come up.
        """
        ensemble = cls.configure(root, ("127.0.0.1",) * count, tls, tick_ms=tick_ms, sync=sync)
        for server in ensemble.servers:
            ensemble.bring_up(server, wait=False)
        try:
            ensemble.serves()
        except AssertionError:
            ensemble.stop()
            raise
        return ensemble

    @classmethod
    def configure(
        cls,
        root: Path,
        addresses: Sequence[str],
        tls: ServerTls | None = None,
        *,
        tick_ms: int = 200,
        sync: bool = False,
    ) -> RealEnsemble:
        """Servers at these addresses, of which none runs yet."""
        quorum = [(address, free_port(0), free_port(0)) for address in addresses]
        servers = []
        for number, address in enumerate(addresses, 1):
            server = RealServer(root / f"zookeeper-{number}", free_port(0), None, address)
            (server.directory / "data").mkdir(parents=True)
            (server.directory / "data" / "myid").write_text(f"{number}\n")
            lines = _configuration(server, tls, tick_ms)
            if len(addresses) > 1:
                lines += [f"server.{i}={host}:{a}:{b}" for i, (host, a, b) in enumerate(quorum, 1)]
            (server.directory / "zoo.cfg").write_text("\n".join(lines) + "\n")
            servers.append(server)
        return cls(servers, tls, () if sync else ("-Dzookeeper.forceSync=no",))

    def serves(self) -> None:
        """Wait until every server does. Raises AssertionError with their output."""
        try:
            wait_until(lambda: all(map(self.mode, self.servers)), "ZooKeeper serves", 100)
        except AssertionError as error:
            output = "\n".join(server.log[-3000:] for server in self.servers)
            raise AssertionError(f"{error}\n{output}") from None

    def command(self) -> list[str]:
        """What runs a server, in its directory."""
        return [*_JAVA, *self.options, "-cp", ":".join(_JARS), _MAIN, "zoo.cfg"]

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where clients connect."""
        return tuple((server.address, server.port) for server in self.servers)

    @property
    def hosts(self) -> str:
        """The same, as in a `zk://` URL."""
        return ",".join(f"{host}:{port}" for host, port in self.addresses)

    def bring_up(self, server: RealServer, wait: bool = True) -> None:
        """Start a server that is down; it serves when this returns, if others make a majority."""
        with open(server.directory / "log", "ab") as log:
            server.process = subprocess.Popen(
                self.command(),
                cwd=server.directory,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"]},
                start_new_session=True,
            )
        if wait:
            wait_until(lambda: self.mode(server), "the ZooKeeper server serves", 100)

    def mode(self, server: RealServer) -> str:
        """`standalone`, `leader` or `follower`; empty while it does not serve."""
        if server.process is None or server.process.poll() is not None:
            raise AssertionError(f"a ZooKeeper server ended:\n{server.log[-3000:]}")
        return self.said(server).get("Mode", "")

    def said(self, server: RealServer) -> dict[str, str]:
        """What it tells of itself (`Mode`, `Zxid`, …); nothing while it does not serve."""
        try:
            said = self._ask(server, b"srvr").decode()
        except OSError:
            return {}
        pairs = (line.partition(": ") for line in said.splitlines())
        return {name: value for name, colon, value in pairs if colon}

    def leader(self) -> RealServer:
        """The server that leads, among those that run."""
        return next(s for s in self.servers if s.process and self.mode(s) == "leader")

    def kill(self, server: RealServer) -> None:
        """Kill -9; its data stay."""
        process, server.process = server.process, None
        if process is not None:
            process.kill()
            process.wait()

    def pause(self, server: RealServer) -> None:
        """It is alive, and says nothing until `resume`."""
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)

    def resume(self, server: RealServer) -> None:
        """It goes on."""
        assert server.process is not None
        server.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """No server is left."""
        for server in self.servers:
            self.kill(server)

    def _ask(self, server: RealServer, word: bytes) -> bytes:
        with socket.create_connection((server.address, server.port), 5) as plain:
            if self.tls is None:
                return _exchange(plain, word)
            context = ssl.create_default_context(cafile=str(self.tls.ca))
            context.check_hostname = False
            context.load_cert_chain(self.tls.cert, self.tls.key)
            with context.wrap_socket(plain) as secure:
                return _exchange(secure, word)


def _exchange(connection: socket.socket, word: bytes) -> bytes:
    connection.sendall(word)
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def _configuration(server: RealServer, tls: ServerTls | None, tick_ms: int) -> list[str]:
    directory, port = server.directory, server.port
    lines = [
        f"tickTime={tick_ms}",
        "initLimit=50",
        "syncLimit=25",
        f"dataDir={directory}/data",
        "minSessionTimeout=400",
        "maxSessionTimeout=60000",
        "maxClientCnxns=0",
        "admin.enableServer=false",
        "4lw.commands.whitelist=srvr,cons",
    ]
    if tls is None:
        return [*lines, f"clientPort={port}", f"clientPortAddress={server.address}"]
    own = directory / "own.pem"
    with open(os.open(own, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        out.write(tls.key.read_bytes() + tls.cert.read_bytes())
    return [
        *lines,
        f"secureClientPort={port}",
        f"secureClientPortAddress={server.address}",
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        "authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider",
        "ssl.protocol=TLSv1.3",
        "ssl.enabledProtocols=TLSv1.3,TLSv1.2",
        "ssl.clientAuth=need",
        # Of clients: their certificates name no host that they come from.
        "ssl.hostnameVerification=false",
        f"ssl.keyStore.location={own}",
        "ssl.keyStore.type=PEM",
        f"ssl.trustStore.location={tls.ca}",
        "ssl.trustStore.type=PEM",
    ]


class TurnedReactor:
    """A reactor of a test's own, turned only while the test waits; never the global one."""

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()

    def until(self, ready: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
        """What `ready()` gives once it is true. Raises AssertionError at the deadline."""
        deadline = self.reactor.seconds() + timeout_s
        while not (value := ready()):
            if self.reactor.seconds() > deadline:
                raise AssertionError(f"{what}: not within {timeout_s:g} s")
            self.reactor.iterate(0.02)
        return value

    def wait(self, deferred: Deferred[T], timeout_s: float = 30.0) -> T:
        """The Deferred's result; its failure is raised."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.until(lambda: results, "a Deferred fires", timeout_s)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]  # type: ignore[no-any-return]  # the list holds what T is

    def spend(self, seconds: float) -> None:
        """Let so much time pass."""
        over: list[bool] = []
        self.reactor.callLater(seconds, over.append, True)
        self.until(lambda: over, "time passes", seconds + 30)

    def close(self) -> None:
        """Its descriptors are closed. Raises AssertionError when something is still scheduled."""
        for _ in range(3):
            # Twisted tells of an aborted connection in the next turn.
            self.reactor.iterate(0)
        left = self.reactor.getDelayedCalls()
        for descriptor in self.reactor.removeAll():
            descriptor.connectionLost(Failure(ConnectionAbortedError("the test is over")))
        self.reactor._poller.close()
        assert not left, f"still scheduled: {left}"


class RealWorld:
    """Real servers in real time. Passes as a `suites.zookeeper.ZooKeeperWorld`."""

    def __init__(self, ensemble: RealEnsemble, contexts: ContextSource | None = None) -> None:
        """`close` it after the test. With `contexts` its clients speak TLS."""
        self.contexts = contexts
        self.ensemble = ensemble
        self.turned = TurnedReactor()
        self.clients: list[ZooKeeperClient] = []

    def client(self, timeout_s: float = 6.0, credentials: Secret | None = None) -> ZooKeeperClient:
        """A client of them, not started; it is closed with the world."""
        # Each begins with another server.
        chance = random.Random(len(self.clients)).random
        url = ZkUrl(self.ensemble.addresses, "/", credentials)
        client = Ensemble(self.reactor, url, timeout_s, chance, self.contexts).client()
        self.clients.append(client)
        return client

    @property
    def reactor(self) -> Any:
        """What a client, or timers, are made with."""
        return self.turned.reactor

    def wait(self, deferred: Deferred[T]) -> T:
        """The Deferred's result."""
        return self.turned.wait(deferred)

    def until(self, ready: Callable[[], Any], what: str) -> Any:
        """Wait until it is true."""
        return self.turned.until(ready, what)

    def close(self) -> None:
        """Every client is closed, and nothing is scheduled."""
        for client in self.clients:
            self.wait(client.close())
        self.turned.close()
