"""How an ensemble is: zookeeper_health.py CA CERT KEY PORT SERVER...

Prints a JSON object: `modes` (each SERVER's `leader`, `follower`, `standalone`, or empty when it
does not serve), `writes` (whether a session can begin at the first SERVER; that is a write which
the quorum has to agree to, so it tells a leader that only seems alive from one that works), and
`why`.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys

TIMEOUT_S = 8.0


def main(ca: str, cert: str, key: str, port: int, servers: list[str]) -> dict[str, object]:
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    modes, why = {}, []
    for server in servers:
        try:
            modes[server] = mode(context, server, port)
        except OSError as error:
            modes[server] = ""
            why.append(f"{server} does not answer ({error})")
    writes = False
    try:
        writes = session(context, servers[0], port)
    except OSError as error:
        why.append(f"no session can begin at {servers[0]} ({error})")
    return {"modes": modes, "writes": writes, "why": "; ".join(why)}


def connect(context: ssl.SSLContext, server: str, port: int) -> ssl.SSLSocket:
    plain = socket.create_connection((server, port), TIMEOUT_S)
    try:
        return context.wrap_socket(plain, server_hostname=server)
    except BaseException:
        plain.close()
        raise


def mode(context: ssl.SSLContext, server: str, port: int) -> str:
    with connect(context, server, port) as secure:
        secure.sendall(b"srvr")
        said = b""
        while piece := secure.recv(65536):
            said += piece
    for line in said.decode(errors="replace").splitlines():
        if line.startswith("Mode: "):
            return line.removeprefix("Mode: ")
    return ""


def session(context: ssl.SSLContext, server: str, port: int) -> bool:
    """Begin a session and end it, by ZooKeeper's ConnectRequest and closeSession."""
    with connect(context, server, port) as secure:
        # Protocol version, last zxid seen, timeout in ms, session, password, whether read-only.
        request = struct.pack(">iqiq", 0, 0, 6000, 0) + struct.pack(">i", 16) + bytes(16) + b"\0"
        secure.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", exactly(secure, 4))
        _, timeout_ms, session_id = struct.unpack_from(">iiq", exactly(secure, length))
        secure.sendall(struct.pack(">iii", 8, 1, -11))
        return bool(session_id) and timeout_ms > 0


def exactly(stream: ssl.SSLSocket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        piece = stream.recv(count - len(content))
        if not piece:
            raise OSError("the connection was closed")
        content += piece
    return content


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5:])))
