"""How long one waits for a turn to end, from the turns' lengths."""

from array import array
from pathlib import Path

from bench.turns import read, waiting


def test_a_moment_in_a_long_turn_waits_for_its_end() -> None:
    """One turn of 1 s in 10 s: a tenth of all moments wait, evenly up to the whole of it."""
    assert abs(waiting([1.0], 10.0, 0.99) - 0.9) < 1e-6
    assert abs(waiting([1.0], 10.0, 0.95) - 0.5) < 1e-6
    assert waiting([1.0], 10.0, 0.85) < 1e-6
    assert waiting([], 10.0, 0.99) == 0.0


def test_short_turns_hide_in_no_long_one() -> None:
    """Many short turns fill the time; who comes in one waits for that one only."""
    assert waiting([0.01] * 1000, 10.0, 0.99) <= 0.01
    assert waiting([0.01] * 1000, 10.0, 0.5) <= 0.0051


def test_turns_of_a_span_are_read(tmp_path: Path) -> None:
    """Those outside the span are left out."""
    times, used = array("d", [1.0, 2.0, 3.0]), array("d", [0.1, 0.2, 0.3])
    (tmp_path / "turns").write_bytes(times.tobytes() + used.tobytes())
    assert read(tmp_path / "turns", 1.5, 3.0) == [0.2, 0.3]
