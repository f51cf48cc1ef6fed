"""Identifiers of the subject in what conversion made, and nothing else, are found."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid.echo import find_echoes
from imaging_platform.deid.guard_store import load_identifiers, save_identifiers
from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.model.errors import MissingInput

UID = "1.2.826.0.1.3680043.9.9999.1.3.1"
WHO = Identifiers(
    words=frozenset({"zuckerschwerdt", "timing", "px4711888", "12345", "4711888123"}),
    phrases=frozenset({"hospital of nowhere"}),
    uids=frozenset({UID}),
    dates=frozenset({"20200229"}),
)


def _places(tree: Path, *, own: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(r.file, r.place) for r in find_echoes(tree, WHO, own_names=own)]


def _sidecar(tree: Path, content: object) -> Path:
    (tree / "anat").mkdir(parents=True, exist_ok=True)
    path = tree / "anat" / "sub-1_T1w.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"ImageComments": "of Zuckerschwerdt, again"}, "ImageComments"),
        ({"A": {"B": ["x", {"C": "Hospital of Nowhere"}]}}, "A.B[1].C"),
        ({"SeriesInstanceUID": UID}, "SeriesInstanceUID"),
        ({"AcquisitionDateTime": "2020-02-29T13:14:15"}, "AcquisitionDateTime"),
        ({"Date": 20200229}, "Date"),
        ({"Id": 4711888123}, "Id"),
        ({"Serial": "12345"}, ""),
        ({"Label": "scanner 12345"}, "Label"),
        ({"Zuckerschwerdt": 1}, "key 0"),
        ({"of Zuckerschwerdt": 1}, "key 0"),
        ({"Name": "Z\u00fcckerschwerdt"}, "Name"),
    ],
)
def test_a_sidecar_is_searched_to_its_leaves(tmp_path, content, place):
    _sidecar(tmp_path, content)

    found = [("anat/sub-1_T1w.json", place)] if place else []
    assert _places(tmp_path) == found


@pytest.mark.parametrize(
    "content",
    [
        {"ShimSetting": [12345, -12345], "EchoTime": 0.12345, "Count": 12345},
        {"SliceTiming": [0.0, 1.0]},
        {"Manufacturer": "Siemens", "RepetitionTime": 2.0, "Slope": float("nan")},
        {"AcquisitionDateTime": "2018-02-28T13:14:15", "Flag": True, "None": None},
    ],
)
def test_what_is_no_identifier_is_not_taken_for_one(tmp_path, content):
    _sidecar(tmp_path, content)

    assert _places(tmp_path) == []


def test_a_sidecar_that_is_no_json_is_searched_by_line(tmp_path):
    _sidecar(tmp_path, {}).write_text('{"A": 1,\n "B": "PX4711888"')

    assert _places(tmp_path) == [("anat/sub-1_T1w.json", "line 2")]


def test_a_table_is_searched_by_line_and_column(tmp_path):
    (tmp_path / "scans.tsv").write_text(
        "filename\tacq_time\na\t2018-02-28T10:00:00\nb\t2020-02-29T10:00:00\n"
    )

    assert _places(tmp_path) == [("scans.tsv", "line 3, column acq_time")]


def test_the_name_of_a_column_is_not_told_when_it_echoes(tmp_path):
    (tmp_path / "scans.tsv").write_text("zuckerschwerdt\nPX4711888\n")

    assert _places(tmp_path) == [
        ("scans.tsv", "line 1, column 1"),
        ("scans.tsv", "line 2, column 1"),
    ]


def test_gradients_are_numbers_and_other_words_among_them_are_text(tmp_path):
    (tmp_path / "dwi.bval").write_text("0 1000 12345 1e3\n")
    (tmp_path / "dwi.bvec").write_text("0.12345 -1 0\n0 PX4711888 0\n0 20200229 0\n")

    assert _places(tmp_path) == [("dwi.bvec", "line 2"), ("dwi.bvec", "line 3")]


def _page(tree: Path, kind: str, data: bytes, *, width: int = 0) -> None:
    letters = base64.b64encode(data).decode()
    width = width or len(letters)
    lines = [letters[k : k + width] for k in range(0, len(letters), width)]
    link = f"data:{kind};base64," + "\n".join(["", *lines] if lines[1:] else lines)
    (tree / "page.html").write_text(f"<p>one</p>\n<img src='{link}'/>\n<p>two</p>\n")


@pytest.mark.parametrize("width", [0, 64, 76])
def test_letters_that_encode_a_picture_spell_a_name_by_chance(tmp_path, width):
    spelled = base64.b64decode("//timing+" * 20)
    picture = b"\x89PNG\r\n\x1a\n\0" + spelled + bytes(range(90))
    _page(tmp_path, "image/png", picture, width=width)

    assert "/timing+" in (tmp_path / "page.html").read_text()
    assert _places(tmp_path) == []


@pytest.mark.parametrize("width", [0, 64, 76])
def test_a_drawing_that_a_page_embeds_is_read(tmp_path, width):
    drawing = "<svg>\n<text>of Z\u00fcckerschwerdt</text>\n</svg>".encode()
    _page(tmp_path, "image/svg+xml", drawing + b" " * 100, width=width)

    assert _places(tmp_path) == [("page.html", "line 2")]


@pytest.mark.parametrize(
    "line",
    [
        "data:image/png;base64,iVBORw0KGgo= of Zuckerschwerdt",
        "data:image/png;base64,iVBORw0KGgo=Zuckerschwerdt",
        "data:image/png;base64,Zuckerschwerdt",
        "data:image/png;base64,ofZuckerschwerdt",
    ],
)
def test_what_stands_beside_embedded_data_is_read(tmp_path, line):
    (tmp_path / "page.html").write_text(f"<p>one</p>\n{line}\n")

    assert _places(tmp_path) == [("page.html", "line 2")]


def _image(path: Path, *, extension: bytes = b"", **fields: str) -> Path:
    import nibabel as nib

    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    for name, text in fields.items():
        image.header[name] = text
    if extension:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", extension))
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    "field", ["descrip", "aux_file", "intent_name", "db_name", "data_type"]
)
def test_each_text_of_an_image_header_is_searched(tmp_path, suffix, field):
    text = "12345" if field == "data_type" else "of PX4711888"
    _image(tmp_path / f"T1w{suffix}", **{field: text})

    assert _places(tmp_path) == [(f"T1w{suffix}", field)]


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_extension_of_an_image_header_is_searched(tmp_path, suffix, encoding):
    name = "Zuckerschwerdt^Quirina".encode(encoding)
    _image(tmp_path / f"T1w{suffix}", extension=b"x" * 600 + b"\0\0" + name)

    assert _places(tmp_path) == [(f"T1w{suffix}", "header extension")]


def test_the_header_of_nifti_2_is_searched(tmp_path):
    import nibabel as nib

    image = nib.Nifti2Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header["descrip"] = b"PX4711888"
    nib.save(image, tmp_path / "T1w.nii.gz")

    assert _places(tmp_path) == [("T1w.nii.gz", "descrip")]


@given(data=st.binary(max_size=700))
def test_a_broken_image_raises_nothing(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("broken")
    (folder / "a.nii").write_bytes(data)
    (folder / "b.nii.gz").write_bytes(gzip.compress(data)[:-3])
    (folder / "c.nii.gz").write_bytes(data)

    assert isinstance(find_echoes(folder, WHO), tuple)


def test_a_place_of_the_voxels_that_makes_no_sense_is_not_followed(tmp_path):
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<f", head, 108, float("inf"))
    (tmp_path / "a.nii").write_bytes(bytes(head) + b"PX4711888")

    assert _places(tmp_path) == [("a.nii", "header extension")]


def test_voxels_are_not_text(tmp_path):
    path = _image(tmp_path / "T1w.nii")
    path.write_bytes(path.read_bytes() + b"PX4711888")

    assert _places(tmp_path) == []


def test_a_name_that_echoes_is_not_told(tmp_path):
    (tmp_path / "Zuckerschwerdt").mkdir()
    (tmp_path / "Zuckerschwerdt" / "a.json").write_text('{"A": "PX4711888"}')

    assert _places(tmp_path) == [("", "A"), ("", "file name")]


def test_the_name_of_an_empty_folder_is_searched(tmp_path):
    (tmp_path / "PX4711888").mkdir()

    assert _places(tmp_path) == [("", "folder name")]


def test_the_pseudonym_may_stand_everywhere(tmp_path):
    own = ("sub-zuckerschwerdt", "ses-1")
    folder = tmp_path / "sub-zuckerschwerdt_ses-1"
    folder.mkdir()
    (folder / "a.json").write_text('{"A": "sub-zuckerschwerdt/ses-1"}')

    assert _places(tmp_path, own=own) == []


def test_what_must_not_be_found_is_kept_for_its_owner_alone(tmp_path):
    file = tmp_path / "guard" / "sub-1_ses-1.json"

    save_identifiers(file, WHO)

    assert load_identifiers(file) == WHO
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [None, "", "[]", '{"words": []}', "null"])
def test_nothing_passes_when_it_is_not_known_what_must_not_be_found(tmp_path, content):
    file = tmp_path / "a.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(MissingInput) as refused:
        load_identifiers(file)

    assert "anonymized_dicom" in refused.value.fix


@pytest.mark.parametrize("field", ["name", "comment", "extra"])
def test_the_head_of_a_compressed_image_is_searched(tmp_path, field):
    said = b"zuckerschwerdt"
    flags = {"extra": 4, "name": 8, "comment": 16}[field]
    told = said + b"\0" if field != "extra" else struct.pack("<H", len(said)) + said
    plain = gzip.compress(bytes(352), mtime=0)
    head = plain[:3] + bytes([flags]) + plain[4:10] + told
    (tmp_path / "sub-1_T1w.nii.gz").write_bytes(head + plain[10:])

    assert _places(tmp_path) == [("sub-1_T1w.nii.gz", "gzip header")]
