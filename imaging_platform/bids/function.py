"""The built-in rules for perfusion, function, diffusion and fieldmaps."""

from __future__ import annotations

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import (
    TIME_SERIES_VOLUMES,
    Evidence,
    Rule,
    Surroundings,
)

SBREF_LEAD_S = 60.0
"""A single-band reference precedes its run by less than this."""


def is_labelled_perfusion(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find arterial spin labelling and its calibration image."""
    named_m0 = image.has_word(r"(^|[^a-z0-9])m0([^a-z0-9]|$)|m0scan|asl_?cal")
    single = image.output.volumes == 1 and "DIFFUSION" not in image.image_type
    if named_m0 and (image.is_epi or image.is_labelling):
        return Verdict(
            rule="m0scan",
            why="The name says equilibrium magnetisation (M0).",
            datatype="perf",
            suffix="m0scan",
            confidence="low",
        )
    if not image.is_labelling:
        return None
    if single and image.is_epi and "ASL" not in image.image_type:
        return Verdict(
            rule="m0scan",
            why="One volume of a labelling sequence is its M0 image.",
            datatype="perf",
            suffix="m0scan",
            confidence="medium",
        )
    return Verdict(
        rule="asl",
        why="ImageType, metadata or sequence say arterial spin labelling.",
        datatype="perf",
        suffix="asl",
        confidence="high" if "ASL" in image.image_type else "medium",
    )


def is_single_band_reference(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find the single-band reference of a multiband run."""
    if not image.is_epi or (image.output.volumes or 1) > 1:
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
    if _is_for_fieldmap(image) and not diffusion:
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
        confidence="high" if named else "medium",
    )


def _following_run(image: Evidence, session: Surroundings) -> Evidence | None:
    start = image.moment
    if start is None or not image.output.shape:
        return None
    for other in session.others(image):
        later = other.moment
        if (
            later is not None
            and 0 <= later - start < SBREF_LEAD_S
            and (other.output.volumes or 1) > 1
            and other.output.shape[:3] == image.output.shape[:3]
            and other.output.center_mm == image.output.center_mm
            and other.number("EchoTime") == image.number("EchoTime")
            and other.direction == image.direction
            and other.is_phase == image.is_phase
            and other.is_spin_echo == image.is_spin_echo
        ):
            return other
    return None


_FIELDMAP_WORDS = (
    r"fmap|field_?map|top_?up|revpe|rev_?pe|reverse|blip|pepolar|distortion|distmap"
    r"|\bse_?epi|dist_?corr|fieldmapping|opp_?pe"
)


def _is_for_fieldmap(image: Evidence) -> bool:
    return image.has_word(_FIELDMAP_WORDS) or (
        image.is_spin_echo and not image.is_diffusion_sequence
    )


