"""A release holds what may leave and nothing else, all of it or nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model import layout
from imaging_platform.model.errors import (
    BadConfig,
    Held,
    IdentityLeak,
    InvalidOutput,
)
from imaging_platform.planning.cells import State
from imaging_platform.planning.decisions import Decision, append_decision
from imaging_platform.processing import sharing as module
from imaging_platform.processing.sharing import Sharing
from imaging_platform.provenance.record import read_record
from imaging_platform.settings import load_study

from .conftest import DEFACED, KEYS, NAME, Site, write_image

A, B = map(str, KEYS)
pytestmark = pytest.mark.usefixtures("unvalidated")


def listing(root) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_release_has_defaced_scans_in_place_of_those_with_a_face(site):
    site.make()

    image = nib.load(site.root() / f"sub-A/ses-1/anat/{A}_T1w.nii.gz")
    assert set(np.unique(image.get_fdata())) == {5}
    names = listing(site.root())
    assert f"sub-A/ses-1/anat/{A}_T1w.json" in names
    assert f"sub-A/ses-1/{layout.PARTICIPANT}" not in names
    assert not [n for n in names if "SWI" in n or "unclassified" in n]
    table = (site.root() / f"sub-A/ses-1/{A}_scans.tsv").read_text()
    assert "T1w" in table
    assert "bold" in table
    assert "SWI" not in table


def test_what_stays_behind_of_a_session_is_reported_with_its_reason(site):
    done = site.make()

    rows = {row.session: row for row in done.sessions}
    assert f"anat/{A}_SWI.nii.gz: it has no defaced copy" in rows[A].left_out
    assert any("it has no BIDS name" in line for line in rows[A].left_out)
    folder = site.home.root / layout.release_record("s", "1.0")
    told = json.loads((folder / "release_report.json").read_text())
    assert [row["session"] for row in told] == [A, B]
    table = (folder / "release_report.tsv").read_text().splitlines()
    assert table[0].split("\t")[:3] == ["session", "verdict", "reason"]
    assert len(table) == 3


def test_the_manifest_has_the_digest_of_every_other_file(site):
    done = site.make()

    lines = (site.root() / "manifest-sha256.txt").read_text().splitlines()
    said = {
        name: digest for digest, _, name in (line.partition("  ") for line in lines)
    }
    found = listing(site.root())
    del found["manifest-sha256.txt"]
    assert said == found
    assert done.n_files == len(found) + 1


def test_the_same_study_is_released_with_the_same_bytes(site, tmp_path):
    site.make()
    first = listing(site.root())
    other = Site(tmp_path / "other")

    other.make()

    assert listing(other.root()) == first


def test_a_second_call_changes_nothing(site):
    first = site.make()
    before = {p: p.stat().st_mtime_ns for p in site.root().rglob("*")}

    again = site.make()

    assert (again.state, again.digest) == ("unchanged", first.digest)
    assert {p: p.stat().st_mtime_ns for p in site.root().rglob("*")} == before


def test_another_content_of_the_same_version_is_refused(site):
    site.make()
    before = listing(site.root())
    site.publish(KEYS[0], "bids_session", lambda tree: write_note(tree, "new"))

    with pytest.raises(Held, match="never changed") as error:
        site.make()

    assert "another version" in error.value.fix
    assert listing(site.root()) == before


def write_note(tree, text: str) -> None:
    name = f"func/{A}_task-rest_bold.json"
    write_json(
        tree / name, {"RepetitionTime": 2.0, "TaskName": "rest", "Instructions": text}
    )


def test_a_release_cannot_be_written_to(site):
    site.make()

    modes = {p.stat().st_mode & 0o222 for p in [site.root(), *site.root().rglob("*")]}
    assert modes == {0}


@pytest.mark.parametrize("state", [State.STALE, State.FAILED, State.HELD, State.WAITS])
@pytest.mark.parametrize("asset", ["anonymized_dicom", "brain_mask"])
def test_a_session_that_is_not_up_to_date_is_left_out(site, state, asset):
    site.cells[A][asset] = dataclasses.replace(site.cells[A][asset], state=state)

    done = site.make()

    rows = {row.session: row for row in done.sessions}
    assert rows[A].verdict == "left out"
    assert rows[A].reason.startswith(f"{asset} ")
    assert rows[B].verdict == "released"
    assert not [name for name in listing(site.root()) if "sub-A" in name]
    assert "sub-A" not in (site.root() / "participants.tsv").read_text()


def rate(site, verdict: str, version: str) -> None:
    step = Decision(
        "rate",
        "kim",
        "artefact",
        "2026-01-01T00:00:00+00:00",
        asset="bids_session",
        partition=A,
        data_version=version,
        verdict=verdict,
    )
    append_decision(site.home.root, "s", step)


@pytest.mark.parametrize(
    ("verdict", "is_current", "leaves"),
    [("fail", True, False), ("fail", False, True), ("pass", True, True)],
)
def test_a_session_that_a_person_rated_fail_is_left_out_until_it_changes(
    site, verdict, is_current, leaves
):
    record = site.store.read(layout.bids_session("s", KEYS[0]))
    rate(site, verdict, record.data_version if is_current else "earlier")

    row = site.sharing().choose(site.cells).verdicts[0]

    assert row.leaves == leaves
    assert ("rated fail by kim" in row.reason) != leaves


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ({"scans": [], "skipped": []}, "it has no defaced copy"),
        (
            {
                "scans": [],
                "skipped": [{"scan": f"{A}_T1w", "reason": "it has no brain mask"}],
            },
            "it has no brain mask",
        ),
        (
            {
                "scans": [
                    {
                        "scan": f"{A}_T1w",
                        "image": f"anat/{A}_desc-defaced_T1w.nii.gz",
                        "was_defaced": False,
                        "face_left_percent": 71.0,
                    }
                ]
            },
            "71 % of its face is left",
        ),
    ],
)
def test_a_session_whose_face_may_be_seen_is_left_out(site, monkeypatch, report, why):
    monkeypatch.setitem(
        site.publish.__globals__["FILLED"], DEFACED, lambda tree, key: report
    )
    site.publish(KEYS[0], DEFACED)

    done = site.make()

    rows = {row.session: row for row in done.sessions}
    assert rows[A].verdict == "left out"
    assert why in rows[A].reason
    assert not [name for name in listing(site.root()) if "sub-A" in name]


def test_a_held_session_is_left_out_although_its_tree_stands(site):
    site.store.hold(layout.anonymized_dicom("s", KEYS[0]), "a person must look")

    rows = {row.session: row for row in site.make().sessions}

    assert rows[A].verdict == "left out"
    assert "a person must look" in rows[A].reason


def test_a_session_whose_identifiers_are_not_known_is_left_out(site):
    site.home.guard_file("s", KEYS[0]).unlink()

    rows = {row.session: row for row in site.make().sessions}

    assert rows[A].verdict == "left out"
    assert "is not known" in rows[A].reason


PLACES = {
    "sidecar": lambda tree: write_note(tree, f"say hello to {NAME}"),
    "table": lambda tree: write_text(
        tree / f"func/{A}_task-rest_events.tsv",
        f"onset\tduration\ttrial_type\n1\t1\t{NAME}\n",
    ),
    "name": lambda tree: write_text(tree / f"func/{A}_task-{NAME}_bold.bval", "0\n"),
    "image header": lambda tree: write_described(tree, NAME),
    "date": lambda tree: write_note(tree, "on 2019-03-07"),
}


def write_described(tree, text: str) -> None:
    path = tree / f"func/{A}_task-rest_bold.nii.gz"
    image = nib.load(path)
    image.header["descrip"] = text.encode()
    data = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    path.unlink()
    nib.save(data, path)


@pytest.mark.parametrize("place", PLACES)
def test_an_identifier_anywhere_refuses_the_whole_release(site, place):
    site.publish(KEYS[0], "bids_session", PLACES[place])

    with pytest.raises(IdentityLeak, match="nothing was released") as error:
        site.make()

    assert NAME not in str(error.value)
    assert "rate the session fail" in error.value.fix
    assert not site.root().exists()


@pytest.mark.parametrize("text", [NAME, "thaddeus", "measured on 20190307"])
def test_an_identifier_of_any_subject_in_what_the_study_says_refuses_it(site, text):
    file = site.home.study_file("s")
    write_text(file, file.read_text() + f"bids: {{description: 'With {text}.'}}\n")

    with pytest.raises(IdentityLeak):
        site.make()

    assert not site.root().exists()


def test_a_day_on_which_somebody_was_scanned_can_be_the_day_of_a_release(site):
    sharing = site.sharing(date="2019-03-07")
    chosen = sharing.choose(site.cells)

    done = sharing.make(chosen, module.make_guards(site.home, "s"), lambda _: None)

    assert done.state == "made"


@pytest.mark.parametrize(
    "step",
    [
        "copy_sessions",
        "write_manifest",
        "refuse_identity",
        "validate_dataset",
        "write_report",
        "publish_tree",
        "set_read_only",
    ],
)
def test_killed_at_any_step_nothing_half_is_there_and_the_next_call_completes(
    site, monkeypatch, step
):
    class Killed(BaseException):
        pass

    def kill(*_args, **_named):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, step, kill)
        with pytest.raises(Killed):
            site.make()
    stands = site.root().exists()
    if stands:
        assert step == "set_read_only"

    done = site.make()

    assert done.state == ("unchanged" if stands else "made")
    record = read_record(site.home.root / layout.release_record("s", "1.0"))
    assert record is not None
    assert record.data_version == done.digest
    assert len(listing(site.root())) == done.n_files
    assert site.root().stat().st_mode & 0o222 == 0


def test_a_release_without_a_session_is_refused(site):
    for cells in site.cells.values():
        cells["bids_session"] = dataclasses.replace(
            cells["bids_session"], state=State.HELD
        )

    with pytest.raises(Held, match="No session") as error:
        site.make()

    assert "--dry-run" in error.value.fix


def test_a_version_that_was_withdrawn_is_not_given_again(site):
    step = Decision("withdraw", "kim", "x", "now", asset="release", partition="1.0")
    append_decision(site.home.root, "s", step)

    with pytest.raises(Held, match="was withdrawn") as error:
        site.make()

    assert error.value.fix == "Give another version."


def test_an_app_that_is_not_of_the_study_is_named(site):
    study = load_study(site.home, "s")

    with pytest.raises(BadConfig, match="mriqc is no app") as error:
        Sharing(site.home, study, version="1", date="2026-01-01", apps=["mriqc"])

    assert "there is none" in error.value.fix


def test_a_derived_image_of_the_whole_head_stays_behind(site):
    def add(tree):
        write_image(tree / f"pet/{A}_desc-suv_pet.nii.gz", 1)

    site.publish(KEYS[0], "brain_mask", add)

    done = site.make()

    assert not [name for name in listing(site.root()) if "suv" in name]
    assert any("not defaced" in line for line in done.sessions[0].left_out)


def test_an_error_of_the_validator_refuses_the_release(site, monkeypatch):
    from imaging_platform.tools.validator import Issue, Validation

    issue = Issue("EMPTY_FILE", "/README.md", "empty")
    monkeypatch.setattr(
        module, "validate_dataset", lambda root: Validation((issue,), (), 1)
    )

    with pytest.raises(InvalidOutput, match="EMPTY_FILE") as error:
        site.make()

    assert "share" in error.value.fix
    assert not site.root().exists()


def test_the_crate_says_of_each_file_of_a_session_what_made_it(site):
    site.make()

    graph = json.loads((site.root() / "ro-crate-metadata.json").read_text())["@graph"]
    items = {item["@id"]: item for item in graph}
    files = {name for name, item in items.items() if item["@type"] == "File"}
    released = [n for n in listing(site.root()) if "/ses-1/" in n and "qual" not in n]
    assert files.issuperset(released)
    face = f"sub-A/ses-1/anat/{A}_T1w.nii.gz"
    assert items[face]["sha256"] == listing(site.root())[face]
    holder = f"#defaced_t1w-{A}"
    assert {"@id": face} in items[holder]["hasPart"]


def test_a_citation_file_leaves_with_the_release(site):
    citation = "cff-version: 1.2.0\nmessage: m\ntitle: t\nauthors: [{name: n}]\n"
    write_text(site.home.citation_file("s"), citation)

    site.make()

    assert (site.root() / "CITATION.cff").read_text() == citation


def test_the_trees_of_the_study_are_as_they_were(site):
    before = listing(site.home.root / "bids")

    site.make()

    assert listing(site.home.root / "bids") == before
    shutil.rmtree(site.home.root / "derivatives")
    assert len(listing(site.root())) > 20
