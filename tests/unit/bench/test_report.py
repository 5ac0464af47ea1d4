"""Figures beside targets: met or missed, printed in columns, kept in a file."""

import json
from pathlib import Path

import pytest

from bench.report import Report, Row, figure, from_lines, percentile, save, table, to_lines


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("a", 5, at_most=5), True),
        (Row("a", 5.1, at_most=5), False),
        (Row("a", 5, at_least=5), True),
        (Row("a", 4.9, at_least=5), False),
        (Row("a", 5), None),
        (Row("a", None, at_most=5), None),
    ],
)
def test_a_target_is_met_or_missed_or_not_there(row: Row, met: bool | None) -> None:
    assert row.met is met


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 1.0) == 100.0
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_figures_have_three_digits() -> None:
    assert [figure(v) for v in (None, 0.0123, 1.234, 12.34, 1234.5)] == [
        "-",
        "0.012",
        "1.23",
        "12.3",
        "1,234",
    ]


def test_rows_come_back_from_their_lines() -> None:
    rows = [Row("a", 1.5, "ms", at_most=2, note="n"), Row("b", None)]
    assert from_lines(to_lines(rows)) == rows


def test_a_report_prints_rows_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.add("speed", 12, "tasks/s", at_least=300)
    assert "MISSED" in capsys.readouterr().out
    lines = table({"one": report.rows}).splitlines()
    assert lines[1].split() == ["one", "speed", "12.0", "tasks/s", ">=", "300", "MISSED"]


def test_the_file_keeps_what_did_not_run_this_time(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(path, {"one": [Row("a", 1.0)]}, {"cpu": "x"})
    save(path, {"two": [Row("b", 2.0, at_most=1)]}, {"cpu": "x"})
    kept = json.loads(path.read_text())
    assert kept["one"]["rows"][0]["value"] == 1.0
    assert kept["two"]["rows"][0]["met"] is False
