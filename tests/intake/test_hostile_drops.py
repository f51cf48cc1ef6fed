from __future__ import annotations

import os
import struct
import tarfile
from pathlib import Path

import pytest

from imaging_platform.intake import drop
from imaging_platform.intake.admission import check_admission
from imaging_platform.intake.arrivals import list_arrivals
from imaging_platform.intake.claims import remove_claimed
from imaging_platform.model.errors import Held
from tests.intake import hostile, hostile_archives, hostile_headers
from tests.intake.drops import SECRET, Site, write_files
from tests.intake.hostile import BODY, GOOD, META, OTHER, of_sparse, tar_of, zip_of
from tests.intake.hostile_archives import of_depth
from tests.intake.limited import Outcome, take_in_apart

DROPS = {**hostile.DROPS, **hostile_headers.DROPS, **hostile_archives.DROPS}
MOST_CPU_S = 60
MOST_BYTES = 1 << 30


@pytest.fixture(
    scope="module",
    params=["forked", pytest.param("started", marks=pytest.mark.slow)],
)
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    """What became of each drop, in one process that survived them all."""
    home = tmp_path_factory.mktemp("home")
    sites = [home / str(number) for number in range(len(DROPS))]
    for site, sent in zip(sites, DROPS.values(), strict=True):
        sent.send(site / "inbox", "drop")
    found = take_in_apart(*sites, is_forked=request.param == "forked")
    return dict(zip(DROPS, found, strict=True))


@pytest.mark.parametrize("name", DROPS)
def test_a_hostile_drop_gets_its_verdict(name: str, outcomes: dict[str, Outcome]):
    expected, outcome = DROPS[name], outcomes[name]

    assert outcome.problem == ""
    assert (outcome.verdicts, outcome.reasons) == (expected.verdicts, expected.reasons)
    assert outcome.n_files == sum(expected.verdicts.values())
    assert outcome.cpu_s < MOST_CPU_S
    assert outcome.peak_bytes < MOST_BYTES


