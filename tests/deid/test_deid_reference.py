"""The fast way and pydicom's way come to the same elements, whatever the file."""

from __future__ import annotations

import shutil
import warnings
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_platform.deid.actions import Actions, Subject
from imaging_platform.deid.encoding import encoding_of
from imaging_platform.deid.imprint import imprint
from imaging_platform.deid.policy import Policy
from imaging_platform.deid.pseudonyms import date_offset_days
from imaging_platform.deid.reference import Element, Tree, reference_tree, tree_of
from imaging_platform.deid.residue import collect_identifiers
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.files.digests import sorted_files
from tests.deid.conftest import KEY, Anonymize
from tests.deid.originals import SECRET, make_original

# Values that break the rules of their representation are among those to agree on.
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def _expected(path: Path) -> Tree:
    options = DeidSettings()
    offset = date_offset_days(SECRET, KEY.subject, options)
    subject = Subject(SECRET, KEY.subject, offset, Policy(options))
    known = collect_identifiers([path])
    return reference_tree(path, Actions(subject, Screen(known)))


def _comparable(tree: Tree) -> Tree:
    """Leave out what says what was done, and the representation of empty values."""
    options = DeidSettings()
    said = imprint(
        Subject(SECRET, KEY.subject, 0, Policy(options)),
        encoding_of(ExplicitVRLittleEndian),
        is_masked=False,
    )
    return {
        tag: _without_empty(element) for tag, element in tree.items() if tag not in said
    }


def _without_empty(element: Element) -> Element:
    vr, value = element
    if isinstance(value, bytes):
        # pydicom reads an empty UN under the name of its dictionary.
        return (vr, value) if value else ("", b"")
    return vr, [{t: _without_empty(e) for t, e in item.items()} for item in value]


def _compare(folder: Path, anonymize: Anonymize) -> int:
    """Hold each written file of a folder with one original to the reference."""
    (path,) = sorted_files(folder)
    written = sorted_files(anonymize(folder).target)
    for output in written:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fast = _comparable(tree_of(dcmread(output)))
            slow = _comparable(_expected(path))
        assert fast == slow
    return len(written)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_both_ways_agree_in_every_native_transfer_syntax(
    tmp_path, anonymize: Anonymize, syntax
):
    original = make_original()
    _save_as(original, tmp_path / "in" / "a", syntax)

    assert _compare(tmp_path / "in", anonymize) == 1


