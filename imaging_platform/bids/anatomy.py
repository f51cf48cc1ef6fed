"""The built-in rules for structural images: physics first, words as tie-breaks."""

from __future__ import annotations

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence, Rule, Surroundings

_T1_SEQUENCES = r"abcd3d|tfl|wip_tfl|t1tfe|t1ffe|efgre3d|bravo|mp_?rage|gre_?fsp"

_LONG_ECHO_S = 0.05

MULTI_ECHO_COUNT = 3
"""From this many echoes on a series is MEGRE or MESE and not a plain contrast."""


def is_mp2rage(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find the parts of an MP2RAGE: two inversions, the uniform image, its T1 map."""
    named = image.has_word(r"mp2_?rage") or image.has_sequence(r"(.*_)?mp2rage")
    uniform = "UNI" in image.image_type or image.has_word(
        r"_uni([-_ ]|$)|uni[-_ ]images"
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
        )
    if not (family or _has_uniform_sibling(image, session)):
        return None
    if image.has_word(r"inv[-_ ]?[12]") or image.number("InversionTime") is not None:
        return Verdict(
            rule="mp2rage",
            why="One inversion of an MP2RAGE.",
            datatype="anat",
            suffix="MP2RAGE",
            entities={"inv": _inversion_number(image, session)},
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
        "R1 MAP": "R1map",
        "R2 MAP": "R2map",
        "R2_STAR MAP": "R2starmap",
    }
    for token, suffix in kinds.items():
        if token in image.image_type:
            why = f"ImageType says {token}."
            return Verdict("quantitative_map", why, "anat", suffix)
    return None


def is_multi_echo(image: Evidence, session: Surroundings) -> Verdict | None:
    """Find multi-echo series for relaxometry."""
    echoes = {
        other.number("EchoTime")
        for other in session.images
        if other.text("ProtocolName") == image.text("ProtocolName")
        and other.text("SeriesDescription") == image.text("SeriesDescription")
        and other.is_epi == image.is_epi
    }
    if len(echoes) < MULTI_ECHO_COUNT or image.is_epi:
        return None
    if image.is_spin_echo:
        return Verdict("mese", "A spin echo with three echoes or more.", "anat", "MESE")
    if "IR" in image.scanning or image.number("InversionTime"):
        return None
    return Verdict(
        "megre", "A gradient echo with three echoes or more.", "anat", "MEGRE"
    )


def is_angiography(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find time-of-flight and phase-contrast angiography."""
    if {"TOF", "ANGIO", "MRA"} & image.image_type or image.has_word(
        r"\btof|_tof|angio|\bmra\b|venogra|phase_?contrast"
    ):
        return Verdict(
            "angio",
            "Type or name say angiography.",
            "anat",
            "angio",
            confidence="medium",
        )
    return None


def is_fluid_attenuated(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find FLAIR: a long inversion time and a long echo time."""
    inversion = image.number("InversionTime") or 0.0
    echo = image.number("EchoTime") or 0.0
    named = image.has_word(r"flair|dark[-_ ]?fl|da[-_]fl|tirm")
    if named and not image.has_word(r"t1[-_ ]*flair") and echo > 0.05:
        return Verdict(
            "flair", "The name says FLAIR.", "anat", "FLAIR", confidence="medium"
        )
    inverted = "IR" in image.scanning or image.has_sequence(r"tir|spcir")
    if inverted and 1.4 <= inversion <= 3.5 and echo > 0.05:
        why = "Inversion at 1.4 to 3.5 s with a long echo time nulls fluid."
        return Verdict("flair", why, "anat", "FLAIR", confidence="medium")
    return None


def is_susceptibility(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find susceptibility-weighted gradient echoes."""
    processed = "SWI" in image.image_type or image.has_word(r"swi_images|mip_images")
    if image.has_word(r"mip_images|minip|mip\(sw") or (processed and image.is_derived):
        return Verdict(
            rule="swi",
            why="A computed susceptibility-weighted image has no raw BIDS name.",
            outcome="excluded",
        )
    named = image.has_word(r"\bswi|_swi|swan|t2_?star|t2\*|hemo")
    if (named or processed) and not image.is_spin_echo:
        why = "A gradient echo weighted by susceptibility (T2*)."
        return Verdict("t2starw", why, "anat", "T2starw", confidence="medium")
    return None


def is_inversion_prepared_t1(image: Evidence, _: Surroundings) -> Verdict | None:
    """Find T1w gradient echoes: MPRAGE, BRAVO, T1-TFE and spoiled 3-D."""
    if "SE" in image.scanning or image.has_sequence(r"spc|tse|fse|3dfse|cube"):
        return None
    inversion = image.number("InversionTime") or 0.0
    if image.has_sequence(_T1_SEQUENCES):
        why = "The sequence is a T1-weighted gradient echo."
        return Verdict("t1w", why, "anat", "T1w", confidence="medium")
    if "GR" in image.scanning and 0.3 <= inversion <= 1.5:
        why = "An inversion-prepared gradient echo."
        return Verdict("t1w", why, "anat", "T1w", confidence="medium")
    return None


def is_named_contrast(image: Evidence, _: Surroundings) -> Verdict | None:
    """Read the contrast from the name, where the name gives exactly one."""
    contrasts = {
        "T1w": r"(^|[^a-z0-9])t1(w|[^a-z0-9]|$)|st1w|mp[-_]?rage|bravo|spgr",
        "T2w": r"(^|[^a-z0-9])t2(w|[^a-z0-9*]|$)|\bct2",
        "PDw": r"(^|[^a-z0-9])pd(w|[^a-z0-9]|$)|proton",
    }
    found = [suffix for suffix, words in contrasts.items() if image.has_word(words)]
    echo = image.number("EchoTime")
    if {"PDw", "T2w"} <= set(found) and echo is not None:
        found = ["T2w" if echo > 0.05 else "PDw"]
    if len(found) != 1:
        return None
    return Verdict(
        rule="named_contrast",
        why=f"The name says {found[0]} and physics does not object.",
        datatype="anat",
        suffix=found[0],
        confidence="low",
    )


def is_spin_echo_contrast(image: Evidence, _: Surroundings) -> Verdict | None:
    """Tell T1w, PDw and T2w spin echoes apart by echo and repetition time."""
    echo, repetition = image.number("EchoTime"), image.number("RepetitionTime")
    spin = image.is_spin_echo or image.has_sequence(r"fse|3dfse|cube|spc|tse|tir")
    if not spin or image.is_epi or echo is None or repetition is None:
        return None
    if repetition > 1.5 and echo >= _LONG_ECHO_S:
        suffix, why = "T2w", "A spin echo with long TR and long TE."
    elif repetition > 1.5 and "IR" not in image.scanning:
        suffix, why = "PDw", "A spin echo with long TR and short TE."
    elif echo <= 0.04:
        suffix, why = "T1w", "A spin echo with short TR and short TE."
    else:
        return None
    return Verdict("spin_echo", why, "anat", suffix, confidence="medium")


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
    if (image.number("FlipAngle") or 0.0) >= 8 and image.output.volumes in (1, None):
        why = "A spoiled gradient echo with short TE."
        return Verdict("gradient_echo", why, "anat", "T1w", confidence="low")
    return None


ANATOMY: tuple[Rule, ...] = (
    is_quantitative_map,
    is_mp2rage,
    is_multi_echo,
    is_angiography,
    is_fluid_attenuated,
    is_susceptibility,
    is_inversion_prepared_t1,
    is_spin_echo_contrast,
    is_named_contrast,
    is_gradient_echo_contrast,
)
"""Rules for structural images, in order."""
