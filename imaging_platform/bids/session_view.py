"""A session of any BIDS dataset as a folder that the stages read: links, no copies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imaging_platform.bids.existing import (
    BidsFile,
    ExistingSession,
    merge_sidecars,
    nearest_gradients,
)
from imaging_platform.files.writing import write_json

VIEWED = {"anat": ("T1w", "T2w", "FLAIR"), "func": ("bold",), "dwi": ("dwi",)}
"""Suffixes by datatype of what is linked."""


def list_images(session: ExistingSession) -> Iterator[BidsFile]:
    """Yield the magnitude images of a session that a view has, in order of paths."""
    for file in session.files:
        is_image = file.extension in (".nii", ".nii.gz")
        is_phase = file.entities.get("part", "mag") != "mag"
        if is_image and not is_phase and file.suffix in VIEWED.get(file.datatype, ()):
            yield file


def link_image(session: ExistingSession, file: BidsFile, view: Path) -> Path:
    """
    Link an image into a view, with its sidecar and its gradients; return its path.

    Sidecars are merged by the inheritance principle of BIDS. The name carries the
    labels of the session's key, also where the dataset has no sessions.

    Parameters
    ----------
    session
        The session.
    file
        One of its images.
    view
        Folder that stands for ``sub-X/ses-Y``.

    Raises
    ------
    BadInput
        A sidecar is no JSON object.
    """
    base = view / file.datatype / file.name(session.key)
    sidecar = merge_sidecars(session, file)
    base.parent.mkdir(parents=True, exist_ok=True)
    if sidecar:
        write_json(base.with_name(f"{base.name}.json"), sidecar)
    for ending, path in nearest_gradients(session, file).items():
        base.with_name(base.name + ending).symlink_to(path)
    image = base.with_name(base.name + file.extension)
    image.symlink_to(file.path)
    return image
