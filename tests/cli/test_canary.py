"""`canary` as a user meets it, on a study of which little is there."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from imaging_platform.cli.canary import dump_trial
from imaging_platform.cli.main import cli
from imaging_platform.comparison.listing import TABLES
from imaging_platform.comparison.trees import CHANGED, FileChange, TreeComparison
from imaging_platform.comparison.trial import DIFFERS, FAILED, SAME, Trial, TrialResult
from imaging_platform.comparison.values import Difference
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, BadInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.processing.scratch import lend_sessions, scratch_home
from imaging_platform.provenance.record import Record
from imaging_platform.reporting.page import external_references
from imaging_platform.reporting.trial_page import render_trial
from imaging_platform.storage.local import LocalStore
from tests.cli.stale_study import KEY, enter_stale_study


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The study, of whose trees none is there."""
    return enter_stale_study(tmp_path, monkeypatch)


def run(*arguments: str):
    done = CliRunner().invoke(cli, ["canary", *arguments], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done


def test_without_a_tree_nothing_is_made_and_nothing_differs(home):
    done = run("--json")

    said = json.loads(done.stdout)
    assert (said["sessions"], said["results"], said["outcome"]) == ([KEY], [], SAME)
    assert done.return_value == 0
    assert "nothing was made" in run().stdout


def test_an_unknown_asset_is_refused_with_the_known_ones(home):
    with pytest.raises(BadConfig) as caught:
        run("--asset", "brain")

    assert "brain_mask" in caught.value.fix


def test_an_unknown_session_is_refused_with_where_to_look(home):
    with pytest.raises(BadInput) as caught:
        run("--session", "sub-02_ses-1")

    assert "status" in caught.value.fix


def test_a_scratch_home_keeps_identity_in_the_identified_zone_and_goes(home):
    originals = home.canary_originals("demo")

    with scratch_home(home, "demo") as scratch:
        lend_sessions(home, scratch, "demo", [KEY])
        scratch.guard_file("demo", SessionKey.parse(KEY)).parent.mkdir()

        assert (originals / "guard").is_dir()
        assert scratch.secret_file("demo").is_symlink()
    assert not originals.exists()
    assert not scratch.root.exists()
    assert home.secret_file("demo").exists()


@pytest.mark.parametrize("exchanges", [True, False])
def test_what_is_published_over_a_lent_tree_leaves_the_lent_one(
    home, monkeypatch, exchanges
):
    if not exchanges:
        monkeypatch.setattr(
            "imaging_platform.files.staging._exchange", lambda first, second: False
        )
    key = layout.derivative("demo", "motion", SessionKey.parse(KEY))
    _publish(home, key, "old")

    with scratch_home(home, "demo") as scratch:
        lend_sessions(home, scratch, "demo", [KEY])
        assert (scratch.root / key / "x.txt").read_text() == "old"
        _publish(scratch, key, "new")

        assert (scratch.root / key / "x.txt").read_text() == "new"
    assert (home.root / key / "x.txt").read_text() == "old"


def test_a_trial_is_scaled_to_all_stale_sessions():
    result = TrialResult("motion", KEY, SAME, cpu_s=36.0, not_run=("temporal_snr",))
    trial = Trial("demo", (KEY,), 1000, (result,))

    assert trial.estimated_cpu_hours == 10.0
    assert "Stops early" in " ".join(trial.sentences())
    assert trial.outcome == SAME


def test_the_page_shows_every_difference_and_loads_nothing():
    file = FileChange("x.json", CHANGED, values=(Difference("<EchoTime>", 1, 2),))
    tree = TreeComparison(3, (file,))
    results = (
        TrialResult("bids_session", KEY, DIFFERS, trees={"bids_session": tree}),
        TrialResult("motion", KEY, FAILED, "the run is too short"),
    )
    trial = Trial("demo", (KEY,), 2, results)

    page = render_trial(trial)

    assert "&lt;EchoTime&gt;" in page
    assert "the run is too short" in page
    assert f"accept bids_session {KEY}" in page
    assert external_references(page) == ()
    assert dump_trial(trial)["outcome"] == FAILED
    assert all(len(row) == len(t.columns) for t in TABLES for row in t.rows(trial))


def _publish(home: Home, key: str, text: str) -> None:
    store = LocalStore(home.root)
    with store.stage(key) as tree:
        (tree / "x.txt").write_text(text)
        store.publish(tree, key, Record("motion", KEY, "1"))
