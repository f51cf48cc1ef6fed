"""What a hostile hand planted: names and numbers in places that no scanner uses."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging_platform.deid import siemens
from imaging_platform.deid.actions import Actions, Subject
from imaging_platform.deid.decision import Action, Decision
from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.deid.policy import Policy
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.uids import is_personal
from imaging_platform.deid.values import PATTERNS, clean_descriptor, keep_by_rule
from tests.deid.conftest import Anonymize
from tests.deid.originals import SECRET, make_original, save

NOBODY = Identifiers()
PLANTED = [
    "+49 341 99 40 2221",
    "(0341) 9940-2221",
    "341.99.40.2221",
    "0049-8812-77",
    "12 34 56 78",
    "MRN0049-8812-77",
    "14/2/37",
    "2/14/1937",
    "14-02-37",
    "Feb 14 1937",
    "February 14, 1937",
    "may 1937",
    "14 1937",
]
TELLING = re.compile(r"341|2221|8812|1937|\b37\b|34 56|(?i:feb|\bmay\b)")


def _one(folder: Path, change=lambda original: None) -> Path:
    folder.mkdir()
    original = make_original(1)
    change(original)
    save(original, folder / "1")
    return folder


def _bytes_of(target: Path) -> bytes:
    files = [path for path in sorted(target.rglob("*")) if path.is_file()]
    names = "\n".join(path.relative_to(target).as_posix() for path in files)
    return names.encode() + b"".join(path.read_bytes() for path in files)


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("frame", ["{}", "ep_b0 {}", "{} HeadNeck_64", "t1_mprage_{}"])
def test_no_number_of_a_person_or_day_stays_in_any_text(planted, frame):
    text = frame.format(planted)

    rules = sorted(PATTERNS.keys() - {"numbers_or_codes", "ice_dimensions"})
    if text.count(".") == 3:
        # That of four numbers with points may be a release.
        rules.remove("version")
    kept = {rule: keep_by_rule(rule, text, NOBODY) for rule in rules}
    kept["descriptor"] = clean_descriptor(text, NOBODY)

    assert {rule: k for rule, k in kept.items() if k and TELLING.search(k)} == {}


@pytest.mark.parametrize(
    "text",
    [
        "ep2d_diff_b1000 2000 3000",
        "0.8 0.8 0.8 256",
        "REST_m3MB4_TE15_38_62_60slc_2iso",
        "dti 64 2000",
        "t1 2.5x2.5x2.5",
        "3.0 1500",
    ],
)
def test_numbers_of_a_protocol_are_none_of_a_person(text):
    assert clean_descriptor(text, NOBODY) == text


@pytest.mark.parametrize("name", ["Ng", "LI", "Xu", "May", "Kim", "Wu", "Tan"])
@pytest.mark.parametrize("frame", ["{}", "{}_YES", "SENSE1{}", "{} 3D", "b0{}"])
def test_a_short_common_name_stays_in_no_text(name, frame):
    text = frame.format(name)

    rules = sorted(PATTERNS.keys() - {"creator"})
    kept = [keep_by_rule(rule, text, NOBODY) for rule in rules]
    kept.append(clean_descriptor(text, NOBODY))

    found = re.compile(rf"(?<![A-Za-z]){name}(?![A-Za-z])")
    assert [one for one in kept if one and found.search(one)] == []


def test_a_day_with_points_and_two_digits_of_the_year_goes():
    assert clean_descriptor("t1 14.02.37", NOBODY) == "t1"
    assert keep_by_rule("code", "14.02.37", NOBODY) is None


def test_a_day_glued_to_digits_or_named_a_version_goes():
    assert clean_descriptor("MR7501937-02-14", NOBODY) == "MR750"
    assert clean_descriptor("XA30 1937-02-14", NOBODY) == "XA30"
    assert keep_by_rule("scheme_version", "14.02.1937", NOBODY) is None
    assert keep_by_rule("scheme_version", "14.02.37", NOBODY) is None


@pytest.mark.parametrize("name", ["White Black", "Walker", "WINTER", "Black"])
def test_a_word_that_is_rather_a_name_is_no_technique(name):
    assert keep_by_rule("code", name, NOBODY) is None
    assert clean_descriptor(name, NOBODY) == ""


def test_a_name_in_the_notation_of_names_is_no_maker():
    assert keep_by_rule("maker", "Xu^Bo", NOBODY) == "UNKNOWN"
    assert keep_by_rule("attenuation", "measured,/MAR^CT Breast", NOBODY) is not None


@given(digits=st.integers(10_000_000, 9_999_999_999), sign=st.sampled_from(["", "-"]))
def test_a_long_number_has_six_digits_that_count(digits, sign):
    for text in (f"{sign}{digits}", f"{sign}{digits}.", f"{sign}00{digits}"[:11]):
        kept = keep_by_rule("large_number", text, NOBODY)

        assert kept is None or len(kept.lstrip("-").rstrip("0").lstrip("0")) <= 7


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.DOE",
        "1.2.840.10008.19370214.1",
        "1.2.840.10008.5.1.4.1.1.4.88123",
        "1.2.840.10008.6.1.19370214",
    ],
)
def test_a_uid_that_only_begins_like_the_standards_is_personal(uid):
    assert is_personal(uid)


def test_the_standards_own_uids_are_not_personal():
    assert not is_personal("1.2.840.10008.5.1.4.1.1.4")
    assert not is_personal("1.2.840.10008.6.1.23")


def test_no_item_of_a_sequence_has_pixel_data(tmp_path, anonymize: Anonymize):
    def change(original):
        item = Dataset()
        item.add_new(0x7FE00010, "OW", b"Zuckerschwerdtle")
        item.add_new(0x7FE00008, "OF", b"Zuckerschwerdtle")
        original.ReferencedImageSequence = Sequence([item])
        original.SharedFunctionalGroupsSequence = Sequence([item])

    result = anonymize(_one(tmp_path / "in", change))

    assert b"Zuckerschwerdtle" not in _bytes_of(result.target)


@pytest.mark.parametrize("tag", [0x7FE00001, 0x7FE00002, 0x7FE00003])
def test_tables_of_frames_go(tmp_path, anonymize: Anonymize, tag):
    result = anonymize(
        _one(tmp_path / "in", lambda o: o.add_new(tag, "OB", b"Oldewelt^Zucker "))
    )

    assert b"Oldewelt" not in _bytes_of(result.target)


@pytest.mark.parametrize("number", ["19370214", "88412345", "-88412345"])
def test_no_long_series_number_names_a_folder_or_is_told(
    tmp_path, anonymize: Anonymize, number
):
    def change(original):
        original.SeriesNumber = number

    result = anonymize(_one(tmp_path / "in", change))

    assert number.encode() not in _bytes_of(result.target)
    assert {one.series[:4] for one in result.report.written} == {"0000"}


@pytest.mark.parametrize("text", [b"88412345", b"1937-02-14  ", b"0049-8812-77"])
def test_digits_of_a_text_are_no_binary_number(text):
    subject = Subject(SECRET, "AB12", -40_000, Policy(DeidSettings()))
    actions = Actions(subject, Screen(NOBODY))

    kept = [
        actions.apply(Decision(Action.KEEP, ""), 0x00181318, vr, text, "")
        for vr in ("UN", "US", "UL", "FL")
    ]
    matrix = struct.pack("<4H", 0, 48, 48, 0)

    assert kept == [None] * 4
    assert actions.apply(Decision(Action.KEEP, ""), 0x00181310, "US", matrix, "")


MARK = "object=MrProtDataImpl@MrProtocolData version=88412345"
PROTOCOL = f"""### ASCCONV BEGIN {MARK} ###
ulVersion\t = \t88412345
alTR[0]\t = \t12345678
alTE[0]\t = \t0x88412345
sPat.lZuckerschwerdt\t = \t1
sPat.Zuckerschwerdt.lRefLinesPE\t = \t1
sSliceArray.asSlice[88412345].dThickness\t = \t2
sSliceArray.lSize\t = \t88412345
sSliceArray.lConc\t = \t19370214.0
sProtConsistencyInfo.tBaselineString\t = \t""88412345""
sKSpace.lBaseResolution\t = \t64
sTXSPEC.asNucleusInfo[0].lFrequency\t = \t123262369
### ASCCONV END ###
"""


def test_a_protocol_hides_nothing_in_keys_indices_versions_and_numbers():
    data = siemens.rewrite_protocol(PROTOCOL.encode(), NOBODY, keep_names=True)

    assert data is not None
    assert data.rstrip(b"\0").decode().splitlines()[1:] == [
        "### ASCCONV BEGIN ###",
        "alTR[0]\t = \t12345700",
        "sKSpace.lBaseResolution\t = \t64",
        "sTXSPEC.asNucleusInfo[0].lFrequency\t = \t123262000",
        "### ASCCONV END ###",
    ]
