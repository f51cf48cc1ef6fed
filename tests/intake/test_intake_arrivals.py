from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.intake.arrivals import (
    Arrival,
    arrival_stamp,
    drop_id_of,
    is_settled,
    list_arrivals,
    put_in_inbox,
)
from imaging_platform.model.errors import BadInput, Held
from imaging_platform.model.ids import parse_drop_id
from tests.intake.drops import SECRET, Site, mr_bytes, write_files

HOUR_NS = 3600 * 10**9
NOW_S = 1_800_000_000.0
NOW_NS = 1_800_000_000 * 10**9

names = st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1
)
listings = st.dictionaries(names, st.integers(0, 2**40), max_size=8)


def arrived(*changes_ns: int, is_marked: bool = False, n_files: int = 1) -> Arrival:
    return Arrival(
        path=Path("Ann"),
        n_files=n_files,
        n_bytes=1,
        newest_change_ns=max(changes_ns),
        changes_ns=tuple(sorted(changes_ns)),
        drop_id="drop-0123456789abcdef",
        is_marked=is_marked,
    )


def only(inbox: Path) -> Arrival:
    (arrival,) = list_arrivals(inbox, secret=SECRET)
    return arrival


@given(listing=listings, order=st.randoms())
def test_the_order_of_a_listing_does_not_change_the_drop(listing, order):
    files = list(listing.items())
    shuffled = order.sample(files, len(files))

    assert drop_id_of(files, secret=SECRET) == drop_id_of(shuffled, secret=SECRET)


@given(listing=listings.filter(bool), other=listings.filter(bool))
def test_other_names_or_sizes_are_another_drop(listing, other):
    one = drop_id_of(listing.items(), secret=SECRET)
    two = drop_id_of(other.items(), secret=SECRET)

    assert parse_drop_id(one) == one
    assert (one == two) == (nfc(listing) == nfc(other))


def nfc(listing: dict[str, int]) -> list[tuple[str, int]]:
    import unicodedata

    return sorted(
        (unicodedata.normalize("NFC", n), size) for n, size in listing.items()
    )


def test_another_secret_gives_another_identifier():
    files = [("a", 1)]

    assert drop_id_of(files, secret=b"1") != drop_id_of(files, secret=b"2")


def test_the_name_of_the_folder_does_not_change_the_drop(tmp_path: Path):
    for name in ("Ann", "Ann again"):
        write_files(tmp_path / name, {"s1/a.dcm": b"12", "b.dcm": b"3"})

    one, two = list_arrivals(tmp_path, secret=SECRET)

    assert one.drop_id == two.drop_id
    assert (one.n_files, one.n_bytes) == (2, 3)


def test_folders_archives_and_loose_files_arrive_and_the_rest_does_not(tmp_path: Path):
    write_files(
        tmp_path,
        {
            "folder/a.dcm": b"1",
            "scan.zip": b"2",
            "loose.dcm": b"3",
            ".hidden/a.dcm": b"4",
            ".staged": b"5",
            "scan.zip.complete": b"",
        },
    )
    (tmp_path / "link").symlink_to(tmp_path / "folder")

    arrivals = list_arrivals(tmp_path, secret=SECRET)

    assert [a.path.name for a in arrivals] == ["folder", "loose.dcm", "scan.zip"]
    assert [a.is_marked for a in arrivals] == [False, False, True]


def test_links_and_loops_inside_a_drop_are_never_followed(tmp_path: Path):
    folder = write_files(tmp_path / "inbox/drop", {"a.dcm": b"1"})
    (folder / "loop").symlink_to(folder)
    (folder / "away").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")

    arrival = only(tmp_path / "inbox")

    assert (arrival.n_files, arrival.n_bytes) == (4, 1)


def test_odd_names_are_listed(tmp_path: Path):
    odd = ["new\nline", "ünïcödé", "x" * 240, "$(rm -rf)", os.fsdecode(b"\xff\xfe")]
    write_files(tmp_path / "drop", dict.fromkeys(odd, b"1"))

    assert only(tmp_path).n_files == 5


