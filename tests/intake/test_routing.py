"""A file of a shared inbox goes to the one study that claims it, or waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from imaging_platform.intake.drop import index_drop
from imaging_platform.intake.drop_report import DropReport
from imaging_platform.intake.routing import Claim, Router, RoutingSettings
from imaging_platform.intake.session import list_held
from imaging_platform.intake.zone import waiting_drops
from imaging_platform.model.labels import LabelProblem
from tests.intake.drops import Site, label_study, mr_bytes

pytestmark = pytest.mark.usefixtures("in_one_process")

BY_ACCESSION = Claim(field="AccessionNumber", pattern="^MEM-")
STUDIES = {
    "front": RoutingSettings(is_shared=True),
    "memory": RoutingSettings(claims=(BY_ACCESSION,)),
    "sleep": RoutingSettings(projects=("SLP 7T", "slp")),
}


@pytest.fixture
def other(tmp_path: Path) -> Site:
    """The site of another study."""
    return Site(tmp_path / "memory/inbox", tmp_path / "memory/zone")


def take_in(site: Site, name: str, files: dict[str, bytes], **claims) -> DropReport:
    """Index a drop of the study `front`, whose inbox is shared."""
    drop_id = site.send(name, files) if files else name
    studies = {**STUDIES, **claims}
    home = site.inbox.parent
    router = Router("front", studies, lambda study: home / study / "inbox")
    return index_drop(
        [site.inbox / name] if files else [],
        drop_id=drop_id,
        zone=site.zone,
        label_study=label_study,
        limits=site.settings,
        label_version=router.version,
        router=router,
    )


@pytest.mark.parametrize(
    ("facts", "study"),
    [
        ({"comments": "Project: memory Subject: p023 Session: p023-mri"}, "memory"),
        ({"comments": "PROJECT:Memory;Subject:x"}, "memory"),
        ({"study_description": "Project: slp"}, "sleep"),
        ({"accession": "MEM-0012"}, "memory"),
        ({"comments": "Project: front"}, "front"),
    ],
)
def test_a_file_goes_to_the_study_that_its_header_names(
    site: Site, facts: dict[str, str], study: str
):
    report = take_in(site, "drop", {"a.dcm": mr_bytes(**facts)})

    if study == "front":
        assert report.verdicts["accepted"] == 1
    else:
        assert report.verdicts["routed"] == report.n_files == 1
        assert report.reasons == {f"belongs to study {study}": 1}
        inbox = site.inbox.parent / study / "inbox"
        assert len(list(inbox.glob("routed/*.dcm"))) == 1


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({}, LabelProblem.NO_CLAIM),
        ({"comments": "Project: unknown"}, LabelProblem.NO_CLAIM),
        ({"comments": "our project memory"}, LabelProblem.NO_CLAIM),
        (
            {"comments": "Project: slp", "accession": "MEM-1"},
            LabelProblem.MANY_CLAIMS,
        ),
    ],
)
def test_what_no_study_or_several_claim_waits_for_a_person(
    site: Site, facts: dict[str, str], problem: LabelProblem
):
    report = take_in(site, "drop", {"a.dcm": mr_bytes(**facts)})

    assert report.reasons == {problem: 1}
    assert [(h.reason, h.n_files) for h in list_held(site.zone).files] == [(problem, 1)]
    assert list(waiting_drops(site.zone)) == [report.drop_id]


def test_files_of_one_study_that_name_several_wait_together(site: Site):
    files = {
        "a": mr_bytes(comments="Project: memory"),
        "b": mr_bytes(comments="Project: slp", instance=2),
    }

    assert take_in(site, "drop", files).reasons == {LabelProblem.MANY_CLAIMS: 2}


def test_what_is_routed_leaves_no_copy_and_is_taken_in_there_once(
    site: Site, other: Site
):
    ours = mr_bytes(comments="Project: front", patient_id="Bob^2", study=2)
    theirs = mr_bytes(comments="Project: memory")

    take_in(site, "drop", {"a.dcm": ours, "b.dcm": theirs})
    report = other.index(other.drop_id_of(other.inbox / "routed"))

    assert site.stored() == {ours}
    assert other.stored() == {theirs}
    assert [s.session_key for s in report.sessions] == ["sub-A_ses-1"]
    assert (other.inbox / "routed").exists() is False


def test_what_waited_is_routed_when_a_study_claims_it(site: Site, other: Site):
    data = mr_bytes(accession="NEW-1")
    drop_id = take_in(site, "drop", {"a.dcm": data}).drop_id
    claim = Claim(field="AccessionNumber", pattern="^NEW-")

    report = take_in(site, drop_id, {}, memory=RoutingSettings(claims=(claim,)))

    assert (report.verdicts["routed"], report.n_waiting) == (1, 0)
    assert waiting_drops(site.zone) == {}
    assert list_held(site.zone).files == ()
    assert other.index(other.drop_id_of(other.inbox / "routed")).verdicts["accepted"]


def test_an_inbox_that_is_not_shared_takes_what_names_another_study(site: Site):
    report = site.take_in("drop", {"a.dcm": mr_bytes(comments="Project: memory")})

    assert report.verdicts["accepted"] == 1


@pytest.mark.parametrize("pattern", ["(a+)+", "(", "a*b*c*d*e*"])
def test_a_pattern_without_bounds_is_refused(pattern: str):
    with pytest.raises(ValidationError):
        Claim(field="PatientID", pattern=pattern)
