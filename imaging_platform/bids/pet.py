"""PET sidecars: what the scanner says in other words, and what the standard asks."""

from __future__ import annotations

from collections.abc import Mapping

PET_REQUIRED = (
    "Manufacturer",
    "ManufacturersModelName",
    "Units",
    "TracerName",
    "TracerRadionuclide",
    "InjectedRadioactivity",
    "InjectedRadioactivityUnits",
    "InjectedMass",
    "InjectedMassUnits",
    "SpecificRadioactivity",
    "SpecificRadioactivityUnits",
    "ModeOfAdministration",
    "TimeZero",
    "ScanStart",
    "InjectionStart",
    "FrameTimesStart",
    "FrameDuration",
    "AcquisitionMode",
    "ImageDecayCorrected",
    "ImageDecayCorrectionTime",
    "ReconMethodName",
    "ReconMethodParameterLabels",
    "ReconFilterType",
    "AttenuationCorrection",
)
"""Required keys of ``*_pet.json`` (BIDS 1.11, PET sidecar tables)."""

_INFUSION = (
    "InfusionRadioactivity",
    "InfusionStart",
    "InfusionSpeed",
    "InfusionSpeedUnits",
    "InjectedVolume",
)
_DECAY_CORRECTED = {"START": True, "ADMIN": True, "NONE": False}
_UNITS = {"BQML": "Bq/mL"}


def complete_pet(sidecar: dict[str, object]) -> None:
    """
    Say in BIDS what dcm2niix says in words of DICOM; what is there stays.

    Units BQML are Bq/mL; DecayCorrection (0054,1102), the attenuation correction
    and the reconstruction method have BIDS keys of their own. Nothing is guessed:
    tracer, mass and times of injection come from the study file.
    """
    units = str(sidecar.get("Units", ""))
    if units in _UNITS:
        sidecar["Units"] = _UNITS[units]
    corrected = _DECAY_CORRECTED.get(str(sidecar.get("DecayCorrection", "")))
    if corrected is not None:
        sidecar.setdefault("ImageDecayCorrected", corrected)
    for key, source in (
        ("AttenuationCorrection", "AttenuationCorrectionMethod"),
        ("ReconMethodName", "ReconstructionMethod"),
    ):
        if source in sidecar:
            sidecar.setdefault(key, sidecar[source])


def find_missing_pet(sidecar: Mapping[str, object]) -> list[str]:
    """Return required keys that follow from the values of others and are not there."""
    needed: list[str] = []
    if sidecar.get("ModeOfAdministration") == "bolus-infusion":
        needed += _INFUSION
    if _names_some(sidecar.get("ReconMethodParameterLabels")):
        needed += ["ReconMethodParameterValues", "ReconMethodParameterUnits"]
    if _names_some(sidecar.get("ReconFilterType")):
        needed.append("ReconFilterSize")
    return [key for key in needed if key not in sidecar]


def _names_some(value: object) -> bool:
    """Tell whether a list or text names anything but ``none``."""
    listed = value if isinstance(value, list | tuple) else [value]
    return any(str(one) not in ("none", "None", "") for one in listed)
