"""The built-in rules for images that are made together to measure a quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence, Rule, Surroundings
from imaging_platform.bids.sidecar_values import is_allowed

MULTI_ECHO_COUNT = 3
"""From this many echoes on a series is MEGRE or MESE and not a plain contrast."""

MULTI_INVERSION_COUNT = 3
"""From this many inversion times on a protocol measures T1 (IRT1)."""


REQUIRED_OF_SETS: dict[str, tuple[str, ...]] = {
    "VFA": ("FlipAngle", "PulseSequenceType", "RepetitionTimeExcitation"),
    "IRT1": ("InversionTime",),
    "MP2RAGE": (
        "FlipAngle",
        "InversionTime",
        "RepetitionTimeExcitation",
        "NumberShots",
        "MagneticFieldStrength",
    ),
    "MTR": ("MTState",),
    "MTS": ("FlipAngle", "MTState", "RepetitionTimeExcitation"),
    "MPM": ("FlipAngle", "MTState", "RepetitionTimeExcitation"),
    "TB1AFI": ("RepetitionTimeExcitation",),
    "TB1EPI": ("EchoTime", "FlipAngle", "TotalReadoutTime", "MixingTime"),
}
"""Required sidecar keys of quantitative sets (BIDS 1.11, qMRI sidecar tables)."""

_CONSTANT = ("EchoTime", "RepetitionTime", "FlipAngle")


def is_mp2rage(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find the parts of an MP2RAGE: two inversions, the uniform image, its T1 map."""
    if image.is_epi:
        return None
    named = image.has_word(r"mp2_?rage") or image.has_sequence(r"(.*_)?mp2rage")
    named = named or (
        image.has_sequence(r"(.*_)?tfl") and image.has_word(r"_inv[-_ ]?[12]([^0-9]|$)")
    )
    uniform = "UNI" in image.image_type or image.has_word(
        r"_uni([-_ ]|$)|uni[-_ ](images|den)"
    )
    family = named or (
        uniform and any(_is_inversion(o, image) for o in session.others(image))
    )
    if "UNI" in image.image_type or (named and uniform):
        denoised = image.has_word(r"uni[-_ ]?den|denoise")
        return Verdict(
            rule="mp2rage",
            why="The uniform image of an MP2RAGE.",
            datatype="anat",
            suffix="UNIT1",
            entities={"rec": "denoised"} if denoised else {},
            confidence="medium",
        )
    paired = _has_uniform_sibling(image, session) or _is_inverted_twice(image, session)
    if not (family or paired):
        return None
    if image.has_word(r"inv[-_ ]?[12]") or image.number("InversionTime") is not None:
        return Verdict(
            rule="mp2rage",
            why="One inversion of an MP2RAGE.",
            datatype="anat",
            suffix="MP2RAGE",
            entities={"inv": _inversion_number(image, session)},
            confidence="medium",
        )
    return None


def _is_inversion(other: Evidence, image: Evidence) -> bool:
    return other.text("ProtocolName") == image.text("ProtocolName") and (
        other.number("InversionTime") is not None
    )


def _has_uniform_sibling(image: Evidence, session: Surroundings) -> bool:
    protocol = image.text("ProtocolName")
    return any(
        "UNI" in other.image_type
        and other.text("ProtocolName") == protocol
        and other.number("InversionTime") is None
        for other in session.others(image)
    )


def _is_inverted_twice(image: Evidence, session: Surroundings) -> bool:
    """Tell whether one protocol read out after exactly two inversion times."""
    if not image.text("ProtocolName") or not image.has_sequence(r"(.*_)?tfl"):
        return False
    times = {
        one.number("InversionTime")
        for one in session.images
        if one.text("ProtocolName") == image.text("ProtocolName")
        and one.number("RepetitionTime") == image.number("RepetitionTime")
    }
    return len(times - {None}) == 2


def _inversion_number(image: Evidence, session: Surroundings) -> str:
    protocol = image.text("ProtocolName")
    times = {
        other.number("InversionTime")
        for other in session.images
        if other.text("ProtocolName") == protocol and "UNI" not in other.image_type
    }
    ordered = sorted(time for time in times if time is not None)
    mine = image.number("InversionTime")
    if len(ordered) > 1 and mine in ordered:
        return str(ordered.index(mine) + 1)
    return "2" if image.has_word(r"inv[-_ ]?2") else "1"