def test_an_absent_inbox_is_empty_and_an_empty_secret_is_refused(tmp_path: Path):
    assert list_arrivals(tmp_path / "none", secret=SECRET) == ()
    with pytest.raises(BadInput) as caught:
        list_arrivals(tmp_path, secret=b"")
    assert "backup" in caught.value.fix


def test_a_folder_that_may_not_be_read_is_told_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_files(tmp_path / "Ann", {"a.dcm": b"1"})

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(Held) as caught:
        list_arrivals(tmp_path, secret=SECRET)

    assert "Permission denied" in str(caught.value)
    assert str(tmp_path) not in str(caught.value) + caught.value.fix


def test_an_arrival_does_not_show_its_path(tmp_path: Path):
    write_files(tmp_path / "Ann Smith", {"Ann.dcm": b"1"})

    arrival = only(tmp_path)

    assert "Ann" not in repr(arrival) + arrival_stamp(arrival)


def test_no_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_files(tmp_path / "drop", {"a.dcm": b"1"})
    opened: list[object] = []
    monkeypatch.setattr("builtins.open", opened.append)
    monkeypatch.setattr("io.open", opened.append)
    monkeypatch.setattr("os.open", opened.append)

    list_arrivals(tmp_path, secret=SECRET)

    assert opened == []