def _save_as(original: FileDataset, path: Path, syntax: str) -> None:
    path.parent.mkdir(exist_ok=True)
    original.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        swapped = bytearray(original.PixelData)
        swapped[0::2], swapped[1::2] = swapped[1::2], swapped[0::2]
        original.PixelData = bytes(swapped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(path, original, enforce_file_format=True)


PUBLIC = {
    0x00080008: "CS",
    0x0008002A: "DT",
    0x00080021: "DA",
    0x00080031: "TM",
    0x00080070: "LO",
    0x00080080: "LO",
    0x00081030: "LO",
    0x0008103E: "LO",
    0x00081090: "LO",
    0x00100010: "PN",
    0x00101010: "AS",
    0x00101030: "DS",
    0x00102160: "SH",
    0x00104000: "LT",
    0x00180024: "SH",
    0x00180050: "DS",
    0x00181250: "SH",
    0x00189073: "FD",
    0x0020000E: "UI",
    0x00204000: "LT",
    0x00280030: "DS",
    0x00281101: "US",
    0x00400244: "DA",
    0x0040A123: "PN",
    0x00400555: "SQ",
    0x52009229: "SQ",
    0x00081032: "SQ",
    0x0040A730: "SQ",
    0x20010001: "SQ",
}
CREATORS = ("SIEMENS MR HEADER", "GEMS_ACQU_01", "Philips Imaging DD 001", "ACME 1.0")

words = st.text("ABCdef 012^-_./", max_size=12)
days = st.dates(min_value=date(1900, 1, 1)).map(lambda day: day.strftime("%Y%m%d"))
numbers = st.floats(-1e6, 1e6, width=32)
VALUES = {
    "CS": st.text("ABCDEF 012_", max_size=12),
    "DA": days,
    "DT": st.builds(lambda day, end: day + end, days, st.sampled_from(("", "1201.5"))),
    "TM": st.sampled_from(("", "120000", "1200", "120000.25")),
    "DS": st.lists(numbers.map("{:.6g}".format), max_size=3),
    "FD": numbers,
    "US": st.integers(0, 65535),
    "AS": st.sampled_from(("034Y", "095Y", "")),
    "UI": st.from_regex(r"1\.2\.(840\.10008|826)\.[1-9]{1,6}", fullmatch=True),
    "UN": st.binary(max_size=12).map(lambda value: value + b"\0" * (len(value) % 2)),
}


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 0) -> Dataset:
    dataset = Dataset()
    for tag in draw(st.lists(st.sampled_from(sorted(PUBLIC)), max_size=9)):
        vr = PUBLIC[tag]
        if tag >> 16 & 1:
            continue
        if vr == "SQ":
            items = st.lists(data_sets(depth + 1), max_size=2) if depth < 3 else None
            value = Sequence(draw(items) if items is not None else [])
        else:
            value = draw(VALUES.get(vr, words))
        dataset.add_new(tag, vr, value)
    for creator in draw(st.lists(st.sampled_from(CREATORS), max_size=2, unique=True)):
        group = {"SIEMENS MR HEADER": 0x19, "GEMS_ACQU_01": 0x19}.get(creator, 0x2001)
        block = dataset.private_block(group, creator, create=True)
        for number in draw(st.lists(st.integers(0, 0x30), max_size=4, unique=True)):
            vr = draw(st.sampled_from(("LO", "IS", "FD", "UN", "SH", "DA", "UI")))
            value = draw(st.just("12") if vr == "IS" else VALUES.get(vr, words))
            block.add_new(number, vr, value)
    return dataset


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(added=data_sets(), syntax=st.sampled_from(SYNTAXES), is_open=st.booleans())
def test_both_ways_agree_on_any_data_set(
    tmp_path_factory, anonymize: Anonymize, added, syntax, is_open
):
    original = make_original()
    kept = {0x00080018, 0x0020000E}
    for element in added:
        if int(element.tag) not in kept:
            element.is_undefined_length = is_open and element.VR == "SQ"
            original.add(element)
    path = tmp_path_factory.mktemp("any") / "in" / "a"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _save_as(original, path, syntax)

    assert _compare(path.parent, anonymize) == 1


def _samples(shared_data: Path) -> list[Path]:
    folders: dict[Path, list[Path]] = {}
    for path in sorted_files(shared_data / "dicom"):
        folders.setdefault(path.parent, []).append(path)
    return [path for paths in folders.values() for path in paths[:2]]


@pytest.mark.slow
def test_both_ways_agree_on_real_files(tmp_path, shared_data, anonymize: Anonymize):
    n_compared = 0
    for number, path in enumerate(_samples(shared_data)):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copyfile(path, folder / "a")
        n_compared += _compare(folder, anonymize)

    assert n_compared > 40


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    [
        "dcm_qa_nih/In/20180918GE/mr_0004",
        "dcm_qa_me/In/2_me_FieldMap_GRE",
        "dcm_qa_xa30/In/7_func-bold_task-fa_run-1",
        "misc/dcm_qa_toshiba_sub/In/Galan/10006_DTI_ALL_20d",
    ],
)
def test_a_file_among_others_comes_out_as_it_would_alone(
    tmp_path, shared_data, anonymize: Anonymize, folder
):
    together = {
        path.name: path.read_bytes()
        for path in sorted_files(anonymize(shared_data / "dicom" / folder).target)
    }

    for number, path in enumerate(sorted_files(shared_data / "dicom" / folder)[::23]):
        alone = tmp_path / str(number)
        alone.mkdir()
        shutil.copyfile(path, alone / "a")
        for written in sorted_files(anonymize(alone).target):
            assert together[written.name] == written.read_bytes()

    assert together
