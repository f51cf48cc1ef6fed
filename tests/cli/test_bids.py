"""The commands about rules as a person types them."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from imaging_platform.bids.outputs import Output, sort_key
from imaging_platform.bids.planned import plan_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.stored import store_session
from imaging_platform.cli.main import FAILED, WRONG_USE, main
from imaging_platform.files.writing import write_text
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.provenance.record import Record
from imaging_platform.storage.local import LocalStore
from tests.bids.sidecars import BOLD, MPRAGE, output

REST = [
    {
        "match": {"SeriesDescription": "rest*"},
        "datatype": "func",
        "suffix": "bold",
        "entities": {"task": "still"},
    }
]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """A home with a study of two converted sessions, one with two runs at rest."""
    monkeypatch.setenv("IMAGING_HOME", str(tmp_path / "home"))
    home = Home(tmp_path / "home")
    configure(home, [])
    t1 = output("t1", MPRAGE, number=2)
    runs = [output("rest", BOLD, volumes=9, number=n, at_s=60.0 * n) for n in (3, 4)]
    publish(home, "sub-1_ses-1", [t1])
    publish(home, "sub-2_ses-1", [t1, *runs])
    return home


def configure(home: Home, rules: list[object]) -> None:
    text = yaml.safe_dump({"name": "demo", "bids": {"rules": rules}})
    write_text(home.study_file("demo"), text)


def publish(home: Home, session: str, images: list[Output]) -> None:
    key, settings = SessionKey.parse(session), BidsSettings()
    outputs = sorted(images, key=sort_key)
    planned = plan_session(outputs, key=key, settings=settings)
    stored = store_session(outputs, planned, settings)
    store, tree_key = LocalStore(home.root), layout.bids_evidence("demo", key)
    record = Record("bids_session", session, "1", report=stored.to_dict())
    with store.stage(tree_key) as tree:
        store.publish(tree, tree_key, record)


@pytest.fixture
def run(home, monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imaging-platform", "bids", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def test_a_preview_shows_names_now_and_then_and_counts(run, tmp_path):
    file = tmp_path / "other.yaml"
    file.write_text(yaml.safe_dump({"bids": {"rules": REST}}))

    code, out, _ = run("preview", "demo", "--rules", str(file))

    assert code == 0
    assert "sub-1_ses-1" not in out
    assert "task-still_run-1_bold" in out
    assert "1 of 2 session(s)" in out
    assert "2 of 4 image(s)" in out


def test_a_preview_leaves_everything_as_it_is(run, home, tmp_path):
    file = tmp_path / "other.yaml"
    file.write_text(yaml.safe_dump(REST))
    before = {p: p.read_bytes() for p in home.root.rglob("*") if p.is_file()}

    run("preview", "demo", "--rules", str(file))

    assert {p: p.read_bytes() for p in home.root.rglob("*") if p.is_file()} == before


def test_a_preview_as_json_holds_every_image_and_its_reason(run, home):
    configure(home, REST)

    _, out, _ = run("preview", "demo", "sub-2_ses-1", "--json")

    told = json.loads(out)
    (session,) = told["sessions"]
    assert told["counts"]["changed_images"] == 2
    assert [image["is_changed"] for image in session["images"]] == [False, True, True]
    assert session["images"][1]["before"] == ("func/sub-2_ses-1_task-rest_run-1_bold")
    assert session["images"][1]["why"] == (
        "A rule of the study: SeriesDescription rest*."
    )


def test_a_preview_without_a_change_says_so(run):
    _, out, _ = run("preview", "demo")

    assert "0 of 2 session(s) would be converted again" in out


def test_a_session_of_which_nothing_is_known_is_told(run):
    code, _, err = run("preview", "demo", "sub-9_ses-1")

    assert code == FAILED
    assert "Nothing is known of the images of sub-9_ses-1" in err


def test_a_preview_refuses_rules_with_an_error(run, tmp_path):
    file = tmp_path / "other.yaml"
    file.write_text(yaml.safe_dump([REST[0] | {"suffix": "Bold"}]))

    code, _, err = run("preview", "demo", "--rules", str(file))

    assert code == WRONG_USE
    assert "bids.rules[0].suffix: Case and spaces count" in err


def test_a_lint_without_errors_ends_with_0_and_tells_names_that_meet(run, home):
    configure(home, REST)

    code, out, _ = run("lint", "demo")

    assert code == 0
    assert "series 3, 4 of sub-2_ses-1 all become func/task-still_bold" in out
    assert "0 error(s), 1 risk(s)." in out


def test_a_lint_with_an_error_ends_with_2_and_names_the_nearest_word(run, home):
    configure(home, [REST[0] | {"entities": {"Task": "still"}}])

    code, out, _ = run("lint", "demo")

    assert code == WRONG_USE
    assert "error: bids.rules[0].entities.Task: Case and spaces count" in out
    assert "Write task." in out


def test_a_lint_as_json_says_the_same(run, home):
    configure(home, [REST[0] | {"entities": {"Task": "still"}}])

    code, out, _ = run("lint", str(home.study_file("demo")), "--json")

    assert code == WRONG_USE
    assert json.loads(out)["rules"][0]["level"] == "error"


def test_a_lint_of_no_study_names_those_that_there_are(run):
    code, _, err = run("lint", "other")

    assert code == WRONG_USE
    assert "There is no study other; known: demo." in err


def test_imported_rules_are_a_part_of_a_study_file(run, home, tmp_path):
    file = tmp_path / "bidsmap.json"
    file.write_text(
        json.dumps(
            [
                {"series_description": "rest", "bidsname": "task-still_bold"},
                {"series_description": "x", "bidsname": "nothing"},
            ]
        )
    )

    code, out, _ = run("import-rules", str(file))

    assert code == 0
    assert "# entry 1, x: nothing: nothing is no suffix of a BIDS image." in out
    configure(home, yaml.safe_load(out)["bids"]["rules"])
    assert "2 of 4 image(s)" in run("preview", "demo")[1]
