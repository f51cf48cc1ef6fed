"""`plan`, `why` and `reprocess --dry-run` as a user meets them."""

from __future__ import annotations

import json

import dagster as dg
import pytest
from click.testing import CliRunner

from imaging_platform.cli.main import cli
from imaging_platform.cli.planning import say_estimate, say_waiting
from imaging_platform.cli.reprocessing import parse_choice
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.model.errors import BadConfig, BadInput
from imaging_platform.model.layout import PIPELINES, Home
from imaging_platform.planning.cost import Estimate
from tests.cli.stale_study import KEY, enter_stale_study


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The study; no test here changes it."""
    with pytest.MonkeyPatch.context() as patched:
        yield enter_stale_study(tmp_path_factory.mktemp("planning"), patched)


def run(home: Home, *arguments: str):
    """Run a command on the home and return what it printed."""
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    if done.exception:
        raise done.exception
    return done


def test_the_plan_counts_states_and_names_reasons(home):
    (plan,) = json.loads(run(home, "plan", "--study", "demo", "--json").stdout)

    assert plan["states"]["stale"] == 1
    assert plan["states"]["missing"] == 5 + (len(PIPELINES) - 1) + 3
    (mask,) = [cell for cell in plan["cells"] if cell["asset"] == "brain_mask"]
    kinds = [reason["kind"] for reason in mask["reasons"]]
    assert (mask["state"], kinds) == ("stale", ["code"])
    assert mask["reasons"][0]["before"] == "0"


def test_plans_for_programs_are_json_for_any_number_of_studies(tmp_path, monkeypatch):
    home = Home(tmp_path)
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))

    none = json.loads(run(home, "plan", "--json").stdout)
    create_study(home, "first")
    create_study(home, "second")
    two = json.loads(run(home, "plan", "--json").stdout)

    assert none == []
    assert [(plan["study"], plan["cells"]) for plan in two] == [
        ("first", []),
        ("second", []),
    ]


def test_the_plan_of_one_asset_leaves_the_others_out(home):
    out = run(home, "plan", "--asset", "brain_mask").stdout

    assert "brain_mask" in out
    assert "motion" not in out
    assert "never measured: brain_mask" in out


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--asset", "brain"),
        ("reprocess", "--dry-run", "--select", f"brain:{KEY}"),
        ("reprocess", "--dry-run", "--select", "brain_mask:sub-02_ses-1"),
        ("reprocess", "--dry-run", "--select", "brain_mask:all"),
    ],
)
def test_a_name_that_is_not_there_is_no_result_that_is_up_to_date(home, words):
    with pytest.raises(BadInput, match=r"no (asset )?brain"):
        run(home, *words)


def test_why_says_the_state_and_the_reason_in_words(home):
    out = run(home, "why", "brain_mask", KEY).stdout

    assert out == f"brain_mask of {KEY} is stale.\n  code changed: 0 to 1\n"


def test_why_is_told_of_the_whole_study_too(home):
    cell = json.loads(run(home, "why", "catalog", "all", "--json").stdout)

    assert (cell["state"], cell["partition"]) == ("missing", "")


def test_an_asset_that_is_not_there_is_refused_with_where_to_look(home):
    with pytest.raises(BadInput) as caught:
        run(home, "why", "brain", KEY)

    assert "`plan` names the assets" in caught.value.fix


def test_a_dry_run_names_what_would_run_first_and_runs_nothing(home):
    arguments = ("reprocess", "--missing", "--stale", "--dry-run", "--json")
    said = json.loads(run(home, *arguments).stdout)

    assert ["raw_session", KEY] in said["first"]
    assert ["catalog", ""] not in said["first"]
    with dg.DagsterInstance.get() as instance:
        assert instance.get_runs_count() == 0
        assert list(instance.get_backfills()) == []


def test_what_may_follow_is_told_with_its_cost(capsys):
    say_waiting(Estimate(2, 1.5, 2_000_000, (), 7))
    say_waiting(Estimate(0, 0, 0, (), 0))

    assert capsys.readouterr().out == (
        "Behind these at most 2 more, as far as what they are made from does not come "
        "out the same; about 1.5 CPU hours and 2.0 MB, from at least 7 measurement(s) "
        "an asset.\n"
    )


def test_nothing_chosen_is_refused(home):
    with pytest.raises(BadConfig) as caught:
        run(home, "reprocess")

    assert "--stale" in caught.value.fix


def test_a_result_without_session_is_refused():
    with pytest.raises(BadConfig) as caught:
        parse_choice(stale=False, missing=False, failed=(), select=("motion",))

    assert "brain_mask:sub-01_ses-1" in caught.value.fix


def test_of_several_studies_one_must_be_named(tmp_path, monkeypatch):
    home = Home(tmp_path)
    for name in ("first", "second"):
        create_study(home, name)
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))

    with pytest.raises(BadConfig) as caught:
        run(home, "why", "motion", KEY)

    assert "first, second" in caught.value.fix


def test_an_estimate_says_on_how_much_it_rests():
    words = say_estimate(Estimate(3, 1.5, 2_000_000, ("motion",), 7))

    assert words == (
        "To make: 3 result(s); about 1.5 CPU hours and 2.0 MB, from at least 7 "
        "measurement(s) an asset; never measured: motion."
    )
    assert say_estimate(Estimate(0, 0, 0, (), 0)) == "Nothing to make."


def test_the_plan_asset_publishes_a_table_and_a_page(home):
    import pyarrow.parquet as pq

    with dg.DagsterInstance.get() as instance:
        result = (
            define_home(home)
            .resolve_job_def("demo_summarize_cohort")
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(["demo", "processing_plan"])],
            )
        )

    folder = home.root / "catalog" / "demo" / "plan"
    rows = pq.read_table(folder / "plan.parquet").to_pylist()
    assert {r["state"] for r in rows if r["asset"] == "brain_mask"} == {"stale"}
    assert "code changed: 0 to 1" in (folder / "plan.html").read_text()
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
