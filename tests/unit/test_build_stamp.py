"""Both daemons tell one true build time."""

import os
from pathlib import Path

from mesos_twisted.build_stamp import BuildStamp, build_stamp, stamp_of
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net import setup


def test_the_newest_module_is_the_build(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name, seconds in (("a.py", 86400.0), ("inner/b.py", 90061.9), ("c.pyc", 10**6)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (seconds, seconds))
    assert stamp_of(tmp_path) == BuildStamp(90061.0, "1970-01-02 01:01:01")


def test_this_program_has_a_stamp() -> None:
    assert build_stamp() is build_stamp()
    assert build_stamp().time > 1.7e9


def test_the_master_tells_it() -> None:
    facts = setup.facts(MasterConfig())
    shown = (facts.build_time, facts.build_date, facts.build_user)
    assert shown == (build_stamp().time, build_stamp().date, build_stamp().user)