def is_opposite_epi(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find EPI with known phase encoding that was made to map the field."""
    if not image.is_epi or image.is_phase or image.has_diffusion_weighting:
        return None
    volumes = image.output.volumes
    if volumes is not None and volumes >= TIME_SERIES_VOLUMES:
        return None
    if image.is_diffusion_sequence:
        if image.output.bvals is None and _is_reversed_diffusion(image, session):
            why = "Unweighted volumes beside a longer diffusion run."
            return _epi_fieldmap(why, "medium")
        if image.output.bvals is not None and _opposes_diffusion(image, session):
            why = "b = 0 only, phase encoding opposite to a longer diffusion run."
            return _epi_fieldmap(why, "high")
    elif image.is_spin_echo:
        why = "Spin-echo EPI without diffusion weighting maps the field."
        return _epi_fieldmap(why, "high")
    if image.has_word(_FIELDMAP_WORDS):
        return _epi_fieldmap("EPI whose name says that it maps the field.", "low")
    return None


def _epi_fieldmap(why: str, confidence: str) -> Verdict:
    return Verdict("fmap_epi", why, "fmap", "epi", confidence=confidence)


def _weighted(session: Surroundings) -> list[Evidence]:
    return [
        one
        for one in session.images
        if one.is_diffusion_sequence and one.output.bvals is not None
    ]


def _is_reversed_diffusion(image: Evidence, session: Surroundings) -> bool:
    volumes = image.output.volumes
    if volumes is not None and volumes > 12 and not image.has_word(_FIELDMAP_WORDS):
        return False
    return bool(_weighted(session)) or image.has_word(_FIELDMAP_WORDS)


def _opposes_diffusion(image: Evidence, session: Surroundings) -> bool:
    mine = image.text("PhaseEncodingDirection")
    return any(
        one.has_diffusion_weighting
        and mine
        and one.text("PhaseEncodingDirection") != mine
        and one.text("PhaseEncodingDirection")[:1] == mine[:1]
        for one in _weighted(session)
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
            why="ImageType or sequence say diffusion.",
            datatype="dwi",
            suffix="dwi",
            confidence="medium",
        )
    return None


def is_transmit_field(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find B1 maps of the presaturated turbo-FLASH kind."""
    if image.has_sequence(r"(.*_)?tfl_?(b1|rf)map") or image.has_word(r"tfl_?b1_?map"):
        flip = "FLIP ANGLE MAP" in image.image_type or image.has_word(r"famp|flip")
        return Verdict(
            rule="tb1tfl",
            why="Presaturated turbo-FLASH maps the transmit field.",
            datatype="fmap",
            suffix="TB1TFL",
            entities={"acq": "famp" if flip else "anat"},
            confidence="medium",
        )
    return None


def is_gradient_echo_fieldmap(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find double-echo fieldmaps; which part an image is, is decided together."""
    if image.is_epi:
        return None
    sequence = image.has_sequence(r"fm2d|(.*_)?(gre_)?field_?map")
    computed = _is_field(image)
    beside = not computed and any(
        _is_field(other) and other.output.series_uid == image.output.series_uid
        for other in session.others(image)
    )
    named = image.has_word(
        r"field_?map|fieldmap|\bb0_?map|b0[-_ ]?(field|map)|gre_field|_fmap|\bfmap"
    )
    if not (sequence or computed or beside or named):
        return None
    if image.has_word("shim") and not sequence:
        return None
    return Verdict(
        rule="fmap_gre",
        why="A double-echo gradient echo that maps the field.",
        datatype="fmap",
        suffix="fieldmap"
        if computed and not image.image_type & {"M", "M_FFE", "MAGNITUDE"}
        else ("phasediff" if image.is_phase else "magnitude1"),
        confidence="high" if sequence or computed or beside else "low",
    )


def _is_field(image: Evidence) -> bool:
    """Tell whether the scanner says that the values are a field."""
    types = {"B0 MAP", "FIELD_MAP", "FIELDMAP"}
    return bool(types & image.image_type) or image.text("Units") == "Hz"


def is_functional(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find functional time series."""
    volumes = image.output.volumes
    if volumes == 1 and image.has_word(r"t2_?star|t2\*|swi"):
        return None
    if image.is_epi and not image.is_spin_echo and volumes is not None:
        why = "Gradient-echo EPI with no other purpose."
        return Verdict("bold", why, "func", "bold", confidence="medium")
    if volumes is not None and volumes >= TIME_SERIES_VOLUMES:
        why = f"{volumes} volumes, neither diffusion nor labelling."
        return Verdict("bold", why, "func", "bold", confidence="medium")
    if volumes is None and image.is_epi:
        why = "Echo-planar readout with no other purpose."
        return Verdict("bold", why, "func", "bold", confidence="low")
    return None


FUNCTION: tuple[Rule, ...] = (
    is_labelled_perfusion,
    is_single_band_reference,
    is_opposite_epi,
    is_diffusion,
    is_transmit_field,
    is_gradient_echo_fieldmap,
    is_functional,
)
"""Rules for perfusion, function, diffusion and fieldmaps, in order."""
