"""An archive writes into its directory and nowhere else, however hostile it is."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.agent.net.fetch_archive import SUFFIXES, Target, extract, is_archive
from mesos_twisted.errors import MesosError


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Path]:
    """A sandbox; beside it a file that must stay as it is."""
    (tmp_path / "victim").write_text("untouched")
    made = tmp_path / "box"
    made.mkdir()
    yield made
    assert (tmp_path / "victim").read_text() == "untouched"
    assert sorted(os.listdir(tmp_path)) == ["box", "victim"]


def unpack(box: Path, data: bytes, name: str, limit: int = 1 << 20) -> None:
    """Extract into the box."""
    fd = os.open(box, os.O_RDONLY)
    try:
        extract(io.BytesIO(data), name, Target(fd, limit))
    finally:
        os.close(fd)


def tar(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    """A tar of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    """One member's head."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("w", "a.tar"),
        ("w:gz", "a.tgz"),
        ("w:gz", "a.tar.gz"),
        ("w:bz2", "a.tbz2"),
        ("w:xz", "a.txz"),
    ],
)
def test_every_compression_is_unpacked(box: Path, mode: str, name: str) -> None:
    """Files, directories, links inside, and modes without set-id bits."""
    data = tar(
        (member("d", tarfile.DIRTYPE, mode=0o755), b""),
        (member("./d/run", mode=0o6755), b"#!"),
        (member("d/alias", tarfile.SYMTYPE, "../d/run"), b""),
        (member("copy", tarfile.LNKTYPE, "d/run"), b""),
        mode=mode,
    )
    unpack(box, data, name)
    assert (box / "d" / "alias").read_text() == "#!"
    assert (box / "copy").read_text() == "#!"
    assert stat.S_IMODE((box / "d" / "run").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "members",
    [
        [member("../victim")],
        [member("/etc/cron.d/x")],
        [member("a/../../victim")],
        [member("l", tarfile.SYMTYPE, "../victim")],
        [member("l", tarfile.SYMTYPE, "/etc/passwd")],
        [member("a/l", tarfile.SYMTYPE, "../../victim")],
        [member("l", tarfile.SYMTYPE, "."), member("l/x")],
        [
            member("d", tarfile.DIRTYPE, mode=0o755),
            member("d/l", tarfile.SYMTYPE, ".."),
            member("d/l/victim"),
        ],
        [member("h", tarfile.LNKTYPE, "../victim")],
        [member("h", tarfile.LNKTYPE, "/etc/passwd")],
        [member("l", tarfile.SYMTYPE, "x"), member("h", tarfile.LNKTYPE, "l")],
        [member("dev", tarfile.CHRTYPE)],
        [member("blk", tarfile.BLKTYPE)],
        [member("fifo", tarfile.FIFOTYPE)],
        [member(".")],
    ],
    ids=lambda members: ",".join(m.name for m in members),
)
def test_a_hostile_tar_is_refused(box: Path, members: list[tarfile.TarInfo]) -> None:
    """With one sentence; nothing outside has changed."""
    with pytest.raises(MesosError):
        unpack(box, tar(*((one, b"") for one in members)), "a.tar")


def test_a_link_planted_before_is_not_written_through(box: Path) -> None:
    """Neither as a file's name nor as a directory of its path."""
    (box / "out").symlink_to("../victim")
    unpack(box, tar((member("out"), b"new")), "a.tar")
    assert not (box / "out").is_symlink()
    (box / "dir").symlink_to("..")
    with pytest.raises(MesosError):
        unpack(box, tar((member("dir/victim"), b"new")), "a.tar")


def test_a_bomb_is_stopped(box: Path) -> None:
    """By the bytes that come out, not by those that go in."""
    bomb = gzip.compress(b"\0" * 3_000_000)
    with pytest.raises(MesosError, match="larger than"):
        unpack(box, bomb, "a.gz")
    with pytest.raises(MesosError, match="larger than"):
        unpack(box, tar((member("x"), b"\0" * 3_000_000), mode="w:gz"), "a.tgz")


def test_zip_and_gz(box: Path) -> None:
    """Modes are kept where they are told; a plain gz loses its suffix."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("bin/run")
        info.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(info, "x")
        archive.writestr("plain", "y")
    unpack(box, out.getvalue(), "a.zip")
    assert os.access(box / "bin" / "run", os.X_OK) and (box / "plain").read_text() == "y"
    unpack(box, gzip.compress(b"z"), "notes.txt.gz")
    assert (box / "notes.txt").read_text() == "z"


@pytest.mark.parametrize("name", ["../victim", "/abs", "a/../../victim"])
def test_a_hostile_zip_is_refused(box: Path, name: str) -> None:
    """By its names, and by a link that leads out."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(MesosError):
        unpack(box, out.getvalue(), "a.zip")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("l")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "../victim")
    with pytest.raises(MesosError):
        unpack(box, out.getvalue(), "a.zip")


@pytest.mark.parametrize("name", ["a" + suffix for suffix in SUFFIXES])
def test_garbage_is_a_sentence(box: Path, name: str) -> None:
    """Never a crash, whatever the bytes."""
    assert is_archive(name)
    with pytest.raises(MesosError, match="cannot be unpacked"):
        unpack(box, b"this is no archive" * 10, name)
