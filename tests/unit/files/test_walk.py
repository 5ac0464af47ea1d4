"""Nothing outside a root is ever opened or deleted, whatever its owner does meanwhile."""

import errno
import os
import threading
from pathlib import Path

import pytest

from mesos_twisted.files import walk
from mesos_twisted.files.walk import OutsideError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file, beside a secret that must stay unseen."""
    (tmp_path / "secret").write_text("secret")
    made = tmp_path / "root"
    (made / "a" / "b").mkdir(parents=True)
    (made / "a" / "b" / "file").write_text("inside")
    return made


def read(root: Path, path: str) -> str:
    """The content of a file beneath the root."""
    root_fd = walk.open_root(str(root))
    try:
        fd = walk.open_beneath(root_fd, walk.components(path), str(root))
    finally:
        os.close(root_fd)
    with open(fd) as file:
        return file.read()


def test_a_file_is_found_by_its_parts(root: Path) -> None:
    """Empty parts and dots do not matter."""
    assert read(root, "/a/./b//file") == "inside"


@pytest.mark.parametrize("path", ["..", "a/../..", "a/../../secret", "a\0b"])
def test_climbing_is_refused_before_anything_is_opened(path: str) -> None:
    """`..` and NUL never reach the kernel."""
    with pytest.raises(OutsideError):
        walk.components(path)


@pytest.mark.parametrize("target", ["../secret", "a/../../secret", "/etc/passwd", "..", "/"])
def test_a_link_that_leads_outside_is_refused(root: Path, target: str) -> None:
    """Relative or absolute, directly or by way of the root."""
    (root / "link").symlink_to(target)
    with pytest.raises((OutsideError, IsADirectoryError)):
        read(root, "link")


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    """Also an absolute one below the root, and one in the middle of the path."""
    (root / "direct").symlink_to("a/b/file")
    (root / "up").symlink_to(root / "a")
    (root / "a" / "back").symlink_to("../a/b")
    assert read(root, "direct") == read(root, "up/b/file") == read(root, "a/back/file") == "inside"


def test_links_in_a_circle_end(root: Path) -> None:
    """The kernel's limit is kept."""
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    with pytest.raises(OSError) as caught:
        read(root, "x")
    assert caught.value.errno == errno.ELOOP


def test_a_root_behind_a_symlink_is_refused(root: Path, tmp_path: Path) -> None:
    """The way to the root itself is walked without links."""
    (tmp_path / "alias").symlink_to(root)
    with pytest.raises(OSError):
        walk.open_root(str(tmp_path / "alias"))


def test_no_descriptor_is_left(root: Path) -> None:
    """Neither by success nor by refusal."""
    (root / "link").symlink_to("../secret")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a/b/file", "link", "a/b/file/x", "none"):
        try:
            read(root, path)
        except (OSError, OutsideError):
            continue
    assert len(os.listdir("/proc/self/fd")) == before


def test_swapping_a_directory_for_a_link_never_shows_the_secret(root: Path) -> None:
    """Thousands of swaps race with reads; each read sees the inside, or fails."""
    (root / "a" / "b" / "secret").write_text("inside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "a", root / "a2")
            os.symlink("..", root / "a")
            os.unlink(root / "a")
            os.rename(root / "a2", root / "a")

    # What the link leads to has a file of the same name.
    (root.parent / "b").mkdir()
    (root.parent / "b" / "secret").write_text("secret")
    racer = threading.Thread(target=swap)
    racer.start()
    seen = set()
    try:
        for _ in range(3000):
            try:
                seen.add(read(root, "a/b/secret"))
            except (OSError, OutsideError):
                continue
    finally:
        stop.set()
        racer.join()
    assert seen <= {"inside"}


def test_a_tree_is_removed_without_following_links(root: Path, tmp_path: Path) -> None:
    """What a link leads to stays."""
    (root / "a" / "out").symlink_to(tmp_path / "secret")
    (root / "a" / "dirlink").symlink_to(tmp_path)
    (root / "a" / "b").chmod(0o500)
    fd = walk.open_root(str(root))
    try:
        walk.remove_tree(fd, "a")
        walk.remove_tree(fd, "a")
    finally:
        os.close(fd)
    assert os.listdir(root) == []
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_very_deep_tree_is_removed(root: Path) -> None:
    """Depth exhausts neither the stack nor the descriptors."""
    at = os.open(root, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    fd = walk.open_root(str(root))
    try:
        walk.remove_tree(fd, "d")
    finally:
        os.close(fd)
    assert os.listdir(root) == ["a"]
