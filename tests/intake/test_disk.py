"""A disk that is full, or may not be written, leaves the inbox as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging_platform.intake import admission, drop
from imaging_platform.intake.settings import IntakeSettings
from imaging_platform.model.errors import Held
from tests.intake.drops import Site, mr_bytes, write_files
from tests.intake.hostile import zip_of
from tests.intake.limited import take_in_apart
from tests.intake.test_hostile_drops import NOBODY, hand_over, tree_of

DISK_BYTES = 2 << 20
LARGE = {f"{n}.dcm": mr_bytes(instance=n) + os.urandom(300_000) for n in range(12)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB of its own."""
    if os.getuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let a small disk be mounted")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.usefixtures("in_one_process")
@pytest.mark.parametrize(
    ("files", "same_disk"),
    [
        (LARGE, False),
        ({"a.zip": zip_of(LARGE)}, False),
        ({"a.zip": zip_of({"0.dcm": mr_bytes() + bytes(6 << 20)})}, True),
    ],
    ids=["copied", "archive copied", "archive unpacked"],
)
def test_a_disk_that_runs_full_leaves_the_inbox_as_it_was(
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes],
    same_disk: bool,
):
    inbox = small_disk / "inbox" if same_disk else tmp_path / "inbox"
    site = Site(inbox, small_disk / "zone", IntakeSettings(min_free_bytes=0))
    drop_id = site.drop_id_of(write_files(inbox / "drop", files))
    before = tree_of(inbox)
    # The guard is deaf, as when somebody else fills the disk meanwhile.
    for module in (admission, drop):
        monkeypatch.setattr(module, "free_bytes", lambda _: 1 << 40)

    with pytest.raises(Held) as caught:
        site.index(drop_id)

    assert "No space left" in str(caught.value)
    assert "nothing was lost" in caught.value.fix
    assert tree_of(inbox) == before
    assert site.stored() == set()


def test_the_guard_refuses_what_does_not_fit_before_anything_is_moved(
    small_disk: Path, tmp_path: Path
):
    site = Site(
        tmp_path / "inbox", small_disk / "zone", IntakeSettings(min_free_bytes=0)
    )
    drop_id = site.send("drop", LARGE)
    before = tree_of(site.inbox)

    with pytest.raises(Held) as caught:
        site.index(drop_id)

    assert "MiB free" in str(caught.value)
    assert tree_of(site.inbox) == before
    assert not list(small_disk.rglob("*.dcm"))


def test_a_zone_that_may_not_be_written_leaves_the_inbox_as_it_was(tmp_path: Path):
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    write_files(tmp_path / "inbox/drop", {"a.dcm": mr_bytes()})
    (tmp_path / "zone").mkdir()
    hand_over(tmp_path, NOBODY)
    before = tree_of(tmp_path / "inbox")
    (tmp_path / "zone").chmod(0o500)

    (outcome,) = take_in_apart(tmp_path, user=NOBODY)

    assert "Permission denied" in outcome.problem
    assert "permissions" in outcome.fix
    assert tree_of(tmp_path / "inbox") == before