def is_quantitative_map(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find relaxation maps that the scanner computed."""
    kinds = {
        "T1 MAP": "T1map",
        "T2 MAP": "T2map",
        "T2_STAR MAP": "T2starmap",
        "T2* MAP": "T2starmap",
        "R1 MAP": "R1map",
        "R2 MAP": "R2map",
        "R2_STAR MAP": "R2starmap",
        "R2* MAP": "R2starmap",
    }
    for token, suffix in kinds.items():
        if {token, token.replace(" ", "_")} & image.image_type:
            why = f"ImageType says {token}."
            return Verdict("quantitative_map", why, "anat", suffix, confidence="medium")
    if image.has_word(r"t1[-_ ]?(map|images)") and image.is_derived:
        why = "A derived image whose name says T1 map."
        return Verdict("quantitative_map", why, "anat", "T1map", confidence="low")
    return None


def is_multi_echo(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find multi-echo series for relaxometry, alone by the number of a late echo."""
    if image.is_epi or image.is_inverted or image.number("InversionTime"):
        return None
    family = _family(image, session)
    echoes = {one.number("EchoTime") for one in family}
    late = (image.number("EchoNumber") or 0) >= MULTI_ECHO_COUNT
    named = image.has_word(
        r"(^|[^a-z])(mese|cpmg|megre|qsm|se_mc)([^a-z]|$)|multi.?echo"
    )
    several = named or image.has_sequence(r"gra?se|se_mc")
    numbered = several and image.number("EchoNumber") is not None
    if len(echoes) < MULTI_ECHO_COUNT and not late and not numbered:
        return None
    confidence = "high" if len(echoes) >= MULTI_ECHO_COUNT else "medium"
    if image.is_spin_echo:
        why = "A spin echo with three echoes or more."
        return Verdict("mese", why, "anat", "MESE", confidence=confidence)
    why = "A gradient echo with three echoes or more."
    return _weighted_family(image, family) or Verdict(
        "megre", why, "anat", "MEGRE", confidence=confidence
    )


def _family(image: Evidence, session: Surroundings) -> list[Evidence]:
    """Return the images of one protocol and description, this one included."""
    if not image.name:
        return [image]
    return [
        other
        for other in session.images
        if other.text("ProtocolName") == image.text("ProtocolName")
        and other.text("SeriesDescription") == image.text("SeriesDescription")
        and other.is_epi == image.is_epi
    ]


def _weighted_family(image: Evidence, family: Sequence[Evidence]) -> Verdict | None:
    """Name echoes of one protocol with several flip angles, which measure T1 too."""
    flips = sorted({one.number("FlipAngle") or 0.0 for one in family})
    if len(flips) < 2:
        return None
    return Verdict(
        rule="vfa",
        why="Gradient echoes that differ in flip angle measure T1.",
        datatype="anat",
        suffix="VFA",
        entities={"flip": str(flips.index(image.number("FlipAngle") or 0.0) + 1)},
        metadata=_steady_state(image),
        confidence="medium",
    )


def is_magnetization_transfer(image: Evidence, session: Surroundings) -> Verdict | None:
    """
    Find sets of gradient echoes with and without magnetization transfer.

    Two images that differ in the pulse alone are MTR; a third one with another flip
    angle makes them MTS, and several echoes make them MPM (BIDS, qMRI appendix).
    """
    family = _spoiled_set(image, session)
    if image.is_derived or not _has_transfer_pair(family):
        return None
    flips = sorted({one.number("FlipAngle") or 0.0 for one in family})
    echoes = {one.number("EchoTime") for one in family}
    entities = {"mt": "on" if image.has_transfer_pulse else "off"}
    suffix = "MTR"
    if len(flips) > 1:
        suffix = "MPM" if len(echoes) >= MULTI_ECHO_COUNT else "MTS"
        flip = image.number("FlipAngle") or 0.0
        entities = {"flip": str(flips.index(flip) + 1), **entities}
    return Verdict(
        rule="magnetization_transfer",
        why="Gradient echoes with and without a magnetization transfer pulse.",
        datatype="anat",
        suffix=suffix,
        entities=entities,
        metadata={**_steady_state(image), "MTState": image.has_transfer_pulse},
        confidence="medium",
    )


def _has_transfer_pair(family: Sequence[Evidence]) -> bool:
    """Tell whether two images differ in the transfer pulse and in nothing else."""
    on, off = (
        {
            tuple(
                one.number(key) for key in ("EchoTime", "RepetitionTime", "FlipAngle")
            )
            for one in family
            if one.has_transfer_pulse is state
        }
        for state in (True, False)
    )
    return bool(on & off)


def is_variable_flip_angle(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find spoiled gradient echoes that differ in nothing but the flip angle."""
    family = _spoiled_set(image, session)
    flips = sorted(
        {
            one.number("FlipAngle") or 0.0
            for one in family
            if one.number("EchoTime") == image.number("EchoTime")
            and one.number("RepetitionTime") == image.number("RepetitionTime")
        }
    )
    if len(flips) < 2 or image.is_derived:
        return None
    return Verdict(
        rule="vfa",
        why="Gradient echoes that differ in flip angle alone measure T1.",
        datatype="anat",
        suffix="VFA",
        entities={"flip": str(flips.index(image.number("FlipAngle") or 0.0) + 1)},
        metadata=_steady_state(image),
        confidence="medium",
    )


def _spoiled_set(image: Evidence, session: Surroundings) -> list[Evidence]:
    """Return 3-D gradient echoes of the same grid without preparation."""
    if not _is_spoiled(image):
        return []
    return [
        other
        for other in session.images
        if _is_spoiled(other)
        and other.output.shape == image.output.shape
        and other.is_phase == image.is_phase
    ]


def _is_spoiled(image: Evidence) -> bool:
    return (
        image.text("MRAcquisitionType") == "3D"
        and image.scanning == {"GR"}
        and not image.is_epi
        and image.number("InversionTime") is None
        and "MP" not in image.text("SequenceVariant").upper()
        and not image.has_sequence(r"tfl|t1tfe|(.*_)?tof|fl3d\w*_t\d")
    )


def is_multi_inversion(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find inversion series for T1: one protocol, three inversion times or more."""
    mine = image.number("InversionTime")
    if mine is None or image.is_labelling or not image.is_inverted:
        return None
    times = sorted(
        {
            time
            for one in session.images
            if one.scanning == image.scanning
            and all(one.number(key) == image.number(key) for key in _CONSTANT)
            and one.output.shape == image.output.shape
            and "UNI" not in one.image_type
            and (time := one.number("InversionTime")) is not None
        }
    )
    if len(times) < MULTI_INVERSION_COUNT:
        return None
    return Verdict(
        rule="irt1",
        why=f"One sequence with {len(times)} inversion times measures T1.",
        datatype="anat",
        suffix="IRT1",
        entities={"inv": str(times.index(mine) + 1)},
        confidence="medium",
    )


def find_missing_of_set(
    suffix: str, image: Evidence, metadata: Mapping[str, object]
) -> tuple[str, ...]:
    """Return keys that a quantitative set needs and neither scanner nor study say."""
    stated = image.output.sidecar
    known = {key for key in stated if is_allowed(key, stated[key])} | metadata.keys()
    return tuple(key for key in REQUIRED_OF_SETS.get(suffix, ()) if key not in known)


def _steady_state(image: Evidence) -> dict[str, object]:
    """
    Return what follows for a spoiled gradient echo without preparation.

    Each excitation is a repetition there, so both times are one (BIDS, qMRI).
    """
    repetition = image.number("RepetitionTime")
    added: dict[str, object] = {"PulseSequenceType": "Spoiled gradient echo"}
    if repetition is not None:
        added["RepetitionTimeExcitation"] = repetition
    return added


RELAXOMETRY: tuple[Rule, ...] = (
    is_quantitative_map,
    is_mp2rage,
    is_magnetization_transfer,
    is_multi_echo,
    is_variable_flip_angle,
    is_multi_inversion,
)
"""Rules for images that are made together to measure a quantity, in order."""
