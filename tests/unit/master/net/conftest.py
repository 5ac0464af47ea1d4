"""Certificates once, a master for each test."""

from collections.abc import Iterator
from typing import Any

import pytest

from mesos_twisted.testing.master_service import Certificates, Make, MasterWorld


@pytest.fixture(scope="package")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def make(certificates: Certificates) -> Iterator[Make]:
    """Makes masters; at the end each is stopped and nothing may be left scheduled."""
    made: list[MasterWorld] = []

    def master(**more: Any) -> MasterWorld:
        made.append(MasterWorld(certificates, **more))
        return made[-1]

    yield master
    for one in made:
        assert one.close() == []


@pytest.fixture
def world(make: Make) -> MasterWorld:
    """A master that leads."""
    return make()
