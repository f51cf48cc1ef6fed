from __future__ import annotations

import multiprocessing
import stat
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.files.audit import HEAD, TRAIL, append_audit, read_audit
from imaging_platform.model.errors import BadConfig, BadInput

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))


def append(zone: Path, subject: str = "sub-A", **changed: str) -> None:
    told = {"action": "whois", "author": "ada", "reason": "finding", **changed}
    append_audit(zone, subject=subject, now=NOW, **told)


def append_many(zone: Path, author: str) -> None:
    for number in range(10):
        append(zone, f"sub-{number}", author=author)


def test_entries_are_read_back_in_order_with_who_when_and_why(tmp_path):
    append(tmp_path, "sub-A")
    append(tmp_path, "sub-B", reason="relapse — call")

    first, second = read_audit(tmp_path)

    assert (first.number, first.subject, first.when) == (
        1,
        "sub-A",
        "2026-03-01T10:00:00+00:00",
    )
    assert (second.author, second.reason) == ("ada", "relapse — call")
    assert second.previous == first.digest


def test_a_zone_without_a_trail_has_no_entries(tmp_path):
    assert read_audit(tmp_path) == ()


def test_the_trail_is_readable_by_its_owner_only(tmp_path):
    append(tmp_path)

    for name in (TRAIL, HEAD):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("field", ["action", "author", "reason"])
@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "\x1b[2J", "x" * 501])
def test_an_entry_that_says_nothing_or_hides_something_is_refused(
    tmp_path, field, text
):
    with pytest.raises(BadConfig, match=f"The {field} of") as caught:
        append(tmp_path, **{field: text})

    assert "short" in caught.value.fix
    assert read_audit(tmp_path) == ()


@given(place=st.floats(0, 1, exclude_max=True), other=st.integers(1, 255))
def test_any_changed_byte_of_the_trail_is_noticed(place, other):
    with tempfile.TemporaryDirectory() as folder:
        zone = Path(folder)
        append_many(zone, "ada")
        data = bytearray((zone / TRAIL).read_bytes())
        data[int(place * len(data))] ^= other
        (zone / TRAIL).write_bytes(data)

        with pytest.raises(BadInput) as caught:
            read_audit(zone)

    assert "backup" in caught.value.fix


@pytest.mark.parametrize("removed", [0, 1, 4, 9])
def test_a_removed_entry_is_noticed_also_the_last_one(tmp_path, removed):
    append_many(tmp_path, "ada")
    lines = (tmp_path / TRAIL).read_bytes().splitlines(keepends=True)
    del lines[removed]
    (tmp_path / TRAIL).write_bytes(b"".join(lines))

    with pytest.raises(BadInput, match="entr"):
        read_audit(tmp_path)


@pytest.mark.parametrize("name", [TRAIL, HEAD])
def test_a_removed_file_is_noticed(tmp_path, name):
    append_many(tmp_path, "ada")
    (tmp_path / name).unlink()

    with pytest.raises(BadInput):
        read_audit(tmp_path)


def test_nothing_is_added_to_a_trail_that_was_changed(tmp_path):
    append_many(tmp_path, "ada")
    data = (tmp_path / TRAIL).read_bytes().replace(b"sub-4", b"sub-5")
    (tmp_path / TRAIL).write_bytes(data)

    with pytest.raises(BadInput, match="entry 5"):
        append(tmp_path)

    assert (tmp_path / TRAIL).read_bytes() == data


def test_a_line_that_a_kill_left_unfinished_is_taken_back(tmp_path):
    append(tmp_path)
    with (tmp_path / TRAIL).open("ab") as file:
        file.write(b'{"action": "who')

    assert len(read_audit(tmp_path)) == 1
    append(tmp_path, "sub-B")

    assert [entry.subject for entry in read_audit(tmp_path)] == ["sub-A", "sub-B"]


@pytest.mark.parametrize("n_before", [0, 1])
def test_a_kill_between_the_line_and_the_head_loses_nothing(tmp_path, n_before):
    for _ in range(n_before):
        append(tmp_path)
    head = tmp_path / HEAD
    before = head.read_text() if n_before else None
    append(tmp_path, "sub-last")
    head.unlink() if before is None else head.write_text(before)

    assert read_audit(tmp_path)[-1].subject == "sub-last"
    append(tmp_path)

    assert len(read_audit(tmp_path)) == n_before + 2


def test_two_processes_that_write_at_once_keep_one_chain(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=append_many, args=(tmp_path, name))
        for name in ("ada", "bob")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    entries = read_audit(tmp_path)

    assert [entry.number for entry in entries] == list(range(1, 21))
    assert {entry.author for entry in entries} == {"ada", "bob"}
