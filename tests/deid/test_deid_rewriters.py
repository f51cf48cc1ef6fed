"""Vendors' headers are parsed and written anew: bounded, stable, without identity."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid import ge, philips
from imaging_platform.deid.color import plain_profile
from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.deid.policy import Action, decide_private
from imaging_platform.deid.rewriters import REWRITERS, rewrite
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.siemens import CsaTag, parse_csa, write_csa
from imaging_platform.deid.tables import load_table

NOBODY = Identifiers()
SAFE = DeidSettings()
HEADS = [
    b"",
    b"SV10\4\3\2\1",
    b"SV10\4\3\2\1" + struct.pack("<II", 3, 77),
    struct.pack("<II", 2, 77),
    b"<XProtocol>\n### ASCCONV BEGIN ###\n",
    b"\x10\0\0\0\x1f\x8b\x08\0\0\0\0\0\0\xff",
    bytes(24) + struct.pack("<H", 30) + bytes(4) + struct.pack("<f", 26.0),
]
NAME = b"Oldewelt^Jan\0"


@pytest.mark.parametrize("name", sorted(REWRITERS))
@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=1500))
def test_a_rewriter_survives_any_bytes_and_keeps_what_it_wrote(name, head, tail):
    written = rewrite(name, head + tail, NOBODY, keep_names=True)

    if written is not None:
        assert len(written) % 2 == 0
        assert rewrite(name, written, NOBODY, keep_names=True) == written


def _csa_of(**texts: bytes) -> list[CsaTag]:
    vr = {"MosaicRefAcqTimes": b"FD\0\0"}
    return [
        CsaTag(name, 1, vr.get(name, b"LO\0\0"), 19, (value, b"", b"7\0"))
        for name, value in texts.items()
    ]


@pytest.mark.parametrize("is_marked", [True, False])
def test_both_layouts_of_a_csa_header_lose_names_and_keep_numbers(is_marked):
    tags = _csa_of(
        MosaicRefAcqTimes=b"12.5\0", PatientName=NAME, ImaCoilString=NAME, Zz=NAME
    )
    data = write_csa(tags, is_marked=is_marked)
    assert parse_csa(data) == tags

    written = rewrite("siemens_csa", data, NOBODY, keep_names=True)

    assert written is not None
    assert (written[:4] == b"SV10") == is_marked
    assert b"Oldewelt" not in written
    kept = {tag.name: tag.values for tag in parse_csa(written) or []}
    assert kept["MosaicRefAcqTimes"] == (b"12.5\0", b"", b"7\0")
    assert set(kept) == {"MosaicRefAcqTimes", "ImaCoilString"}


def test_what_stands_behind_the_text_of_a_csa_item_goes():
    tags = _csa_of(MosaicRefAcqTimes=b"12.5\0" + NAME)

    written = rewrite("siemens_csa", write_csa(tags), NOBODY, keep_names=True)

    assert written is not None
    assert b"Oldewelt" not in written


def _protocol(*lines: str) -> bytes:
    text = "\n".join(["<XProtocol>", "### ASCCONV BEGIN ###", *lines])
    return text.encode() + b"\n### ASCCONV END ###\n"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("sKSpace.lBaseResolution\t = \t72", "sKSpace.lBaseResolution\t = \t72"),
        (
            "sProtConsistencyInfo.ulConvFromVersion\t = \t63010001",
            "sProtConsistencyInfo.ulConvFromVersion\t = \t63010001",
        ),
        ("sWipMemBlock.alFree[3]\t = \t19370214", ""),
        ('tReferenceImage0\t = \t""1.3.12.2.1107.5""', ""),
        (
            'sWipMemBlock.tFree\t = \t""c90dac29-7893-4e98-9f19-be2ce2e7cc10||Sequence:'
            ' R017 nxva30a/master r/d34922cc2+; Jun 27 2022 13:23:04 by eja""',
            'sWipMemBlock.tFree\t = \t""c90dac29-7893-4e98-9f19-be2ce2e7cc10||Sequence:'
            ' R017 nxva30a/master r/d34922cc2+""',
        ),
        ('tProtocolName\t = \t""rest Oldewelt""', 'tProtocolName\t = \t""rest""'),
    ],
)
def test_a_line_of_a_protocol_stays_as_far_as_it_is_technique(line, kept):
    written = rewrite("siemens_protocol", _protocol(line), NOBODY, keep_names=True)

    assert written is not None
    lines = written.rstrip(b"\0").decode().split("\n")
    assert lines[2:-2] == ([kept] if kept else [])


def test_a_large_header_costs_milliseconds():
    keys = [f"sSliceArray.asSlice[{n % 128}].dThickness" for n in range(3000)]
    lines = [f"{key}\t = \t{n / 7}" for n, key in enumerate(keys)]
    data = _protocol(*lines)
    rewrite("siemens_protocol", data, NOBODY, keep_names=True)

    started = time.process_time()
    rewrite("siemens_protocol", data, NOBODY, keep_names=True)

    assert time.process_time() - started < 0.02


def _packed(*lines: str) -> bytes:
    return ge._gzip("\n".join(lines).encode())


def test_a_ge_protocol_keeps_the_order_of_slices_alone():
    packed = _packed(
        'set SLICEORDER "1"', 'set PSEQ "Oldewelt"', 'set AUTHOR "Jan Oldewelt"'
    )

    written = rewrite(
        "ge_protocol", struct.pack("<I", len(packed)) + packed, NOBODY, keep_names=True
    )

    assert written is not None
    assert ge.unpack_protocol(written) == 'SLICEORDER "1"\n'


def test_a_colour_profile_is_the_same_for_any_image_and_says_what_it_is():
    first = rewrite("icc_profile", b"Oldewelt" * 40, NOBODY, keep_names=True)

    assert first == plain_profile()
    (size,) = struct.unpack_from(">I", first)
    assert size == len(first)
    assert first[36:40] == b"acsp"


DIFFUSION = sorted(philips.DIFFUSION)


@given(
    present=st.sets(st.sampled_from(DIFFUSION)),
    lost=st.sets(st.sampled_from(DIFFUSION)),
)
def test_the_diffusion_numbers_of_philips_stay_all_or_none(present, lost):
    other = (0x2001, "philips imaging dd 001", 0x0A)
    here = frozenset(present | {other})
    kept = here - lost

    left = kept - philips.incomplete(here, kept)

    assert other in left
    assert left - {other} in (frozenset(), frozenset(present))


# Group and creator; the low bytes that dcm2niix reads of it.
READ = {
    (0x0009, "GEMS_PETD_01"): "3a 8f",
    (0x0019, "GEMS_ACQU_01"): ("17 18 1b 5a 7f 9c 9e a2 a9 b2 b3 b6 bb bc bd df e0 e2"),
    (0x0019, "SIEMENS MR HEADER"): "0a 0c 0e 28 29",
    (0x0021, "GEMS_RELA_01"): "4f 56 5a 5b 5c 5e",
    (0x0021, "SIEMENS MR SDI 02"): "04 06 1c 42 4f 53 56 58 5e 75 76 8a 8e fe",
    (0x0021, "SIEMENS MR SDS 01"): "05 09 19 5a 5b 5c fe",
    (0x0025, "GEMS_SERS_01"): "1b",
    (0x0027, "GEMS_IMAG_01"): "60 61 62",
    (0x0029, "SIEMENS CSA HEADER"): "10 20",
    (0x0043, "GEMS_PARM_01"): "02 03 04 2a 2c 2f 30 39 7c 83 95 a3 a4 a5 b2 b6 b7 ca",
    (0x0051, "SIEMENS MR HEADER"): "0b 0e 0f 11",
    (0x0065, "Image Private Header"): "05 09 0d 37 50 51 58",
    (0x2001, "Philips Imaging DD 001"): (
        "03 04 08 0a 0b 10 13 15 18 19 1b 1c 1f 22 35 7b 81"
    ),
    (0x2005, "Philips MR Imaging DD 001"): (
        "0e 0f 10 11 12 13 14 30 3c 63 6f 71 72 73 78 79 7a a0 b0 b1 b2"
    ),
    (0x2005, "Philips MR Imaging DD 002"): "10",
    (0x2005, "Philips MR Imaging DD 005"): "0f 12 13 29",
    (0x2005, "Philips MR Imaging DD 006"): "96",
}
# A thumbnail, a fragment of a compression that no release writes, and a site.
NOT_KEPT = {
    (0x07A3, "ELSCINT1"): "ce",
    (0x07A1, "ELSCINT1"): "0a",
    (0x0009, "GEMS_PETD_01"): "10",
}


def _decided(table: dict[tuple[int, str], str]) -> list[Action]:
    return [
        decide_private(group, int(low, 16), creator, "UN", SAFE).action
        for (group, name), lows in table.items()
        for creator in (name, name.upper())
        for low in lows.split()
    ]


def test_every_private_element_that_conversion_reads_is_handled_without_its_vr():
    kept = {Action.KEEP, Action.RULE, Action.REWRITE, Action.RECURSE}

    assert set(_decided(READ)) <= kept
    assert set(_decided(NOT_KEPT)) == {Action.REMOVE}


def test_each_reviewed_element_names_a_rule_that_exists():
    from imaging_platform.deid.values import PATTERNS

    other = {"by_vr", "drop", "recurse", "number_or_recurse", "descriptor"}
    rows = load_table("private_reviewed.json")["elements"].values()

    assert {row[1] for row in rows} <= other | set(PATTERNS) | set(REWRITERS)
