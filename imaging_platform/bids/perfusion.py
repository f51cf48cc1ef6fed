"""The built-in rules for perfusion: labelling, its M0 image, maps and contrast."""

from __future__ import annotations

from collections.abc import Set

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence, Rule, Surroundings


def is_perfusion_map(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find maps that the scanner computed from perfusion images."""
    types = image.image_type
    maps = {
        "CBF",
        "RCBF",
        "RELCBF",
        "CBV",
        "RCBV",
        "RELCBV",
        "CORRECTED_CBV",
        "MTT",
        "RELMTT",
        "TTP",
        "TMAX",
        "GBP",
        "PBP",
        "SUBTRACTION",
        "PERFUSION_WEIGHTED",
    }
    computed = (
        image.is_derived
        and ("ASL" in types or image.is_labelling)
        and not _is_difference_of_ge(image, maps)
    )
    philips = _is_difference_of_philips(image)
    if computed or philips or (image.is_derived and maps & types) or "RCBF" in types:
        return Verdict(
            rule="perfusion_map",
            why="A perfusion map of the scanner is derived and has no raw BIDS name.",
            confidence="medium",
            outcome="excluded",
        )
    return None


def _is_difference_of_ge(image: Evidence, maps: Set[str]) -> bool:
    """
    Tell whether this is the difference that GE keeps in place of what it measured.

    It is named for labelling alone; the flow that GE computes of it says so.
    """
    return (
        image.text("Manufacturer").startswith("GE")
        and "ASL" in image.image_type
        and not maps & image.image_type
        and not image.has_word(r"(^|[^a-z])r?cbf([^a-z]|$)|transit")
    )


def _is_difference_of_philips(image: Evidence) -> bool:
    """
    Tell whether Philips averaged what it measured, which it keeps as SOURCE.

    Such a map says PERFUSION, and real numbers in enhanced files; the measured
    volumes say magnitude, or M in classic files.
    """
    return (
        image.text("Manufacturer").startswith("Philips")
        and "PERFUSION" in image.image_type
        and not {"M", "MAGNITUDE", "SOURCE"} & image.image_type
        and not image.has_word(r"(^|[^a-z])source([^a-z]|$)")
    )


def is_contrast_agent_perfusion(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find dynamic susceptibility contrast, which BIDS cannot name."""
    # Labelling reads out as early as it can; contrast agent needs T2* weighting.
    late = (image.number("EchoTime") or 0.03) >= 0.02
    if image.is_labelling or not image.is_epi or not late:
        return None
    words = image.has_word(r"(^|[^a-z])(dsc|perf|perfusion|pwi)([^a-z]|$)")
    typed = "PERFUSION" in image.image_type or image.has_sequence(r"(.*_)?ep2d_perf")
    if words or typed:
        return Verdict(
            rule="dsc",
            why="Contrast-agent perfusion (DSC) has no suffix in BIDS.",
            confidence="medium" if typed else "low",
            outcome="excluded",
        )
    return None


def is_calibration_scan(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find the equilibrium magnetisation (M0) that calibrates a labelling series."""
    named = image.has_word(r"(^|[^a-z0-9])m0([^a-z0-9]|$)|m0scan|asl_?cal|m0_?cal")
    if named and (image.is_epi or image.is_labelling):
        return Verdict(
            rule="m0scan",
            why="The name says equilibrium magnetisation (M0).",
            datatype="perf",
            suffix="m0scan",
            confidence="medium" if image.is_labelling else "low",
        )
    single = image.output.volumes == 1 and "DIFFUSION" not in image.image_type
    if not (image.is_labelling and single and "ASL" not in image.image_type):
        return None
    beside = any(
        other.is_labelling and (other.output.volumes or 2) > 1
        for other in session.others(image)
    )
    if image.is_epi or beside:
        return Verdict(
            rule="m0scan",
            why="One volume of a labelling sequence is its M0 image.",
            datatype="perf",
            suffix="m0scan",
            confidence="medium",
        )
    return None


def is_labelled_perfusion(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find arterial spin labelling."""
    if not image.is_labelling:
        return None
    return Verdict(
        rule="asl",
        why="ImageType, metadata, sequence or name say arterial spin labelling.",
        datatype="perf",
        suffix="asl",
        confidence="high" if "ASL" in image.image_type else "medium",
    )


PERFUSION: tuple[Rule, ...] = (
    is_contrast_agent_perfusion,
    is_calibration_scan,
    is_labelled_perfusion,
)
"""Rules for raw perfusion series, in order."""
