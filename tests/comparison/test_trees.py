"""Files that are the same, changed, renamed, gone and new."""

from __future__ import annotations

import gzip
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.comparison.quality import SESSION_VERDICT, compare_quality
from imaging_platform.comparison.trees import (
    CHANGED,
    MOST_KEPT,
    ONLY_AFTER,
    ONLY_BEFORE,
    RENAMED,
    compare_trees,
)

listings = st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=2), max_size=6)


def _write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@given(before=listings, after=listings)
def test_every_file_is_counted_once(tmp_path_factory, before, after):
    place = tmp_path_factory.mktemp("trees")

    found = compare_trees(_write(place / "a", before), _write(place / "b", after))

    told = [c for file in found.files for c in (file.path, file.renamed_to) if c]
    assert len(told) == len(set(told))
    assert found.n_same + len(told) == len(before.keys() | after.keys())
    assert found.is_same == (before == after)


def test_changed_renamed_gone_and_new_are_told_apart(tmp_path):
    before = _write(tmp_path / "a", {"x": "1", "old": "2", "gone": "3", "same": "4"})
    after = _write(tmp_path / "b", {"x": "9", "new": "2", "more": "5", "same": "4"})

    found = compare_trees(before, after)

    assert [(f.path, f.change, f.renamed_to) for f in found.files] == [
        ("gone.txt", ONLY_BEFORE, ""),
        ("more.txt", ONLY_AFTER, ""),
        ("old.txt", RENAMED, "new.txt"),
        ("x.txt", CHANGED, ""),
    ]
    assert found.n_same == 1


def test_what_carries_no_meaning_does_not_differ(tmp_path):
    for name, level in (("a", 1), ("b", 9)):
        (tmp_path / name).mkdir()
        packed = gzip.compress(b"0\t1\n" * 100, level, mtime=level)
        (tmp_path / name / "x.tsv.gz").write_bytes(packed)

    assert compare_trees(tmp_path / "a", tmp_path / "b").is_same


def test_a_table_that_differs_everywhere_is_counted_whole_and_listed_in_part(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        rows = "".join(f"{name}{n}\n" for n in range(500))
        (tmp_path / name / "x.tsv").write_text("x\n" + rows)

    (file,) = compare_trees(tmp_path / "a", tmp_path / "b").files

    assert (file.n_values, len(file.values)) == (500, MOST_KEPT)


def test_a_damaged_file_is_told_and_stops_nothing(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.nii.gz").write_text(name)

    (file,) = compare_trees(tmp_path / "a", tmp_path / "b").files

    assert file.note.startswith("cannot be read")


def test_only_metrics_with_another_value_verdict_or_limit_are_told():
    row = {"scan": "bold", "metric": "fd_mean", "unit": "mm", "reason": ""}
    limit = "look above 0.3"
    same = {**row, "metric": "tsnr", "value": 40, "verdict": "pass", "threshold": ""}
    old = {**row, "value": 0.2, "verdict": "pass", "threshold": limit}
    new = {**row, "value": 0.4, "verdict": "look", "threshold": limit}

    session, change = compare_quality(
        {"verdict": "pass", "metrics": [same, old]},
        {"verdict": "look", "metrics": [same, new]},
    )

    assert (session.metric, session.verdict_after) == (SESSION_VERDICT, "look")
    assert (change.metric, change.before, change.after) == ("fd_mean", 0.2, 0.4)
    assert (change.verdict_before, change.verdict_after) == ("pass", "look")
    assert change.relative == 1.0
