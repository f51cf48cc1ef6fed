"""The official validator on one session: a dataset of one, made of a link."""

from __future__ import annotations

import tempfile
from pathlib import Path

from imaging_platform.bids.dataset import (
    write_dataset_files,
    write_derivative_description,
)
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.files.writing import write_text
from imaging_platform.model.ids import SessionKey
from imaging_platform.tools.validator import Validation, validate_dataset


def validate_session(
    session_tree: Path, *, key: SessionKey, settings: BidsSettings
) -> Validation:
    """
    Validate one converted session in a temporary dataset.

    Parameters
    ----------
    session_tree
        The folder that is ``sub-x/ses-y``; it is linked, not copied.
    key
        Its subject and session.
    settings
        For the BIDS version.

    Raises
    ------
    ToolFailed
        The validator crashed or printed no report.
    """
    with tempfile.TemporaryDirectory(prefix="bids-validate-") as name:
        root = Path(name)
        _link_session(root, session_tree, key)
        write_dataset_files(root, name="one session", settings=settings, members=[key])
        return validate_dataset(root)


def validate_derivative(
    session_tree: Path,
    *,
    key: SessionKey,
    pipeline: str,
    version: str,
    bids_version: str = "1.11.1",
) -> Validation:
    """
    Validate one session of a derivative dataset in a temporary dataset.

    Parameters
    ----------
    session_tree
        The folder that is ``sub-x/ses-y``; it is linked, not copied.
    key
        Its subject and session.
    pipeline, version
        What made the derivative.
    bids_version
        BIDS version of the derivative dataset.

    Raises
    ------
    ToolFailed
        The validator crashed or printed no report.
    """
    with tempfile.TemporaryDirectory(prefix="bids-validate-") as name:
        root = Path(name)
        _link_session(root, session_tree, key)
        write_derivative_description(
            root,
            name="one session",
            pipeline=pipeline,
            version=version,
            bids_version=bids_version,
        )
        write_text(
            root / "README.md",
            "# One session\n\nA temporary dataset to validate one session of a "
            "derivative; it is removed after the check.\n",
        )
        return validate_dataset(root)


def _link_session(root: Path, session_tree: Path, key: SessionKey) -> None:
    subject = root / f"sub-{key.subject}"
    subject.mkdir()
    (subject / f"ses-{key.session}").symlink_to(
        session_tree.resolve(), target_is_directory=True
    )
