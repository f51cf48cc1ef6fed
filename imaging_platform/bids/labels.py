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
    "anat/MP2RAGE": _CONTRAST | {"flip", "inv"},
    "anat/MESE": _CONTRAST | {"dir"},
    "anat/VFA": _CONTRAST | {"flip"},
    "anat/MPM": _CONTRAST | {"flip", "mt"},
    "anat/MTS": _CONTRAST | {"flip", "mt"},
    "anat/MTR": _CONTRAST | {"mt"},
    "anat/IRT1": _CONTRAST | {"inv"},
    "func": _FUNCTION,
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
    "perf": _PERFUSION,
}
"""Entities that a label, or else its datatype, may carry (BIDS schema 1.11, files)."""


def allowed_entities(datatype: str, suffix: str) -> frozenset[str]:
    """Return the entities that a label may carry, by short name."""
    default = ALLOWED_ENTITIES.get(datatype, frozenset())
    return ALLOWED_ENTITIES.get(f"{datatype}/{suffix}", default)
