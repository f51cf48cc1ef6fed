"""Accepting a result and freezing a study, as a person does it."""

from __future__ import annotations

import json

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner

from imaging_platform.assets import result_shown
from imaging_platform.assets.scope import Scope
from imaging_platform.cli.main import cli
from imaging_platform.cli.studies import create_study
from imaging_platform.deid.guard_store import save_identifiers
from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.files.audit import read_audit
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, Held, IdentityLeak, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import DERIVATIVE_VERSIONS
from imaging_platform.planning.cells import Cell, State
from imaging_platform.planning.decisions import read_decisions
from imaging_platform.processing.plans import open_site, read_plan
from imaging_platform.provenance.record import EXISTING_DATASET, Record
from imaging_platform.reporting.plan_page import render_plan
from imaging_platform.resources.database import find_database
from imaging_platform.settings import enter_home, load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_made
from imaging_platform.survey.study import survey_study

KEY = SessionKey("01", "1")
OUTPUT = "derivatives/demo/motion/sub-01/ses-1"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """A home whose study has one measured session, made by older code."""
    home = Home(tmp_path / "home")
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    create_study(home, "demo")
    none: frozenset[str] = frozenset()
    words = Identifiers(frozenset({"kestrel"}), none, none, none)
    save_identifiers(home.guard_file("demo", KEY), words)
    enter_home(home)
    _report("bids_session", "b2", inputs={EXISTING_DATASET: "e"})
    _report("motion", "m1", inputs={"bids_session": "b1"})
    return home


def _report(asset: str, version: str, *, inputs: dict[str, str]) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=dg.AssetKey(["demo", asset]),
                partition=str(KEY),
                metadata={"inputs": dg.MetadataValue.json(inputs)},
                tags={"dagster/data_version": version, "dagster/code_version": "0"},
            )
        )


def run(*words: str) -> str:
    done = CliRunner().invoke(cli, list(words), standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.stdout


def accept(*words: str, reason: str = "only the header moved") -> str:
    return run("accept", *words, "--author", "ada", "--reason", reason)


def _said(home: Home, inputs: dict[str, str]) -> str | None:
    scope = Scope(load_study(home, "demo"))
    with dg.DagsterInstance.get() as instance:
        made = read_made(find_database(instance), scope.name, "motion")[str(KEY)]
    decisions = read_decisions(home.root, "demo")
    code = DERIVATIVE_VERSIONS["motion"]
    return decisions.accepts("motion", str(KEY), made, code, inputs)


def test_an_acceptance_is_bound_to_the_inputs_of_now(home):
    accept("motion", str(KEY))

    assert _said(home, {"bids_session": "b2"}) == (
        "accepted by ada: only the header moved"
    )
    assert _said(home, {"bids_session": "b3"}) is None


def test_an_acceptance_is_shown_in_the_plan_its_page_and_its_metadata(home):
    accept("motion", str(KEY))
    why = "accepted by ada: only the header moved"

    (told,) = json.loads(run("plan", "--json"))
    table = " ".join(run("plan").split())
    plan = read_plan(home, "demo")

    assert told["accepted"] == [["motion", str(KEY), why]]
    assert "Accepted" in table
    assert "accepted by ada" in table
    assert why in render_plan(plan)
    assert why in str(result_shown.plan(plan)["accepted"])
    accept("motion", str(KEY), "--withdraw")
    assert "Accepted" not in run("plan")


def test_a_result_of_the_whole_study_is_accepted_as_it_is(home):
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=dg.AssetKey(["demo", "bids_dataset"]),
                tags={"dagster/data_version": "d", "dagster/code_version": "0"},
            )
        )
    assert read_plan(home, "demo").find("bids_dataset", "").state is State.STALE

    accept("bids_dataset", "all")

    cell = read_plan(home, "demo").find("bids_dataset", "")
    assert cell.note == "accepted by ada: only the header moved"
    assert {reason.kind for reason in cell.reasons} == {"upstream"}
    (entry,) = read_audit(home.zone("identified", "demo"))
    assert entry.subject == "bids_dataset of the whole study"
    accept("bids_dataset", "all", "--withdraw")
    assert read_plan(home, "demo").find("bids_dataset", "").state is State.STALE
    with pytest.raises(BadConfig, match="motion of the whole study"):
        accept("motion", "all")


def test_a_fresh_result_that_is_named_has_its_cost_in_a_dry_run(home):
    accept("motion", str(KEY))

    named = ("reprocess", "--select", f"motion:{KEY}", "--dry-run")

    assert "To make: 1 result(s)" in run(*named)
    run("freeze", "demo", "--reason", "paper")
    assert "Nothing to make." in run(*named)


