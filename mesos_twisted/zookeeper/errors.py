"""Why a call to ZooKeeper did not succeed. Pure."""

from __future__ import annotations

from typing import Final

from mesos_twisted.errors import RefusedError, UnavailableError
from mesos_twisted.zookeeper.records import Code


class AnswerError(RefusedError):
    """The server answered with an error: the call did not happen, and `code` says why."""

    def __init__(self, code: int, what: str) -> None:
        try:
            name = Code(code).name
        except ValueError:
            name = str(code)
        super().__init__(f"ZooKeeper refused {what}: {name.replace('_', ' ').lower()}")
        self.code = code


class NoNodeError(AnswerError):
    """There is no such node."""


class NodeExistsError(AnswerError):
    """There is such a node already."""


class BadVersionError(AnswerError):
    """The node has been changed since."""


class ConnectionLostError(UnavailableError):
    """The connection broke before the answer came: the call may have happened, or may not."""


class SessionEndedError(UnavailableError):
    """The session is over (expired, refused or closed): the call was not sent and will not be.

    A call that was sent when the session ended fails with ConnectionLostError instead.
    """


_FAMILIES: Final[dict[int, type[AnswerError]]] = {
    Code.NO_NODE: NoNodeError,
    Code.NODE_EXISTS: NodeExistsError,
    Code.BAD_VERSION: BadVersionError,
}


def answer_error(code: int, what: str) -> AnswerError:
    """The exception for a server's answer to `what`."""
    return _FAMILIES.get(code, AnswerError)(code, what)
