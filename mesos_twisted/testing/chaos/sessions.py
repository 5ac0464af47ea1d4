"""ZooKeeper as the run itself sees it, without the client that is being tested.

`commits` opens and closes a session of its own, which takes two transactions: it says whether the
ensemble works, whatever our masters make of it. `end` ends somebody else's session: whoever knows
the password of one may close it, and a server derives the password from the id. Wire format:
zookeeper.jute of Apache ZooKeeper; passwords: its `ZooKeeperServer.generatePasswd`.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mesos_twisted.testing.zookeeper import RealEnsemble, RealServer

ANSWER_S: Final = 2.0
TIMEOUT_MS: Final = 3000
#: Bytes of an answer.
SHORTEST, LONGEST = 16, 1 << 20
_CLOSE: Final = -11
_SECRET: Final = 0xB3415C00
_MULTIPLIER, _ADDEND, _MASK = 0x5DEECE66D, 0xB, (1 << 48) - 1
#: A line of the four letters `cons`: a client's address, and the session it speaks for.
_LINE: Final = re.compile(r"/([\d.]+):\d+\[.*\bsid=(0x[0-9a-f]+)")


def password(session: int) -> bytes:
    """Its 16 bytes, as a server makes them: java.util.Random, seeded with the id."""
    state = ((session ^ _SECRET) ^ _MULTIPLIER) & _MASK
    made = b""
    for _ in range(4):
        state = (state * _MULTIPLIER + _ADDEND) & _MASK
        made += struct.pack("<I", (state >> 16) & 0xFFFFFFFF)
    return made


def commits(ensemble: RealEnsemble, server: RealServer) -> bool:
    """Can a session begin and end through this server now?"""
    try:
        with _connected(ensemble, server) as connection:
            opened = _open(connection, 0, bytes(16))
            return opened != 0 and _close(connection)
    except OSError:
        return False


def end(ensemble: RealEnsemble, server: RealServer, session: int) -> bool:
    """Close that session through this server; False when it cannot now, or there is none."""
    try:
        with _connected(ensemble, server) as connection:
            return _open(connection, session, password(session)) == session and _close(connection)
    except OSError:
        return False


def sessions(ensemble: RealEnsemble, server: RealServer) -> list[tuple[str, int]]:
    """Address of a client and id of its session, of each connection of this server."""
    try:
        said = words(ensemble, server, b"cons")
    except OSError:
        return []
    found = [(address, int(sid, 16)) for address, sid in _LINE.findall(said)]
    return [(address, session) for address, session in found if session]


def mode(ensemble: RealEnsemble, server: RealServer) -> str:
    """`leader` or `follower`; empty while it does not serve."""
    try:
        found = re.search(r"^Mode: (\w+)", words(ensemble, server, b"srvr"), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def words(ensemble: RealEnsemble, server: RealServer, word: bytes) -> str:
    """What it answers to four letters. Raises OSError."""
    with _connected(ensemble, server) as connection:
        connection.sendall(word)
        said = b""
        while piece := connection.recv(65536):
            said += piece
        return said.decode()


@contextmanager
def _connected(ensemble: RealEnsemble, server: RealServer) -> Iterator[socket.socket]:
    place = (server.address, server.port)
    with socket.create_connection(place, ANSWER_S) as plain:
        if ensemble.tls is None:
            yield plain
            return
        context = ssl.create_default_context(cafile=str(ensemble.tls.ca))
        context.check_hostname = False
        context.load_cert_chain(ensemble.tls.cert, ensemble.tls.key)
        with context.wrap_socket(plain) as secure:
            yield secure


def _open(connection: socket.socket, session: int, secret: bytes) -> int:
    """The session that the server confirms, 0 when it knows none."""
    _send(connection, struct.pack(">iqiqi16s?", 0, 0, TIMEOUT_MS, session, 16, secret, False))
    _, timeout_ms, confirmed = struct.unpack_from(">iiq", _receive(connection))
    return confirmed & (1 << 64) - 1 if timeout_ms > 0 else 0


def _close(connection: socket.socket) -> bool:
    _send(connection, struct.pack(">ii", 1, _CLOSE))
    _, _, error = struct.unpack_from(">iqi", _receive(connection))
    return bool(error == 0)


def _send(connection: socket.socket, body: bytes) -> None:
    connection.sendall(struct.pack(">i", len(body)) + body)


def _receive(connection: socket.socket) -> bytes:
    """One answer. Raises OSError when the server closes or is silent."""
    (size,) = struct.unpack(">i", _exactly(connection, 4))
    if not SHORTEST <= size <= LONGEST:
        raise ConnectionError(f"an answer of {size} bytes is none of ours")
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = connection.recv(size - len(found))
        if not piece:
            raise ConnectionError("the server closed the connection")
        found += piece
    return found
