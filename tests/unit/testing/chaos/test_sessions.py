"""The run's own words with ZooKeeper."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.testing.chaos import sessions
from mesos_twisted.testing.zookeeper import RealEnsemble, RealServer

SESSION = 0x10000BEC58B0001


def test_a_password_is_the_one_that_a_server_made() -> None:
    """A server of 3.8 accepted this one."""
    assert sessions.password(SESSION).hex() == "8ae77226d8e7e31ca2e25885153c89fd"


class Server(threading.Thread):
    """Confirms sessions; what it says to a close is `closes`."""

    def __init__(self, confirms: bool, closes: bool) -> None:
        super().__init__(daemon=True)
        self.confirms, self.closes = confirms, closes
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.heard: list[bytes] = []

    @property
    def place(self) -> RealServer:
        return RealServer(Path(), self.listening.getsockname()[1])

    def run(self) -> None:
        connection, _ = self.listening.accept()
        with connection:
            asked = self._read(connection)
            session = struct.unpack_from(">iqiq", asked)[3] or SESSION
            timeout_ms = 3000 if self.confirms else 0
            self._answer(connection, struct.pack(">iiqi16s", 0, timeout_ms, session, 16, bytes(16)))
            if self.confirms and self._read(connection) and self.closes:
                self._answer(connection, struct.pack(">iqi", 1, 7, 0))

    def _read(self, connection: socket.socket) -> bytes:
        size = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
        self.heard.append(connection.recv(size, socket.MSG_WAITALL))
        return self.heard[-1]

    def _answer(self, connection: socket.socket, body: bytes) -> None:
        connection.sendall(struct.pack(">i", len(body)) + body)


@pytest.fixture
def servers() -> Iterator[dict[tuple[bool, bool], Server]]:
    made = {(a, b): Server(a, b) for a in (True, False) for b in (True, False)}
    for server in made.values():
        server.start()
    yield made
    for server in made.values():
        server.join(10)
        server.listening.close()


def test_only_a_session_that_began_and_ended_is_a_commit(
    servers: dict[tuple[bool, bool], Server],
) -> None:
    for (confirms, closes), server in servers.items():
        ensemble = RealEnsemble([server.place])
        assert sessions.commits(ensemble, server.place) is (confirms and closes)


@pytest.mark.parametrize("answer", [b"", b"\0\0", b"\0\0\0\1x", b"\xff\xff\xff\xff"])
def test_nonsense_is_no_commit(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answers() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 10)
                connection.sendall(answer)

        thread = threading.Thread(target=answers)
        thread.start()
        place = RealServer(Path(), listening.getsockname()[1])
        assert not sessions.commits(RealEnsemble([place]), place)
        thread.join(10)


def test_a_session_is_ended_with_its_own_password(
    servers: dict[tuple[bool, bool], Server],
) -> None:
    for (confirms, closes), server in servers.items():
        ensemble = RealEnsemble([server.place])
        assert sessions.end(ensemble, server.place, SESSION) is (confirms and closes)
        assert sessions.password(SESSION) in server.heard[0]
