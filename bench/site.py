"""The yardstick for calls: twisted.web's Site over its default TLS; parses JSON and answers 202.

python -m bench.site PORT CERTIFICATE KEY
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet import ssl
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

reactor: Any = installed


class Accepting(Resource):
    """Every POST is read as JSON and accepted."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        content: Any = request.content
        json.loads(content.read())
        request.setResponseCode(202)
        return b""


def main(port: str, certificate: str, key: str) -> None:
    """Serve until terminated."""
    with open(certificate, "rb") as cert, open(key, "rb") as secret:
        own = ssl.PrivateCertificate.loadPEM(secret.read() + b"\n" + cert.read())
    accepting: Any = Accepting  # Twisted leaves Resource's constructor untyped
    reactor.listenSSL(int(port), Site(accepting()), own.options(), interface="127.0.0.1")
    reactor.callWhenRunning(print, "ready", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
