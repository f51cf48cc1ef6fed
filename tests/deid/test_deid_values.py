"""Texts stay when they look like technique, and never when they echo the subject."""

from __future__ import annotations

import gzip
import json
import re
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid import ge, siemens
from imaging_platform.deid.elements import Element
from imaging_platform.deid.identifiers import Identifiers, identifiers_of
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.siemens import CsaTag, parse_csa, write_csa
from imaging_platform.deid.values import PATTERNS, clean_descriptor, keep_by_rule

NOBODY = Identifiers()
SUBJECT = Identifiers(
    words=frozenset({"zuckerschwerdt", "px4711", "eva"}), dates=frozenset({"20200229"})
)
TELLING = re.compile(r"(?i)oldewelt|\bjan\b|1951|12/51|123456|88412345")
FOREIGN = [
    "Jan van Oldewelt",
    "Oldewelt^Jan",
    "tel +49 89 123456",
    "born 1951-12-31",
    "ID 88412345",
    "31/12/51",
]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("sequence", "*epfid2d1_64"),
        ("sequence", "epiRT"),
        ("coil", "32Ch Head"),
        ("coil", "HeadNeck_64"),
        ("coil", "C-GE_32Ch Head"),
        ("coil_string", "HEA;HEP"),
        ("coil_string", "HC1-6"),
        ("comment", "Unaliased MB3/PE3/LB"),
        ("comment", "b=1000(0.57735,-0.57735,0.57735)"),
        ("orientation", "Tra>Cor(-12.3)>Sag(1.2)"),
        ("acceleration", "p2 s2"),
        ("tracer", "FDG -- fluorodeoxyglucose"),
        ("maker", "Philips Medical Systems"),
        ("version", "27"),
        ("baseline", "N4_VE11C_LATEST_20160120"),
    ],
)
def test_real_technique_stays(rule, text):
    assert keep_by_rule(rule, text, NOBODY) == text


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("rule", sorted(PATTERNS))
def test_an_identity_of_somebody_else_does_not_look_like_technique(rule, text):
    glued = (f"Head{text}", f"{text}2D", f"TE0.7{text}", f"task-{text}")
    for planted in (text, f"Head_32 {text}", f"{text} EPI", *glued):
        kept = keep_by_rule(rule, planted, NOBODY) or ""

        assert not TELLING.search(kept)


@pytest.mark.parametrize(
    "text",
    ["DOEJANE", "Smith", "JOHN^DOE", "MRN12345", "A1234567", "19800101", "Jan", "KIM"],
)
@pytest.mark.parametrize("rule", sorted(PATTERNS))
def test_a_name_or_number_as_the_only_content_does_not_stay(rule, text):
    assert keep_by_rule(rule, text, NOBODY) in (None, "UNKNOWN", "99UNKNOWN")


@pytest.mark.parametrize("text", FOREIGN)
def test_a_description_loses_the_name_of_somebody_else(text):
    for planted in (text, f"T1 mprage {text}", f"{text}_ep2d"):
        assert not TELLING.search(clean_descriptor(planted, NOBODY))


@pytest.mark.parametrize("rule", sorted(PATTERNS))
@given(text=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_what_a_rule_kept_it_keeps_again(rule, text):
    kept = keep_by_rule(rule, text, NOBODY)

    assert kept is None or keep_by_rule(rule, kept, NOBODY) == kept


@pytest.mark.parametrize("rule", ["code", "model", "sequence", "token"])
def test_what_echoes_the_subject_does_not_stay(rule):
    assert keep_by_rule(rule, "PX4711", SUBJECT) in (None, "UNKNOWN")


def test_the_words_of_a_study_stay_in_its_descriptions_but_not_the_subjects():
    screen = Screen(SUBJECT, frozenset({"oddgame", "eva"}))

    assert (
        clean_descriptor("task-OddGame_acq-Eva_bold", screen) == "task-OddGame_acq_bold"
    )


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("7.519370214", "7.5"),
        ("1937021", "1937021"),
        ("-0.14021937", "-0"),
        ("107.6442307692", "107.6442307692"),
        ("0.88412345", "0"),
    ],
)
def test_a_number_ends_where_it_begins_to_spell_a_day_or_number_of_the_subject(
    number, kept
):
    known = Identifiers(frozenset({"mrn-88412345"}), dates=frozenset({"19370214"}))

    assert keep_by_rule("number", number, known) == kept


