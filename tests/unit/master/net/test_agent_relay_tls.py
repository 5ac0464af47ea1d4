"""The relay of agents' files speaks to agents alone, whoever holds a good certificate."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from mesos_twisted.master.net.agent_files import agents_client
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.transport.client import NotConnectedError
from mesos_twisted.transport.http1 import HttpServer, Response
from mesos_twisted.transport.listen import listen_tls, stop_gracefully


class Relay(TestCase):
    timeout = 20

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        authority.make_authority(self.root, "c")
        for role in (Role.MASTER, Role.AGENT):
            authority.issue(self.root, role, role.value, ["localhost"])
        self.asked: list[str] = []

    def contexts(self, name: str) -> ContextSource:
        return ContextSource(
            CertificateFiles(
                str(self.root / "ca.pem"),
                str(self.root / f"{name}.pem"),
                str(self.root / f"{name}-key.pem"),
            )
        )

    def ask(self, name: str, cluster: str | None = None) -> Deferred[Any]:
        """A file of the peer whose certificate is `name`'s."""

        def handle(request: Any) -> Response:
            self.asked.append(request.path)
            return Response(200, b"x")

        server = HttpServer(reactor, handle)
        listener = listen_tls(reactor, "127.0.0.1", 0, self.contexts(name), {b"http/1.1": server})
        self.addCleanup(lambda: stop_gracefully([listener], [server], 0.2))
        client = agents_client(reactor, self.contexts("master"), cluster)
        self.addCleanup(client.close)
        return client.request("GET", f"https://localhost:{listener.port_number}/files/read")

    @inlineCallbacks
    def test_an_agent_is_asked(self) -> Iterator[Any]:
        """A certificate of role agent is what the relay wants."""
        answer = yield self.ask("agent", "c")
        assert (answer.status, self.asked) == (200, ["/files/read"])

    @inlineCallbacks
    def test_a_master_in_an_agents_place_is_asked_nothing(self) -> Iterator[Any]:
        """The same authority and the same host name are not enough."""
        problem = yield self.assertFailure(self.ask("master"), NotConnectedError)
        assert "Expected a peer with role agent and found principal 'master' (master)" in str(
            problem
        )
        assert self.asked == []

    @inlineCallbacks
    def test_an_agent_of_another_cluster_is_asked_nothing(self) -> Iterator[Any]:
        """The authority may serve several clusters."""
        problem = yield self.assertFailure(self.ask("agent", "other"), NotConnectedError)
        assert "belongs to cluster 'c'" in str(problem) and self.asked == []
