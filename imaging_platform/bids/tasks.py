"""The task label of a functional run, from its name."""

from __future__ import annotations

import re

from imaging_platform.bids.defaults import Conventions
from imaging_platform.bids.evidence import Evidence

_TASK_NOISE = (
    r"ep2d|mbep2d|epi|fmri|bold|cmrr|fe|ge|gre|mb\d*|sms\d*|p\d|s\d|me\d*|te\d*|tr\d*"
    r"|iso|mm|\d+(p\d+)?mm|\d+pt?\d+s?|\d+(ms|s|slc|dyn|vol|vols|meas)|sbref|wip|sense"
    r"|clear|ap|pa|lr|rl|pe|run\d*|task|func|nordic|moco|grappa|ipat\d*|fa\d+|hcp"
    r"|axial|ax|tra|interleaved|sequential|asc|desc|ascending|descending|dir|\d+|x|v\d+"
)


def read_task(image: Evidence, settings: Conventions) -> str:
    """
    Return the task label: ``task-x`` in the name, rest, or the cleaned name.

    Returns
    -------
    str
        Letters and digits, never empty (`settings.default_task`).
    """
    text = re.sub(r"(?i)\b[is] to [is]\b", "", image.protocol)
    stated = re.search(r"task[-_=]([A-Za-z0-9]+)", text)
    if stated:
        return stated.group(1)
    if re.search(r"rest(?!or)|rsfmri|rs[-_]?f?mri|\brs\b|_rs(_|$)", text.lower()):
        return "rest"
    parts = re.split(r"[^A-Za-z0-9.]+", re.sub(r"(?<=\d)\.(?=\d)", "p", text))
    words = [part.replace(".", "") for part in parts]
    kept = [w for w in words if w and not re.fullmatch(_TASK_NOISE, w.lower())]
    label = "".join(w if w.isupper() else w[:1].lower() + w[1:] for w in kept[:1])
    label += "".join(w[:1].upper() + w[1:] for w in kept[1:])
    return label or settings.default_task
