"""The built-in rules for images that are no MR: PET, and what BIDS cannot name."""

from __future__ import annotations

import re

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.derived import is_picture, is_reformat
from imaging_platform.bids.evidence import Evidence, Rule, Surroundings

_NO_NAME = {
    "CT": "BIDS 1.11 has no name for CT",
    "US": "BIDS has no name for ultrasound",
    "NM": "BIDS has no name for SPECT and planar nuclear medicine",
    "CR": "BIDS has no name for radiographs",
    "DX": "BIDS has no name for radiographs",
    "XA": "BIDS has no name for X-ray angiography",
}


def is_emission_tomography(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find PET: by modality, or by the tracer where a sidecar leaves it out."""
    modality = image.text("Modality")
    traced = not modality and image.text("TracerName")
    if modality not in {"PT", "PET"} and not traced:
        return None
    entities: dict[str, str] = {}
    tracer = re.sub(r"[^A-Za-z0-9]", "", image.text("TracerName"))
    if tracer:
        entities["trc"] = tracer
    if image.has_word(r"(^|[^a-z])(nac|uncorrected)([^a-z]|$)|no[-_ ]?ac([^a-z]|$)"):
        entities["rec"] = "nac"
    return Verdict(
        rule="pet",
        why="The modality is positron emission tomography.",
        datatype="pet",
        suffix="pet",
        entities=entities,
    )


def is_copy_of_tomography(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find projections and pictures of other modalities than MR."""
    if image.text("Modality") in {"", "MR"}:
        return None
    return is_picture(image, session) or is_reformat(image, session)


def is_without_name(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find images of other modalities, which are kept beside the named files."""
    modality = image.text("Modality")
    if "SPECTROSCOPY" in image.image_type:
        why = "Spectroscopy is no image; this converter gives it no name."
        return Verdict(rule="modality", why=why, outcome="unknown")
    if modality in {"", "MR"}:
        return None
    why = _NO_NAME.get(modality, f"BIDS has no name for modality {modality}")
    return Verdict(rule="modality", why=f"{why}.", outcome="unknown")


TOMOGRAPHY: tuple[Rule, ...] = (
    is_copy_of_tomography,
    is_emission_tomography,
    is_without_name,
)
"""Rules for other modalities than MR, in order."""
