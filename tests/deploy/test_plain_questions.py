"""`why` and `plan` ask Postgres without Dagster, as dagster.yaml says where it is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
import yaml

from imaging_platform.cli.studies import create_study
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home
from imaging_platform.processing.database import is_database_loss
from imaging_platform.processing.plans import find_site
from imaging_platform.resources.database import find_database
from imaging_platform.settings import load_study
from imaging_platform.survey.database import Database, open_known
from imaging_platform.survey.study import add_costs, survey_study
from tests.deploy.conftest import free_port
from tests.survey.four_sessions import WHY, call, fill

pytestmark = pytest.mark.slow


@pytest.fixture
def home(production, tmp_path, monkeypatch) -> Home:
    """A home whose events are in an empty database of a Postgres."""
    found = Home(tmp_path / "home")
    create_study(found, "demo")
    found.dagster.mkdir(exist_ok=True)
    shutil.copy(production / "dagster.yaml", found.dagster)
    monkeypatch.setenv("DAGSTER_POSTGRES_DB", _make_database(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(found.dagster))
    monkeypatch.setenv("IMAGING_HOME", str(found.root))
    return found


def _make_database(folder: Path) -> str:
    """Make a database that no other test has; it is named for the test."""
    name = folder.name
    address = {
        "host": os.environ["DAGSTER_POSTGRES_HOST"],
        "port": os.environ["DAGSTER_POSTGRES_PORT"],
        "user": "dagster",
        "password": "dagster",
    }
    raw = psycopg2.connect(dbname="postgres", **address)
    raw.autocommit = True
    raw.cursor().execute(f"CREATE DATABASE {name}")
    raw.close()
    return name


def test_postgres_is_asked_without_dagster_and_gives_the_same_plan(home):
    with open_known(home) as empty:
        assert empty is None
    with dg.DagsterInstance.get() as instance:
        fill(instance, home)
        lent = _plan(home, find_database(instance))

    with open_known(home) as database:
        assert database is not None
        own = _plan(home, database)
    plan = call(home, "plan", "--json")
    told = {result: call(home, "why", *result, "--json") for result in WHY}

    assert own == lent
    assert plan.heavy == set()
    assert json.loads(plan.out)[0]["states"] == lent.count_states()
    assert set().union(*(each.heavy for each in told.values())) == set()
    cells = {result: json.loads(each.out) for result, each in told.items()}
    assert {r: (c["state"], c["failure"]) for r, c in cells.items()} == WHY


def _plan(home: Home, database: Database):
    site = find_site(home, load_study(home, "demo"), database)
    return add_costs(site, survey_study(site).plan)


def test_an_address_says_the_same_as_its_parts(home, monkeypatch):
    with dg.DagsterInstance.get() as instance:
        fill(instance, home)
    url = "postgresql://dagster:dagster@{}:{}/{}".format(
        *(os.environ[f"DAGSTER_POSTGRES_{part}"] for part in ("HOST", "PORT", "DB"))
    )
    monkeypatch.setenv("WHERE_IT_IS", url)
    address = {"storage": {"postgres": {"postgres_url": {"env": "WHERE_IT_IS"}}}}
    write_text(home.dagster / "dagster.yaml", yaml.safe_dump(address))

    told = call(home, "why", "motion", "sub-02_ses-1", "--json")

    assert told.heavy == set()
    assert json.loads(told.out)["state"] == "stale"


def test_what_else_postgres_is_told_is_told(home):
    with dg.DagsterInstance.get() as instance:
        fill(instance, home)
    file = home.dagster / "dagster.yaml"
    settings = yaml.safe_load(file.read_text())
    parts = settings["storage"]["postgres"]["postgres_db"]
    parts["params"] = {"application_name": "somebody", "connect_timeout": 5}
    write_text(file, yaml.safe_dump(settings))

    with open_known(home) as database:
        assert database is not None
        with database.events() as connection:
            ((name,),) = connection.ask("SHOW application_name")

    assert name == "somebody"


def test_a_postgres_that_does_not_answer_is_a_lost_database(home, monkeypatch):
    monkeypatch.setenv("DAGSTER_POSTGRES_PORT", str(free_port()))

    with pytest.raises(psycopg2.OperationalError) as lost, open_known(home):
        raise AssertionError("it was reached")

    assert is_database_loss(lost.value)
