"""Laws of the agent's edges: what is written is there again, and links never lead outside."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mesos_twisted.agent.core.effects import Checkpoint, Forget
from mesos_twisted.agent.net.checkpoint import CheckpointStore
from mesos_twisted.agent.net.fetch_archive import member_parts
from mesos_twisted.agent.net.operator_api import canonical
from mesos_twisted.errors import RefusedError
from mesos_twisted.files import walk

KEY = st.text("ab/0%", min_size=1, max_size=5)
CHANGE = st.one_of(
    st.builds(Checkpoint, KEY, st.binary(max_size=4)),
    st.builds(Forget, KEY),
    st.builds(Forget, KEY.map(lambda key: key + "/")),
)
PART = st.sampled_from(["a", "b", "l", "..", ".", ""])
TARGET = st.lists(PART, min_size=1, max_size=4).map("/".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(CHANGE, max_size=6), max_size=6))
def test_rows_are_a_map_that_survives(groups: list[list[Checkpoint | Forget]]) -> None:
    """Whatever the changes, a new store shows what a dict would."""
    model: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as directory:
        store = CheckpointStore(directory)
        for group in groups:
            store.write(group)
            for change in group:
                if isinstance(change, Checkpoint):
                    model[change.key] = change.value
                elif change.key.endswith("/"):
                    model = {k: v for k, v in model.items() if not k.startswith(change.key)}
                else:
                    model.pop(change.key, None)
        store.close()
        again = CheckpointStore(directory)
        assert again.rows() == model
        again.close()


@settings(max_examples=150, deadline=None)
@given(TARGET, TARGET, st.booleans(), TARGET)
def test_no_link_shows_what_lies_outside(
    first: str, second: str, absolute: bool, path: str
) -> None:
    """Two links with any targets, one of them in a directory: the secret stays unseen."""
    with tempfile.TemporaryDirectory() as directory:
        top = Path(os.path.realpath(directory))
        root = top / "root"
        (root / "a" / "b").mkdir(parents=True)
        for inside in (root / "a" / "b" / "file", root / "b"):
            inside.write_text("inside")
        for outside in (top / "a", top / "b", top / "file"):
            outside.write_text("secret")
        (root / "l").symlink_to(f"{root}/{first}" if absolute else first or ".")
        (root / "a" / "l").symlink_to(second or ".")
        try:
            parts = walk.components(path)
            root_fd = walk.open_root(str(root))
            try:
                fd = walk.open_beneath(root_fd, parts, str(root))
            finally:
                os.close(root_fd)
        except (OSError, walk.OutsideError):
            return
        try:
            where = os.readlink(f"/proc/self/fd/{fd}")
            assert where == str(root) or where.startswith(f"{root}/")
        finally:
            os.close(fd)


@given(st.text("ab./\\\0é", max_size=12))
def test_a_members_name_is_refused_or_stays_inside(name: str) -> None:
    """Its parts never climb and never start at the top."""
    try:
        parts = member_parts(name)
    except RefusedError:
        return
    assert not name.startswith("/") and "\0" not in name
    assert all(part not in ("", ".", "..") and "/" not in part for part in parts)


@given(st.text("ab/().json1slave", max_size=30).map(lambda text: "/" + text))
def test_a_canonical_path_stays_as_it_is(path: str) -> None:
    """Spelling it twice changes nothing more than slashes and suffixes do."""
    once = canonical("/slave(1)" + path)
    assert once == canonical(path) or path.startswith("/slave(1)")
