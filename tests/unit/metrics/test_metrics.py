"""Counters count, timers keep percentiles, and both documents show them."""

import msgspec

from mesos_twisted.metrics import names, prometheus, snapshot
from mesos_twisted.metrics.counters import Metrics, percentile
from mesos_twisted.metrics.system import host_gauges


def test_declared_counters_are_shown_at_zero() -> None:
    """A dashboard finds every counter before anything happened."""
    metrics = Metrics(names.MASTER_COUNTERS, names.MASTER_TIMERS)
    shown = metrics.snapshot()
    assert shown["master/slave_registrations"] == 0.0
    assert "registrar/state_store_ms" not in shown
    assert list(shown) == sorted(shown)


def test_counters_gauges_and_groups() -> None:
    """Each kind arrives in the snapshot."""
    metrics = Metrics(["a"])
    metrics.add("a")
    metrics.add("dynamic", 3)
    metrics.gauge("g", lambda: 7)
    metrics.group(lambda: {"h/one": 1.0})
    assert metrics.snapshot() == {"a": 1.0, "dynamic": 3.0, "g": 7.0, "h/one": 1.0}
    metrics.forget(lambda name: name.startswith("dyn"))
    assert "dynamic" not in metrics.snapshot()


def test_timers_show_statistics() -> None:
    """Milliseconds, and percentiles between neighbours."""
    metrics = Metrics()
    for i in range(1, 11):
        metrics.timing("t_ms").record(i / 1000)
    shown = metrics.snapshot()
    assert (shown["t_ms"], shown["t_ms/min"], shown["t_ms/max"]) == (10.0, 1.0, 10.0)
    assert shown["t_ms/count"] == 10.0 and abs(shown["t_ms/p50"] - 5.5) < 1e-9
    assert {f"t_ms/{suffix}" for suffix, _ in names.PERCENTILES} <= set(shown)


def test_a_timer_forgets_the_oldest() -> None:
    """Memory is bounded however long the process runs."""
    metrics = Metrics()
    timing = metrics.timing("t")
    for i in range(2500):
        timing.record(i)
    shown = metrics.snapshot()
    assert shown["t/count"] == 1000 and shown["t/min"] == 1500 * 1000


def test_percentile_of_one_value() -> None:
    """One value is every percentile."""
    assert percentile([3.0], 0.9999) == 3.0


def test_prometheus_labels() -> None:
    """Ids are labels, never part of a name."""
    values = {
        "master/tasks_running": 2.0,
        "master/frameworks/a%2Fb/id-0/calls/accept": 1.0,
        "allocator/mesos/roles/x/y/shares/dominant": 0.5,
        "registrar/state_store_ms/p99": 1.25,
    }
    text = prometheus.render(values, lambda name: name.endswith("accept")).decode()
    assert "mesos_master_tasks_running 2\n" in text
    assert 'mesos_master_framework_calls_accept{framework="a%2Fb",framework_id="id-0"} 1' in text
    assert 'mesos_allocator_mesos_role_shares_dominant{role="x/y"} 0.5' in text
    assert 'mesos_registrar_state_store_ms{quantile="0.99"} 1.25' in text
    assert "# TYPE mesos_master_framework_calls_accept counter" in text


def test_documents() -> None:
    """Both forms hold the same numbers."""
    assert msgspec.json.decode(snapshot.document({"a": 1.0})) == {"a": 1.0}
    assert snapshot.messages({"a": 1.0})[0].name == "a"


def test_the_host_is_known() -> None:
    """The system gauges are those that are declared."""
    assert set(host_gauges()) <= set(names.SYSTEM_GAUGES)


def test_names_are_declared_once() -> None:
    """No metric is two kinds at a time."""
    for groups in (
        (names.MASTER_GAUGES, names.MASTER_COUNTERS, names.MASTER_TIMERS),
        (names.AGENT_GAUGES, names.AGENT_COUNTERS),
    ):
        every = [name for group in groups for name in group]
        assert len(every) == len(set(every))
