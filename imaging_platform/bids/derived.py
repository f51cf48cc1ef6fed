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
    r"scout|locali[sz]er|locator|survey|(3|three|tri)[- ]?(plane|pl\b)|\bloc\b"
    r"|\bpilot\b|topogram|plan[-_ ]?scan|smart_?(brain|exam)"
)

_COIL_ECHO_S = (0.0003, 0.0012)
"""Echo times of coil reference scans; earlier ones are of zero echo time imaging."""

_COIL_ANGLE_DEG = 2.0
"""Coil reference scans of GE and Philips excite by no more than this."""

_COIL_GRID = 128
"""Coil reference scans have no more voxels along an axis."""

_OTHER_LABELS = re.compile(r"(ses|task|acq|run)-[a-z0-9]+")


def is_localizer(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find positioning scans; nobody positions by EPI, fieldmaps or MPRAGE."""
    by_type = bool({"LOCALIZER", "SCOUT"} & image.image_type) or image.has_sequence(
        r"aa\w*scout|gre_scout"
    )
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
        r"|(^|[^a-z])mrac([^a-z]|$)|(^|[^a-z])u[-_]?map([^a-z]|$)"
    )
    if image.is_epi or image.is_labelling:
        return None
    if not (image.has_word(words) or _is_proton_density_of_coils(image)):
        return None
    return Verdict(
        rule="calibration",
        why="A calibration of coils or attenuation serves the reconstruction only.",
        confidence="low",
        outcome="excluded",
    )


def _is_proton_density_of_coils(image: Evidence) -> bool:
    """Tell whether angle and echo leave the coils as the only contrast."""
    low, high = _COIL_ECHO_S
    echo, angle = image.number("EchoTime"), image.number("FlipAngle")
    return (
        image.scanning == {"GR"}
        and image.is_volumetric
        and (echo is not None and low <= echo <= high)
        and (angle is not None and angle <= _COIL_ANGLE_DEG)
        and max(image.output.shape[:3], default=0) <= _COIL_GRID
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
    if not kind:
        return _unnamed_diffusion_map(image)
    diffusion = "DIFFUSION" in image.image_type or image.is_diffusion_sequence
    if not (diffusion or kind == "ADC"):
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


def _unnamed_diffusion_map(image: Evidence) -> Verdict | None:
    """Find maps of diffusion that only their name tells, or that BIDS cannot name."""
    if image.output.bvals is not None or (image.output.volumes or 1) > 1:
        return None
    typed = "DIFFUSION" in image.image_type
    named = image.has_word(r"apparent.?diff|(^|[^a-z])adc([^a-z]|$)")
    if named and (typed or image.is_diffusion_sequence):
        why = "A derived image whose name says apparent diffusion coefficient."
        return Verdict("scanner_map", why, "dwi", "ADC", confidence="low")
    # Siemens says NONE of what it measured, also after a correction.
    if not typed or "NONE" in image.image_type:
        return None
    return Verdict(
        rule="scanner_map",
        why="The scanner computed this from diffusion-weighted images, and BIDS has "
        "no name for it.",
        confidence="medium",
        outcome="excluded",
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
