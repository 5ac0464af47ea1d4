"""dpark 0.5.0 with pymesos 0.3.9, unmodified: distributed jobs of a normal user."""

from collections import Counter

import pytest

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]


def test_word_count_and_pi_on_both_agents(cluster, run_program):
    """Shuffles and results cross the agents; the executors are dpark's own."""
    text = cluster.root / "text"
    text.write_text("the quick brown fox\njumps over the lazy dog\n" * 40)
    seen = run_program(
        "dpark",
        "dpark_jobs.py",
        f"mesos://127.0.0.1:{cluster.port['framework']}",
        str(text),
        user="nobody",
        env={"DPARK_CONF": str(cluster.dpark_conf), "HOME": str(cluster.root)},
        timeout_s=150,
    )
    assert seen["words"] == Counter(text.read_text().split())
    assert abs(seen["pi"] - 3.14159) < 0.02
    assert len(seen["agents"]) == 2
