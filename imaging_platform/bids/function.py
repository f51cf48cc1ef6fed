"""The built-in rules for functional runs and their references."""

from __future__ import annotations

from imaging_platform.bids.claims import read_claims
from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.diffusion import FIELDMAP_WORDS, is_opposite_epi
from imaging_platform.bids.evidence import (
    SHORTEST_EPI_S,
    TIME_SERIES_VOLUMES,
    Evidence,
    Rule,
    Surroundings,
)

SBREF_LEAD_S = 60.0
"""A single-band reference precedes its run by less than this."""

STRUCTURAL_REPETITION_S = 0.2
"""EPI repeated faster than this fills one volume over many shots."""

EARLY_ECHO_S = 0.006
"""A gradient echo earlier than this shows no BOLD contrast."""

BOLD_ECHO_S = (0.01, 0.06)
"""Echo times that show BOLD contrast, from 7 T to 1.5 T."""

_T2STAR_WORDS = r"t2_?star|t2\*|(^|[^a-z])swi|qsm"


def is_single_band_reference(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find the single-band reference of a multiband run."""
    if not image.is_epi or image.is_derived or (image.output.volumes or 1) > 1:
        return None
    named = image.has_word(r"sb_?ref") or "single-band ref" in (
        image.text("ImageComments").lower()
    )
    run = _following_run(image, session)
    if not named and run is None:
        return None
    diffusion = image.is_diffusion_sequence or bool(
        run and (run.has_diffusion_weighting or run.is_diffusion_sequence)
    )
    opposite = run is not None and is_opposite_epi(run, session) is not None
    if (opposite or _is_for_fieldmap(image)) and not diffusion:
        return Verdict(
            rule="sbref",
            why="The single-band reference of a fieldmap has no name in BIDS.",
            outcome="excluded",
        )
    return Verdict(
        rule="sbref",
        why="The name says single-band reference."
        if named
        else "One volume of the same geometry just before a multi-volume run.",
        datatype="dwi" if diffusion else "func",
        suffix="sbref",
        confidence="high" if named and image.output.volumes else "medium",
    )


def _following_run(image: Evidence, session: Surroundings) -> Evidence | None:
    """Return the run that this volume precedes, if none precedes it more closely."""
    runs = [one for one in session.others(image) if _precedes(image, one)]
    if not runs:
        return None
    run = min(runs, key=lambda one: one.moment or 0.0)
    start = image.moment or 0.0
    closer = any(
        _precedes(other, run) and (other.moment or 0.0) > start
        for other in session.others(image)
        if (other.output.volumes or 1) == 1
    )
    return None if closer else run


def _precedes(image: Evidence, other: Evidence) -> bool:
    start, later = image.moment, other.moment
    return (
        start is not None
        and later is not None
        and 0 <= later - start < SBREF_LEAD_S
        and bool(image.output.shape)
        and (other.output.volumes or 1) > 1
        and other.output.shape[:3] == image.output.shape[:3]
        and other.output.center_mm == image.output.center_mm
        and other.number("EchoTime") == image.number("EchoTime")
        and other.direction == image.direction
        and other.is_phase == image.is_phase
        and other.is_spin_echo == image.is_spin_echo
    )


def _is_for_fieldmap(image: Evidence) -> bool:
    return image.has_word(FIELDMAP_WORDS) or (
        image.is_spin_echo and not image.is_diffusion_sequence
    )


def is_structural_epi(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find segmented 3-D EPI of one volume, which is T2*-weighted anatomy."""
    volumes = image.output.volumes
    if not image.is_epi or image.is_spin_echo or (volumes or 1) > 2:
        return None
    shots = (image.number("RepetitionTime") or 9.0) < STRUCTURAL_REPETITION_S
    named = image.has_word(_T2STAR_WORDS)
    if volumes is None and (
        "MOSAIC" in image.image_type or (not named and image.has_sequence(r".*bold"))
    ):
        return None
    if not (image.is_volumetric and shots) and not (named and volumes == 1):
        return None
    return Verdict(
        rule="structural_epi",
        why="Echo-planar anatomy of one volume, weighted by T2*.",
        datatype="anat",
        suffix="T2starw",
        confidence="medium" if named else "low",
    )


def is_noise_scan(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find volumes without excitation, which measure thermal noise."""
    if not image.is_epi or not image.has_word(r"no[-_ ]?rf([^a-z]|$)|noise[-_ ]?scan"):
        return None
    why = "The name says that no radio-frequency pulse was played."
    return Verdict("norf", why, "func", "noRF", confidence="low")


def is_dynamic_contrast(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find T1-weighted time series of a contrast agent, which BIDS cannot name."""
    if image.is_epi or "GR" not in image.scanning:
        return None
    fast = (image.number("RepetitionTime") or 1.0) < SHORTEST_EPI_S
    early = (image.number("EchoTime") or 1.0) < EARLY_ECHO_S
    volumes = image.output.volumes
    named = image.has_word(r"(^|[^a-z])(dce|twist|dynamic)([^a-z]|$)")
    many = volumes is not None and volumes >= TIME_SERIES_VOLUMES
    enough = many or (named and volumes != 1)
    if not (fast and early and enough):
        return None
    return Verdict(
        rule="dce",
        why="Fast volumes without T2* weighting follow a contrast agent (DCE), which "
        "has no suffix in BIDS.",
        confidence="medium",
        outcome="excluded",
    )


def is_functional(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find functional time series."""
    volumes = image.output.volumes
    if image.is_epi and not image.is_spin_echo and image.has_word(r"vaso([^a-z]|$)"):
        why = "Gradient-echo EPI whose name says vascular space occupancy."
        # Siemens counts what is read out after one inversion: first without blood.
        suffix = "bold" if "SET_01" in image.image_type else "cbv"
        return Verdict("vaso", why, "func", suffix, confidence="low")
    if image.is_epi and not image.is_spin_echo:
        why = "Gradient-echo EPI with no other purpose."
        return Verdict("bold", why, "func", "bold", confidence="medium")
    if volumes is not None and volumes >= TIME_SERIES_VOLUMES:
        why = f"{volumes} volumes, neither diffusion nor labelling."
        return Verdict("bold", why, "func", "bold", confidence="medium")
    if volumes is None and image.is_epi:
        why = "Echo-planar readout with no other purpose."
        return Verdict("bold", why, "func", "bold", confidence="low")
    if volumes is None and _is_named_run(image):
        why = "The name says a run, and nothing is known but its echo time, which fits."
        return Verdict("bold", why, "func", "bold", confidence="low")
    return None


def _is_named_run(image: Evidence) -> bool:
    """Tell whether a name says BOLD where neither readout nor size are known."""
    low, high = BOLD_ECHO_S
    untold = not image.text("ScanningSequence") and not image.sequence
    fits = low <= (image.number("EchoTime") or 0.0) <= high
    return untold and fits and read_claims(image) == {"bold"}


FUNCTION: tuple[Rule, ...] = (
    is_structural_epi,
    is_noise_scan,
    is_dynamic_contrast,
    is_functional,
)
"""Rules for functional runs, in order."""
