"""From activity to standardized uptake: dose, decay, weight and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HALF_LIFE_S = {
    "C11": 1223.4,
    "N13": 597.9,
    "O15": 122.24,
    "F18": 6586.2,
    "Cu64": 45_723.6,
    "Ga68": 4057.7,
    "Zr89": 282_276.0,
    "I124": 360_806.0,
}
"""Seconds (LNHB tables, as in DICOM PS3.16 CID 4020's radionuclides)."""

_BECQUEREL = {"Bq": 1.0, "kBq": 1e3, "MBq": 1e6, "GBq": 1e9, "mCi": 3.7e7}

LATE_S = 1200.0
"""SUV and SUVR are of the last 20 minutes, in which most tracers stand still."""


@dataclass(frozen=True)
class Dose:
    """
    What activity is compared to.

    Parameters
    ----------
    becquerel
        Injected activity at the time to which the image is decay corrected.
    weight_kg
        Of the body.
    """

    becquerel: float
    weight_kg: float

    @property
    def suv_factor(self) -> float:
        """What Bq/mL is multiplied by: body grams over dose, 1 mL being 1 g."""
        return 1000 * self.weight_kg / self.becquerel


def find_dose(sidecar: Mapping[str, object], weight_kg: float) -> Dose | str:
    """
    Return the dose of a PET scan, or what is missing and where to set it.

    Parameters
    ----------
    sidecar
        Of the scan, with BIDS keys; ``RadionuclideTotalDose`` (Bq) stands for
        ``InjectedRadioactivity`` when that is absent.
    weight_kg
        0 when unknown.
    """
    if str(sidecar.get("Units", "")) != "Bq/mL":
        return "Units are not Bq/mL: correct them in study.yaml (bids.rules, metadata)"
    if weight_kg <= 0:
        return "the weight is unknown: keep it in study.yaml (deid.characteristics)"
    injected = _injected_becquerel(sidecar)
    if injected is None:
        return (
            "InjectedRadioactivity or its unit is missing: set both in study.yaml "
            "(bids.rules, metadata)"
        )
    waited_s = _waited_s(sidecar)
    if waited_s is None:
        return (
            "it is unknown to which time decay is corrected: set ImageDecayCorrected, "
            "ImageDecayCorrectionTime and InjectionStart in study.yaml "
            "(bids.rules, metadata)"
        )
    half_life_s = _half_life_s(sidecar)
    if waited_s and half_life_s is None:
        return "TracerRadionuclide is missing: set it in study.yaml"
    decayed = 2 ** (-waited_s / half_life_s) if half_life_s else 1.0
    return Dose(injected * decayed, weight_kg)


def late_frames(
    starts_s: NDArray[np.float64], lengths_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """
    Return the weight of each frame in the mean of the last `LATE_S`, sum 1.

    Parameters
    ----------
    starts_s, lengths_s
        Shape (frames,); lengths > 0.

    Examples
    --------
    >>> import numpy as np
    >>> late_frames(np.array([0.0, 1200, 1800]), np.array([1200.0, 600, 600])).tolist()
    [0.0, 0.5, 0.5]
    """
    middle = starts_s + lengths_s / 2
    late = middle >= (starts_s + lengths_s).max() - LATE_S
    late[np.argmax(middle)] = True
    weights = np.where(late, lengths_s, 0.0)
    return weights / weights.sum()


def frame_times(
    sidecar: Mapping[str, object], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return start and length (s) of each frame; None when they do not fit."""
    try:
        starts = np.atleast_1d(np.array(sidecar.get("FrameTimesStart"), dtype=float))
        lengths = np.atleast_1d(np.array(sidecar.get("FrameDuration"), dtype=float))
    except (TypeError, ValueError):
        return None
    if count == 1 and len(lengths) == 1 and np.isnan(starts).any():
        starts = np.zeros(1)
    fits = starts.shape == lengths.shape == (count,)
    if not fits or not np.all(lengths > 0) or np.isnan(starts).any():
        return None
    return starts, lengths


def _injected_becquerel(sidecar: Mapping[str, object]) -> float | None:
    value = _number(sidecar, "InjectedRadioactivity")
    unit = _BECQUEREL.get(str(sidecar.get("InjectedRadioactivityUnits", "")))
    if value is not None and unit is not None:
        return value * unit if value > 0 else None
    total = _number(sidecar, "RadionuclideTotalDose")
    return total if total is not None and total > 0 else None


def _waited_s(sidecar: Mapping[str, object]) -> float | None:
    """Return the time from injection to what decay is corrected to; None if unknown."""
    if sidecar.get("DecayCorrection") == "ADMIN":
        return 0.0
    if sidecar.get("ImageDecayCorrected") is not True:
        return None
    corrected_to_s = _number(sidecar, "ImageDecayCorrectionTime")
    injected_s = _number(sidecar, "InjectionStart")
    if corrected_to_s is None or injected_s is None:
        return None
    return corrected_to_s - injected_s


def _half_life_s(sidecar: Mapping[str, object]) -> float | None:
    known = _number(sidecar, "RadionuclideHalfLife")
    name = str(sidecar.get("TracerRadionuclide", "")).replace("-", "")
    named = HALF_LIFE_S.get(name) or HALF_LIFE_S.get(name[::-1])
    return known if known else named


def _number(sidecar: Mapping[str, object], key: str) -> float | None:
    value = sidecar.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None
