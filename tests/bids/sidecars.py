"""Outputs of dcm2niix as a few lines say them, for the tests of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from imaging_platform.bids.outputs import Output, sort_key
from imaging_platform.bids.rules import decide_session
from imaging_platform.bids.settings import BidsSettings

EPI = {"ScanningSequence": "EP", "MRAcquisitionType": "2D"}
BOLD = EPI | {
    "SequenceName": "epfid2d1_64",
    "EchoTime": 0.03,
    "RepetitionTime": 2.0,
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "PhaseEncodingDirection": "j-",
    "TotalReadoutTime": 0.03,
}
SPIN_ECHO_EPI = EPI | {
    "SequenceName": "epse2d1_64",
    "EchoTime": 0.06,
    "RepetitionTime": 7.0,
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "TotalReadoutTime": 0.03,
}
DWI = EPI | {
    "SequenceName": "ep_b1000",
    "EchoTime": 0.08,
    "RepetitionTime": 4.0,
    "ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"],
    "PhaseEncodingDirection": "j-",
}
MPRAGE = {
    "ScanningSequence": "GR\\IR",
    "SequenceName": "*tfl3d1_16ns",
    "MRAcquisitionType": "3D",
    "EchoTime": 0.003,
    "RepetitionTime": 2.3,
    "InversionTime": 0.9,
    "FlipAngle": 9,
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"],
}
FIELDMAP = {
    "ScanningSequence": "GR",
    "SequenceName": "*fm2d2r",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 0.4,
    "FlipAngle": 60,
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
}


def output(
    name: str,
    facts: dict[str, Any],  # JSON of any kind
    *,
    at_s: float = 0.0,
    volumes: int = 1,
    bvals: tuple[float, ...] | None = None,
    number: int = 1,
    **more: Any,  # further sidecar fields
) -> Output:
    """Return an image of 64 x 64 x 30 voxels named `name`, `at_s` after ten o'clock."""
    minutes, seconds = divmod(at_s, 60)
    sidecar = {
        "Modality": "MR",
        "Manufacturer": "Siemens",
        "SeriesDescription": name,
        "ProtocolName": name,
        "SeriesNumber": number,
        "SeriesInstanceUID": f"1.2.{number}",
        "AcquisitionDateTime": f"2020-01-01T10:{int(minutes):02}:{seconds:09.6f}",
    }
    repetition = float(facts.get("RepetitionTime", 1.0))
    return Output(
        stem=f"{number}_{name}_{at_s}",
        sidecar=sidecar | facts | more,
        shape=(64, 64, 30, volumes) if volumes > 1 else (64, 64, 30),
        zooms=(3.0, 3.0, 3.0, repetition) if volumes > 1 else (3.0, 3.0, 3.0),
        axis_codes=("L", "A", "S"),
        bvals=bvals,
        center_mm=(0.0, 0.0, 0.0),
    )


def decide(*outputs: Output, settings: BidsSettings | None = None):
    """Return the decisions in the order of the arguments."""
    ordered = sorted(outputs, key=sort_key)
    decisions = decide_session(ordered, settings or BidsSettings())
    found = {d.stem: d for d in decisions}
    return [found[one.stem] for one in outputs]


def names(*outputs: Output, settings: BidsSettings | None = None) -> list[str]:
    """Return ``datatype/name``, or the outcome, of each image."""
    return [
        f"{d.datatype}/{d.name('x')[2:]}" if d.is_converted else d.outcome
        for d in decide(*outputs, settings=settings)
    ]


def gradient_fieldmap(at_s: float, number: int) -> list[Output]:
    """Return two magnitudes and the phase difference of one fieldmap."""
    phase = FIELDMAP | {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}
    both = {"EchoTime1": 0.005, "EchoTime2": 0.0075}
    return [
        output("b0", FIELDMAP, at_s=at_s, number=number, EchoTime=0.005, EchoNumber=1),
        output("b0", FIELDMAP, at_s=at_s, number=number, EchoTime=0.0075, EchoNumber=2),
        output("b0", phase, at_s=at_s, number=number + 1, EchoTime=0.0075, **both),
    ]


def distinct(outputs: Sequence[Output]) -> list[Output]:
    """Return the images with a stem of their own each."""
    return [replace(one, stem=str(n)) for n, one in enumerate(outputs)]
