"""
Which values the standard allows in a sidecar (BIDS schema 1.11, objects.metadata).

A scanner writes a flip angle of 0 where it has none, or a text where a number belongs.
The official validator takes each for an error, and no value is better than such a one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Check = Callable[[object], bool]


@dataclass(frozen=True)
class _Number:
    """Numbers in bounds; the lower one itself is out when it is open."""

    low: float = -math.inf
    high: float = math.inf
    is_open: bool = False

    def __call__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (value > self.low or (value == self.low and not self.is_open)) and (
            value <= self.high
        )


@dataclass(frozen=True)
class _Choice:
    """One of some texts."""

    texts: tuple[str, ...]

    def __call__(self, value: object) -> bool:
        return isinstance(value, str) and value in self.texts


@dataclass(frozen=True)
class _List:
    """Values that all pass one check; one alone, too, where that is allowed."""

    check: Check
    or_one: bool = False

    def __call__(self, value: object) -> bool:
        if isinstance(value, list | tuple):
            return all(map(self.check, value))
        return self.or_one and self.check(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


_ANY, _FROM_ZERO = _Number(), _Number(0.0)
_POSITIVE, _ANGLE = _Number(0.0, is_open=True), _Number(0.0, 360.0, is_open=True)
_AXES = _Choice(("i", "i-", "j", "j-", "k", "k-"))

_CHECKS: Mapping[Check, str] = {
    _is_boolean: "BackgroundSuppression BolusCutOffFlag ImageDecayCorrected LookLocker "
    "MTState NonlinearGradientCorrection SpoilingState VascularCrushing",
    _is_text: "BodyPart BolusCutOffTechnique CoilCombinationMethod Manufacturer "
    "ManufacturersModelName MatrixCoilMode PASLType ParallelAcquisitionTechnique "
    "PartialFourierDirection PulseSequenceDetails PulseSequenceType "
    "ReceiveCoilActiveElements ReceiveCoilName ReconMethodName SequenceName "
    "SoftwareVersions TimeZero TracerName TracerRadionuclide Units",
    _List(_is_text, or_one=True): "ScanOptions ScanningSequence SequenceVariant",
    _Choice(("CASL", "PCASL", "PASL")): "ArterialSpinLabelingType",
    _Choice(("Separate", "Included", "Estimate", "Absent")): "M0Type",
    _Choice(("1D", "2D", "3D")): "MRAcquisitionType",
    _Choice(("balanced", "unbalanced")): "PCASLType",
    _Choice(("RF", "GRADIENT", "COMBINED")): "SpoilingType",
    _AXES: "PhaseEncodingDirection SliceEncodingDirection",
    _ANY: "DelayTime DoseCalibrationFactor DwellTime LabelingDistance "
    "MagneticFieldStrength MultibandAccelerationFactor ParallelReductionFactorInPlane "
    "ParallelReductionFactorOutOfPlane PartialFourier TotalReadoutTime",
    _FROM_ZERO: "BackgroundSuppressionNumberPulses RepetitionTimeExcitation",
    _POSITIVE: "AcquisitionDuration EchoTime1 EchoTime2 EffectiveEchoSpacing "
    "InversionTime LabelingEfficiency LabelingPulseAverageGradient "
    "LabelingPulseDuration LabelingPulseInterval LabelingPulseMaximumGradient "
    "RepetitionTime SliceThickness TotalAcquiredPairs",
    _ANGLE: "LabelingPulseFlipAngle",
    _List(_ANY): "FrameDuration FrameTimesStart",
    _List(_FROM_ZERO): "BackgroundSuppressionPulseTime SliceTiming",
    _List(_Number(0.0, 100.0)): "ScatterFraction",
    _List(_FROM_ZERO, or_one=True): "BolusCutOffDelayTime LabelingDuration "
    "PostLabelingDelay RepetitionTimePreparation",
    _List(_POSITIVE, or_one=True): "EchoTime",
    _List(_ANGLE, or_one=True): "FlipAngle",
}
_LEAST_APART_S, _MOST_APART_S = 0.0001, 0.01

_PER_VOLUME = {
    "perf/asl": (
        "FlipAngle",
        "LabelingDuration",
        "PostLabelingDelay",
        "RepetitionTimePreparation",
    ),
    "pet/pet": ("FrameDuration", "FrameTimesStart"),
}
"""Keys that have one value a volume where they are lists."""

_CHECK_OF = {key: check for check, keys in _CHECKS.items() for key in keys.split()}


def is_allowed(key: str, value: object) -> bool:
    """Tell whether a value is one that a sidecar may have; True of unknown keys."""
    check = _CHECK_OF.get(key)
    return check is None or check(value)


def find_impossible(
    sidecar: Mapping[str, object], label: str, shape: Sequence[int]
) -> list[str]:
    """
    Return the keys whose values fit neither each other nor the image.

    Parameters
    ----------
    sidecar
        Values that are allowed, each by itself; times in s.
    label
        Datatype and suffix, such as ``func/bold``.
    shape
        Voxels along i, j and k, and volumes.

    Returns
    -------
    list of str
        What the rules of the standard refuse (BIDS schema, rules.checks): an
        effective echo spacing whose lines do not fit into readout or repetition, a
        readout of no time, two echoes of a phase difference that are not 0.1 to 10 ms
        apart, several of one phase, and lists that have not one value a volume.
    """
    found = [] if _fits_readout(sidecar, shape) else ["EffectiveEchoSpacing"]
    if (_number(sidecar, "TotalReadoutTime") or 0.0) <= 0.0:
        found.append("TotalReadoutTime")
    if label in {"fmap/phase1", "fmap/phase2"} and isinstance(
        sidecar.get("EchoTime"), list | tuple
    ):
        found.append("EchoTime")
    if label == "fmap/phasediff" and not _are_apart(sidecar):
        found += ["EchoTime1", "EchoTime2"]
    volumes = shape[3] if len(shape) > 3 else 1
    for key in _PER_VOLUME.get(label, ()):
        value = sidecar.get(key)
        if isinstance(value, list | tuple) and shape and len(value) != volumes:
            found.append(key)
    return found


def _fits_readout(sidecar: Mapping[str, object], shape: Sequence[int]) -> bool:
    spacing_s = _number(sidecar, "EffectiveEchoSpacing")
    readout_s = _number(sidecar, "TotalReadoutTime")
    repetition_s = _number(sidecar, "RepetitionTime")
    if spacing_s is None:
        return True
    if readout_s is not None and spacing_s >= readout_s:
        return False
    axis = "ijk".find(str(sidecar.get("PhaseEncodingDirection") or "?")[0])
    if repetition_s is None or not 0 <= axis < len(shape):
        return True
    return spacing_s * shape[axis] <= repetition_s


def _are_apart(sidecar: Mapping[str, object]) -> bool:
    first_s, second_s = (_number(sidecar, f"EchoTime{n}") for n in (1, 2))
    if first_s is None or second_s is None:
        return False
    return _LEAST_APART_S <= second_s - first_s <= _MOST_APART_S


def _number(sidecar: Mapping[str, object], key: str) -> float | None:
    value = sidecar.get(key)
    return float(value) if isinstance(value, int | float) else None
