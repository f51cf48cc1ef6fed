"""Asking where a figure comes from, and what a scan has reached, as a person does."""

from __future__ import annotations

import json
import shutil

import dagster as dg
import pytest
from click.testing import CliRunner

from imaging_platform.cli.main import cli
from imaging_platform.cli.studies import create_study
from imaging_platform.model.errors import BadConfig, MissingInput
from imaging_platform.provenance.trees import read_tree
from imaging_platform.reporting.page import external_references
from imaging_platform.settings import enter_home
from tests.provenance.study import ONE, STUDY, TSNR, TWO, make_study
from tests.survey.four_sessions import call

PAGE = f"reports/demo/sessions/{ONE}/report.html"


@pytest.fixture
def study(tmp_path, monkeypatch):
    study = make_study(tmp_path / "home")
    monkeypatch.setenv("IMAGING_HOME", str(study.home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(study.home.dagster))
    create_study(study.home, STUDY)
    enter_home(study.home)
    return study


def run(*words: object) -> str:
    done = CliRunner().invoke(cli, [str(w) for w in words], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.stdout


def ids_of(answer: dict) -> set[str]:
    return {node["id"] for node in answer["lineage"]["nodes"]}


def _tell(study, name: str) -> None:
    tree = read_tree(study.home.root, STUDY, name, ONE)
    with dg.DagsterInstance.get() as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=dg.AssetKey([STUDY, name]),
                partition=ONE,
                metadata={"inputs": dg.MetadataValue.json(dict(tree.record.inputs))},
                tags={
                    "dagster/data_version": tree.record.data_version,
                    "dagster/code_version": tree.record.code_version,
                },
            )
        )


def test_the_run_of_a_result_is_found_without_dagster(study):
    _tell(study, "motion")

    told = call(study.home, "trace", f"motion[{ONE}]")

    assert "dagster" not in told.modules
    assert f"motion[{ONE}]" in told.out


def test_a_file_that_was_changed_at_its_place_is_told_first(study):
    image = f"derivatives/demo/temporal_snr/sub-A/ses-1/{TSNR.format(ONE)}.nii.gz"
    (study.home.root / image).write_bytes(b"another")

    assert run("trace", image).startswith("The file was changed after")


def test_a_page_that_left_leads_back_to_the_series_of_its_session(study, tmp_path):
    shutil.copy(study.home.root / PAGE, tmp_path / "sent.html")

    answer = json.loads(run("trace", tmp_path / "sent.html", "--json"))

    assert (answer["found_by"], answer["note"]) == ("stamp", "")
    assert answer["lineage"]["start"] == [f"session_report[{ONE}]"]
    assert f"raw_session[{ONE}]" in ids_of(answer)


def test_a_page_of_an_earlier_state_is_shown_as_it_was_then(study, tmp_path):
    shutil.copy(study.home.root / PAGE, tmp_path / "sent.html")
    before = read_tree(study.home.root, STUDY, "session_report", ONE).record
    _tell(study, "session_report")
    study.bids(ONE, note="other")
    study.derive(ONE)

    answer = json.loads(run("trace", tmp_path / "sent.html", "--json"))

    assert "made anew since" in answer["note"]
    (start,) = (n for n in answer["lineage"]["nodes"] if "session_report" in n["id"])
    assert start["details"]["data_version"] == before.data_version
    assert start["details"]["inputs"] == dict(before.inputs)
    old = {e["source"] for e in answer["lineage"]["edges"] if not e["is_current"]}
    assert f"bids_session[{ONE}]" in old


def test_a_page_whose_state_nobody_knows_says_so(study, tmp_path):
    shutil.copy(study.home.root / PAGE, tmp_path / "sent.html")
    study.bids(ONE, note="other")
    study.derive(ONE)

    said = run("trace", tmp_path / "sent.html")

    assert "nobody knows any more" in said


def test_what_was_made_from_a_series_is_shown_in_words(study):
    said = run("impact", ONE, "--series", "1")

    assert f"brain_mask[{ONE}]" in said
    assert f"motion[{ONE}]" not in said
    assert "Software: imaging_platform" in said


def test_what_was_made_from_a_file_and_from_a_result(study):
    path = f"derivatives/demo/temporal_snr/sub-A/ses-1/{TSNR.format(ONE)}.nii.gz"

    by_path = json.loads(run("impact", path, "--json"))
    by_name = json.loads(run("impact", f"session_report[{TWO}]", "--json"))

    assert ids_of(by_path) == {f"temporal_snr[{ONE}]", "catalog", "study_report"}
    assert ids_of(by_name) == {f"session_report[{TWO}]", "catalog", "study_report"}


@pytest.mark.parametrize("command", ["trace", "impact"])
def test_the_graph_is_one_page_that_loads_nothing(study, tmp_path, command):
    run(command, f"bids_session[{ONE}]", "--html", tmp_path / "graph.html")

    page = (tmp_path / "graph.html").read_text()
    assert external_references(page) == ()
    assert "<script" not in page
    assert page.count("<rect") == page.count("<details>") > 3


def test_a_large_graph_shows_one_box_an_asset(study, tmp_path, monkeypatch):
    monkeypatch.setattr("imaging_platform.reporting.lineage_page.MOST_NODES", 5)

    run("trace", "study_report", "--html", tmp_path / "graph.html")

    page = (tmp_path / "graph.html").read_text()
    assert page.count("2 of them") >= 6


def test_a_series_needs_its_session(study):
    with pytest.raises(BadConfig) as caught:
        run("impact", PAGE, "--series", "1")

    assert "session key" in caught.value.fix


@pytest.mark.parametrize("target", ["sub-Z_ses-1", "drop-0000000000000000"])
def test_what_is_not_there_has_reached_nothing(study, target):
    with pytest.raises(MissingInput) as caught:
        run("impact", target)

    assert "status" in caught.value.fix


@pytest.mark.parametrize("kind", ["prov", "ro-crate", "bids"])
@pytest.mark.parametrize("session", [ONE, None])
def test_provenance_is_written_for_other_programs(study, tmp_path, kind, session):
    only = ["--session", session] if session else []

    said = run("provenance", STUDY, "--format", kind, tmp_path / "out.json", *only)

    text = (tmp_path / "out.json").read_text()
    assert "result(s)" in said
    assert json.loads(text)
    assert (TWO.split("_")[0] in text) == (session is None)


def test_provenance_of_nothing_says_what_to_do(study, tmp_path):
    with pytest.raises(MissingInput) as caught:
        run(
            "provenance",
            STUDY,
            "--format",
            "prov",
            tmp_path / "o",
            "--session",
            "sub-Z_ses-1",
        )

    assert "process" in caught.value.fix


def test_who_may_not_read_the_originals_is_told_that_they_are_left_out(
    study, monkeypatch
):
    monkeypatch.setattr("os.access", lambda path, _: "identified" not in str(path))

    answer = json.loads(run("trace", f"bids_session[{ONE}]", "--json"))

    assert "series and drops are left out" in answer["note"]
    assert f"raw_session[{ONE}]" not in ids_of(answer)