def test_what_was_decided_stands_in_the_audit_trail(home):
    accept("motion", str(KEY))
    accept("motion", str(KEY), "--withdraw")
    run("freeze", "demo", "--author", "bob", "--reason", "paper")

    entries = read_audit(home.zone("identified", "demo"))

    assert [(e.action, e.subject, e.author) for e in entries] == [
        ("accept", f"motion of {KEY}", "ada"),
        ("withdraw", f"motion of {KEY}", "ada"),
        ("freeze", "study demo", "bob"),
    ]
    assert _said(home, {"bids_session": "b2"}) is None


@pytest.mark.parametrize(
    ("asset", "error"), [("tsnr", BadConfig), ("brain_mask", MissingInput)]
)
def test_only_a_result_that_is_there_can_be_accepted(home, asset, error):
    with pytest.raises(error) as caught:
        accept(asset, str(KEY))

    assert "motion" in caught.value.fix or "process" in caught.value.fix
    assert read_decisions(home.root, "demo").steps == ()


def test_a_reason_that_names_a_subject_decides_nothing(home):
    with pytest.raises(IdentityLeak) as caught:
        accept("motion", str(KEY), reason="Kestrel moved her head")

    assert "names" in caught.value.fix
    assert read_decisions(home.root, "demo").steps == ()
    assert read_audit(home.zone("identified", "demo")) == ()


def test_with_several_studies_one_must_be_named(home):
    create_study(home, "other")

    with pytest.raises(BadConfig) as caught:
        accept("motion", str(KEY))

    assert "--study" in caught.value.fix


def test_a_frozen_study_takes_nothing_in_and_runs_nothing(home, tmp_path):
    run("freeze", "demo", "--reason", "paper")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "run-1_events.tsv").write_text("onset\tduration\n1\t2\n")
    folder = str(tmp_path / "files")
    refused = [
        ("ingest", folder, "--study", "demo"),
        ("import-bids", "demo", folder),
        ("attach", "demo", str(KEY), folder),
        ("process", "--study", "demo"),
        ("reprocess", "--study", "demo", "--stale"),
        ("reprocess", "--study", "demo", "--select", f"motion:{KEY}"),
    ]

    for words in refused:
        with pytest.raises(Held, match=r"is frozen by .*: paper"):
            run(*words)

    assert list(home.zone("inbox", "demo").iterdir()) == []
    assert not (home.root / layout.attachments("demo", KEY)).exists()


def test_of_several_studies_only_the_frozen_one_is_left_out(home):
    run("freeze", "demo", "--reason", "paper")

    done = CliRunner().invoke(cli, ["process", "--json"], standalone_mode=False)

    assert "Study demo is frozen by" in done.stderr
    assert '"runs": 0' in done.stdout


def test_a_run_that_was_under_way_publishes_nothing_into_a_frozen_study(home):
    store = LocalStore(home.root)
    with store.stage(OUTPUT) as tree:
        run("freeze", "demo", "--reason", "paper")
        with pytest.raises(Held):
            store.publish(tree, OUTPUT, Record("motion", str(KEY), "1"))

    assert store.read(OUTPUT) is None


def test_thawing_lets_it_go_on_and_only_what_is_frozen_thaws(home):
    run("freeze", "demo", "--reason", "paper")
    run("thaw", "demo", "--reason", "review")

    with pytest.raises(BadConfig):
        run("thaw", "demo", "--reason", "again")
    with LocalStore(home.root).stage(OUTPUT) as tree:
        assert tree.is_dir()


def rate(*words: str, reason: str = "ghosts in every slice") -> str:
    return run("rate", str(KEY), *words, "--author", "ada", "--reason", reason)


def _plan(home: Home, gates: list[str]) -> dict[str, Cell]:
    home.study_file("demo").write_text(
        yaml.safe_dump({"name": "demo", "ratings": {"gates": gates}})
    )
    with open_site(home, "demo") as site:
        cells = survey_study(site).plan.cells
    return {cell.asset: cell for cell in cells if cell.partition}


def test_a_failed_session_is_not_made_into_what_the_study_gates(home):
    assert _plan(home, ["motion"])["motion"].state is State.STALE

    told = rate("fail")

    assert "is fail, until the session changes" in told
    gated = _plan(home, ["motion"])["motion"]
    assert (gated.state, gated.note) == (
        State.HELD,
        "rated fail by ada: ghosts in every slice",
    )
    assert not gated.is_ready


@pytest.mark.parametrize("after", ["pass", "withdraw", "a new session"])
def test_a_gate_opens_by_another_verdict_and_when_the_verdict_expires(home, after):
    rate("fail")
    if after == "a new session":
        _report("bids_session", "b3", inputs={EXISTING_DATASET: "e"})
    else:
        rate(after)

    assert _plan(home, ["motion"])["motion"].is_ready


def test_a_gate_that_names_no_asset_of_sessions_is_refused(home):
    with pytest.raises(BadConfig, match="motoin"):
        _plan(home, ["motoin"])


def test_a_verdict_stands_in_the_audit_trail(home):
    rate("fail")
    rate("withdraw")

    entries = read_audit(home.zone("identified", "demo"))

    assert [entry.action for entry in entries] == ["rate", "unrate"]
