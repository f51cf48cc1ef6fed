"""Phase-encoding directions of real images, against what their operators set."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging_platform.bids.evidence import Evidence, read_evidence
from imaging_platform.bids.outputs import read_scratch
from imaging_platform.tools import dcm2niix


def read_images(source: Path, scratch: Path) -> list[Evidence]:
    """Convert a folder and return the evidence of each image."""
    dcm2niix.convert_folder(source, scratch, timeout_s=300)
    return [read_evidence(output) for output in read_scratch(scratch).outputs]


@pytest.mark.parametrize(
    ("folder", "count"),
    [("dcm_qa_nih/In/20180918Si", 4), ("dcm_qa_xa30/In/17_DWI_dir80_AP", 1)],
)
def test_images_of_siemens_say_the_direction_that_their_name_states(
    shared_data, tmp_path, folder, count
):
    images = read_images(shared_data / "dicom" / folder, tmp_path)

    stated = [(image.named_direction, image.direction) for image in images]
    assert len(stated) == count
    assert all(name == measured for name, measured in stated)


def test_orientation_alone_gives_the_same_direction_as_the_image(shared_data, tmp_path):
    folder = "dcm_qa_nih/In/20180918Si"

    for image in read_images(shared_data / "dicom" / folder, tmp_path):
        from_sidecar = read_evidence(
            type(image.output)(image.output.stem, image.output.sidecar)
        )
        assert from_sidecar.direction == image.direction


def test_images_of_ge_have_one_direction_from_their_polarity(shared_data, tmp_path):
    folder = shared_data / "dicom/dcm_qa_nih/In/20180918GE"

    found = {image.direction for image in read_images(folder, tmp_path)}

    assert found == {"AP"}


def test_images_of_philips_have_an_axis_and_no_direction(shared_data, tmp_path):
    folder = shared_data / "dicom/misc/dcm_qa_philips_phantom"

    (image,) = read_images(folder, tmp_path)

    assert image.text("PhaseEncodingAxis") == "j"
    assert image.direction is None
    assert image.named_direction is None
