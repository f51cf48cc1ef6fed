"""The built-in rules for diffusion and for EPI that maps the field."""

from __future__ import annotations

from imaging_platform.bids.claims import read_claims
from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import (
    TIME_SERIES_VOLUMES,
    Evidence,
    Rule,
    Surroundings,
)

FIELDMAP_WORDS = (
    r"fmap|field[-_ ]?map|top_?up|rev_?pe|pe_?rev|reverse|blip|pepolar|distortion"
    r"|distmap|(^|[^a-z])fm_|\bse_?epi|ep2d_se(?![a-z])|dist_?corr|opp(osite)?_?pe|_oppo"
)
"""Words that say that an EPI was made to map the field."""

_WEIGHTED_WORDS = (
    r"(^|[^a-z0-9])b_?[1-9]\d{2,}|\d{2,}_?(dir|vol)(?!-)|dir_?\d{2,}"
    r"|(^|[^a-z])dti|tensor"
)
"""Words that state a b-value, count directions or volumes, or say tensor."""

FIELDMAP_VOLUMES = 12
"""Unweighted diffusion series up to this long map the field of a longer one."""

_SHARE_OF_RUN = 0.2
"""A field-mapping EPI is shorter than this share of the run that it serves."""


def is_opposite_epi(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find EPI with known phase encoding that was made to map the field."""
    if not image.is_epi or image.has_diffusion_weighting:
        return None
    volumes = image.output.volumes
    if volumes is not None and volumes >= TIME_SERIES_VOLUMES:
        return None
    named = image.has_word(FIELDMAP_WORDS)
    if image.has_sequence(r".*pepolar"):
        why = "The sequence repeats EPI with the opposite polarity to map the field."
        return _epi_fieldmap(why, "high")
    if image.is_diffusion_sequence:
        return _unweighted_diffusion(image, session)
    if image.is_spin_echo and not _is_spin_echo_run(image):
        why = "Spin-echo EPI without diffusion weighting maps the field."
        return _epi_fieldmap(why, "high" if named else "medium")
    if named:
        return _epi_fieldmap("EPI whose name says that it maps the field.", "low")
    if _opposes_run(image, session):
        why = "A few volumes, phase encoding opposite to a long run of the same grid."
        return _epi_fieldmap(why, "medium")
    return None


def _is_spin_echo_run(image: Evidence) -> bool:
    """Tell whether an uncounted spin-echo series is called a run, as at 7 T."""
    claims = read_claims(image)
    return image.output.volumes is None and "bold" in claims and "fmap" not in claims


def _epi_fieldmap(why: str, confidence: str) -> Verdict:
    return Verdict("fmap_epi", why, "fmap", "epi", confidence=confidence)


def _unweighted_diffusion(image: Evidence, session: Surroundings) -> Verdict | None:
    if image.output.bvals is not None:
        if _opposes_diffusion(image, session):
            why = "b = 0 only, phase encoding opposite to a longer diffusion run."
            return _epi_fieldmap(why, "high")
        return None
    if image.has_word(FIELDMAP_WORDS):
        why = "Diffusion sequence without b-values whose name says fieldmap."
        return _epi_fieldmap(why, "medium")
    volumes = image.output.volumes
    if volumes is not None and volumes > FIELDMAP_VOLUMES:
        return None
    if _opposes_diffusion(image, session):
        why = "No b-values, phase encoding opposite to a longer diffusion run."
        return _epi_fieldmap(why, "high")
    if _belongs_to_run(image, session):
        return None
    if _weighted(session):
        why = "Unweighted volumes beside a longer diffusion run."
        return _epi_fieldmap(why, "medium")
    if image.has_word(r"(^|[^a-z0-9])b_?0([^0-9]|$)") and not image.is_phase:
        why = "A diffusion sequence without b-values whose name says b0."
        return _epi_fieldmap(why, "low")
    weighted = image.has_word(_WEIGHTED_WORDS)
    if image.named_direction and not image.is_phase and not weighted:
        why = "A diffusion sequence without b-values whose name says its direction."
        return _epi_fieldmap(why, "low")
    return None


def _belongs_to_run(image: Evidence, session: Surroundings) -> bool:
    """Tell whether other diffusion has this direction and none the opposite one."""
    mine = image.text("PhaseEncodingDirection")
    others = [o for o in session.others(image) if o.is_diffusion_sequence]
    return any(mine == o.text("PhaseEncodingDirection") != "" for o in others) and (
        not any(_are_opposite(image, o) for o in others)
    )


def _weighted(session: Surroundings) -> list[Evidence]:
    return [
        one
        for one in session.images
        if one.is_diffusion_sequence and one.output.bvals is not None
    ]


def _opposes_diffusion(image: Evidence, session: Surroundings) -> bool:
    return any(
        one.has_diffusion_weighting and _are_opposite(image, one)
        for one in _weighted(session)
    )


def _are_opposite(one: Evidence, other: Evidence) -> bool:
    mine, theirs = (e.text("PhaseEncodingDirection") for e in (one, other))
    return bool(mine) and mine != theirs and mine[:1] == theirs[:1]


def _opposes_run(image: Evidence, session: Surroundings) -> bool:
    volumes = image.output.volumes
    if volumes is None:
        return False
    return any(
        volumes <= _SHARE_OF_RUN * (other.output.volumes or 0)
        and other.output.shape[:3] == image.output.shape[:3]
        and _are_opposite(image, other)
        and other.is_epi
        and not other.is_spin_echo
        for other in session.others(image)
    )


def is_diffusion(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find diffusion-weighted series."""
    if image.has_diffusion_weighting or (
        image.output.bvals is not None and image.is_epi
    ):
        return Verdict(
            rule="dwi",
            why="The series has b-values.",
            datatype="dwi",
            suffix="dwi",
        )
    if image.is_diffusion_sequence:
        return Verdict(
            rule="dwi",
            why="ImageType, sequence or name say diffusion.",
            datatype="dwi",
            suffix="dwi",
            confidence="medium" if "DIFFUSION" in image.image_type else "low",
        )
    return None


DIFFUSION: tuple[Rule, ...] = (is_opposite_epi, is_diffusion)
"""Rules for diffusion and EPI fieldmaps, in order."""
