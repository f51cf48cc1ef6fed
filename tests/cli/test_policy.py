"""The commands about a policy as a person types them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from imaging_platform.cli.main import WRONG_USE, main
from imaging_platform.model.layout import Home
from tests.deid.originals import make_original, save


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


def _study(folder: Path, name: str, deid: str) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(f"name: {name}\ndeid:\n  {deid}\n")
    return str(file)


def test_an_element_is_explained_with_its_rule_in_brackets(run):
    code, out, _ = run("policy", "explain", "SeriesDescription")

    assert code == 0
    assert "keep by rule" in out
    assert "[descriptor]" in out


def test_an_element_is_explained_as_a_study_file_has_it(run, tmp_path):
    file = _study(tmp_path, "one", "descriptors: remove")

    _, out, _ = run("policy", "explain", "0008103e", "--study", file, "--json")

    (told,) = json.loads(out)
    assert (told["tag"], told["action"]) == ("(0008,103e)", "remove")


def test_without_an_element_the_whole_table_is_explained(run):
    _, out, _ = run("policy", "explain", "--json")

    assert len(json.loads(out)) > 2000


def test_a_private_element_without_creator_is_wrong_use(run):
    code, _, err = run("policy", "explain", "(0019,100c)")

    assert code == WRONG_USE
    assert "--creator" in err


def test_a_clean_policy_passes(run):
    run("study", "new", "memory")

    code, out, _ = run("policy", "lint", "memory")

    assert code == 0
    assert "0 error(s), 0 risk(s)" in out


def test_a_risk_is_shown_and_passes(run, tmp_path):
    code, out, _ = run("policy", "lint", _study(tmp_path, "one", "dates: full"))

    assert code == 0
    assert "risk: deid.dates" in out


def test_a_contradiction_fails(run, tmp_path):
    file = _study(tmp_path, "one", "uids: retain")

    code, out, _ = run("policy", "lint", file, "--json")

    assert code == WRONG_USE
    assert "error" in {one["level"] for one in json.loads(out)}


def test_two_policies_are_compared(run, tmp_path):
    one = _study(tmp_path, "one", "private: safe")
    two = _study(tmp_path, "two", "descriptors: remove")

    code, out, _ = run("policy", "diff", one, two)

    assert code == 0
    assert "SeriesDescription" in out
    assert "113105" in out


def test_equal_policies_are_said_to_be_equal(run, tmp_path):
    one = _study(tmp_path, "one", "private: safe")

    _, out, _ = run("policy", "diff", one, one)

    assert "alike" in out


def test_a_file_that_is_no_yaml_is_wrong_use(run, tmp_path):
    (tmp_path / "x.yaml").write_text("a: [")

    code, _, err = run("policy", "lint", str(tmp_path / "x.yaml"))

    assert code == WRONG_USE
    assert "YAML" in err


def test_a_dry_run_never_prints_into_a_pipe(run, tmp_path):
    run("study", "new", "memory")
    file = save(make_original(), tmp_path / "a")

    code, out, err = run("policy", "dry-run", str(file), "--study", "memory")

    assert code == WRONG_USE
    assert "terminal" in err
    assert "Quirina" not in out + err


def test_a_dry_run_without_the_key_is_refused(run, home, tmp_path, monkeypatch):
    run("study", "new", "memory")
    home.secret_file("memory").unlink()
    file = save(make_original(), tmp_path / "a")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    code, out, err = run("policy", "dry-run", str(file), "--study", "memory")

    assert code == WRONG_USE
    assert "key" in err
    assert "Quirina" not in out + err


def test_a_dry_run_at_a_terminal_shows_before_and_after(run, home, tmp_path):
    run("study", "new", "memory")
    file = save(make_original(), tmp_path / "a")
    before = sorted(home.zone("identified", "memory").iterdir())

    shown = _at_a_terminal("policy", "dry-run", str(file), "--study", "memory")

    assert "'Zuckerschwerdt^Quirina'" in shown
    assert "-> 'sub-" in shown
    assert "Nothing was kept." in shown
    assert sorted(home.zone("identified", "memory").iterdir()) == before


def _at_a_terminal(*words: str) -> str:
    outer, inner = pty.openpty()
    with os.fdopen(outer, "rb", buffering=0) as terminal:
        started = subprocess.Popen(
            [sys.executable, "-m", "imaging_platform.cli.main", *words], stdout=inner
        )
        os.close(inner)
        shown = b""
        # Linux ends a terminal whose other side is closed with an error.
        try:
            while part := terminal.read(4096):
                shown += part
        except OSError:
            assert started.wait(60) == 0
    return shown.decode()
