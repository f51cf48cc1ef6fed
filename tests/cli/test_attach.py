"""Attaching: searched for the subject first, versioned, and seen by the planner."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from imaging_platform.assets.scope import Scope
from imaging_platform.cli.main import cli
from imaging_platform.cli.studies import create_study
from imaging_platform.deid.guard_store import save_identifiers
from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.model import layout
from imaging_platform.model.errors import (
    BadConfig,
    BadInput,
    IdentityLeak,
    MissingInput,
)
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.provenance.record import Record
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore
from tests.orchestration.planned import reasons_of

KEY = SessionKey("01", "1")
EVENTS = "onset\tduration\ttrial_type\n1.5\t2\tface\n"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """A home whose study knows what must not be found of one session."""
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    none: frozenset[str] = frozenset()
    words = Identifiers(frozenset({"kestrel"}), none, none, none)
    save_identifiers(home.guard_file("demo", KEY), words)
    return home


def attach(folder: Path, text: str = EVENTS, session: str = str(KEY)):
    folder.mkdir(exist_ok=True)
    (folder / "run-1_events.tsv").write_text(text)
    words = ["attach", "demo", session, str(folder), "--json"]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    if done.exception:
        raise done.exception
    return json.loads(done.stdout)


def test_the_same_files_again_change_nothing(home, tmp_path):
    first = attach(tmp_path / "files")

    second = attach(tmp_path / "files")

    assert first["files"] == ["run-1_events.tsv"]
    assert (first["changed"], second["changed"]) == (True, False)


def test_a_name_of_the_subject_attaches_nothing(home, tmp_path):
    with pytest.raises(IdentityLeak) as caught:
        attach(tmp_path / "files", EVENTS.replace("face", "kestrel"))

    assert "kestrel" not in str(caught.value).lower()
    assert "Remove names" in caught.value.fix
    assert LocalStore(home.root).read(layout.attachments("demo", KEY)) is None


def test_without_a_deidentified_session_nothing_can_be_searched_for(home, tmp_path):
    with pytest.raises(MissingInput):
        attach(tmp_path / "files", session="sub-02_ses-1")


def test_a_folder_without_anything_to_attach_is_told(home, tmp_path):
    with pytest.raises(BadInput) as caught:
        attach(tmp_path / "files", "begin\n1\n")

    assert "task-rest_run-1_events.tsv" in caught.value.fix


def test_an_imported_session_has_its_files_from_its_dataset(home, tmp_path):
    store, place = LocalStore(home.root), layout.bids_session("demo", KEY)
    with store.stage(place) as tree:
        inputs = {"existing_dataset": "a"}
        store.publish(tree, place, Record("bids_session", str(KEY), "1", inputs=inputs))

    with pytest.raises(BadConfig) as caught:
        attach(tmp_path / "files")

    assert "import-bids again" in caught.value.fix


def test_new_attachments_make_exactly_the_bids_session_out_of_date(home, tmp_path):
    scope = Scope(load_study(home, "demo"))
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        before = reasons_of(home, scope, instance, KEY, attached="")
        attach(tmp_path / "files")
        record = LocalStore(home.root).read(layout.attachments("demo", KEY))
        assert record is not None

        after = reasons_of(home, scope, instance, KEY, attached="")
        done = reasons_of(home, scope, instance, KEY, attached=record.data_version)

    assert before == done == {}
    assert after == {"bids_session": "changed input: attachments"}
