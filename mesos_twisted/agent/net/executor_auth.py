"""Is the caller the executor it says it is? By token, or on this host by its process.

A token must carry the executor's own framework, executor and container. Without one, only a caller
on the loopback listener or the Unix socket is looked at, and only its process counts; see
`peer_process`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesos_twisted.agent.core.state import AgentState, Executor
from mesos_twisted.agent.core.validation import check_claims
from mesos_twisted.agent.net import peer_process
from mesos_twisted.agent.net.call_body import challenged
from mesos_twisted.agent.net.peer_process import Caller
from mesos_twisted.agent.net.users import resolve_user
from mesos_twisted.errors import Problem
from mesos_twisted.security.net.http_auth import Authenticator, Challenge
from mesos_twisted.transport.messages import Peer, Request, Response, text_response


@dataclass(slots=True)
class _Proven:
    """Kept on a loopback connection: the container whose process it belongs to."""

    proven: str


class ExecutorAuth:
    """`refusal` answers for one request and one executor."""

    def __init__(self, state: AgentState, authenticator: Authenticator, required: bool) -> None:
        self._state = state
        self._authenticator = authenticator
        self._required = required

    def refusal(
        self, request: Request, executor: Executor, loopback_port: int | None
    ) -> Response | None:
        """None when the caller is this executor; `loopback_port` is set on the plain listener."""
        if not self._required:
            return None
        local = loopback_port is not None or isinstance(request.peer.identity, Caller)
        if local and "authorization" not in request.headers:
            return self._by_process(request.peer, executor, loopback_port)
        found = self._authenticator.authenticate(request.headers, None, request.peer.address)
        if isinstance(found, Challenge):
            return challenged(found)
        problem = check_claims(executor, found.name, dict(found.claims))
        return None if problem is None else text_response(int(problem.code), problem.sentence)

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
            return text_response(
                403,
                f"The caller is no process of executor '{executor.id}': send its token "
                "(MESOS_EXECUTOR_AUTHENTICATION_TOKEN) or call from inside its container",
            )
        if isinstance(known, Caller):
            known.proven = executor.container_id
        else:
            peer.identity = _Proven(executor.container_id)
        return None


def _belongs(peer: Peer, leader: int, uid: int | None, loopback_port: int | None) -> bool:
    if isinstance(peer.identity, Caller):
        return peer_process.is_member(peer.identity, leader, uid)
    if loopback_port is None:
        return False
    socket = peer_process.find_socket(peer.address, peer.port, loopback_port)
    return socket is not None and peer_process.belongs(socket, leader, uid)
