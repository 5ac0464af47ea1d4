"""In which order files run: the long ones first, so that no process is left alone with one."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: Files of more than ten seconds, the longest first; all others follow as ever.
LONG = (
    "system/test_chaos.py",
    "system/test_failover.py",
    "unit/testing/sim/test_zoo.py",
    "clients/test_failover.py",
    "system/test_cli.py",
    "unit/agent/net/test_checkpoint_crashes.py",
    "property/test_crash_points.py",
    "property/test_master_machine.py",
    "system/test_recovery.py",
    "system/test_zookeeper.py",
    "system/test_ways_out.py",
    "system/test_state_page.py",
    "system/test_fuzz.py",
    "clients/test_pymesos.py",
    "clients/test_dpark.py",
    "system/test_docs.py",
    "system/test_security.py",
    "system/test_revocation.py",
    "system/test_registry.py",
    "system/test_run.py",
    "system/test_zookeeper_alike.py",
    "system/test_much_history.py",
    "system/test_daemons.py",
    "conformance/test_corpus.py",
    "unit/agent/net/test_service_processes.py",
    "unit/agent/net/test_service_checks.py",
    "unit/containerizer/test_mesos_processes.py",
    "unit/containerizer/zygote/test_launcher.py",
)
_PLACE = {HERE / name: place for place, name in enumerate(LONG)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of `LONG` come first, in its order; within a file nothing moves."""
    items.sort(key=lambda item: _PLACE.get(item.path, len(LONG)))
