from __future__ import annotations

import errno
import multiprocessing
import os

import pytest

from imaging_platform.files import staging
from imaging_platform.files.staging import publish_tree, recover_target, staged_tree

_FLUSH = staging.flush_disk  # the real one: other tests wait for no disk


def _publish(area, text):
    with staged_tree(area, "x/target") as tree:
        (tree / "file").write_text(text)
        publish_tree(tree, area / "x" / "target")


def test_a_published_tree_replaces_the_old_one(tmp_path):
    _publish(tmp_path, "old")

    _publish(tmp_path, "new")

    assert (tmp_path / "x" / "target" / "file").read_text() == "new"


def test_only_the_disk_of_the_tree_is_flushed_before_it_is_published(
    tmp_path, monkeypatch
):
    told: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: told.append("every disk"))
    monkeypatch.setattr(staging, "flush_disk", _FLUSH)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("a")

    staging.flush_disk(tmp_path / "tree")

    assert told == []
    with pytest.raises(FileNotFoundError):
        staging.flush_disk(tmp_path / "absent")


def test_a_tree_is_flushed_while_the_old_one_stands(tmp_path, monkeypatch):
    seen: list[str] = []
    target = tmp_path / "target"
    for text in ("old", "new"):
        (tmp_path / text).mkdir()
        (tmp_path / text / "a").write_text(text)
    staging.publish_tree(tmp_path / "old", target)
    monkeypatch.setattr(
        staging, "flush_disk", lambda _: seen.append((target / "a").read_text())
    )

    staging.publish_tree(tmp_path / "new", target)

    assert seen == ["old"]
    assert (target / "a").read_text() == "new"


def test_nothing_is_left_in_the_staging_area(tmp_path):
    _publish(tmp_path, "old")
    _publish(tmp_path, "new")

    left = [p.name for p in (tmp_path / ".staging").iterdir()]

    assert left == ["x--target.lock"]


def test_an_error_while_building_leaves_the_old_tree(tmp_path):
    _publish(tmp_path, "old")

    with pytest.raises(RuntimeError), staged_tree(tmp_path, "x/target") as tree:
        (tree / "file").write_text("half")
        raise RuntimeError

    assert (tmp_path / "x" / "target" / "file").read_text() == "old"


def test_what_a_killed_run_left_is_removed_first(tmp_path):
    leftover = tmp_path / ".staging" / "x--target" / "tree"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("half")

    with staged_tree(tmp_path, "x/target") as tree:
        found = list(tree.iterdir())

    assert found == []


def test_a_file_system_without_exchange_publishes_too(tmp_path, monkeypatch):
    _publish(tmp_path, "old")
    monkeypatch.setattr(staging, "_exchange", lambda first, second: False)

    _publish(tmp_path, "new")

    assert (tmp_path / "x" / "target" / "file").read_text() == "new"


def test_a_kill_between_two_renames_brings_the_old_tree_back(tmp_path):
    (tmp_path / ".old-target").mkdir()
    (tmp_path / ".old-target" / "file").write_text("old")

    recover_target(tmp_path / "target")

    assert (tmp_path / "target" / "file").read_text() == "old"


def test_a_kill_after_two_renames_keeps_the_new_tree(tmp_path):
    for name in (".old-target", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)

    recover_target(tmp_path / "target")

    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_an_exchange_that_fails_for_another_reason_is_an_error(tmp_path):
    with pytest.raises(OSError) as refused:
        staging._exchange(tmp_path / "absent", tmp_path / "absent2")

    assert refused.value.errno == errno.ENOENT


def _publish_many(area, text, times):
    for _ in range(times):
        _publish(area, text)


def test_a_reader_never_sees_a_missing_or_mixed_tree(tmp_path):
    _publish(tmp_path, "aa")
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_publish_many, args=(tmp_path, text, 15))
        for text in ("aa", "bb")
    ]

    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add((tmp_path / "x" / "target" / "file").read_text())

    assert seen <= {"aa", "bb"}
    assert [writer.exitcode for writer in writers] == [0, 0]


def test_a_folder_that_is_removed_as_empty_meanwhile_is_made_again(
    tmp_path, monkeypatch
):
    target = tmp_path / "sub-01" / "ses-1"
    monkeypatch.setattr(staging, "recover_target", lambda path: path.parent.rmdir())

    with staging.staged_tree(tmp_path, "sub-01_ses-1") as tree:
        (tree / "a").write_text("a")
        staging.publish_tree(tree, target)

    assert (target / "a").read_text() == "a"
