"""The official validator, as it is."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np

from imaging_platform.tools.validator import validate_dataset


def _dataset(root, *, name: str):
    (root / "sub-01" / "anat").mkdir(parents=True)
    description = {"Name": "x", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    (root / "README").write_text("A dataset of one image, made for a test.\n" * 5)
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    nib.save(image, root / "sub-01" / "anat" / name)
    return root


def test_a_valid_dataset_has_no_error(tmp_path):
    validation = validate_dataset(_dataset(tmp_path, name="sub-01_T1w.nii.gz"))

    assert validation.is_valid
    assert validation.files == 3
    assert validation.warnings


def test_an_error_names_its_rule_and_its_file(tmp_path):
    validation = validate_dataset(_dataset(tmp_path, name="sub-01_T9w.nii.gz"))

    assert not validation.is_valid
    assert ("NOT_INCLUDED", "/sub-01/anat/sub-01_T9w.nii.gz") in {
        (issue.code, issue.location) for issue in validation.errors
    }
