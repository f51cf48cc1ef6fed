"""The built-in rules for structural images: physics first, words as tie-breaks."""

from __future__ import annotations

import math

from imaging_platform.bids.claims import read_claims
from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence, Rule, Surroundings
from imaging_platform.bids.relaxometry import MULTI_ECHO_COUNT

_T1_SEQUENCES = (
    r"abcd3d|(.*_)?tfl|t1tfe|3?d?t1ffe|efgre3d|bravo|gre_?fsp|fe3d|tfe3d"
    r"|(.*_)?(f?spgr|mp_?rage|mdeft)|3d_?tfe"
)
_SPIN_ECHOES = (
    r"t?gra?se|f(r|ast)?_?se|frfse|3dfse|cube|spc|tse|tir|vista|haste|se2d|fase"
)

_LONG_ECHO_S = 0.07
"""A spin echo later than this is T2-weighted without doubt."""

_SHORT_ECHO_S = 0.03
"""A spin echo earlier than this shows no T2 weighting."""

_LATE_ECHO_S = 0.008
"""From this echo time on T2* shows where T1 does not."""

_SLOW_REPETITION_S = 0.3
"""Volumes are encoded faster than this; slices of several echoes are not."""

_WHITE_MATTER_T1_S = 1.0
"""T1 of white matter at 3 T, rounded (Stanisz et al. 2005, MRM 54:507)."""

_FLUID_INVERSION_S = (1.4, 3.5)
"""Inversion times that null fluid: ln 2 x T1 of CSF, less for a short TR."""


