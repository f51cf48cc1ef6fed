"""The built-in rules for what is no measurement of its own: scouts, maps, copies."""

from __future__ import annotations

import re

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence, Rule, Surroundings
from imaging_platform.bids.perfusion import is_perfusion_map

_MAPS = {
    "ADC": "ADC",
    "EADC": "expADC",
    "EXP": "expADC",
    "TRACEW": "trace",
    "TRACE": "trace",
    "FA": "FA",
    "FRACTIONAL_ANISOTROPY": "FA",
    "COLFA": "colFA",
    "TENSOR_B0": "S0map",
}

_REFORMATS = frozenset(
    {
        "MPR",
        "CSA MPR",
        "CPR",
        "MPVR",
        "REFORMATTED",
        "PROJECTION",
        "PROJECTION IMAGE",
        "MIP",
        "MINIP",
        "MNIP",
        "MAX_IP",
        "MIN_IP",
        "COLLAPSE",
        "PJN",
        "VOLREN",
        "VRT",
    }
)
"""ImageType of reformatted and projected copies: Siemens, GE, Philips, enhanced MR."""


_LOCALIZER_WORDS = re.compile(
    r"scout|localizer|localiser|survey|(3|three|tri)[- ]?(plane|pl\b)|\bloc\b"
    r"|\bpilot\b|topogram|plan[-_ ]?scan"
)

_OTHER_LABELS = re.compile(r"(ses|task|acq|run)-[a-z0-9]+")


def is_localizer(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find positioning scans; nobody positions by EPI, fieldmaps or MPRAGE."""
    by_type = bool({"LOCALIZER", "SCOUT"} & image.image_type)
    # A session or a task may be called localizer: ses-localizer says nothing here.
    said = _LOCALIZER_WORDS.search(_OTHER_LABELS.sub("", image.name)) is not None
    measures = image.is_epi or image.is_inverted or image.has_sequence(r"fm[23]d")
    if by_type or (said and not measures):
        return Verdict(
            rule="localizer",
            why="A localizer only positions the other scans.",
            confidence="high" if by_type else "low",
            outcome="excluded",
        )
    return None


def is_calibration(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find coil sensitivity and other prescans; prescan normalized is a filter."""
    words = (
        r"asset cal|\bcalibration\b|\bcal\b|ref_?head|coil_?(survey|ref)|sense ?ref"
        r"|prescan(?![-_ ]?norm)|bias_(bc|\d+ch)|adj_?(shim|gre)"
    )
    if image.is_epi or image.is_labelling or not image.has_word(words):
        return None
    return Verdict(
        rule="calibration",
        why="A coil calibration serves the reconstruction only.",
        confidence="low",
        outcome="excluded",
    )


def is_picture(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find screenshots and other pictures that are no slices of a body."""
    if {"SCREEN SAVE", "SCREENSHOT", "SECONDARY CAPTURE"} & image.image_type:
        return Verdict(
            rule="picture",
            why="A screenshot is a picture, not a measurement.",
            outcome="excluded",
        )
    return None


def is_diffusion_map(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find maps that the scanner computed from diffusion-weighted images."""
    if not (image.is_derived or "ADC" in image.image_type):
        return None
    kind = next(
        (name for token, name in _MAPS.items() if token in image.image_type), ""
    )
    if {"TENSOR", "B0"} <= image.image_type:
        kind = "S0map"
    diffusion = "DIFFUSION" in image.image_type or image.is_diffusion_sequence
    if not kind or not (diffusion or kind == "ADC"):
        return None
    if kind == "FA" and image.has_word(r"col(ou?r)?_?fa"):
        kind = "colFA"
    return Verdict(
        rule="scanner_map",
        why=f"The scanner computed this {kind} from diffusion-weighted images.",
        datatype="dwi",
        suffix=kind,
        confidence="medium",
    )


def is_reformat(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find reformatted and projected copies; mpr in a name means MPRAGE."""
    typed = image.is_derived and bool(_REFORMATS & image.image_type)
    if not typed and "MNIP" not in image.image_type:
        return None
    original = any(
        not other.is_derived and other.number("EchoTime") == image.number("EchoTime")
        for other in session.others(image)
    )
    return Verdict(
        rule="reformat",
        why="A reformatted or projected copy of another series."
        if original
        else "A reformatted or projected copy; its original is not in the session.",
        confidence="high" if original else "low",
        outcome="excluded",
    )


def is_statistics(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find activation maps and other results of in-line analysis."""
    if {"T-MAP", "TTEST", "T_MAP", "GLM"} & image.image_type or (
        image.is_derived and image.has_word(r"evaseries|starttfmri|mean_&_t-maps|glm$")
    ):
        return Verdict(
            rule="statistics",
            why="A result of the scanner's own analysis, not a measurement.",
            outcome="excluded",
        )
    return None


def is_motion_corrected(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find motion-corrected copies; the only copy is kept as rec-moco."""
    if "MOCO" not in image.image_type:
        return None
    for other in session.others(image):
        if (
            "MOCO" not in other.image_type
            and other.protocol == image.protocol
            and other.output.shape == image.output.shape
            and image.number("EchoTime") == other.number("EchoTime")
        ):
            return Verdict(
                rule="moco",
                why="A motion-corrected copy of a series that is here too.",
                outcome="excluded",
            )
    return Verdict(
        rule="moco",
        why="Motion corrected by the scanner, and the only copy.",
        datatype="func",
        suffix="bold",
        entities={"rec": "moco"},
    )


DERIVED: tuple[Rule, ...] = (
    is_picture,
    is_localizer,
    is_calibration,
    is_diffusion_map,
    is_perfusion_map,
    is_reformat,
    is_statistics,
    is_motion_corrected,
)
"""Rules for what is computed, copied or only positions, in order."""

DERIVED_OR_SCOUT = frozenset(
    {
        "picture",
        "localizer",
        "scanner_map",
        "perfusion_map",
        "reformat",
        "statistics",
        "moco",
    }
)
"""Rules whose evidence wins over a ReproIn name."""