@pytest.mark.parametrize("text", ["25.0049881277", "25 1", "12345678", "1e5"])
def test_an_integer_is_digits_only(text):
    assert keep_by_rule("integer", text, NOBODY) is None
    assert keep_by_rule("integer", "25.", NOBODY) == "25."


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("func-bold_task-rest_run-1", "func-bold_task-rest_run-1"),
        ("task-SocialDoors_acq-tfl_bold", "task-SocialDoors_acq-tfl_bold"),
        ("task-Oldewelt_acq-tflOldewelt_bold", "task_acq_bold"),
        ("dwi_Jens_20Ch_b2k", "dwi_20Ch_b2k"),
        ("Dr. Miller cor T2", "cor T2"),
        ("nav 14-Feb-1937", "nav"),
        ("T1w MRN12345", "T1w"),
        ("T1w Bao Uy JAK", "T1w"),
        ("online_2X10x20", "online_2X10x20"),
        ("T1 Zuckerschwerdt", "T1"),
        ("T1_ZUCKERSCHWERDT_mprage", "T1_mprage"),
        ("rest 29.02.2020", "rest"),
        ("rest 20200229", "rest"),
        ("rest 2019-01-05 b", "rest b"),
        ("dwi 12345678", "dwi"),
        ("task Eva", "task"),
        ("task evaluation", "task evaluation"),
        ("Doe^Jane T2", "T2"),
        ("a@b.org T2", "T2"),
        ("ep2d_bold_2.5mm_TR2000", "ep2d_bold_2.5mm_TR2000"),
    ],
)
def test_a_description_keeps_its_words_only(text, cleaned):
    assert clean_descriptor(text, SUBJECT) == cleaned


@given(text=st.text(max_size=80))
def test_a_cleaned_description_never_echoes_and_is_stable(text):
    cleaned = clean_descriptor(f"{text} Zuckerschwerdt 20200229", SUBJECT)

    assert cleaned.isascii()
    assert not SUBJECT.echoes_in(cleaned)
    assert len(cleaned) <= 64


@pytest.mark.parametrize("rule", sorted(PATTERNS))
def test_a_hostile_value_cannot_stall_a_rule(rule):
    started = time.process_time()

    for text in ("A" * 900 + "!", "1" * 900 + "!", "_" * 900 + "!", "head" * 200 + "!"):
        keep_by_rule(rule, text, NOBODY)

    assert time.process_time() - started < 1


def test_names_numbers_and_days_are_gathered_at_every_depth():
    inner = [Element(0x00100010, "PN", b"M\xfcller^Anna Sophie")]
    elements = [
        Element(0x00100020, "LO", b"12345/A "),
        Element(0x00100030, "DA", b"19280412"),
        Element(0x00080018, "UI", b"1.2.3.4.5.6\0"),
        Element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.4\0"),
        Element(0x52009229, "SQ", b"", [inner]),
    ]

    found = identifiers_of(elements, "ISO_IR 100")

    assert {"muller", "anna", "sophie", "12345"} <= found.words
    assert found.dates == {"19280412"}
    assert found.uids == {"1.2.3.4.5.6"}
    assert found.echoes_in("MULLER was here")
    assert found.echoes_in("on 1928-04-12")
    assert not found.echoes_in("planar annas")


names = st.from_regex(r"[A-Z][A-Za-z_]{1,20}", fullmatch=True)
csa_tags = st.builds(
    CsaTag,
    name=names,
    vm=st.integers(0, 6),
    vr=st.sampled_from([b"IS\0\0", b"DS\0\0", b"FD\0\0"]),
    syngo_type=st.integers(0, 30),
    values=st.lists(st.binary(max_size=20), max_size=6).map(tuple),
)


@given(tags=st.lists(csa_tags, max_size=8))
def test_a_csa_header_is_read_as_it_was_written(tags):
    assert parse_csa(write_csa(tags)) == tags


@given(data=st.binary(max_size=400))
def test_a_csa_header_of_any_bytes_raises_nothing(data):
    siemens.rewrite_csa(b"SV10\4\3\2\1" + data, NOBODY, keep_names=True)