def tree_of(folder: Path) -> dict[str, bytes | None]:
    """Return every entry below a folder, with its content when it is a file."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        if path.is_file() and not path.is_symlink()
        else None
        for path in folder.rglob("*")
    }


def test_a_hostile_drop_writes_nothing_outside_the_zone(tmp_path: Path):
    names = ["zip slip", "tar slip", "tar of links and devices", "odd names"]
    sites = [tmp_path / str(number) for number in range(len(names))]
    for site, name in zip(sites, names, strict=True):
        DROPS[name].send(site / "inbox", "drop")

    take_in_apart(*sites)

    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2", "3"}
    for site in sites:
        assert {path.name for path in site.iterdir()} == {"inbox", "zone"}
        assert list((site / "inbox").iterdir()) == []
        made = {path.name for path in (site / "zone").rglob("*")}
        assert all("evil" not in name and "\n" not in name for name in made)


def test_a_file_that_is_also_named_outside_keeps_its_content_and_rights(
    tmp_path: Path,
):
    DROPS["hard link to a file outside"].send(tmp_path / "inbox", "drop")
    (outside,) = (tmp_path / "outside").iterdir()
    before = (outside.read_bytes(), outside.stat().st_mode)

    take_in_apart(tmp_path)

    assert (outside.read_bytes(), outside.stat().st_mode) == before
    (stored,) = (tmp_path / "zone/store").glob("??/*")
    assert stored.stat().st_ino != outside.stat().st_ino


def test_too_large_a_file_for_the_system_leaves_the_drop_in_the_inbox(tmp_path: Path):
    large = zip_of({f"{n}.dcm": os.urandom(300_000) for n in range(3)})
    write_files(tmp_path / "inbox/drop", {"a.dcm": GOOD, "b.zip": large})
    before = tree_of(tmp_path / "inbox")

    (outcome,) = take_in_apart(tmp_path, max_file_bytes=100_000)

    assert "File too large" in outcome.problem
    assert "nothing was lost" in outcome.fix
    assert tree_of(tmp_path / "inbox") == before
    (again,) = take_in_apart(tmp_path)
    assert again.verdicts == {"accepted": 1, "quarantined": 3}


def test_an_archive_that_would_fill_the_disk_stays_in_the_inbox(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    write_files(site.inbox, {"a.zip": zip_of({"a.dcm": bytes(9 << 20)})})
    before = tree_of(site.inbox)
    room = site.settings.min_free_bytes + (4 << 20)
    monkeypatch.setattr(drop, "free_bytes", lambda _: room)

    with pytest.raises(Held) as caught:
        site.index(site.drop_id_of(site.inbox / "a.zip"))

    assert "No space left" in str(caught.value)
    assert tree_of(site.inbox) == before
    assert list(site.zone.glob("incoming/*")) == []


def test_a_drop_waits_in_the_inbox_while_the_disk_is_too_full(tmp_path: Path):
    write_files(tmp_path / "inbox/drop", {"a.dcm": GOOD})
    before = tree_of(tmp_path / "inbox")

    (outcome,) = take_in_apart(tmp_path, settings={"min_free_bytes": 1 << 60})

    assert "MiB free" in outcome.problem
    assert "intake.min_free_bytes" in outcome.fix
    assert tree_of(tmp_path / "inbox") == before


NOBODY = 65534


@pytest.mark.parametrize("closed", ["drop/a.dcm", "drop/closed", "drop"])
def test_a_drop_that_may_not_be_read_stays_in_the_inbox(tmp_path: Path, closed: str):
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    write_files(tmp_path / "inbox/drop", {"a.dcm": GOOD, "closed/b.dcm": OTHER})
    hand_over(tmp_path, NOBODY)
    before = tree_of(tmp_path / "inbox")
    (tmp_path / "inbox" / closed).chmod(0)

    (outcome,) = take_in_apart(tmp_path, user=NOBODY)

    assert "may not be read" in outcome.problem or "cannot be listed" in outcome.problem
    assert "read" in outcome.fix
    assert "a.dcm" not in outcome.problem + outcome.fix
    assert tree_of(tmp_path / "inbox") == before


def hand_over(folder: Path, user: int) -> None:
    """Give all below a folder to a user, who may pass through what is above it."""
    for parent in [folder, *folder.parents]:
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user, follow_symlinks=False)


def test_a_file_that_vanishes_or_grows_while_it_is_read_loses_nothing(site: Site):
    drop_id = site.send("drop", {"a.dcm": GOOD, "b.dcm": OTHER})
    real = drop.examine_files

    def examine_then_lose(paths: list[Path], **rest: object) -> object:
        examined = real(paths, **rest)  # type: ignore[arg-type]  # passed on
        paths[0].unlink()
        paths[1].write_bytes(OTHER + b"more")
        return examined

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drop, "examine_files", examine_then_lose)
        with pytest.raises(Held) as caught:
            site.index(drop_id)

    assert str(site.inbox) not in str(caught.value) + caught.value.fix
    again = site.index(drop_id, names=["drop"])
    assert again.reasons == {"bytes after the last element": 1}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_an_archive_of_100_000_members_is_taken_in_within_its_limits(
    tmp_path: Path, suffix: str
):
    files = {f"{n:06d}.dcm": b"no image %d" % n for n in range(100_000)}
    pack = (
        zip_of
        if suffix == ".zip"
        else lambda files: tar_of(
            *((name, tarfile.REGTYPE, data, "") for name, data in files.items()),
            compressed=True,
        )
    )
    write_files(tmp_path / "inbox", {f"drop{suffix}": pack(files)})

    (outcome,) = take_in_apart(tmp_path)

    assert outcome.verdicts == {"quarantined": 100_000}
    assert outcome.cpu_s < MOST_CPU_S
    assert outcome.peak_bytes < MOST_BYTES


def test_folders_too_deep_to_be_named_stay_in_the_inbox_and_hold_nobody_up(
    tmp_path: Path,
):
    of_depth(3000)(tmp_path / "inbox", "deep")
    write_files(tmp_path / "inbox", {"other.dcm": GOOD})

    deep, other = list_arrivals(tmp_path / "inbox", secret=SECRET)
    with pytest.raises(Held) as caught:
        check_admission([deep.path], tmp_path / "zone", reserve_bytes=0)
    check_admission([other.path], tmp_path / "zone", reserve_bytes=0)

    assert "nested so deeply" in str(caught.value)
    assert "fewer folders" in caught.value.fix
    remove_claimed(tmp_path / "inbox")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_file_of_gigabytes_of_nothing_is_refused_within_its_limits(tmp_path: Path):
    of_sparse(tmp_path / "inbox", "drop")

    (outcome,) = take_in_apart(tmp_path)

    assert outcome.reasons == {"too many elements": 1}
    assert outcome.cpu_s < MOST_CPU_S
    assert outcome.peak_bytes < MOST_BYTES


@pytest.mark.slow
def test_a_file_of_millions_of_elements_is_refused_within_its_limits(tmp_path: Path):
    many = META + struct.pack("<HH2sH", 0x0009, 0x1001, b"UL", 0) * 6_000_000 + BODY
    write_files(tmp_path / "inbox/drop", {"a.dcm": many})

    (outcome,) = take_in_apart(tmp_path)

    assert outcome.reasons == {"too many elements": 1}
    assert outcome.cpu_s < MOST_CPU_S
    assert outcome.peak_bytes < MOST_BYTES
