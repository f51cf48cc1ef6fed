"""`canary` names exactly what a change changes, and leaves the home as it was."""

from __future__ import annotations

import shutil

import pytest
import yaml

from imaging_platform.comparison.trial import SAME
from imaging_platform.files.digests import digest_file
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import DERIVATIVE_VERSIONS
from imaging_platform.processing.canary import Sampling, try_sample
from imaging_platform.reporting.page import external_references
from imaging_platform.settings import enter_home

from .conftest import run_command

pytestmark = pytest.mark.slow


@pytest.fixture
def home(demo, tmp_path) -> Home:
    """A copy of the demo's home."""
    reference, _ = demo
    home = Home(tmp_path / "home")
    shutil.copytree(reference.root, home.root, symlinks=True)
    return home


def _snapshot(home: Home) -> dict[str, str]:
    """Return the digest of every file but of Dagster's databases and the lock."""
    files = [p for p in home.root.rglob("*") if p.is_file()]
    apart = (home.dagster, home.canary("demo").parent)
    return {
        str(path.relative_to(home.root)): digest_file(path)
        for path in files
        if not any(path.is_relative_to(folder) for folder in apart)
    }


def test_another_limit_names_exactly_the_changed_metric(home, tmp_path):
    limit = {"name": "demo", "quality": {"n_directions": {"look": 7}}}
    write_text(home.study_file("demo"), yaml.safe_dump(limit))
    write_text(home.canary("demo") / "left by a kill", "")
    write_text(home.canary_originals("demo") / "left by a kill", "")
    before = _snapshot(home)
    planned = run_command(home, "plan", "--json").json()
    page = tmp_path / "canary.html"

    ran = run_command(home, "canary", "--sessions", "2", "--json", "--html", str(page))

    assert ran.exit_code == 3, ran.stdout + ran.stderr
    trial = ran.json()
    assert len(trial["sessions"]) == 2
    assert {r["asset"] for r in trial["results"]} == {
        "session_quality",
        "session_report",
    }
    metrics = [
        metric
        for result in trial["results"]
        for tree in result["trees"].values()
        for metric in tree["metrics"]
    ]
    assert {metric["metric"] for metric in metrics} == {"n_directions"}
    assert all("look below 7" in metric["threshold_after"] for metric in metrics)
    assert trial["estimated_cpu_hours"] > 0
    assert "n_directions" in page.read_text()
    assert external_references(page.read_text()) == ()
    assert run_command(home, "plan", "--json").json() == planned
    left = "identified/demo/.canary/left by a kill"
    assert _snapshot(home) == {k: v for k, v in before.items() if k != left}
    assert not home.canary("demo").exists()
    assert not home.canary_originals("demo").exists()


def test_a_version_that_changes_nothing_comes_out_the_same(home, monkeypatch):
    _bump(monkeypatch, "motion")
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    enter_home(home)

    sampling = Sampling(n_sessions=1)
    trial = try_sample(home, "demo", sampling, lambda done, total: None)

    assert [(r.asset, r.outcome) for r in trial.results] == [("motion", SAME)]
    assert {"temporal_snr", "session_quality"} <= set(trial.results[0].not_run)
    assert trial.n_stale > 1


def test_another_policy_is_tried_on_the_originals_without_leaving_a_trace(home):
    policy = {"name": "demo", "deid": {"characteristics": ["age", "sex"]}}
    write_text(home.study_file("demo"), yaml.safe_dump(policy))
    before = _snapshot(home)

    ran = run_command(home, "canary", "--sessions", "1", "--json")

    assert ran.exit_code == 3, ran.stdout + ran.stderr
    results = {r["asset"]: r for r in ran.json()["results"]}
    assert results["anonymized_dicom"]["outcome"] == "differs"
    assert "deid_report" in results["anonymized_dicom"]["trees"]
    (participant,) = results["bids_session"]["trees"]["bids_session"]["files"]
    assert {v["where"] for v in participant["values"]} == {"height", "weight"}
    assert results["brain_mask"]["outcome"] == "same"
    assert _snapshot(home) == before


def _bump(monkeypatch: pytest.MonkeyPatch, asset: str) -> None:
    """Give a derivative another code version, as a cosmetic change would."""
    monkeypatch.setitem(DERIVATIVE_VERSIONS, asset, f"{DERIVATIVE_VERSIONS[asset]}9")
