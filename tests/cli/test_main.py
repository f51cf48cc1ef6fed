"""The command line as a user meets it: exit codes, JSON, one clear error."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import pytest

from imaging_platform.cli.main import FAILED, HELD, WRONG_USE, cli, main
from imaging_platform.model.errors import BadInput, Held, MissingKey
from imaging_platform.model.layout import Home


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("IMAGING_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def run(home, monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imaging-platform", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def test_a_new_study_has_a_file_and_a_key(run, home):
    code, out, _ = run("study", "new", "memory")

    assert code == 0
    assert home.study_file("memory").exists()
    assert home.secret_file("memory").exists()
    assert "reload" in out


def test_a_study_is_never_made_twice(run, home):
    run("study", "new", "memory")
    key = home.secret_file("memory").read_text()

    code, _, err = run("study", "new", "memory")

    assert code == WRONG_USE
    assert "exists already" in err
    assert home.secret_file("memory").read_text() == key


def test_a_new_study_proves_itself(run):
    run("study", "new", "memory")

    code, out, _ = run("study", "check", "memory", "--json")

    assert code == 0
    assert json.loads(out)["key"] == "readable by its owner only"


def test_an_unknown_key_in_the_study_file_is_told_with_the_nearest_known_one(run, home):
    run("study", "new", "memory")
    home.study_file("memory").write_text("name: memory\nintake: {quite_s: 1}\n")

    code, _, err = run("study", "check", "memory")

    assert code == WRONG_USE
    assert "intake.quite_s" in err
    assert "quiet_s" in err


def test_studies_are_listed(run):
    run("study", "new", "memory")

    _, out, _ = run("study", "list", "--json")

    assert json.loads(out) == [{"name": "memory", "title": ""}]


def test_an_ingested_folder_stands_whole_in_the_inbox_and_the_source_stays(
    run, home, tmp_path
):
    run("study", "new", "memory")
    source = tmp_path / "KESTREL^ANNIKA"
    source.mkdir()
    (source / "IM_0001").write_bytes(b"x")

    code, out, err = run("ingest", str(source), "--study", "memory")

    assert code == 0
    assert (home.zone("inbox", "memory") / source.name / "IM_0001").exists()
    assert (source / "IM_0001").exists()
    assert "KESTREL" not in out + err


def test_what_is_not_there_cannot_be_ingested(run, tmp_path):
    run("study", "new", "memory")

    code, _, err = run("ingest", str(tmp_path / "absent"), "--study", "memory")

    assert code == FAILED
    assert "Check the path" in err


def test_every_zone_has_its_place(run):
    run("study", "new", "memory")

    _, out, _ = run("where", "memory", "--json")

    assert set(json.loads(out)) == {
        "study file",
        "inbox",
        "identified",
        "dicom",
        "bids",
        "derivatives",
        "reports",
        "catalog",
        "releases",
    }


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["process", "--nothing"], ["where"], ["ingest", "x"]]
)
def test_wrong_use_leaves_with_2(run, arguments):
    code, _, err = run(*arguments)

    assert code == WRONG_USE
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BadInput("It is damaged.", fix="Send it again."), FAILED),
        (MissingKey("No key.", fix="Restore it."), WRONG_USE),
        (Held("Two patients.", fix="Split it."), HELD),
    ],
)
def test_an_error_is_told_with_its_fix_and_exit_code(run, monkeypatch, error, expected):
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.commands["where"], "callback", fail)

    code, _, err = run("where", "memory")

    assert code == expected
    assert str(error) in err
    assert error.fix in err


def test_an_unexpected_error_shows_neither_traceback_nor_message(run, monkeypatch):
    def fail(**_: object) -> None:
        raise RuntimeError("KESTREL^ANNIKA")

    monkeypatch.setattr(cli.commands["where"], "callback", fail)

    code, out, err = run("where", "memory")

    assert code == FAILED
    assert "RuntimeError at fail" in err
    assert "KESTREL" not in out + err
    assert "Traceback" not in err


def test_a_database_whose_disk_is_full_is_told_as_such(run, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def fail(**_: object) -> None:
        try:
            raise sqlite3.OperationalError("database or disk is full")
        except sqlite3.OperationalError as error:
            raise OperationalError("insert KESTREL", {}, error) from error

    monkeypatch.setattr(cli.commands["where"], "callback", fail)

    code, _, err = run("where", "memory")

    assert code == FAILED
    assert "cannot be used: database or disk is full" in err
    assert "disk of the home" in err
    assert "KESTREL" not in err


def test_a_database_that_does_not_answer_is_told_with_what_to_do(run, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def fail(**_: object) -> None:
        try:
            raise OperationalError("select 1", {}, Exception("refused"))
        except OperationalError as error:
            raise RuntimeError("too many retries") from error

    monkeypatch.setattr(cli.commands["where"], "callback", fail)

    code, _, err = run("where", "memory")

    assert code == FAILED
    assert "does not answer" in err
    assert "Start it again" in err
    assert "select" not in err


def test_an_error_is_json_where_json_was_asked_for(run):
    code, out, _ = run("where", "absent", "--json")

    assert code == WRONG_USE
    assert set(json.loads(out)) == {"error", "fix"}


def test_a_command_has_the_name_under_which_it_is_found():
    for name, command in cli.commands.items():
        assert command.name == name


def test_a_command_imports_nothing_of_the_others():
    script = (
        "import sys\n"
        "from imaging_platform.cli.main import cli\n"
        "cli(['why', '--help'], standalone_mode=False)\n"
        "print([m for m in sys.modules if m.startswith('imaging_platform.cli.')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "imaging_platform.cli.planning" in done.stdout
    assert "imaging_platform.cli.anonymize" not in done.stdout


def test_every_command_that_reports_speaks_json():
    silent = {"ingest", "up", "study", "key", "mapping", "whois", "policy", "bids"}
    silent |= {"accept", "rate", "freeze", "thaw", "provenance", "receive", "apps"}

    without = {
        name
        for name, command in cli.commands.items()
        if "as_json" not in {parameter.name for parameter in command.params}
    }

    assert without == silent


def test_the_command_line_starts_without_dagster_and_arrays():
    script = (
        "import sys\n"
        "from imaging_platform.cli.main import cli\n"
        "dict(cli.commands)\n"
        "heavy = {'dagster', 'numpy', 'pandas', 'pyarrow', 'pydicom', 'boto3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
