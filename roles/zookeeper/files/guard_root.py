"""Says who may write at the root of the tree: guard_root.py CA CERT KEY SERVER PORT SUBJECT...

Afterwards the certificates with these SUBJECTs may do all below `/`, and everybody else may read
there; ZooKeeper's own default lets everybody do everything. Prints `changed` when it was otherwise.
The requests are ZooKeeper's ConnectRequest, getACL, setACL and closeSession. With `--check` before
all else nothing is changed.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys

TIMEOUT_S = 10.0
READ, ALL = 1, 31
GET_ACL, SET_ACL, CLOSE = 6, 7, -11

Acl = list[tuple[int, str, str]]


class Session:
    """A session over one connection."""

    def __init__(self, stream: ssl.SSLSocket) -> None:
        self.stream = stream
        # Protocol version, last zxid seen, timeout in ms, session, password, whether read-only.
        self.send(struct.pack(">iqiq", 0, 0, 6000, 0) + struct.pack(">i", 16) + bytes(17))
        _, timeout_ms = struct.unpack_from(">ii", self.receive())
        if timeout_ms <= 0:
            raise OSError("the server began no session")

    def call(self, operation: int, body: bytes = b"") -> bytes:
        """The answer's body. Raises OSError with ZooKeeper's code when it is refused."""
        self.send(struct.pack(">ii", 1, operation) + body)
        answer = self.receive()
        _, _, code = struct.unpack_from(">iqi", answer)
        if code:
            raise OSError(f"the server refused operation {operation} with code {code}")
        return answer[16:]

    def send(self, content: bytes) -> None:
        self.stream.sendall(struct.pack(">i", len(content)) + content)

    def receive(self) -> bytes:
        (length,) = struct.unpack(">i", self.exactly(4))
        return self.exactly(length)

    def exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            piece = self.stream.recv(count - len(content))
            if not piece:
                raise OSError("the server closed the connection")
            content += piece
        return content


def main(
    ca: str, cert: str, key: str, server: str, port: int, subjects: list[str], check: bool
) -> None:
    wanted: Acl = [(ALL, "x509", subject) for subject in sorted(set(subjects))]
    wanted.append((READ, "world", "anyone"))
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    with (
        socket.create_connection((server, port), TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=server) as secure,
    ):
        session = Session(secure)
        if sorted(decode(session.call(GET_ACL, text("/")))) != sorted(wanted):
            print("changed")
            if not check:
                session.call(SET_ACL, text("/") + encode(wanted) + struct.pack(">i", -1))
        session.call(CLOSE)


def text(value: str) -> bytes:
    content = value.encode()
    return struct.pack(">i", len(content)) + content


def encode(acl: Acl) -> bytes:
    entries = [struct.pack(">i", perms) + text(scheme) + text(name) for perms, scheme, name in acl]
    return struct.pack(">i", len(acl)) + b"".join(entries)


def decode(content: bytes) -> Acl:
    (count,) = struct.unpack_from(">i", content)
    position, acl = 4, []
    for _ in range(count):
        (perms,) = struct.unpack_from(">i", content, position)
        scheme, position = read_text(content, position + 4)
        name, position = read_text(content, position)
        acl.append((perms, scheme, name))
    return acl


def read_text(content: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">i", content, position)
    end = position + 4 + length
    return content[position + 4 : end].decode(), end


if __name__ == "__main__":
    arguments = sys.argv[1:]
    only_look = arguments[0] == "--check"
    ca_, cert_, key_, server_, port_, *rest = arguments[only_look:]
    main(ca_, cert_, key_, server_, int(port_), rest, only_look)
