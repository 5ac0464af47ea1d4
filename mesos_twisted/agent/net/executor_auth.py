"""Is the caller the executor it says it is? By token, or on this host by its process.

A token must carry the executor's own framework, executor and container. Without one, only a caller
on the loopback listener or the Unix socket is looked at, and only its process counts; see
`peer_process`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from mesos_twisted.agent.core.state import AgentState, Executor
from mesos_twisted.agent.core.validation import check_claims
from mesos_twisted.agent.net import peer_process
from mesos_twisted.agent.net.call_body import challenged
from mesos_twisted.agent.net.peer_process import Caller
from mesos_twisted.agent.net.users import resolve_user
from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.security.core.principal import Principal
from mesos_twisted.security.net.http_auth import Authenticator, Challenge
from mesos_twisted.transport.messages import Peer, Request, Response, text_response


@dataclass(slots=True)
class _Proven:
    """Kept on a loopback connection: the container whose process it belongs to."""

    proven: str


class Without(enum.Enum):
    """Who asks without a token."""

    NEED = "no proof is needed"
    TOKEN = "a process of this host, which is looked at when it is known for whom it speaks"


class ExecutorAuth:
    """`proven` comes before a call is read, `refusal` before its executor is told anything."""

    def __init__(self, state: AgentState, authenticator: Authenticator, required: bool) -> None:
        self._state = state
        self._authenticator = authenticator
        self._required = required

    def proven(self, request: Request, loopback_port: int | None) -> Principal | Without | Response:
        """Whose token it is, or the 401; `loopback_port` is set on the plain listener."""
        if not self._required:
            return Without.NEED
        local = loopback_port is not None or isinstance(request.peer.identity, Caller)
        if local and "authorization" not in request.headers:
            return Without.TOKEN
        found = self._authenticator.authenticate(request.headers, None, request.peer.address)
        return challenged(found) if isinstance(found, Challenge) else found

    def refusal(
        self,
        proven: Principal | Without,
        request: Request,
        call: m.ExecutorCall,
        found: Executor | Problem,
        loopback_port: int | None,
    ) -> Response | None:
        """None when the caller may speak as the executor that the call names, be it known or not.

        `found` is that executor, or why it cannot be had; an agent that recovers knows none yet.
        """
        if proven is Without.NEED:
            return None
        if isinstance(proven, Principal):
            problem = check_claims(call, found, proven.name, dict(proven.claims))
            return None if problem is None else text_response(int(problem.code), problem.sentence)
        if isinstance(found, Executor):
            return self._by_process(request.peer, found, loopback_port)
        return None if found.code == "503" else _stranger(call.executor_id.value)

    def _by_process(
        self, peer: Peer, executor: Executor, loopback_port: int | None
    ) -> Response | None:
        known = peer.identity
        if isinstance(known, _Proven | Caller) and known.proven == executor.container_id:
            return None
        container = self._state.containers.get(executor.container_id)
        if container is None or container.pid is None:
            # The launcher's word that it runs may still be on its way.
            return text_response(503, "The executor's container is still being launched")
        user = resolve_user(executor.user)
        uid = None if user is None or isinstance(user, Problem) or not user.switch else user.uid
        if not _belongs(peer, container.pid, uid, loopback_port):
            return _stranger(executor.id)
        if isinstance(known, Caller):
            known.proven = executor.container_id
        else:
            peer.identity = _Proven(executor.container_id)
        return None


def _stranger(executor_id: str) -> Response:
    return text_response(
        403,
        f"The caller is no process of executor '{executor_id}': send its token "
        "(MESOS_EXECUTOR_AUTHENTICATION_TOKEN) or call from inside its container",
    )


def _belongs(peer: Peer, leader: int, uid: int | None, loopback_port: int | None) -> bool:
    if isinstance(peer.identity, Caller):
        return peer_process.is_member(peer.identity, leader, uid)
    if loopback_port is None:
        return False
    socket = peer_process.find_socket(peer.address, peer.port, loopback_port)
    return socket is not None and peer_process.belongs(socket, leader, uid)
