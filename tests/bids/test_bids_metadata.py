"""Sidecars: consistent with the image, complete by the standard, or visibly not."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.decisions import Decision
from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.metadata import (
    build_sidecar,
    find_missing_metadata,
    repetition_to_write,
    suggest_rule,
)
from imaging_platform.bids.nifti_header import copy_without_text, pack_image
from imaging_platform.bids.outputs import sort_key
from imaging_platform.bids.pet import PET_REQUIRED
from imaging_platform.bids.planned import plan_session
from imaging_platform.bids.settings import BidsSettings, StudyRule
from imaging_platform.bids.sidecar_keys import KEPT_KEYS
from imaging_platform.bids.sidecar_values import is_allowed
from imaging_platform.bids.study_rules import matches
from imaging_platform.bids.validation import validate_session
from imaging_platform.files.digests import digest_file
from imaging_platform.files.writing import write_json
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.settings import parse_study
from tests.bids.sidecars import (
    BOLD,
    DWI,
    FIELDMAP,
    MPRAGE,
    decide,
    gradient_fieldmap,
    output,
)

KEY = SessionKey("01", "1")
SECRETS = {
    "PatientName": "A",
    "InstitutionName": "B",
    "InstitutionAddress": "C",
    "StationName": "D",
    "DeviceSerialNumber": "E",
    "StudyDescription": "F",
    "ProcedureStepDescription": "G",
    "AcquisitionDateTime": "2020-01-01T10:00:00",
    "ConversionSoftwareVersion": "v1",
}


def decision_of(datatype: str, suffix: str, **more: object) -> Decision:
    known = decide(output("rest", BOLD, volumes=30))[0]
    fields = {"entities": {}, "metadata": {}, "volume_types": ()} | more
    return replace(known, datatype=datatype, suffix=suffix, **fields)


def read_rules(suggested: str) -> tuple[StudyRule, ...]:
    return parse_study({"name": "x", **yaml.safe_load(suggested)}).bids.rules


def test_a_sidecar_keeps_no_key_of_identity_or_of_the_program():
    one = output("rest", BOLD, volumes=30, **SECRETS)

    sidecar = build_sidecar(decide(one)[0], one)

    assert not set(SECRETS) & set(sidecar)
    assert sidecar["TaskName"] == "rest"


@pytest.mark.parametrize(
    ("timing", "kept"),
    [
        ([0.0] * 15 + [1.99] * 15, True),
        ([0.0] * 15 + [2.0] * 15, False),
        ([0.0] * 29, False),
        ([-0.1] * 30, False),
    ],
)
def test_slice_times_are_one_a_slice_and_end_before_the_next_volume(timing, kept):
    one = output("rest", BOLD, volumes=30, SliceTiming=timing)

    sidecar = build_sidecar(decide(one)[0], one)

    assert ("SliceTiming" in sidecar) == kept


def test_the_study_overrules_the_repetition_time_of_the_header():
    one = output("rest", BOLD, volumes=30)
    rule = StudyRule(
        match={"SeriesDescription": "rest"}, metadata={"RepetitionTime": 3}
    )
    decision = decide(one, settings=BidsSettings(rules=(rule,)))[0]

    sidecar = build_sidecar(decision, one)

    assert sidecar["RepetitionTime"] == 3
    assert repetition_to_write(decision, one, sidecar) == 3.0


def test_a_header_that_agrees_is_left_alone():
    one = output("rest", BOLD, volumes=30)
    decision = decide(one)[0]

    assert repetition_to_write(decision, one, build_sidecar(decision, one)) is None


@pytest.fixture(params=["NIfTI-1", "NIfTI-2", "big endian"])
def image(request, tmp_path) -> Path:
    """A small asymmetric series with text in its header and an extension."""
    voxels = np.arange(4 * 3 * 2 * 5, dtype=np.int16).reshape(4, 3, 2, 5)
    kind = nibabel.Nifti2Image if request.param == "NIfTI-2" else nibabel.Nifti1Image
    made = kind(voxels, np.diag([2, 3, 4, 1]))
    if request.param == "big endian":
        made = kind(voxels, None, made.header.as_byteswapped(">"))
    made.header["descrip"] = b"John Doe"
    made.header["intent_name"] = b"Doe"
    made.header.extensions.append(
        nibabel.nifti1.Nifti1Extension("comment", b"Doe, John")
    )
    made.to_filename(tmp_path / "image.nii.gz")
    return tmp_path / "image.nii.gz"


def test_a_packed_image_has_the_same_bytes_inside(image, tmp_path):
    whole = tmp_path / "whole.nii"
    whole.write_bytes(gzip.decompress(image.read_bytes()))

    pack_image(whole, tmp_path / "a.nii.gz")
    pack_image(image, tmp_path / "b.nii.gz")

    packed = (tmp_path / "a.nii.gz").read_bytes()
    assert gzip.decompress(packed) == whole.read_bytes()
    assert packed == (tmp_path / "b.nii.gz").read_bytes()


def test_a_repetition_time_is_written_in_seconds_and_nothing_else_changes(
    image, tmp_path
):
    before = nibabel.load(image)
    voxels, affine = np.asarray(before.dataobj), before.affine

    pack_image(image, tmp_path / "packed.nii.gz", repetition_s=2.5)

    after = nibabel.load(tmp_path / "packed.nii.gz")
    assert after.header.get_zooms()[3] == 2.5
    assert after.header.get_xyzt_units()[1] == "sec"
    assert (np.asarray(after.dataobj) == voxels).all()
    assert (after.affine == affine).all()


def test_a_copy_without_text_has_equal_voxels_and_no_word(image, tmp_path):
    before = nibabel.load(image)
    target = tmp_path / "copy.nii.gz"

    copy_without_text(image, target)

    after = nibabel.load(target)
    assert (np.asarray(after.dataobj) == np.asarray(before.dataobj)).all()
    assert (after.affine == before.affine).all()
    assert b"Doe" not in gzip.decompress(target.read_bytes())
    assert len(after.header.extensions) == 0
    # No name and no time in the gzip header (RFC 1952).
    assert target.read_bytes()[3:8] == bytes(5)


def test_a_copy_of_a_copy_has_the_same_bytes(image, tmp_path):
    copy_without_text(image, tmp_path / "a.nii.gz")

    copy_without_text(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")

    assert digest_file(tmp_path / "a.nii.gz") == digest_file(tmp_path / "b.nii.gz")


@given(data=st.binary(max_size=400))
def test_what_is_no_image_is_refused_and_leaves_nothing(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "x.nii").write_bytes(data)

    with pytest.raises(BadInput) as caught:
        copy_without_text(folder / "x.nii", folder / "y.nii.gz")

    assert "leave it out" in caught.value.fix
    assert [path.name for path in folder.iterdir()] == ["x.nii"]


def test_pet_says_in_bids_what_the_scanner_said_and_asks_for_the_rest():
    one = output(
        "pet",
        {
            "Units": "BQML",
            "DecayCorrection": "START",
            "ReconstructionMethod": "OSEM",
            "FrameTimesStart": [0],
            "FrameDuration": [60],
        },
        ManufacturersModelName="x",
    )
    decision = decision_of("pet", "pet")

    sidecar = build_sidecar(decision, one)
    missing = find_missing_metadata(decision, read_evidence(one), [decision])

    assert sidecar["Units"] == "Bq/mL"
    assert sidecar["ImageDecayCorrected"] is True
    assert sidecar["ReconMethodName"] == "OSEM"
    assert {"TracerName", "TimeZero", "InjectionStart"} <= set(missing)
    assert not set(missing) & set(sidecar)


def test_required_pet_keys_are_those_of_the_standard():
    from bidsschematools.schema import load_schema

    rules = load_schema().rules.sidecars.pet
    base = ['datatype == "pet"', 'suffix == "pet"']
    required = {
        name
        for rule in rules.values()
        if list(rule.get("selectors", [])) == base
        for name, level in rule.fields.items()
        if (level if isinstance(level, str) else level.get("level")) == "required"
    }

    assert set(PET_REQUIRED) == required


def test_pasl_asks_for_its_bolus_and_pcasl_for_its_label():
    types = {"volume_types": ("label", "control")}
    asked = {}
    for kind in ("PASL", "PCASL"):
        facts = {"ArterialSpinLabelingType": kind, "M0Type": "Estimate"}
        decision = decision_of("perf", "asl", metadata=facts, **types)
        one = output("asl", BOLD, volumes=10)
        asked[kind] = find_missing_metadata(decision, read_evidence(one), [decision])

    assert "BolusCutOffFlag" in asked["PASL"]
    assert "LabelingDuration" not in asked["PASL"]
    assert "LabelingDuration" in asked["PCASL"]
    assert all("M0Estimate" in keys for keys in asked.values())


def test_labelled_slices_need_their_times():
    one = output("asl", BOLD, volumes=10)
    decision = decision_of("perf", "asl")

    two_d = find_missing_metadata(decision, read_evidence(one), [decision])
    one = replace(one, sidecar=one.sidecar | {"MRAcquisitionType": "3D"})
    three_d = find_missing_metadata(decision, read_evidence(one), [decision])

    assert set(two_d) - set(three_d) == {"SliceTiming"}


def test_a_readout_lasts_from_the_first_line_to_the_last():
    facts = BOLD | {"EffectiveEchoSpacing": 0.0005, "ReconMatrixPE": 101}
    del facts["TotalReadoutTime"]
    one = output("rest", facts, volumes=30)

    sidecar = build_sidecar(decide(one)[0], one)

    assert sidecar["TotalReadoutTime"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("spacing_s", "kept"), [(0.0005, True), (0.03, False), (0.04, False)]
)
def test_an_echo_spacing_is_shorter_than_its_readout(spacing_s, kept):
    one = output("rest", BOLD, volumes=30, EffectiveEchoSpacing=spacing_s)

    assert ("EffectiveEchoSpacing" in build_sidecar(decide(one)[0], one)) == kept


@pytest.mark.parametrize(("spacing_s", "kept"), [(0.03125, True), (0.0313, False)])
def test_all_lines_fit_into_a_repetition(spacing_s, kept):
    one = output("rest", BOLD, EffectiveEchoSpacing=spacing_s, TotalReadoutTime=3.0)

    assert ("EffectiveEchoSpacing" in build_sidecar(decide(one)[0], one)) == kept


@pytest.mark.parametrize("second_s", [0.005, 0.00505, 0.0151, 0.002])
def test_echoes_that_no_field_can_be_told_from_are_asked_for(second_s):
    *magnitudes, phase = gradient_fieldmap(0.0, 1)
    phase = replace(phase, sidecar=phase.sidecar | {"EchoTime2": second_s})

    *good, bad = decide(*magnitudes, phase)

    assert [one.outcome for one in good] == ["converted"] * 2
    assert bad.outcome == "incomplete"
    assert "EchoTime1, EchoTime2" in bad.why


def test_an_echo_needs_its_time():
    facts = {k: v for k, v in BOLD.items() if k != "EchoTime"}
    one = output("rest", facts, volumes=30)
    decision = decision_of("func", "bold", entities={"task": "rest", "echo": "1"})

    assert find_missing_metadata(decision, read_evidence(one), [decision]) == (
        "EchoTime",
    )


@pytest.mark.parametrize("readout_s", [0, -0.01, "0.05"])
def test_a_readout_takes_time(readout_s):
    one = output("rest", BOLD, volumes=30, TotalReadoutTime=readout_s)

    assert "TotalReadoutTime" not in build_sidecar(decide(one)[0], one)


def test_a_phase_of_a_field_map_has_one_echo():
    one = output("b0", FIELDMAP, EchoTime=[0.005, 0.0075])
    decision = decision_of("fmap", "phase1")

    assert "EchoTime" not in build_sidecar(decision, one)
    assert find_missing_metadata(decision, read_evidence(one), [decision])[0] == (
        "EchoTime"
    )


@pytest.mark.parametrize(("delays", "kept"), [([1.0, 1.5, 2.0], True), ([1.5], False)])
def test_labelling_delays_are_one_or_one_a_volume(delays, kept):
    one = output("asl", BOLD, volumes=3, PostLabelingDelay=delays)

    sidecar = build_sidecar(decision_of("perf", "asl"), one)

    assert ("PostLabelingDelay" in sidecar) == kept


@pytest.mark.parametrize(
    ("facts", "lost"),
    [
        ({"EchoTime": 0, "FlipAngle": 0}, {"EchoTime", "FlipAngle"}),
        ({"InversionTime": -1.0}, {"InversionTime"}),
        ({"FlipAngle": [8, 0]}, {"FlipAngle"}),
        ({"FlipAngle": [8, 16]}, set()),
        ({"SoftwareVersions": 11}, {"SoftwareVersions"}),
        ({"MTState": "on"}, {"MTState"}),
        ({"MRAcquisitionType": "4D"}, {"MRAcquisitionType"}),
        ({"MagneticFieldStrength": True}, {"MagneticFieldStrength"}),
    ],
)
def test_values_that_the_standard_refuses_are_left_out(facts, lost):
    one = output("rest", BOLD | facts, volumes=30)

    sidecar = build_sidecar(decide(output("rest", BOLD, volumes=30))[0], one)

    assert facts.keys() - sidecar.keys() == lost


VALUES = (None, True, -1, 0, 0.5, 1, 360, 361.5, "", "1D", "i-", "PASL", "12:00:00")


@pytest.mark.parametrize("key", sorted(KEPT_KEYS))
def test_what_is_allowed_is_what_the_schema_of_the_standard_allows(key):
    import jsonschema
    from bidsschematools.schema import load_schema

    known = load_schema().objects.metadata.to_dict()
    validator = jsonschema.Draft202012Validator(known.get(key, {}))
    values = [*VALUES, *([one] for one in VALUES), [], [1, 0.5], [1, "x"], {"a": 1}]

    for value in values:
        assert is_allowed(key, value) == validator.is_valid(value), value


def test_the_validator_accepts_a_session_whose_scanner_wrote_nonsense(tmp_path):
    nonsense = {"FlipAngle": 0, "InversionTime": -1.0, "SoftwareVersions": 11}
    nonsense |= {"EffectiveEchoSpacing": 0.5, "SliceThickness": 0, "MTState": "on"}
    images = [
        output("rest", BOLD, volumes=3, SliceTiming=[3.0] * 30),
        output("t1", MPRAGE, at_s=60, number=2),
        *gradient_fieldmap(120, 3),
    ]
    images = [
        replace(one, sidecar=one.sidecar | nonsense | {"EchoTime2": 0.005})
        for one in sorted(images, key=sort_key)
    ]
    settings = BidsSettings()
    for planned, one in zip(
        plan_session(images, key=KEY, settings=settings), images, strict=True
    ):
        write_json(tmp_path / f"{planned.base}.json", dict(planned.sidecar))
        image = nibabel.Nifti1Image(np.zeros(one.shape, np.int16), np.eye(4))
        image.header.set_zooms(one.zooms)
        image.header.set_xyzt_units("mm", "sec")
        nibabel.save(image, tmp_path / f"{planned.base}.nii.gz")

    validation = validate_session(tmp_path, key=KEY, settings=settings)

    assert {path.parent.name for path in tmp_path.rglob("*.nii.gz")} == {
        "anat",
        "func",
        "fmap",
        "unclassified",
    }
    assert validation.errors == ()


def test_a_suggested_supplement_counts_only_once_it_is_filled_in():
    one = output("x", DWI | {"PhaseEncodingDirection": None, "TotalReadoutTime": None})
    why = "BIDS also requires: PhaseEncodingDirection, TotalReadoutTime."
    decision = decision_of("fmap", "epi", outcome="incomplete", why=why)

    (rule,) = read_rules(suggest_rule(decision, read_evidence(one)))
    as_it_is = build_sidecar(replace(decision, metadata=rule.metadata), one)
    filled = {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.05}
    filled_in = build_sidecar(replace(decision, metadata=filled), one)

    assert list(rule.metadata) == ["PhaseEncodingDirection", "TotalReadoutTime"]
    assert "..." not in as_it_is.values()
    assert filled_in.items() >= filled.items()


def test_what_no_rule_can_supply_is_suggested_to_be_left_out():
    one = output("rest", BOLD)
    (decision,) = decide(one)

    (rule,) = read_rules(suggest_rule(decision, read_evidence(one)))
    (again,) = decide(one, settings=BidsSettings(rules=(rule,)))

    assert decision.outcome == "incomplete"
    assert (again.outcome, again.why.split(".")[0]) == (
        "excluded",
        "No bold without more than one volume",
    )


def test_images_of_one_series_share_one_suggestion():
    images = [output("x", BOLD, number=3, at_s=10.0 * n) for n in range(3)]

    found = decide(*images)

    assert len({d.entities["run"] for d in found}) == 3
    suggested = map(suggest_rule, found, map(read_evidence, images))
    assert len(set(suggested)) == 1


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20))
def test_a_suggested_rule_fits_the_series_that_it_was_made_for(name):
    one = output("x", {}, SeriesDescription="", ProtocolName=name)
    image = read_evidence(one)
    decision = decision_of("", "", outcome="unknown", why="No rule fits this series.")

    (rule,) = read_rules(suggest_rule(decision, image))

    assert matches(rule, image)


def test_no_kept_key_names_a_person_a_place_or_a_machine():
    named = ("Patient", "Institution", "Station", "Serial", "Operator", "Physician")

    allowed = {"PatientPosition", "ImageOrientationPatientDICOM"}
    assert not {k for k in KEPT_KEYS if any(n in k for n in named)} - allowed
