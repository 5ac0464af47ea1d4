"""Every path of the master's port, and how large a body may be there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred

from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net.operator_api import Result
from mesos_twisted.master.net.router import Router
from mesos_twisted.master.net.v0_pages import not_found
from mesos_twisted.transport.messages import Request
from mesos_twisted.webui import pages

SCHEDULER = "/api/v1/scheduler"
OPERATOR = "/api/v1"
Handler = Callable[[Request], "Result | Deferred[Result]"]


class Endpoints:
    """The handler of the HTTP server."""

    def __init__(
        self,
        scheduler: Handler,
        operator: Handler,
        routes: Mapping[str, Handler],
        config: MasterConfig,
    ) -> None:
        self._scheduler = scheduler
        self._routes: dict[str, Handler] = {
            SCHEDULER: scheduler,
            OPERATOR: operator,
            "/": pages.index,
            **pages.routes(),
            **routes,
        }
        self._router = Router(self._routes)
        self._scheduler_body = config.max_scheduler_body
        self._operator_body = config.max_operator_body

    def body_limit(self, path: str) -> int:
        """The most bytes a body may have at a path."""
        found = self._router.find(path)
        return self._scheduler_body if found == SCHEDULER else self._operator_body

    def handle(self, request: Request) -> Result | Deferred[Result]:
        """The answer to any request."""
        path = request.path
        if path == SCHEDULER:
            return self._scheduler(request)
        if path == "/":
            return self._routes["/"](request)
        found = self._router.find(path)
        return not_found() if found is None else self._routes[found](request)