def is_angiography(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find time-of-flight and phase-contrast angiography."""
    typed = bool({"TOF", "ANGIO", "MRA", "PCA", "FLOW_ENCODED"} & image.image_type)
    if image.is_epi or image.is_labelling:
        return None
    sequence = image.has_sequence(r"(.*_)?tof|fl_?pc|fl3d\w*_t\d|pc[23]d|inhance")
    named = image.has_word(
        r"(^|[^a-z])s?(3di|2di)?_?tof([^a-z]|$)|angio|\bmra\b|_mra([^a-z]|$)|venogra"
        r"|phase_?contrast"
    )
    # Philips calls inflow 3DI and 2DI.
    philips = image.text("Manufacturer").startswith("Philips")
    named = named or (philips and image.has_word(r"(^|[^a-z])s?[23]di[-_ ]"))
    if not (typed or sequence or named):
        return None
    return Verdict(
        "angio",
        "Type, sequence or name say angiography.",
        "anat",
        "angio",
        confidence="medium" if typed or sequence else "low",
    )


def is_inplane(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find structural slices made to lie in the plane of the functional runs."""
    if image.is_epi or not image.has_word(
        r"in[-_ ]?plane|inplane|co-?planar|match(ed)?[-_ ]?b(and)?[-_ ]?w(idth)?"
    ):
        return None
    short = (image.number("EchoTime") or 0.0) < _SHORT_ECHO_S
    claims = read_claims(image)
    first = "T1w" in claims or (short and "T2w" not in claims)
    return Verdict(
        "inplane",
        "The name says that the slices lie in the plane of other runs.",
        "anat",
        "inplaneT1" if first else "inplaneT2",
        confidence="low",
    )


def is_fluid_attenuated(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find FLAIR: a long inversion time and a long echo time."""
    inversion = image.number("InversionTime")
    echo = image.number("EchoTime")
    if image.is_epi or (echo is not None and echo < 0.04):
        return None
    low, high = _FLUID_INVERSION_S
    nulled = inversion is not None and low <= inversion <= high
    if "FLUID_ATTENUATED" in image.image_type:
        why = "ImageType says that fluid is attenuated."
        return Verdict("flair", why, "anat", "FLAIR", confidence="medium")
    may_invert = inversion is None or inversion >= 1.0
    if may_invert and "FLAIR" in read_claims(image) and image.scanning != {"GR"}:
        why = "The name says FLAIR and physics does not object."
        return Verdict("flair", why, "anat", "FLAIR", confidence="medium")
    if image.is_inverted and nulled and not image.has_sequence(r"tfl"):
        why = "Inversion at 1.4 to 3.5 s with a long echo time nulls fluid."
        return Verdict("flair", why, "anat", "FLAIR", confidence="medium")
    return None


def is_susceptibility(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find susceptibility-weighted gradient echoes."""
    processed = "SWI" in image.image_type or image.has_word(r"swi_images|mip_images")
    computed = processed or image.has_word(r"filt_?pha|swan")
    copied = computed and (image.is_derived or _has_original(image, session))
    if image.has_word(r"mip_images|minip|mip\(sw") or copied:
        return Verdict(
            rule="swi",
            why="A computed susceptibility-weighted image has no raw BIDS name.",
            outcome="excluded",
        )
    named = image.has_word(r"\bswi|_swi|swan|t2[-_ ]?star|t2\*|hemo|ven_?bold|swip")
    sequence = image.has_sequence(r"swi3d|swan|(.*_)?swi(_|$)|hemo")
    if (named or processed or sequence) and not image.is_spin_echo:
        why = "A gradient echo weighted by susceptibility (T2*)."
        return Verdict("t2starw", why, "anat", "T2starw", confidence="medium")
    return None


def _has_original(image: Evidence, session: Surroundings) -> bool:
    """Tell whether the magnitude that the scanner weighted is kept, too."""
    return "SWI" in image.image_type and any(
        "SWI" not in other.image_type
        and not other.is_phase
        and not other.is_derived
        and other.protocol == image.protocol
        and other.output.shape == image.output.shape
        for other in session.others(image)
    )


def is_magnetization_prepared(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find T1w gradient echoes: MPRAGE, BRAVO, T1-TFE and spoiled 3-D."""
    echo = image.number("EchoTime")
    if image.is_epi or "SE" in image.scanning or image.has_sequence(_SPIN_ECHOES):
        return None
    if echo is not None and echo > 0.012:
        return None
    inversion = image.number("InversionTime") or 0.0
    if image.has_sequence(_T1_SEQUENCES):
        if not (inversion or image.is_inverted) and "PDw" in read_claims(image):
            why = "A gradient echo like MPRAGE, but without its inversion pulse."
            return Verdict("pdw", why, "anat", "PDw", confidence="medium")
        why = "The sequence is a T1-weighted gradient echo."
        return Verdict("t1w", why, "anat", "T1w", confidence="medium")
    prepared = "MP" in image.text("SequenceVariant").upper().replace("\\", "_").split(
        "_"
    )
    if image.is_volumetric and (0.25 <= inversion <= 1.5 or prepared):
        why = "A 3-D gradient echo with short TE after an inversion or preparation."
        return Verdict("t1w", why, "anat", "T1w", confidence="medium")
    if "GR" in image.scanning and 0.3 <= inversion <= 1.5:
        why = "An inversion-prepared gradient echo."
        return Verdict("t1w", why, "anat", "T1w", confidence="medium")
    return None


def is_spin_echo_contrast(image: Evidence, _: Surroundings) -> Verdict | None:
    """Tell T1w, PDw and T2w spin echoes apart by TE, TR and TI; names break ties."""
    echo, repetition = image.number("EchoTime"), image.number("RepetitionTime")
    if image.is_epi or echo is None or not _is_spin_echo(image, echo):
        return None
    claims = read_claims(image) & {"T1w", "T2w", "PDw"}
    inverted = 0.3 <= (image.number("InversionTime") or 0.0) < 2.5
    if echo < _SHORT_ECHO_S and (inverted or claims == {"T1w"}):
        return _contrast("T1w", "A spin echo with short TE, T1-weighted.")
    if echo >= _LONG_ECHO_S:
        return _contrast("T2w", "A spin echo with long TE.")
    if len(claims) == 1 and echo >= _SHORT_ECHO_S and claims != {"T1w"}:
        suffix = next(iter(claims))
        return _contrast(suffix, f"A spin echo; the name says {suffix}.", "low")
    if repetition is None:
        return None
    if repetition > 1.5:
        return _proton_or_t2(echo, image)
    if echo <= 0.04 and image.text("PulseSequenceName").lower() != "grase":
        return _contrast("T1w", "A spin echo with short TR and short TE.")
    return None


def _is_spin_echo(image: Evidence, echo: float) -> bool:
    if image.is_spin_echo or image.has_sequence(_SPIN_ECHOES):
        return True
    # GE calls CUBE a research mode; only echo trains reach such an effective TE.
    # Philips calls an inverted echo train IR and nothing else.
    trains = (image.number("EchoTrainLength") or 0.0) > 4 and echo > 0.02
    inverted = image.scanning == {"IR"} and not image.is_volumetric
    return "GR" not in image.scanning and (trains or inverted)


def _proton_or_t2(echo: float, image: Evidence) -> Verdict | None:
    if echo >= 0.05:
        return _contrast("T2w", "A spin echo with long TR and long TE.")
    if "IR" in image.scanning:
        return None
    return _contrast("PDw", "A spin echo with long TR and short TE.")


def _contrast(suffix: str, why: str, confidence: str = "medium") -> Verdict:
    return Verdict("spin_echo", why, "anat", suffix, confidence=confidence)


def is_steady_state(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find balanced steady-state images (CISS, FIESTA), which look like T2."""
    sequence = image.has_sequence(r"tfi[23]d|ci3d|(.*_)?(trufi|ciss|fiesta)|bffe|bssfp")
    if image.is_epi or not (
        sequence or image.has_word(r"(^|[^a-z])(ciss|fiesta|trufi|bffe|bssfp)")
    ):
        return None
    why = "Balanced steady state, with fluid as bright as on T2w."
    return Verdict("steady_state", why, "anat", "T2w", confidence="low")


def is_named_contrast(image: Evidence, _: Surroundings) -> Verdict | None:
    """Read the contrast from the name, where the name gives exactly one."""
    if image.is_epi:
        return None
    found = sorted(read_claims(image) & {"T1w", "T2w", "PDw", "FLAIR", "T2starw"})
    echo = image.number("EchoTime")
    if found == ["PDw", "T2w"] and echo is not None:
        found = ["T2w" if echo > 0.05 else "PDw"]
    if len(found) != 1:
        return None
    if found == ["T1w"] and echo is not None and echo > 0.05:
        return None
    if found == ["FLAIR"] and image.scanning == {"GR"}:
        return None
    if found == ["T2w"] and image.scanning == {"GR"} and (echo or 0.0) >= 0.012:
        # A late gradient echo is weighted by T2*, also where T2W_FFE is its name.
        return None
    return Verdict(
        rule="named_contrast",
        why=f"The name says {found[0]} and physics does not object.",
        datatype="anat",
        suffix=found[0],
        confidence="low",
    )


def is_gradient_echo_contrast(image: Evidence, _: Surroundings) -> Verdict | None:
    """Tell T1w and T2*w gradient echoes apart by echo time and flip angle."""
    echo = image.number("EchoTime")
    if image.is_epi or image.is_spin_echo or echo is None:
        return None
    if not ("GR" in image.scanning or image.has_sequence(r"fl[23]d|ffe|spgr|gre")):
        return None
    if echo >= 0.012:
        why = "A gradient echo with long TE."
        return Verdict("gradient_echo", why, "anat", "T2starw", confidence="medium")
    if echo >= _LATE_ECHO_S and _is_below_ernst_angle(image):
        why = "A gradient echo with a flip angle too small for T1 weighting."
        return Verdict("gradient_echo", why, "anat", "T2starw", confidence="low")
    if image.has_transfer_pulse and image.is_volumetric:
        why = "A magnetization transfer pulse; the image without it is not here."
        return Verdict(
            "gradient_echo",
            why,
            "anat",
            "MTR",
            entities={"mt": "on"},
            metadata={"MTState": True},
            confidence="low",
        )
    if _is_combined_of_echoes(image):
        why = "Several echoes of a weak excitation in one image show T2*."
        return Verdict("gradient_echo", why, "anat", "T2starw", confidence="low")
    if (image.number("FlipAngle") or 0.0) >= 8 and image.output.volumes in (1, None):
        why = "A spoiled gradient echo with short TE."
        return Verdict("gradient_echo", why, "anat", "T1w", confidence="low")
    return None


def _is_combined_of_echoes(image: Evidence) -> bool:
    """Tell whether a slow gradient echo sums echoes, as MEDIC, MERGE and mFFE do."""
    train = image.number("EchoTrainLength") or 1.0
    slow = (image.number("RepetitionTime") or 0.0) >= _SLOW_REPETITION_S
    return train >= MULTI_ECHO_COUNT and slow and _is_below_ernst_angle(image)


def _is_below_ernst_angle(image: Evidence) -> bool:
    """Tell whether the excitation is weaker than the one of the largest signal."""
    repetition, flip = image.number("RepetitionTime"), image.number("FlipAngle")
    if repetition is None or flip is None:
        return False
    ernst = math.acos(math.exp(-repetition / _WHITE_MATTER_T1_S))
    return math.radians(flip) < ernst


def is_bare_contrast(image: Evidence, _: Surroundings) -> Verdict | None:
    """Guess from timing alone where neither sequence nor name say anything."""
    echo, repetition = image.number("EchoTime"), image.number("RepetitionTime")
    if image.scanning - {"", "RM"} or image.sequence or echo is None:
        return None
    single = image.output.volumes in (1, None)
    if not single or image.is_epi or repetition is None:
        return None
    if echo <= 0.006 and (image.number("FlipAngle") or 99.0) <= 15:
        return _bare("T1w", "Short TE with a small flip angle, nothing else is said.")
    if echo >= _LONG_ECHO_S and repetition >= 2:
        return _bare("T2w", "Long TE and long TR, nothing else is said.")
    return None


def _bare(suffix: str, why: str) -> Verdict:
    return Verdict("bare", why, "anat", suffix, confidence="low")


ANATOMY: tuple[Rule, ...] = (
    is_angiography,
    is_inplane,
    is_fluid_attenuated,
    is_susceptibility,
    is_steady_state,
    is_magnetization_prepared,
    is_spin_echo_contrast,
    is_named_contrast,
    is_gradient_echo_contrast,
    is_bare_contrast,
)
"""Rules for structural images, in order."""
