"""What a file becomes does not depend on the files before it."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging_platform.deid import memory
from imaging_platform.deid.actions import Subject
from imaging_platform.deid.encoding import Encoding, encode_meta, encoding_of
from imaging_platform.deid.engine import Engine
from imaging_platform.deid.guard import Evidence
from imaging_platform.deid.identifiers import (
    Gathering,
    Identifiers,
    merge_identifiers,
)
from imaging_platform.deid.layouts import Name
from imaging_platform.deid.policy import Policy
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.dicom.structure import EXPLICIT_BIG, EXPLICIT_LITTLE
from tests.deid.originals import SECRET

SUBJECT = Subject(SECRET, "AB12", -100, Policy(DeidSettings()))
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
PIXELS = 0x7FE00010
LITTLE = encoding_of(EXPLICIT_LITTLE)

# Few values of few elements, so that data sets repeat each other in part; the values
# of an element have one length, so that what stands behind it stays where it was.
CHOICES: dict[int, tuple[str, Sequence[bytes]]] = {
    0x00080005: ("CS", [b"ISO_IR 100", b"ISO_IR 192"]),
    0x00080008: ("CS", [b"ORIGINAL", b"DERIVED "]),
    0x00080022: ("DA", [b"20200301", b"20210301", b"nonsense"]),
    0x00080070: ("LO", [b"SIEMENS "]),
    0x00081030: ("LO", [b"Head\xc3\xbc^", b"Jane Doe"]),
    0x00100010: ("PN", [b"Doe^Jane"]),
    0x00180050: ("DS", [b"2 ", b"3 "]),
    0x00189074: ("DT", [b"20200301120000", b"20200301120001"]),
    0x00200011: ("IS", [b"1 "]),
    0x00209157: ("UL", [b"\1\0\0\0", b"\2\0\0\0"]),
}
CREATORS = [b"SIEMENS MR HEADER ", b"GEMS_ACQU_01      ", b"ACME              "]
PRIVATE = {0x00191008: [b"IMAGE NUM 4 "], 0x0019100C: [b"1000", b"2000"]}
SEQUENCES = (0x00081140, 0x00209111, 0x52009229)


@st.composite
def data_sets(draw: st.DrawFn, encoding: Encoding, depth: int = 0) -> bytes:
    elements: dict[int, bytes] = {}
    for tag, (vr, values) in CHOICES.items():
        value = draw(st.none() | st.sampled_from(values))
        if value is not None and (depth == 0 or tag != 0x00100010):
            elements[tag] = encoding.element(tag, vr, value)
    creator = draw(st.none() | st.sampled_from(CREATORS))
    if creator is not None:
        elements[0x00190010] = encoding.element(0x00190010, "LO", creator)
    for tag, values in PRIVATE.items():
        value = draw(st.none() | st.sampled_from(values))
        if value is not None:
            elements[tag] = encoding.element(tag, "UN", value)
    for tag in SEQUENCES if depth < 2 else ():
        if draw(st.booleans()):
            elements[tag] = _sequence(draw, encoding, tag, depth)
    return b"".join(elements[tag] for tag in sorted(elements))


def _sequence(draw: st.DrawFn, encoding: Encoding, tag: int, depth: int) -> bytes:
    items = draw(st.lists(data_sets(encoding, depth + 1), max_size=3))
    if not draw(st.booleans()):
        return encoding.sequence(tag, items, encoding, is_open=draw(st.booleans()))
    open_items = [
        encoding.mark(0xFFFEE000, 0xFFFFFFFF) + item + encoding.mark(0xFFFEE00D, 0)
        for item in items
    ]
    end = encoding.mark(0xFFFEE0DD, 0)
    return encoding.open_head(tag, "SQ") + b"".join([*open_items, end])


@st.composite
def sessions(draw: st.DrawFn) -> list[bytes]:
    syntax = draw(st.sampled_from([EXPLICIT_LITTLE, EXPLICIT_BIG]))
    encoding = encoding_of(syntax)
    top = st.lists(data_sets(encoding), min_size=2, max_size=4)
    meta = encode_meta(MR_IMAGE, "1.2.826.1", syntax)
    pixels = encoding.element(PIXELS, "OW", struct.pack("<2H", 1, 2))
    return [meta + data_set + pixels for data_set in draw(top)]


def _engine(folder) -> Engine:
    return Engine(SUBJECT, Screen(Identifiers()), Gathering(), Evidence(folder))


def _rewritten(engine: Engine, file: bytes) -> bytes:
    rewritten = engine.rewrite(file)
    engine.note_written(rewritten)
    return b"".join(rewritten.head)


@pytest.mark.parametrize("most_bytes", [memory.MAX_REMEMBERED_BYTES, 20_000])
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(files=sessions())
def test_a_file_becomes_the_same_whatever_came_before(
    tmp_path, monkeypatch, most_bytes, files
):
    monkeypatch.setattr(memory, "MAX_REMEMBERED_BYTES", most_bytes)
    engine = _engine(tmp_path)
    counts: Counter[str] = Counter()
    names: set[Name] = set()
    told: list[Identifiers] = []

    # Thrice, so that what repeats is known, and was forgotten in between.
    together = [_rewritten(engine, file) for file in files * 3]

    for file, expected in zip(files, together[-len(files) :], strict=True):
        alone = _engine(tmp_path)
        assert _rewritten(alone, file) == expected
        counts += alone.counts()
        names |= alone.names
        told.append(alone.told.freeze())
    assert together == together[: len(files)] * 3
    assert engine.counts() == Counter({what: 3 * n for what, n in counts.items()})
    assert engine.names == names
    assert engine.told.freeze() == merge_identifiers(told)


def _file(*elements: bytes) -> bytes:
    pixels = LITTLE.element(PIXELS, "OW", struct.pack("<2H", 1, 2))
    meta = encode_meta(MR_IMAGE, "1.2.826.1", EXPLICIT_LITTLE)
    return b"".join([meta, *elements, pixels])


def test_an_element_that_repeats_is_judged_by_the_creator_of_its_own_file(tmp_path):
    b_value = LITTLE.element(0x0019100C, "IS", b"1000")
    known = _file(LITTLE.element(0x00190010, "LO", b"SIEMENS MR HEADER "), b_value)
    unknown = _file(LITTLE.element(0x00190010, "LO", b"ACME              "), b_value)
    engine = _engine(tmp_path)

    written = [_rewritten(engine, file) for file in (known, unknown) * 3]

    assert [b_value in head for head in written] == [True, False] * 3


def test_an_element_behind_a_short_item_is_none_of_the_item(tmp_path):
    thickness = LITTLE.element(0x00180050, "DS", b"2 ")
    number = LITTLE.element(0x00200011, "IS", b"1 ")
    long, short = thickness + number, thickness
    items = LITTLE.sequence(0x00081140, [long, long, short], LITTLE, is_open=False)
    engine = _engine(tmp_path)

    written = [_rewritten(engine, _file(items, number)) for _ in range(2)]

    assert all(items in head and head.count(number) == 3 for head in written)