def test_a_csa_header_keeps_slice_times_and_loses_the_rest():
    tags = [
        CsaTag("MosaicRefAcqTimes", 0, b"FD\0\0", 4, (b"0.0\0", b"120.5\0")),
        CsaTag("UsedPatientWeight", 1, b"IS\0\0", 6, (b"90\0",)),
        CsaTag("PatientName", 1, b"LO\0\0", 19, (b"Zuckerschwerdt\0",)),
        CsaTag("ImaCoilString", 1, b"LO\0\0", 19, (b"Zuckerschwerdt\0",)),
    ]

    data = siemens.rewrite_csa(write_csa(tags), SUBJECT, keep_names=True)

    assert data is not None
    assert parse_csa(data) == [
        CsaTag("MosaicRefAcqTimes", 0, b"FD\0\0", 4, (b"0.0\0", b"120.5\0")),
        CsaTag("ImaCoilString", 1, b"LO\0\0", 19, (b"",)),
    ]


PROTOCOL = b"""<XProtocol> {"Zuckerschwerdt"}
### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 ###
sKSpace.lBaseResolution\t = \t72
sSliceArray.lSize\t = \t0x5
tProtocolName\t = \t""rest Zuckerschwerdt""
tReferenceImage0\t = \t""1.3.12.2.1107.5.2.19.45160.2020022912204221515890105""
sCoilSelectMeas.aRx[0].asList[0].sCoilElementID.tCoilID\t = \t""Head_32""
sDiffusion.tOwner\t = \t""Zuckerschwerdt""
lPatientWeight\t = \t70
### ASCCONV END ###
Zuckerschwerdt"""


def test_a_protocol_keeps_listed_lines_only():
    data = siemens.rewrite_protocol(PROTOCOL, SUBJECT, keep_names=True)

    assert data is not None
    lines = data.rstrip(b"\0").decode().split("\n")
    assert lines[1].startswith("### ASCCONV BEGIN object=")
    assert lines[2:-1] == [
        "sKSpace.lBaseResolution\t = \t72",
        "sSliceArray.lSize\t = \t0x5",
        'tProtocolName\t = \t""rest""',
        'sCoilSelectMeas.aRx[0].asList[0].sCoilElementID.tCoilID\t = \t""Head_32""',
        "### ASCCONV END ###",
    ]


def test_a_protocol_without_names_has_none():
    data = siemens.rewrite_protocol(PROTOCOL, SUBJECT, keep_names=False)

    assert data is not None
    assert b"tProtocolName" not in data


def test_what_is_no_protocol_is_refused():
    assert siemens.rewrite_protocol(b"hello", NOBODY, keep_names=True) is None
    assert siemens.rewrite_csa(b"hello", NOBODY, keep_names=True) is None


def test_a_packed_protocol_keeps_the_order_of_slices():
    text = b'SLICEORDER "1"\nSEDESC "Zuckerschwerdt"\nNOSLC "15"\nIOPT "EPI, FMRI"\n'
    packed = gzip.compress(text, mtime=1_600_000_000)

    data = ge.rewrite_protocol(struct.pack("<I", len(packed)) + packed, SUBJECT)

    assert data is not None
    assert ge.unpack_protocol(data) == 'SLICEORDER "1"\nNOSLC "15"\nIOPT "EPI, FMRI"\n'
    assert data[8:12] == bytes(4)


@given(data=st.binary(max_size=200))
def test_a_packed_protocol_of_any_bytes_raises_nothing(data):
    ge.rewrite_protocol(b"\0\0\0\0\x1f\x8b\x08" + data, NOBODY)
    ge.rewrite_user_data(data * 20)


def test_user_data_keep_their_flags_only():
    data = bytearray(b"Zuckerschwerdt" * 200)
    struct.pack_into("<H", data, 24, 100)
    struct.pack_into("<f", data, 100, 26.0)
    struct.pack_into("<H", data, 100 + 0x4C + 0x30, 7)

    kept = ge.rewrite_user_data(bytes(data))

    assert kept is not None
    assert len(kept) == len(data)
    assert struct.unpack_from("<H", kept, 100 + 0x4C + 0x30) == (7,)
    assert len(kept) - kept.count(0) <= 12


def test_cleaned_descriptions_of_public_data_sets_are_mostly_unchanged(shared_data):
    with gzip.open(shared_data / "bids/sidecar_labels.jsonl.gz", "rt") as file:
        sidecars = [json.loads(line)["sidecar"] for line in file]
    keys = ("SeriesDescription", "ProtocolName")
    told = {str(one[key]) for one in sidecars for key in keys if key in one}

    changed = [text for text in told if clean_descriptor(text, NOBODY) != text]

    assert len(told) > 600
    assert len(changed) <= 75
