"""`./lab` answers Vagrant and Ansible in their form, and people in sentences."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tools.lab import box, containers, host, machines
from tools.lab.command import main, parser
from tools.lab.plan import plan

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host that has no laboratory, and settings nobody made."""
    for name in ("LAB_NAME", "LAB_NODES", "LAB_MEMORY", "LAB_SUBNET", "LAB_GOLDEN", "LAB_CPUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(host, "STATE", tmp_path / "state")
    monkeypatch.setattr(host, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(machines, "ROOT", tmp_path)


def test_the_plan_that_the_vagrantfile_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """Names, containers, configurations and addresses for each provider."""
    assert main(["--name", "other", "plan"]) == 0
    answer = json.loads(capsys.readouterr().out)
    lab = plan({"LAB_NAME": "other"})
    assert [node["container"] for node in answer["nodes"]][:2] == ["other-m1", "other-m2"]
    assert answer["addresses"]["lxc"]["a1"] == str(lab.cluster_address(lab.node("a1")))
    assert answer["addresses"]["virtualbox"]["a1"].startswith("192.168.")
    assert answer["groups"] == lab.groups()


def test_no_inventory_before_the_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    """Molecule asks while it creates and destroys: then there is nobody, and no error."""
    assert main(["--name", "mol-x", "inventory", "--list"]) == 0
    assert json.loads(capsys.readouterr().out) == {"_meta": {"hostvars": {}}}


@pytest.mark.parametrize("words", [["status"], ["heal"], ["kill", "m1"], ["logs"]])
def test_a_laboratory_that_is_not_up(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says how to get one."""
    assert main(words) == 1
    assert capsys.readouterr().err == "lab: The laboratory 'lab' is not up: say `./lab up`.\n"


def test_destroying_nothing_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Molecule destroys first."""
    assert main(["destroy"]) == 0
    assert "no laboratory 'lab'" in capsys.readouterr().err


def test_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback."""
    monkeypatch.setenv("LAB_MEMORY", "lots")
    assert main(["plan"]) == 1
    assert capsys.readouterr().err.startswith("lab: LAB_MEMORY=lots must be")


def test_a_laboratory_is_remembered_as_it_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    """Commands need not be told LAB_NODES again."""
    made = plan({"LAB_NODES": "1+1", "LAB_SUBNET": "10.9.8.0/23"}, name="kept")
    containers.record(made, Path("/root-of-it"))
    assert containers.recorded("kept") == made
    assert containers.recorded("other") is None
    assert main(["--name", "kept", "plan"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"] == made.groups()


def test_what_a_laboratory_stands_on_is_not_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else of the cache goes; without a laboratory, everything."""
    monkeypatch.setattr(host, "need_root", lambda what: None)
    for name in ("base-1", "golden-1", "golden-2", "ssh"):
        (host.CACHE / name).mkdir(parents=True)
    (host.CACHE / "ssh/id_ed25519").touch()
    (host.CACHE / "a.box").touch()
    containers.record(plan({}), host.CACHE / "golden-1")
    assert main(["clean"]) == 0
    assert {path.name for path in host.CACHE.iterdir()} == {"golden-1", "ssh"}
    (host.STATE / "lab/lab.json").unlink()
    assert main(["clean"]) == 0
    assert not list(host.CACHE.iterdir())


def test_the_box_has_what_vagrant_lxc_asks_for() -> None:
    """A provider, a template of its own and a tarball that it need not unpack."""
    with tarfile.open(box.make()) as archive:
        names = archive.getnames()
        metadata = archive.extractfile("metadata.json")
        tarball = archive.extractfile("rootfs.tar.gz")
        assert metadata and json.load(metadata) == {"provider": "lxc", "version": "1.0.0"}
        assert tarball and not tarfile.open(fileobj=io.BytesIO(tarball.read())).getnames()
        assert archive.getmember("lxc-template").mode & 0o111
    assert "lxc-config" in names


@pytest.mark.parametrize("form", [["--path", "{}"], ["--path={}"]])
def test_the_boxs_template_empties_the_configuration(form: list[str], tmp_path: Path) -> None:
    """lxc-create gives the container's directory in either form."""
    template = tmp_path / "template"
    template.write_text(box.TEMPLATE)
    (tmp_path / "config").write_text("lxc.net.0.link = lxcbr0\n")
    words = [word.format(tmp_path) for word in ["--name=n", *form, "--rootfs=/r"]]
    subprocess.run(["sh", template, *words], check=True)
    assert "lxcbr0" not in (tmp_path / "config").read_text()


def test_every_command_is_explained() -> None:
    """`./lab --help` names each with a sentence."""
    said = subprocess.run(
        [sys.executable, ROOT / "lab", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for command in ("up", "status", "ssh", "kill", "start", "partition", "heal", "logs", "destroy"):
        assert f"\n    {command} " in said
    assert parser().parse_args(["partition", "m1", "m2,m3"]).b == "m2,m3"
