"""Rectangles that are blackened: these pixels and no others, in every layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from imaging_platform.deid.mask_recipes import MaskMatch, MaskRecipe, Region
from imaging_platform.deid.masking import PixelGeometry, mask_frame, mask_frames
from imaging_platform.deid.settings import DeidSettings
from tests.deid.conftest import Anonymize
from tests.deid.originals import make_original, save

US = "1.2.840.10008.5.1.4.1.1.6.1"
SC = "1.2.840.10008.5.1.4.1.1.7"


def _recipe(*regions: tuple[int, int, int, int], **match: object) -> MaskRecipe:
    return MaskRecipe.model_validate(
        {
            "name": "banner",
            "match": {"modality": "US", "rows": 4, "columns": 6, **match},
            "regions": [
                dict(zip(("left", "top", "width", "height"), r, strict=True))
                for r in regions or [(1, 1, 3, 2)]
            ],
            "reason": "Looked at ten images.",
        }
    )


def _settings(*regions: tuple[int, int, int, int], **match: object) -> DeidSettings:
    return DeidSettings(masks=(_recipe(*regions, **match),))


def _ultrasound(**changes: object) -> FileDataset:
    original = make_original()
    original.SOPClassUID = original.file_meta.MediaStorageSOPClassUID = US
    original.Modality = "US"
    original.PixelData = (np.arange(24, dtype="<u2") + 1).tobytes()
    for keyword, value in changes.items():
        setattr(original, keyword, value)
    return original


def _put(folder: Path, original: FileDataset) -> Path:
    folder.mkdir()
    save(original, folder / "a")
    return folder


sides = st.integers(1, 9)
regions = st.tuples(st.integers(0, 8), st.integers(0, 8), sides, sides)


@given(
    shape=st.tuples(sides, sides),
    n_frames=st.integers(1, 3),
    dtype=st.sampled_from(["u1", "<u2", ">i2", "<u4", ">u4"]),
    layout=st.sampled_from(["grey", "pixels", "planes"]),
    region=regions,
)
def test_exactly_the_pixels_of_the_regions_are_black(
    shape, n_frames, dtype, layout, region
):
    rows, columns = shape
    left, top, width, height = region
    whole = {
        "grey": (n_frames, rows, columns),
        "pixels": (n_frames, rows, columns, 3),
        "planes": (n_frames, 3, rows, columns),
    }[layout]
    image = np.arange(1, np.prod(whole) + 1).astype(dtype).reshape(whole)
    image[image == 0] = 1
    expected = image.copy()
    if layout == "planes":
        expected[:, :, top : top + height, left : left + width] = 0
    else:
        expected[:, top : top + height, left : left + width] = 0
    geometry = PixelGeometry(
        rows,
        columns,
        n_frames,
        n_samples=1 if layout == "grey" else 3,
        bytes_per_sample=image.itemsize,
        is_planar=layout == "planes",
    )
    pixels = bytearray(image.tobytes())
    recipe = MaskRecipe.model_construct(
        regions=(Region(left=left, top=top, width=width, height=height),)
    )

    mask_frames(pixels, geometry, recipe)

    assert bytes(pixels) == expected.tobytes()


@given(dtype=st.sampled_from(["u1", "<u2"]), n_frames=st.integers(1, 4))
def test_masking_frame_by_frame_gives_the_same_as_masking_all(dtype, n_frames):
    image = np.full((n_frames, 4, 6), 7, dtype)
    geometry = PixelGeometry(4, 6, n_frames, bytes_per_sample=image.itemsize)
    whole = bytearray(image.tobytes())
    mask_frames(whole, geometry, _recipe())

    frames = []
    for frame in image:
        part = bytearray(frame.tobytes())
        mask_frame(part, geometry, _recipe())
        frames.append(bytes(part))

    assert b"".join(frames) == bytes(whole)


@pytest.mark.parametrize("length", [0, 47, 49])
def test_bytes_that_are_not_one_frame_are_refused(length):
    with pytest.raises(ValueError, match="one frame"):
        mask_frame(bytearray(length), PixelGeometry(4, 6), _recipe())


def test_too_few_bytes_for_all_frames_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        mask_frames(bytearray(95), PixelGeometry(4, 6, n_frames=2), _recipe())


def test_a_masked_image_passes_and_says_that_its_pixels_were_cleaned(
    tmp_path, anonymize: Anonymize
):
    folder = _put(tmp_path / "in", _ultrasound(BurnedInAnnotation="YES"))

    result = anonymize(folder, settings=_settings())

    (file,) = result.files
    image = np.frombuffer(file.PixelData, "<u2").reshape(4, 6)
    assert (image == 0).sum() == 6
    assert not image[1:3, 1:4].any()
    assert file.BurnedInAnnotation == "NO"
    codes = [item.CodeValue for item in file.DeidentificationMethodCodeSequence]
    assert "113101" in codes
    assert [row.mask for row in result.report.written] == ["banner"]


def test_an_unmasked_image_does_not_say_that_its_pixels_were_cleaned(
    tmp_path, anonymize: Anonymize
):
    folder = _put(tmp_path / "in", make_original())

    (file,) = anonymize(folder, settings=_settings()).files

    codes = [item.CodeValue for item in file.DeidentificationMethodCodeSequence]
    assert "113101" not in codes


@pytest.mark.parametrize(
    "syntax", [ExplicitVRBigEndian, ImplicitVRLittleEndian], ids=["big", "implicit"]
)
def test_native_pixels_are_masked_in_every_byte_order(
    tmp_path, anonymize: Anonymize, syntax
):
    original = _ultrasound()
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    original.PixelData = (np.arange(24) + 1).astype(order).tobytes()
    original.file_meta.TransferSyntaxUID = syntax
    (tmp_path / "in").mkdir()
    folder = tmp_path / "in"
    plain = Dataset()
    plain.update({element.tag: element for element in original})
    plain.file_meta = original.file_meta
    plain.save_as(folder / "a", enforce_file_format=True)

    (file,) = anonymize(folder, settings=_settings()).files

    image = np.frombuffer(file.PixelData, order).reshape(4, 6)
    assert image[0].tolist() == [1, 2, 3, 4, 5, 6]
    assert image[1].tolist() == [7, 0, 0, 0, 11, 12]


def test_every_frame_of_a_file_is_masked(tmp_path, anonymize: Anonymize):
    image = np.arange(1, 24 * 5000 + 1, dtype="<u2") | 1
    original = _ultrasound(NumberOfFrames=5000, PixelData=image.tobytes())
    folder = _put(tmp_path / "in", original)

    (file,) = anonymize(folder, settings=_settings()).files

    written = np.frombuffer(file.PixelData, "<u2").reshape(5000, 4, 6)
    expected = image.reshape(5000, 4, 6).copy()
    expected[:, 1:3, 1:4] = 0
    assert np.array_equal(written, expected)


def test_compressed_pixels_stay_although_a_mask_is_for_them(
    tmp_path, anonymize: Anonymize
):
    original = _ultrasound()
    original.compress(RLELossless, generate_instance_uid=False)
    folder = _put(tmp_path / "in", original)

    (row,) = anonymize(folder, settings=_settings()).report.quarantined

    assert row.reason == "mask banner is for it, but its pixels are compressed"


def test_an_image_of_another_size_is_not_masked_and_stays(
    tmp_path, anonymize: Anonymize
):
    folder = _put(tmp_path / "in", _ultrasound(Rows=3, PixelData=bytes(range(1, 37))))

    (row,) = anonymize(folder, settings=_settings()).report.quarantined

    assert row.reason == "ultrasound is not released"


def test_pixels_that_share_their_colours_are_not_masked(tmp_path, anonymize: Anonymize):
    original = _ultrasound(
        PhotometricInterpretation="YBR_FULL_422",
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        BitsAllocated=8,
    )
    folder = _put(tmp_path / "in", original)

    (row,) = anonymize(folder, settings=_settings()).report.quarantined

    assert row.reason == "mask banner is for it, but its pixels cannot be masked"


@pytest.mark.parametrize(
    "match",
    [
        {"manufacturer": "siemens", "model": "PRISMA"},
        {"sop_class": US},
        {"image_type": ("original", "m")},
    ],
)
def test_a_recipe_is_for_whole_values_whatever_their_case(
    tmp_path, anonymize: Anonymize, match
):
    folder = _put(tmp_path / "in", _ultrasound())

    assert anonymize(folder, settings=_settings(**match)).report.files_written == 1


@pytest.mark.parametrize("match", [{"model": "Pris"}, {"image_type": ("ADC",)}])
def test_a_recipe_is_for_nothing_else(tmp_path, anonymize: Anonymize, match):
    folder = _put(tmp_path / "in", _ultrasound())

    assert anonymize(folder, settings=_settings(**match)).report.files_written == 0


@pytest.mark.parametrize(
    "sop_class", ["88.11", "104.1", "66", "11.1", "9.1.1", "481.3"]
)
def test_a_mask_never_lets_pass_what_is_no_image(
    tmp_path, anonymize: Anonymize, sop_class
):
    original = _ultrasound()
    uid = f"1.2.840.10008.5.1.4.1.1.{sop_class}"
    original.SOPClassUID = original.file_meta.MediaStorageSOPClassUID = uid
    folder = _put(tmp_path / "in", original)

    assert anonymize(folder, settings=_settings()).report.files_written == 0


def test_a_recipe_of_the_same_check_numbers_lets_no_unmasked_image_pass(
    tmp_path, anonymize: Anonymize, monkeypatch
):
    from imaging_platform.deid import gate

    recipe = _recipe(model="Another")
    monkeypatch.setattr(gate, "mask_for", lambda facts, settings: recipe)
    folder = _put(tmp_path / "in", _ultrasound())

    settings = DeidSettings(masks=(recipe,))
    (row,) = anonymize(folder, settings=settings).report.quarantined

    assert row.reason == "it cannot be told which mask is for it"


@pytest.mark.parametrize(
    "change",
    [
        {"match": {"modality": "US", "rows": 4}},
        {"match": {"rows": 4, "columns": 6}},
        {"regions": []},
        {"regions": [{"left": 6, "top": 0, "width": 1, "height": 1}]},
        {"reason": ""},
        {"name": "Dr Who"},
    ],
)
def test_a_recipe_that_is_for_too_much_or_nothing_is_refused(change):
    good = _recipe().model_dump()

    with pytest.raises(ValidationError):
        MaskRecipe.model_validate(good | change)


def test_conditions_are_compared_as_a_reader_would(tmp_path):
    match = MaskMatch(manufacturer="GE_Medical  Systems")

    assert match.conditions() == {"manufacturer=ge medical systems"}
