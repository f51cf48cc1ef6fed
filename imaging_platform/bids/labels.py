"""Which entities a BIDS label may carry."""

from __future__ import annotations

_CONTRAST = frozenset({"task", "acq", "ce", "rec", "run", "echo", "part", "chunk"})
_MAP = _CONTRAST - {"echo", "part"}
_DIFFUSION = frozenset({"acq", "rec", "dir", "run", "part", "chunk"})
_FUNCTION = _CONTRAST | {"dir"}
_PERFUSION = frozenset({"acq", "rec", "dir", "run", "echo", "part"})
_GRE_FIELD = frozenset({"acq", "run", "chunk"})
_TRANSMIT = (_CONTRAST - {"task"}) | {"flip", "inv"}

ALLOWED_ENTITIES: dict[str, frozenset[str]] = {
    "anat": _CONTRAST,
    "anat/UNIT1": _MAP,
    "anat/T1map": _MAP,
    "anat/T2map": _MAP,
    "anat/T2starmap": _MAP,
    "anat/R1map": _MAP,
    "anat/R2map": _MAP,
    "anat/R2starmap": _MAP,
    "anat/PDmap": _MAP,
    "anat/MTRmap": _MAP,
    "anat/MTsat": _MAP,
    "anat/Chimap": _MAP,
    "anat/S0map": _MAP,
    "anat/M0map": _MAP,
    "anat/MTVmap": _MAP,
    "anat/MWFmap": _MAP,
    "anat/T1rho": _MAP,
    "anat/defacemask": _MAP | {"mod"},
    "anat/MP2RAGE": _CONTRAST | {"flip", "inv"},
    "anat/MESE": _CONTRAST | {"dir"},
    "anat/VFA": _CONTRAST | {"flip"},
    "anat/MPM": _CONTRAST | {"flip", "mt"},
    "anat/MTS": _CONTRAST | {"flip", "mt"},
    "anat/MTR": (_CONTRAST - {"echo"}) | {"mt"},
    "anat/IRT1": (_CONTRAST - {"echo"}) | {"inv"},
    "func": _FUNCTION,
    "func/phase": _FUNCTION - {"part"},
    "func/noRF": _FUNCTION | {"mod"},
    "dwi": _DIFFUSION - {"part"},
    "dwi/dwi": _DIFFUSION,
    "dwi/sbref": _DIFFUSION,
    "fmap": _TRANSMIT,
    "fmap/epi": _DIFFUSION | {"ce"},
    "fmap/magnitude": _GRE_FIELD,
    "fmap/magnitude1": _GRE_FIELD,
    "fmap/magnitude2": _GRE_FIELD,
    "fmap/phasediff": _GRE_FIELD,
    "fmap/phase1": _GRE_FIELD,
    "fmap/phase2": _GRE_FIELD,
    "fmap/fieldmap": _GRE_FIELD,
    "fmap/m0scan": frozenset({"acq", "rec", "dir", "run", "part", "chunk", "ce"}),
    "fmap/TB1map": _TRANSMIT - {"echo", "flip", "inv", "part"},
    "fmap/RB1map": _TRANSMIT - {"echo", "flip", "inv", "part"},
    "fmap/TB1DAM": _TRANSMIT - {"echo"},
    "perf": _PERFUSION,
    "perf/noRF": _PERFUSION | {"mod"},
    "pet": frozenset({"task", "trc", "rec", "run"}),
}
"""Entities that a label, or else its datatype, may carry (BIDS schema 1.11, files)."""

SUFFIXES: dict[str, tuple[str, ...]] = {
    "anat": (
        "T1w",
        "T2w",
        "PDw",
        "T2starw",
        "FLAIR",
        "inplaneT1",
        "inplaneT2",
        "PDT2",
        "angio",
        "MEGRE",
        "MESE",
        "VFA",
        "IRT1",
        "MP2RAGE",
        "MPM",
        "MTS",
        "MTR",
        "UNIT1",
        "T1map",
        "T2map",
        "T2starmap",
        "R1map",
        "R2map",
        "R2starmap",
        "PDmap",
        "MTRmap",
        "MTsat",
        "T1rho",
        "MWFmap",
        "MTVmap",
        "Chimap",
        "S0map",
        "M0map",
        "defacemask",
    ),
    "func": ("bold", "cbv", "sbref", "phase", "noRF"),
    "dwi": ("dwi", "sbref", "ADC", "FA", "S0map", "colFA", "expADC", "trace"),
    "fmap": (
        "epi",
        "m0scan",
        "phasediff",
        "phase1",
        "phase2",
        "magnitude1",
        "magnitude2",
        "magnitude",
        "fieldmap",
        "TB1DAM",
        "TB1EPI",
        "TB1AFI",
        "TB1TFL",
        "TB1RFM",
        "RB1COR",
        "TB1SRGE",
        "TB1map",
        "RB1map",
    ),
    "perf": ("asl", "m0scan", "noRF"),
    "pet": ("pet",),
}
"""Suffixes of images that a datatype may hold (BIDS schema 1.11, files)."""


def allowed_entities(datatype: str, suffix: str) -> frozenset[str]:
    """Return the entities that a label may carry, by short name."""
    default = ALLOWED_ENTITIES.get(datatype, frozenset())
    return ALLOWED_ENTITIES.get(f"{datatype}/{suffix}", default)


def find_suffix(datatype: str, text: str) -> str:
    """
    Return the suffix of a datatype as the standard spells it, or ``""``.

    Examples
    --------
    >>> find_suffix("anat", "t1W"), find_suffix("anat", "MPRAGE")
    ('T1w', '')
    """
    known = SUFFIXES.get(datatype, ())
    return next((one for one in known if one.lower() == text.lower()), "")
