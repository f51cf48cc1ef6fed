"""Sidecars: what is kept, what is made to agree, what the standard requires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imaging_platform.bids.decisions import Decision
from imaging_platform.bids.evidence import Evidence, read_evidence
from imaging_platform.bids.outputs import Output
from imaging_platform.bids.pet import PET_REQUIRED, complete_pet, find_missing_pet
from imaging_platform.bids.sidecar_keys import KEPT_KEYS
from imaging_platform.bids.sidecar_values import find_impossible, is_allowed

_REPETITION_TOLERANCE_S = 0.0005

_REQUIRED: dict[str, tuple[str, ...]] = {
    "func/bold": ("RepetitionTime", "TaskName"),
    "fmap/phasediff": ("EchoTime1", "EchoTime2"),
    "fmap/phase1": ("EchoTime",),
    "fmap/phase2": ("EchoTime",),
    "fmap/fieldmap": ("Units",),
    "fmap/epi": ("PhaseEncodingDirection", "TotalReadoutTime"),
    "perf/asl": (
        "MagneticFieldStrength",
        "MRAcquisitionType",
        "EchoTime",
        "FlipAngle",
        "RepetitionTimePreparation",
        "ArterialSpinLabelingType",
        "PostLabelingDelay",
        "BackgroundSuppression",
        "M0Type",
        "TotalAcquiredPairs",
    ),
    "perf/m0scan": ("EchoTime", "RepetitionTimePreparation"),
    "anat/MP2RAGE": ("InversionTime", "RepetitionTimePreparation"),
    "anat/MEGRE": ("EchoTime",),
    "anat/MESE": ("EchoTime",),
    "pet/pet": PET_REQUIRED,
}
"""Required sidecar keys a suffix (BIDS 1.11, sidecar tables)."""

_CONTEXT, _CALIBRATION = "volume_types (aslcontext.tsv)", "an m0scan"

OPEN = "..."
"""What a suggested rule has where a person must write the value; it counts as none."""

_EXPLAINED = {
    "PhaseEncodingDirection": "i, i-, j, j-, k or k-, as the protocol says",
    "TotalReadoutTime": "seconds, first to last echo of the readout",
    "RepetitionTime": "seconds between volumes",
    "RepetitionTimePreparation": "seconds",
    "ArterialSpinLabelingType": "CASL, PCASL or PASL",
    "PostLabelingDelay": "seconds",
    "LabelingDuration": "seconds",
    "SliceTiming": "list, seconds after the start of the volume, one a slice",
    "BackgroundSuppression": "true or false",
    "BolusCutOffFlag": "true or false",
    "BolusCutOffDelayTime": "seconds",
    "M0Type": "Separate, Included, Estimate or Absent",
    "TotalAcquiredPairs": "pairs of label and control",
    "Units": "Hz, rad/s or T; of PET Bq/mL",
    "TracerRadionuclide": "such as F18",
    "InjectedRadioactivityUnits": "such as MBq",
    "InjectedMassUnits": "such as ug",
    "SpecificRadioactivityUnits": "such as Bq/g",
    "ModeOfAdministration": "bolus, infusion or bolus-infusion",
    "TimeZero": "hh:mm:ss",
    "ScanStart": "seconds after TimeZero",
    "InjectionStart": "seconds after TimeZero",
    "FrameTimesStart": "list, seconds after TimeZero",
    "FrameDuration": "list, seconds",
    "ImageDecayCorrected": "true or false",
    "ImageDecayCorrectionTime": "seconds after TimeZero",
    "ReconMethodParameterLabels": "list, [none] without any",
    "ReconFilterType": "name, or none",
}
"""Unit or choices of keys that a study file has to supplement (BIDS 1.11)."""


def build_sidecar(decision: Decision, output: Output) -> dict[str, object]:
    """
    Return the sidecar of one image: allowed keys, made consistent, supplemented.

    Parameters
    ----------
    decision
        What the image is; its metadata (study rules first) replaces other values.
    output
        The image of dcm2niix.

    Returns
    -------
    dict
        Times in s, frequencies in Hz. RepetitionTime of a 4-D image equals the
        image header; SliceTiming that reaches it is left out, and so is what the
        validator refuses (`sidecar_values`); a wrong constant of zero slice times is
        kept as the scanner says it.
    """
    image = read_evidence(output)
    sidecar = {
        key: value
        for key, value in output.sidecar.items()
        if key in KEPT_KEYS and is_allowed(key, value)
    }
    _agree_on_repetition(sidecar, output, decision)
    _complete_readout(sidecar, image, decision)
    label = f"{decision.datatype}/{decision.suffix}"
    for key in find_impossible(sidecar, label, output.shape):
        sidecar.pop(key, None)
    if decision.datatype == "func" and "task" in decision.entities:
        sidecar["TaskName"] = decision.entities["task"]
    if decision.datatype == "perf":
        _complete_labelling(sidecar, decision, output.volumes or 0)
    if decision.datatype == "pet":
        complete_pet(sidecar)
    if decision.suffix in {"MP2RAGE"} and "RepetitionTime" in sidecar:
        sidecar.setdefault("RepetitionTimePreparation", sidecar["RepetitionTime"])
    given = decision.metadata.items()
    sidecar.update({k: v for k, v in given if v is not None and v != OPEN})
    return sidecar


def _agree_on_repetition(
    sidecar: dict[str, object], output: Output, decision: Decision
) -> None:
    if (output.volumes or 1) > 1 and decision.datatype in {"func", "dwi"}:
        header_s = output.zooms[3] if len(output.zooms) > 3 else 0.0
        stated = sidecar.get("RepetitionTime")
        differs = (
            not isinstance(stated, int | float)
            or abs(stated - header_s) > _REPETITION_TOLERANCE_S
        )
        if header_s > 0 and differs:
            sidecar["RepetitionTime"] = header_s
    repetition = sidecar.get("RepetitionTime")
    timing = sidecar.get("SliceTiming")
    if isinstance(timing, list) and isinstance(repetition, int | float):
        slices = output.shape[2] if len(output.shape) > 2 else len(timing)
        wrong = any(not 0 <= t < repetition for t in timing) or len(timing) != slices
        if wrong or decision.datatype not in {"func", "dwi", "perf"}:
            del sidecar["SliceTiming"]


def _complete_readout(
    sidecar: dict[str, object], image: Evidence, decision: Decision
) -> None:
    """Derive what Philips and UIH leave out from what they do say."""
    estimated_s = sidecar.get("EstimatedTotalReadoutTime")
    if is_allowed("TotalReadoutTime", estimated_s):
        sidecar.setdefault("TotalReadoutTime", estimated_s)
    spacing_s = sidecar.get("EffectiveEchoSpacing")
    lines = sidecar.get("ReconMatrixPE")
    if isinstance(spacing_s, int | float) and isinstance(lines, int):
        sidecar.setdefault("TotalReadoutTime", spacing_s * (lines - 1))
    if "PhaseEncodingDirection" in sidecar:
        return
    axis = str(sidecar.get("PhaseEncodingAxis", ""))
    wanted = decision.entities.get("dir") or image.named_direction
    position = {"i": 0, "j": 1, "k": 2}.get(axis)
    codes = image.output.axis_codes
    if wanted and position is not None and len(codes) > position and len(wanted) == 2:
        end = codes[position]
        if wanted[1] == end:
            sidecar["PhaseEncodingDirection"] = axis
        elif wanted[0] == end:
            sidecar["PhaseEncodingDirection"] = f"{axis}-"


def _complete_labelling(
    sidecar: dict[str, object], decision: Decision, volumes: int
) -> None:
    if "RepetitionTime" in sidecar:
        # RepetitionTime is not allowed beside RepetitionTimePreparation (BIDS, ASL).
        sidecar.setdefault("RepetitionTimePreparation", sidecar.pop("RepetitionTime"))
    if decision.volume_types and volumes:
        types = expand_volume_types(decision.volume_types, volumes)
        pairs = min(types.count("label"), types.count("control"))
        sidecar.setdefault("TotalAcquiredPairs", pairs or types.count("deltam"))


def expand_volume_types(volume_types: Sequence[str], volumes: int) -> list[str]:
    """
    Return one ASL volume type a volume (BIDS, ``*_aslcontext.tsv``).

    Parameters
    ----------
    volume_types
        At least one type; a shorter list is repeated, but for leading ``m0scan``.
    volumes
        How many volumes the image has.

    Examples
    --------
    >>> expand_volume_types(["m0scan", "label", "control"], 5)
    ['m0scan', 'label', 'control', 'label', 'control']
    """
    first = [kind for kind in volume_types[:1] if kind == "m0scan"]
    cycle = list(volume_types[len(first) :]) or first
    repeated = [cycle[n % len(cycle)] for n in range(max(volumes - len(first), 0))]
    return (first + repeated)[:volumes]


def find_missing_metadata(
    decision: Decision, image: Evidence, session: Sequence[Decision]
) -> tuple[str, ...]:
    """
    Return what the standard requires of an image and is not there.

    Parameters
    ----------
    decision
        What the image is.
    image
        Its evidence.
    session
        All decisions of the session, for images that need a partner.
    """
    label = f"{decision.datatype}/{decision.suffix}"
    sidecar = build_sidecar(decision, image.output)
    missing = [key for key in _REQUIRED.get(label, ()) if key not in sidecar]
    if "echo" in decision.entities:
        missing += [key for key in ("EchoTime",) if key not in sidecar]
    missing += _missing_parts(label, decision, image.output, session)
    if label == "perf/asl":
        missing += _missing_labelling(sidecar, decision, session)
    if decision.datatype == "perf" and sidecar.get("MRAcquisitionType") == "2D":
        missing += [key for key in ("SliceTiming",) if key not in sidecar]
    if label == "pet/pet":
        missing += find_missing_pet(sidecar)
    return tuple(dict.fromkeys(missing))


def _missing_labelling(
    sidecar: Mapping[str, object], decision: Decision, session: Sequence[Decision]
) -> list[str]:
    """Return what follows from the kind of labelling (BIDS, ASL sidecar tables)."""
    needed = []
    if sidecar.get("ArterialSpinLabelingType") == "PASL":
        needed.append("BolusCutOffFlag")
        if sidecar.get("BolusCutOffFlag") is True:
            needed += ["BolusCutOffDelayTime", "BolusCutOffTechnique"]
    else:
        needed.append("LabelingDuration")
    if sidecar.get("M0Type") == "Estimate":
        needed.append("M0Estimate")
    missing = [key for key in needed if key not in sidecar]
    if not decision.volume_types:
        missing.insert(0, _CONTEXT)
    if sidecar.get("M0Type") == "Separate" and not _has(session, "perf", {"m0scan"}):
        missing.append(_CALIBRATION)
    return missing


def repetition_to_write(
    decision: Decision, output: Output, sidecar: Mapping[str, object]
) -> float | None:
    """
    Return the time between volumes that the image's header must get.

    Parameters
    ----------
    decision, output
        What the image is, and the image of dcm2niix.
    sidecar
        As `build_sidecar` makes it.

    Returns
    -------
    float or None
        In s; None when header and sidecar agree, or neither has to.
    """
    stated = sidecar.get("RepetitionTime")
    if decision.datatype != "func" or (output.volumes or 1) < 2:
        return None
    if not isinstance(stated, int | float) or stated <= 0:
        return None
    header_s = output.zooms[3] if len(output.zooms) > 3 else 0.0
    return float(stated) if abs(stated - header_s) > _REPETITION_TOLERANCE_S else None


def _missing_parts(
    label: str, decision: Decision, output: Output, session: Sequence[Decision]
) -> list[str]:
    volumes = output.volumes
    if (volumes or 1) > 1 and (
        decision.datatype == "anat" or decision.suffix.startswith(("mag", "phase"))
    ):
        return ["a single volume"]
    if label == "func/bold" and volumes == 1:
        return ["more than one volume"]
    if label == "dwi/dwi" and output.bvals is None:
        return ["bval and bvec files"]
    if (
        label == "dwi/dwi"
        and volumes is not None
        and len(output.bvals or ()) != volumes
    ):
        return ["one b-value a volume"]
    if label == "fmap/fieldmap" and not _has(session, "fmap", {"magnitude"}):
        return ["a magnitude image"]
    if label in {"fmap/phasediff", "fmap/phase1", "fmap/phase2"} and not _has(
        session, "fmap", {"magnitude1"}
    ):
        return ["a magnitude1 image"]
    if label == "perf/m0scan" and not _has(session, "perf", {"asl"}):
        return ["an asl series that it calibrates"]
    return []


def _has(session: Sequence[Decision], datatype: str, suffixes: set[str]) -> bool:
    return any(
        d.is_converted and d.datatype == datatype and d.suffix in suffixes
        for d in session
    )


def suggest_rule(decision: Decision, image: Evidence) -> str:
    """
    Return a rule in YAML that a study file could hold for this image.

    What lacks metadata alone is given it, and its name stays as it was found. What
    has no name, or lacks what no rule can give, is left out, unless people name it.
    """
    lines = ["bids:", "  rules:", "    - match:", f"        {_match_series(image)}"]
    keys, parts = _read_missing(decision.why)
    supplied = decision.outcome == "incomplete" and not parts
    if supplied and keys:
        lines.append("      metadata:")
        lines += [f"        {key}: {OPEN}{_explain_key(key)}" for key in keys]
    if supplied and decision.suffix == "asl":
        lines.append("      volume_types: [label, control]")
    if not supplied:
        reason = (
            f"No {decision.suffix} without {', '.join(parts)}"
            if parts
            else "Not used by this study"
        )
        lines.append(
            f"      exclude: {_quoted(reason)}  # or a datatype and suffix that fit"
        )
    return "\n".join(lines) + "\n"


def _match_series(image: Evidence) -> str:
    """Return the test of a rule that fits the series of an image."""
    for field in ("SeriesDescription", "ProtocolName"):
        if name := image.text(field):
            # In a shell pattern, a bracket stands for one of several characters.
            return f"{field}: {_quoted(name.replace('[', '[[]'))}"
    return f"SeriesNumber: {image.text('SeriesNumber') or 0}"


def _read_missing(why: str) -> tuple[list[str], list[str]]:
    """Return the keys that a reason names as missing, and what no rule can give."""
    _, _, listed = why.partition("BIDS also requires: ")
    missing = [one for one in listed.rstrip(".").split(", ") if one]
    keys = [one for one in missing if one[0].isupper()]
    given = {*keys, _CONTEXT, _CALIBRATION}
    return keys, [one for one in missing if one not in given]


def _explain_key(key: str) -> str:
    """Return a comment with unit or choices of a key that people have to look up."""
    return f"  # {_EXPLAINED[key]}" if key in _EXPLAINED else ""


def _quoted(text: str) -> str:
    if not text.isprintable():
        # YAML folds other separators than the space and refuses controls.
        return '"' + "".join(f"\\U{ord(one):08X}" for one in text) + '"'
    return "'" + text.replace("'", "''") + "'"
