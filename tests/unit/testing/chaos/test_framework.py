"""What a framework of a run remembers over its own end."""

import json
import tracemalloc
from pathlib import Path
from random import Random

from mesos_twisted.testing.chaos.framework import Chaotic, Ledger, read


def life(root: Path) -> Chaotic:
    """It is started again."""
    return Chaotic(root, "one", Ledger(root / "one.ledger"), Random(1))


def test_it_knows_its_id_and_the_tasks_that_have_not_ended(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "one.ledger")
    ledger.write(what="subscribed", framework="f")
    for number in range(3):
        ledger.write(what="launch", task=f"one-{number}", agent="a", kind="zero")
    ledger.write(what="update", task="one-1", state="TASK_FINISHED")
    with open(tmp_path / "one.ledger", "ab") as torn:
        torn.write(b'{"what": "upd')
    again = life(tmp_path)
    assert again.framework_id == "f" and set(again.live) == {"one-0", "one-2"}
    assert next(again.numbers) == 3
    assert len(read(tmp_path / "one.ledger")) == 5


def test_it_is_not_larger_for_all_that_is_over(tmp_path: Path) -> None:
    """Else each start of it in a long run would look like a leak."""
    with open(tmp_path / "one.ledger", "w") as ledger:
        for n in range(5000):
            launch = {"what": "launch", "task": f"one-{n}", "agent": "a", "kind": "zero", "at": 1.0}
            end = {"what": "update", "task": f"one-{n}", "state": "TASK_FINISHED"}
            ledger.write(f"{json.dumps(launch)}\n{json.dumps(end)}\n")
    tracemalloc.start()
    try:
        framework = life(tmp_path)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not framework.live and held < 1 << 18
