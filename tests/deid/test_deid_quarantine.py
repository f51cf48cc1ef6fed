"""What is not written, and that nothing of it raises."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset

from imaging_platform.deid.gate import (
    IMAGE_KINDS,
    GateFacts,
    gate_facts,
    judge,
    kind_of,
    short_kind_of,
)
from imaging_platform.deid.reading import parse_file
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.dicom.structure import BadDicom
from tests.deid.conftest import Anonymize
from tests.deid.originals import make_original, save, write_originals

STORAGE = "1.2.840.10008.5.1.4.1.1"


def _reasons(anonymize: Anonymize, folder: Path, **options: object) -> list[str]:
    report = anonymize(folder, **options).report
    n_left_out = sum(row.n_files for row in report.quarantined)
    assert report.files_read == (
        report.files_written + report.files_duplicate + n_left_out
    )
    return [row.reason for row in report.quarantined]


def _with(folder: Path, **changes: object) -> Path:
    original = make_original()
    for keyword, value in changes.items():
        setattr(original, keyword, value)
    if "SOPClassUID" in changes:
        original.file_meta.MediaStorageSOPClassUID = original.SOPClassUID
    folder.mkdir(exist_ok=True)
    save(original, folder / "a")
    return folder


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("7", "secondary capture"),
        ("88.11", "structured report"),
        ("88.67", "structured report"),
        ("104.1", "encapsulated document"),
        ("11.1", "presentation state"),
        ("7.4", "secondary capture"),
        ("88.33", "structured report"),
        ("104.3", "encapsulated document"),
        ("66", "raw data"),
        ("66.4", "segmentation"),
        ("4.2", "spectroscopy"),
        ("6.1", "ultrasound"),
        ("3.1", "ultrasound"),
        ("1", "X-ray image"),
        ("1.1", "X-ray image"),
        ("12.1", "X-ray image"),
        ("9.1.1", "waveform"),
        ("77.1.4", "photograph"),
        ("481.2", "radiotherapy object"),
        ("4.9", "another kind of object"),
        ("40", "another kind of object"),
    ],
)
def test_kinds_that_often_carry_text_are_not_released(
    tmp_path, anonymize: Anonymize, suffix, kind
):
    folder = _with(tmp_path / "in", SOPClassUID=f"{STORAGE}.{suffix}")

    assert _reasons(anonymize, folder) == [f"{kind} is not released"]
    assert kind_of(f"{STORAGE}.{suffix}") == kind


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned into"),
        ({"ConversionType": "WSD"}, "ConversionType"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "ImageType"),
        ({"ImageType": ["ORIGINAL", "SECONDARY", "DOSE_INFO"]}, "ImageType"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"]}, "ImageType"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CSA REPORT"]}, "ImageType"),
        ({"Modality": "OT"}, "modality"),
        ({"Modality": "CT"}, "modality"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "coloured"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "coloured"),
        ({"PixelPresentation": "TRUE_COLOR"}, "coloured"),
        ({"SOPInstanceUID": ""}, "SOPInstanceUID"),
        ({"SeriesInstanceUID": ""}, "SeriesInstanceUID"),
        ({"Rows": 400}, "shorter"),
        ({"Rows": 0}, "shorter"),
        ({"PixelData": b""}, "no pixel data"),
    ],
)
def test_an_image_with_a_doubt_is_left_out_with_its_reason(
    tmp_path, anonymize: Anonymize, changes, words
):
    (reason,) = _reasons(anonymize, _with(tmp_path / "in", **changes))

    assert words in reason


def test_a_derived_image_passes(tmp_path, anonymize: Anonymize):
    folder = _with(tmp_path / "in", ImageType=["DERIVED", "SECONDARY", "ADC"])

    assert _reasons(anonymize, folder) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "FA", "ND"]},
        {"BurnedInAnnotation": "NO"},
    ],
)
def test_a_colour_map_of_the_scanner_passes(tmp_path, anonymize: Anonymize, changes):
    coloured = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "PixelData": bytes(72),
    }

    assert _reasons(anonymize, _with(tmp_path / "in", **coloured, **changes)) == []


def test_an_overlay_in_spare_bits_of_the_pixels_is_left_out(
    tmp_path, anonymize: Anonymize
):
    original = make_original()
    original.add_new(0x60020102, "US", 12)
    (tmp_path / "in").mkdir()
    save(original, tmp_path / "in" / "a")

    reasons = _reasons(anonymize, tmp_path / "in")

    assert reasons == ["an overlay in bits of the pixels"]


def test_a_private_kind_of_object_is_not_released():
    assert kind_of("1.3.12.2.1107.5.9.1") == "private kind of object"


@given(
    sop_class=st.from_regex(
        r"1\.2\.840\.10008\.5\.1\.4\.1\.1(\.\d{1,3}){1,3}", fullmatch=True
    )
)
def test_a_kind_that_no_list_knows_never_passes(sop_class):
    facts = GateFacts(kind=short_kind_of(sop_class))

    assert (judge(facts, DeidSettings()) == "") == (sop_class in IMAGE_KINDS)


def test_facts_survive_json_and_hold_no_text_of_the_file():
    facts = gate_facts(parse_file(_bytes_of(make_original())))

    assert GateFacts.from_dict(json.loads(json.dumps(facts.as_dict()))) == facts
    assert {type(v) for v in facts.as_dict().values()} == {str, bool, list}
    assert {facts.kind, facts.burned_in} == {"MR", ""}


def test_a_study_can_release_fewer_kinds(tmp_path, anonymize: Anonymize):
    settings = DeidSettings(released_kinds=("CT",))

    reasons = _reasons(anonymize, _with(tmp_path / "in"), settings=settings)

    assert reasons == ["MR image is not released"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"hello", "not DICOM"),
        (b"%PDF-1.7".ljust(400), "not DICOM"),
        (bytes(128) + b"DICM", "broken structure"),
    ],
)
def test_what_is_no_dicom_is_counted(tmp_path, anonymize: Anonymize, content, reason):
    folder = write_originals(tmp_path / "in", 1)
    (folder / "stranger").write_bytes(content)

    assert _reasons(anonymize, folder) == [reason]


def test_an_unknown_transfer_syntax_is_left_out(tmp_path, anonymize: Anonymize):
    folder = _with(tmp_path / "in")
    data = (folder / "a").read_bytes()
    (folder / "a").write_bytes(
        data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.3.4.5.6.7.8.9.10")
    )

    assert _reasons(anonymize, folder) == ["unknown transfer syntax"]


@pytest.fixture(scope="module")
def whole() -> bytes:
    return _bytes_of(make_original())


def _bytes_of(original: FileDataset) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    original.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_a_file_cut_anywhere_is_left_out(tmp_path, anonymize: Anonymize, whole):
    folder = tmp_path / "in"
    folder.mkdir()
    for length in range(133, len(whole) - 1, 61):
        (folder / f"{length}").write_bytes(whole[:length])

    report = anonymize(folder).report

    assert report.files_written == 0
    assert report.files_read == sum(row.n_files for row in report.quarantined)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_bytes_raise_nothing_but_their_own_error(whole, data):
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(132, len(whole) - 1))] = data.draw(
            st.integers(0, 255)
        )

    try:
        parse_file(bytes(broken))
    except BadDicom as error:
        assert error.fix


@settings(max_examples=25, deadline=None)
@given(positions=st.lists(st.tuples(st.integers(132, 3000), st.integers(0, 255))))
def test_a_damaged_file_in_a_session_raises_no_foreign_error(
    tmp_path_factory, positions
):
    from imaging_platform.deid.session import anonymize_session
    from imaging_platform.model.errors import PlatformError
    from imaging_platform.model.ids import SessionKey
    from tests.deid.originals import SECRET

    broken = bytearray(_bytes_of(make_original()))
    for position, value in positions:
        broken[position % len(broken)] = value
    root = tmp_path_factory.mktemp("damaged")
    (root / "in").mkdir()
    (root / "out").mkdir()
    (root / "in" / "a").write_bytes(bytes(broken))

    try:
        report = anonymize_session(
            root / "in",
            root / "out",
            key=SessionKey("A", "1"),
            settings=DeidSettings(),
            secret=SECRET,
        )
    except PlatformError as error:
        assert error.fix
    else:
        assert report.files_read == 1


def test_a_deflated_bomb_is_left_out(tmp_path, anonymize: Anonymize, monkeypatch):
    from imaging_platform.deid import source

    monkeypatch.setattr(source, "MAX_INFLATED_BYTES", 10_000)
    folder = tmp_path / "in"
    folder.mkdir()
    original = _bytes_of(make_original())
    end = 144 + int.from_bytes(original[140:144], "little")
    meta = original[:end].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = engine.compress(original[end:] + bytes(1_000_000)) + engine.flush()
    fixed = meta.replace(b"\x10\0UI\x14\0", b"\x10\0UI\x16\0")
    (folder / "bomb").write_bytes(fixed + body)

    assert _reasons(anonymize, folder) == ["inflates beyond the limit"]


def test_deep_nesting_is_left_out(tmp_path, anonymize: Anonymize):
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    inner = Dataset()
    for _ in range(40):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([inner])
        inner = outer
    folder = _with(
        tmp_path / "in", ReferencedImageSequence=inner.ReferencedImageSequence
    )

    assert _reasons(anonymize, folder) == ["nested too deeply"]
