"""The built-in rules for gradient-echo fieldmaps and transmit fields."""

from __future__ import annotations

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence, Rule, Surroundings

_FIELD_TYPES = frozenset({"B0 MAP", "FIELD_MAP", "FIELDMAP", "FIELDMAPHZ"})

FIELD_ECHOES = 2
"""Two echoes give the field; more are for relaxometry."""

LATEST_FIELD_ECHO_S = 0.015
"""Later echoes of a gradient echo are for T2* and susceptibility."""

_MAGNITUDE_TYPES = frozenset({"M", "M_FFE", "MAGNITUDE"})


def is_transmit_field(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find maps of the transmit field, by the name of their sequence."""
    tfl = r"(.*_)?tfl_?(b1|rf)_?map"
    if image.has_sequence(tfl) or image.has_word(r"tfl_?(b1|rf)_?map"):
        flip = "FLIP ANGLE MAP" in image.image_type or image.has_word(r"famp|flip")
        why = "Presaturated turbo-FLASH maps the transmit field."
        entities = {"acq": "famp" if flip else "anat"}
        return _transmit("TB1TFL", why, entities, "medium")
    if image.has_sequence(r"(.*_)?rf_?map") or image.has_word(r"(^|[^a-z])rf_?map"):
        flip = "FLIP ANGLE MAP" in image.image_type or image.has_word(r"famp|flip")
        entities = {"acq": "famp" if flip else "anat"}
        return _transmit("TB1RFM", "The sequence rf_map.", entities, "medium")
    if image.has_word(r"(^|[^a-z])afi([^a-z]|$)") and "GR" in image.scanning:
        return _transmit("TB1AFI", "The name says actual flip angle.", {}, "low")
    if image.has_sequence(r"(.*_)?(seste|al_b1mapping|b1epi)"):
        return _transmit("TB1EPI", "EPI of spin and stimulated echoes.", {}, "medium")
    if "B1 MAP" in image.image_type or "FLIP ANGLE MAP" in image.image_type:
        return _transmit("TB1map", "ImageType says flip angle map.", {}, "medium")
    if image.has_word(r"(^|[^a-z0-9])b1[-_+ ]?map") and not image.is_epi:
        return _transmit("TB1map", "The name says B1 map.", {}, "low")
    return None


def _transmit(
    suffix: str, why: str, entities: dict[str, str], confidence: str
) -> Verdict:
    rule = suffix.lower()
    return Verdict(rule, why, "fmap", suffix, entities=entities, confidence=confidence)


def is_gradient_echo_fieldmap(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find double-echo fieldmaps; which part an image is, is decided together."""
    if image.is_epi or image.is_spin_echo:
        return None
    sequence = image.has_sequence(r"fm[23]d|(.*_)?(gre_)?field_?map|b0map|fieldmap")
    computed = _is_field(image)
    beside = not computed and any(
        _is_field(other) and other.output.series_uid == image.output.series_uid
        for other in session.others(image)
    )
    difference = "GR" in image.scanning and all(
        image.number(key) is not None for key in ("EchoTime1", "EchoTime2")
    )
    named = image.has_word(
        r"field[-_ ]?map|\bb0_?map|b0[-_ ]?(field|map)|gre_field|_fmap|\bfmap"
    )
    paired = _has_two_phases(image, session)
    if not (sequence or computed or beside or named or difference or paired):
        return None
    if image.has_word("shim") and not sequence:
        return None
    is_magnitude = bool(_MAGNITUDE_TYPES & image.image_type)
    strong = sequence or computed or beside or difference
    phase = image.is_phase or (difference and not is_magnitude)
    suffix = "phasediff" if phase else "magnitude1"
    return Verdict(
        rule="fmap_gre",
        why="A double-echo gradient echo that maps the field.",
        datatype="fmap",
        suffix="fieldmap" if computed and not is_magnitude else suffix,
        # A phase that names two echo times is their difference; others may be either.
        confidence=_rate(strong, certain=computed or (phase and difference)),
    )


def _rate(strong: bool, *, certain: bool) -> str:
    if not strong:
        return "low"
    return "high" if certain else "medium"


def _has_two_phases(image: Evidence, session: Surroundings) -> bool:
    """Tell whether a protocol kept magnitude and phase of two early echoes."""
    if "GR" not in image.scanning or image.is_inverted or not image.protocol:
        return False
    family = [
        one
        for one in session.images
        if one.protocol == image.protocol and one.output.shape == image.output.shape
    ]
    phases = {one.number("EchoTime") for one in family if one.is_phase}
    magnitudes = {one.number("EchoTime") for one in family if not one.is_phase}
    early = all(echo is not None and echo <= LATEST_FIELD_ECHO_S for echo in phases)
    return len(phases) == FIELD_ECHOES and phases == magnitudes and early


def _is_field(image: Evidence) -> bool:
    """Tell whether the scanner says that the values are a field."""
    return bool(_FIELD_TYPES & image.image_type) or image.text("Units") == "Hz"


FIELDS: tuple[Rule, ...] = (is_transmit_field, is_gradient_echo_fieldmap)
"""Rules for maps of the static and the transmit field, in order."""
