"""The convert command: which sessions, which exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imaging_platform.cli.main import main


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imaging-platform", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


@pytest.fixture
def clean(shared_data: Path, tmp_path: Path) -> Path:
    """Two sessions as ``anonymize`` leaves them."""
    for session, name in (("1", "mr_0004"), ("2", "mr_0005")):
        shutil.copytree(
            shared_data / "dicom/dcm_qa_nih/In/20180918GE" / name,
            tmp_path / "clean" / f"sub-01_ses-{session}",
        )
    return tmp_path / "clean"


def test_the_sessions_that_anonymize_wrote_are_found_by_their_names(
    run, clean, tmp_path
):
    code, out, _ = run("convert", clean, tmp_path / "bids")

    assert code == 0
    assert {p.name for p in (tmp_path / "bids").glob("sub-01/ses-*")} == {
        "ses-1",
        "ses-2",
    }
    assert "bold" in out
    table = (tmp_path / "bids/participants.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in table] == ["participant_id", "sub-01"]


def test_one_session_of_them_is_found_by_its_own_name(run, clean, tmp_path):
    code, _, _ = run("convert", clean / "sub-01_ses-2", tmp_path / "bids")

    assert code == 0
    assert (tmp_path / "bids/sub-01/ses-2").is_dir()


def test_a_folder_of_any_name_needs_both_labels(run, clean, tmp_path):
    (clean / "sub-01_ses-1").rename(tmp_path / "scans")

    code, _, error = run("convert", tmp_path / "scans", tmp_path / "bids")
    assert code == 2
    assert "--subject and --session" in error

    code, _, error = run(
        "convert", tmp_path / "scans", tmp_path / "bids", "--subject", "x"
    )
    assert code == 2
    assert "only one was given" in error

    labels = ("--subject", "x", "--session", "y")
    code, _, _ = run("convert", tmp_path / "scans", tmp_path / "bids", *labels)
    assert code == 0
    assert (tmp_path / "bids/sub-x/ses-y/func").is_dir()


def test_a_series_that_is_kept_back_ends_with_3_and_says_why(run, clean, tmp_path):
    for path in sorted((clean / "sub-01_ses-1").glob("*.dcm"))[-4:]:
        path.unlink()

    code, out, _ = run("convert", clean, tmp_path / "bids", "--json")

    assert code == 3
    told = json.loads(out)
    assert "1 incomplete in sub-01_ses-1" in told["kept back"]
    (row,) = told["sessions"]["sub-01_ses-1"]["series"]
    assert sum(len(fate["instances"]) for fate in row["fates"]) == row["instances"]


def test_a_damaged_file_ends_with_3_and_is_named_by_its_kind(run, clean, tmp_path):
    (last, *_) = sorted((clean / "sub-01_ses-1").glob("*.dcm"), reverse=True)
    (clean / "sub-01_ses-1/again.dcm").write_bytes(last.read_bytes()[:-100])

    code, _, error = run("convert", clean / "sub-01_ses-1", tmp_path / "bids")

    assert code == 3
    assert "1 (truncated) in sub-01_ses-1" in error


def test_the_name_of_the_folder_changes_no_byte(run, clean, tmp_path):
    trees = []
    for name in ("one", "another"):
        run("convert", clean / "sub-01_ses-1", tmp_path / name)
        trees.append(
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in sorted((tmp_path / name).rglob("*"))
                if path.is_file()
            }
        )

    assert trees[0] == trees[1]


def test_a_session_that_is_there_already_is_refused(run, clean, tmp_path):
    run("convert", clean / "sub-01_ses-1", tmp_path / "bids")

    code, _, error = run("convert", clean, tmp_path / "bids")

    assert code == 2
    assert "exists already" in error
    assert not (tmp_path / "bids/sub-01/ses-2").exists()


def test_without_json_what_is_kept_back_is_an_error_with_a_way_on(run, clean, tmp_path):
    next(iter(sorted((clean / "sub-01_ses-1").glob("*.dcm")))).unlink()

    code, out, error = run("convert", clean / "sub-01_ses-1", tmp_path / "bids")

    assert code == 3
    assert "incomplete" in out
    assert "What to do" in error


def test_the_validator_is_asked_when_it_is_wanted(run, clean, tmp_path):
    study = tmp_path / "study.yaml"
    rule = "{match: {SeriesDescription: '*'}, metadata: {RepetitionTime: -1.0}}"
    study.write_text(f"name: demo\nbids:\n  rules:\n    - {rule}\n")
    arguments = ("convert", clean / "sub-01_ses-1", "--study", study)

    unasked, _, _ = run(*arguments, tmp_path / "unasked")
    asked, _, error = run(*arguments, tmp_path / "asked", "--validate")

    assert (unasked, asked) == (0, 1)
    assert "BIDS errors" in error
    assert (tmp_path / "asked/sub-01/ses-1").is_dir()


def test_without_a_study_file_nothing_that_checks_one_is_loaded(clean, tmp_path):
    script = (
        "import sys\n"
        "from imaging_platform.cli.main import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "print({'pydantic', 'importlib.metadata'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, "convert", clean, tmp_path / "bids", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.endswith("\nset()\n")
