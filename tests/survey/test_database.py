"""Dagster's database is asked without Dagster, and gives the same answers."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3

import dagster as dg
import pytest
import yaml

from imaging_platform.cli.studies import create_study
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import Home
from imaging_platform.processing.database import is_database_loss
from imaging_platform.processing.plans import find_site, read_plan
from imaging_platform.resources.database import find_database
from imaging_platform.settings import enter_home, load_study
from imaging_platform.survey.database import Connection, open_known
from imaging_platform.survey.study import add_costs, survey_study
from tests.survey.four_sessions import FAILED, WHY, call, fill


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    """A home on the embedded database; no test here changes it."""
    found = Home(tmp_path_factory.mktemp("asked") / "home")
    create_study(found, "demo")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("IMAGING_HOME", str(found.root))
        patched.setenv("DAGSTER_HOME", str(found.dagster))
        enter_home(found)
        with dg.DagsterInstance.get() as instance:
            fill(instance, found)
    return found


@pytest.mark.parametrize("result", WHY, ids="-".join)
def test_why_imports_no_dagster(home, result):
    told = call(home, "why", *result, "--json")

    assert told.heavy == set()
    cell = json.loads(told.out)
    assert (cell["state"], cell["failure"]) == WHY[result]


def test_a_plan_imports_no_dagster(home):
    told = call(home, "plan", "--json")

    assert told.heavy == set()
    (plan,) = json.loads(told.out)
    assert {state for state, n in plan["states"].items() if n} >= {
        "fresh",
        "stale",
        "failed",
        "held",
    }
    assert plan["costs"]["motion"]["cpu_s"] == 2.0


def test_dagsters_own_connections_give_the_same_plan(home):
    study = load_study(home, "demo")
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        site = find_site(home, study, find_database(instance))
        lent = add_costs(site, survey_study(site).plan)
    with open_known(home) as database:
        assert database is not None
        site = find_site(home, study, database)
        own = add_costs(site, survey_study(site).plan)

    assert own == lent


def test_what_dagster_has_not_made_yet_it_makes_first(tmp_path, monkeypatch):
    home = _enter_empty(tmp_path, monkeypatch)

    with open_known(home) as database:
        assert database is None
    assert read_plan(home, "demo").cells == ()
    with open_known(home) as database:
        assert database is not None


def _enter_empty(folder, monkeypatch) -> Home:
    home = Home(folder / "home")
    create_study(home, "demo")
    for name in ("IMAGING_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    enter_home(home)
    return home


ELSEWHERE = {
    "another folder": {"storage": {"sqlite": {"base_dir": "elsewhere"}}},
    "a class of its own": {
        "run_storage": {
            "module": "dagster._core.storage.runs",
            "class": "SqliteRunStorage",
            "config": {"base_dir": "elsewhere"},
        }
    },
    "a variable that is not set": {
        "storage": {"postgres": {"postgres_db": {"hostname": {"env": "NO_SUCH"}}}}
    },
    "a way of signing in": {
        "storage": {"postgres": {"postgres_db": {}, "auth_provider": {}}}
    },
    "nothing that can be used": {"storage": {"postgres": None}},
    "a driver": {"storage": {"postgres": {"postgres_url": "postgresql+other://host"}}},
}


@pytest.mark.parametrize("settings", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_storage_that_only_dagster_knows_is_left_to_it(
    tmp_path, monkeypatch, settings
):
    home = _enter_empty(tmp_path, monkeypatch)
    read_plan(home, "demo")
    write_text(home.dagster / "dagster.yaml", yaml.safe_dump(settings))

    with open_known(home) as database:
        assert database is None


def test_another_folder_of_dagsters_is_asked_through_dagster(tmp_path, monkeypatch):
    home = _enter_empty(tmp_path, monkeypatch)
    folder = {"storage": {"sqlite": {"base_dir": str(tmp_path / "elsewhere")}}}
    write_text(home.dagster / "dagster.yaml", yaml.safe_dump(folder))
    with dg.DagsterInstance.get() as instance:
        fill(instance, home)

    assert read_plan(home, "demo").find("motion", FAILED).failure == "ZeroDivisionError"


def test_nothing_is_written_into_the_database_of_dagster(home):
    with open_known(home) as database:
        assert database is not None
        with database.events() as connection, pytest.raises(sqlite3.OperationalError):
            connection.ask("DELETE FROM event_logs")


def test_a_home_in_which_nothing_can_be_written_is_read(home, tmp_path):
    copy = Home(tmp_path / "snapshot")
    shutil.copytree(home.root, copy.root)
    for file in (
        copy.event_index,
        copy.run_index,
        *copy.run_index.parent.rglob("*.db"),
    ):
        file.with_name(f"{file.name}-wal").unlink(missing_ok=True)
        # What SQLite makes beside a database that it reads cannot be made.
        beside = file.with_name(f"{file.name}-shm")
        beside.unlink(missing_ok=True)
        beside.symlink_to(tmp_path / "no" / "such")

    (plan,) = json.loads(call(copy, "plan", "--json").out)

    (told,) = json.loads(call(home, "plan", "--json").out)
    assert plan["states"] == told["states"]


def test_the_log_of_a_run_that_was_removed_tells_nothing(home):
    with open_known(home) as database:
        assert database is not None
        with database.run_log("gone") as log:
            assert log is None
    assert not home.run_log("gone").exists()


@pytest.mark.parametrize("question", ["SELECT 1 FROM gone", "SELECT gone"])
def test_tables_of_another_version_are_named_with_what_to_do(question):
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as raw,
        pytest.raises(BadConfig) as refused,
    ):
        Connection(raw).ask(question)

    assert "another version of Dagster" in str(refused.value)
    assert "dagster instance migrate" in refused.value.fix


def test_a_file_that_cannot_be_opened_is_a_lost_database(tmp_path, monkeypatch):
    home = _enter_empty(tmp_path, monkeypatch)
    read_plan(home, "demo")
    home.event_index.unlink()
    home.event_index.mkdir()

    with pytest.raises(sqlite3.OperationalError) as lost:
        read_plan(home, "demo")

    assert is_database_loss(lost.value)
    assert not is_database_loss(ValueError())