def test_the_sensor_side_loads_no_library_of_the_field():
    code = (
        "import sys, imaging_platform.intake.arrivals\n"
        "sys.exit(any(n in sys.modules for n in "
        "('pydicom', 'pandas', 'pyarrow', 'numpy')))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_drop_settles_when_it_has_been_quiet():
    arrival = arrived(NOW_NS)

    assert not is_settled(arrival, now_s=NOW_S + 59, quiet_s=60)
    assert is_settled(arrival, now_s=NOW_S + 60, quiet_s=60)


def test_a_marked_drop_settles_at_once_and_an_empty_one_never():
    assert is_settled(arrived(NOW_NS, is_marked=True), now_s=NOW_S, quiet_s=60)
    assert not is_settled(
        arrived(0, is_marked=True, n_files=0), now_s=NOW_S, quiet_s=60
    )


def test_a_time_far_in_the_future_does_not_hold_a_drop_for_ever():
    arrival = arrived(NOW_NS - HOUR_NS, NOW_NS + 10_000 * HOUR_NS)

    assert is_settled(arrival, now_s=NOW_S, quiet_s=60)


def test_a_time_far_in_the_future_does_not_hide_that_somebody_still_writes():
    arrival = arrived(NOW_NS - 10**9, NOW_NS + 10_000 * HOUR_NS)

    assert not is_settled(arrival, now_s=NOW_S, quiet_s=60)


def test_a_clock_slightly_ahead_makes_a_drop_wait(tmp_path: Path):
    assert not is_settled(arrived(NOW_NS + 30 * 10**9), now_s=NOW_S, quiet_s=60)


@given(
    changes=st.lists(st.integers(0, 2 * NOW_NS), min_size=1, max_size=5),
    quiet_s=st.floats(0, 1e6),
)
def test_every_unmarked_drop_settles_in_the_end(changes: list[int], quiet_s: float):
    later_s = max(changes) / 1e9 + quiet_s + 1

    assert is_settled(arrived(*changes), now_s=later_s, quiet_s=quiet_s)


def test_a_slow_copy_settles_only_after_its_last_file(tmp_path: Path):
    folder = write_files(tmp_path / "drop", {"1.dcm": b"1"})
    first = only(tmp_path)
    later_s = first.newest_change_s + 50
    write_files(folder, {"2.dcm": b"2"})
    os.utime(folder / "2.dcm", (later_s, later_s))

    second = only(tmp_path)

    assert is_settled(first, now_s=later_s + 15, quiet_s=60)
    assert not is_settled(second, now_s=later_s + 15, quiet_s=60)
    assert is_settled(second, now_s=later_s + 60, quiet_s=60)
    assert second.drop_id != first.drop_id
    assert arrival_stamp(second) != arrival_stamp(first)


def test_old_times_kept_by_a_copy_do_not_settle_it_early(tmp_path: Path):
    folder = write_files(tmp_path / "drop", {"1.dcm": b"1"})
    os.utime(folder / "1.dcm", (1e9, 1e9))
    os.utime(folder, (1e9, 1e9))

    arrival = only(tmp_path)

    assert not is_settled(arrival, now_s=arrival.newest_change_s + 1, quiet_s=60)


@pytest.mark.parametrize("marker", ["drop/.complete", "drop.complete"])
def test_the_marker_counts_as_no_file_of_the_drop(tmp_path: Path, marker: str):
    write_files(tmp_path, {"drop/a.dcm": b"1"})
    before = only(tmp_path)
    write_files(tmp_path, {marker: b""})

    after = only(tmp_path)

    assert (before.is_marked, after.is_marked) == (False, True)
    assert (after.n_files, after.drop_id) == (1, before.drop_id)


@pytest.mark.parametrize("name", ["folder", "scan.zip"])
def test_what_is_put_in_arrives_settled_and_the_source_stays(tmp_path: Path, name: str):
    source = tmp_path / name
    if name == "folder":
        write_files(source, {"s/a.dcm": b"1", "b.dcm": b"2"})
    else:
        source.write_bytes(b"12")
    inbox = tmp_path / "inbox"

    placed = put_in_inbox(source, inbox)

    arrival = only(inbox)
    assert arrival.path == placed
    assert is_settled(arrival, now_s=arrival.newest_change_s, quiet_s=60)
    assert arrival.n_bytes == 2
    assert source.exists()
    assert [path.name for path in inbox.iterdir()] == [name]


def test_putting_in_the_same_name_twice_keeps_both_as_one_drop(tmp_path: Path):
    source = tmp_path / "scan.zip"
    source.write_bytes(b"12")
    inbox = tmp_path / "inbox"

    placed = [put_in_inbox(source, inbox) for _ in range(3)]

    assert [path.name for path in placed] == ["scan.zip", "scan.zip-2", "scan.zip-3"]
    assert len({a.drop_id for a in list_arrivals(inbox, secret=SECRET)}) == 1


def test_a_loose_file_is_the_same_drop_whether_put_in_or_copied(tmp_path: Path):
    source = tmp_path / "scan.zip"
    source.write_bytes(b"12")
    put_in_inbox(source, tmp_path / "inbox")
    write_files(tmp_path / "other", {"scan.zip": b"12"})

    assert only(tmp_path / "inbox").drop_id == only(tmp_path / "other").drop_id


def test_the_source_and_the_drop_share_no_bytes(tmp_path: Path, site: Site):
    source = write_files(tmp_path / "source", {"a.dcm": mr_bytes()})
    put_in_inbox(source, site.inbox)
    mode = (source / "a.dcm").stat().st_mode
    site.index(site.drop_id_of(site.inbox / "source"))

    (source / "a.dcm").write_bytes(b"changed")

    assert (source / "a.dcm").stat().st_mode == mode
    assert site.stored() >= {mr_bytes()}


def test_a_failed_copy_leaves_nothing_in_the_inbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = write_files(tmp_path / "source", {"a.dcm": b"1"})

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("shutil.copyfile", fail)
    with pytest.raises(OSError, match="disk full"):
        put_in_inbox(source, tmp_path / "inbox")

    assert list((tmp_path / "inbox").iterdir()) == []


def test_a_source_that_cannot_be_a_drop_is_refused(tmp_path: Path):
    inbox = tmp_path / "study" / "inbox"
    inbox.mkdir(parents=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    link = tmp_path / "link"
    link.symlink_to(empty)

    for source in (tmp_path / "absent", link, empty, tmp_path / "study"):
        with pytest.raises(BadInput) as caught:
            put_in_inbox(source, inbox)
        assert caught.value.fix
    assert list(inbox.iterdir()) == []
