"""What the name of a series claims, to weigh against what its physics say."""

from __future__ import annotations

from dataclasses import replace

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence

_WORD = r"(?:^|[^a-z0-9])"
_END = r"(?:[^a-z0-9]|$)"

_CLAIMS: dict[str, str] = {
    "T1w": (
        rf"{_WORD}s?t1(w|{_END})|mp2?[-_ ]?rage|bravo|fspgr"
        rf"|{_WORD}s?t1_?(mpr|(3d_?)?(tfe|ffe))"
    ),
    "T2w": rf"{_WORD}c?t2(w|_?(tse|spc|fse|space)|[^a-z0-9*]|$)",
    "PDw": rf"{_WORD}pd(w|{_END})|proton",
    "FLAIR": r"flair|dark[-_ ]?fl|da[-_]fl|tirm",
    "T2starw": (
        rf"t2[-_ ]?star|t2\*|{_WORD}swi|swan|hemo"
        rf"|{_WORD}((t2)?mffe|medic){_END}"
    ),
    "angio": rf"{_WORD}s?tof|angio|{_WORD}mra{_END}|venogra",
    "bold": rf"fmri|bold|{_WORD}func|{_WORD}task|rest(?!or)",
    "sbref": r"sb_?ref",
    "dwi": rf"{_WORD}(dwi|dti|dmri|hardi|noddi|dki|dsi|diff|ivim)|diffusion|mddw",
    "fmap": (
        r"fmap|field[-_ ]?map|top_?up|distortion|blip|rev_?pe|pe_?rev|pepolar|b0_?map"
        rf"|{_WORD}fm_"
    ),
    "asl": rf"{_WORD}(p|pc|v|3d)?asl{_END}|pcasl|{_WORD}asl\d",
    "m0scan": rf"{_WORD}m0{_END}|m0scan",
}

_SERVES: dict[str, frozenset[str]] = {
    "T1w": frozenset({"T1w", "MP2RAGE", "UNIT1", "T1map", "VFA", "inplaneT1", "IRT1"}),
    "T2w": frozenset({"T2w", "inplaneT2", "MESE", "T2map"}),
    "PDw": frozenset({"PDw", "VFA", "MPM", "MTS"}),
    "T2starw": frozenset({"T2starw", "MEGRE", "T2starmap"}),
    "bold": frozenset({"bold", "sbref", "cbv"}),
    "dwi": frozenset({"dwi", "sbref", "epi", "ADC", "FA", "trace", "colFA", "S0map"}),
    "fmap": frozenset(
        {
            "epi",
            "magnitude",
            "magnitude1",
            "magnitude2",
            "phase1",
            "phase2",
            "phasediff",
            "fieldmap",
        }
    ),
    "asl": frozenset({"asl", "m0scan"}),
}
"""Suffixes that fit a claim; a claim that is not listed fits its own suffix."""

SETTLED = frozenset({"scanner_map", "mp2rage", "fmap_gre", "quantitative_map"})
"""Rules whose suffix a second source cannot confirm: owners name these freely."""


def read_claims(image: Evidence) -> frozenset[str]:
    """Return the labels that the names of a series claim; mostly one or none."""
    found = {label for label, words in _CLAIMS.items() if image.has_word(words)}
    if found & {"FLAIR", "T2starw"}:
        found.discard("T2w")
    if "FLAIR" in found and image.has_word(r"t1[-_ ]*flair"):
        found = {"T1w"}
    if "sbref" in found or "m0scan" in found:
        found -= {"bold", "asl"}
    return frozenset(found)


def weigh(verdict: Verdict, image: Evidence) -> Verdict:
    """
    Return a verdict with the confidence that its sources together deserve.

    Physics that the name confirms are two independent sources: ``high``. A name
    that claims something else makes any verdict ``low``, and the reason says so.
    Names alone stay ``low``. A run is no run for sure before its volumes are
    counted, nor is it diffusion before its b-values are there.
    """
    claims = read_claims(image)
    if verdict.outcome != "converted" or not claims:
        return verdict
    fits = any(
        verdict.suffix in _SERVES.get(claim, frozenset({claim})) for claim in claims
    )
    if not fits:
        said = " or ".join(sorted(claims))
        why = f"{verdict.why} The name speaks of {said}."
        return replace(verdict, confidence="low", why=why)
    settled = verdict.rule in SETTLED or not is_counted(verdict.suffix, image)
    if verdict.confidence == "medium" and not settled:
        return replace(verdict, confidence="high")
    return verdict


def is_counted(suffix: str, image: Evidence) -> bool:
    """Tell whether the volumes or b-values that make a run a run are known."""
    return {
        "bold": image.output.volumes is not None,
        "sbref": image.output.volumes is not None,
        "dwi": image.output.bvals is not None,
    }.get(suffix, True)
