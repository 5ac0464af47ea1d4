"""The fake containerizer keeps the promises of the real one."""

from __future__ import annotations

from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mesos_twisted.containerizer.core.container import ContainerId
from mesos_twisted.containerizer.fake import FakeContainerizer, FakeLauncher
from mesos_twisted.containerizer.interfaces import IContainerizer
from mesos_twisted.testing.suites.containerizer import ContainerizerSuite

T = TypeVar("T")


class TestFake(ContainerizerSuite):
    @pytest.fixture(autouse=True)
    def launcher(self) -> None:
        self.shared = FakeLauncher()

    def make(self) -> IContainerizer:
        return FakeContainerizer(self.shared)

    def settle(self, deferred: Deferred[T]) -> T:
        got: list[T | Failure] = []
        deferred.addBoth(got.append)
        assert got, "the Deferred has not fired"
        if isinstance(got[0], Failure):
            got[0].raiseException()
        return got[0]

    def end(self, containerizer: IContainerizer, container_id: ContainerId, code: int) -> None:
        self.shared.exit(container_id, -code)
