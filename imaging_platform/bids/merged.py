"""The series of each image, where dcm2niix does not say it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from imaging_platform.bids.accounting import SeriesFacts
from imaging_platform.bids.outputs import Output
from imaging_platform.dicom.stacks import name_xa_run


def name_series(
    outputs: Sequence[Output], series: Sequence[SeriesFacts]
) -> tuple[Output, ...]:
    """
    Return the outputs, each with a series of the session where one can be told.

    For slices of Siemens XA in classic DICOM, dcm2niix puts the time of the series
    in place of its UID, so that volumes with UIDs of their own become one run
    (rordenlab/dcm2niix#236). The series whose number the image has stands for the run,
    else the first one.
    """
    known = {one.uid for one in series}
    return tuple(
        output if output.series_uid in known else _rename(output, series)
        for output in outputs
    )


def _rename(output: Output, series: Sequence[SeriesFacts]) -> Output:
    sidecar = output.sidecar
    said = (
        sidecar.get("StudyInstanceUID"),
        sidecar.get("SeriesNumber"),
        sidecar.get("SeriesDescription") or "",
    )
    runs = (name_xa_run(output.series_uid), said)
    run = [one for one in series if one.run in runs]
    numbered = [one for one in run if one.number == sidecar.get("SeriesNumber")]
    uid = _first(numbered) or _first(run) or find_numbered(f"{said[1]}_", series)
    return replace(output, sidecar={**sidecar, "SeriesInstanceUID": uid or ""})


def find_numbered(name: str, series: Sequence[SeriesFacts]) -> str:
    """Return the first series of the only run with the number that begins `name`."""
    found = re.match(r"(\d+)_", name)
    run = [s for s in series if found and s.is_image and s.number == int(found[1])]
    return _first(run) if len({one.run for one in run}) == 1 else ""


def _first(run: Sequence[SeriesFacts]) -> str:
    return min((one.uid for one in run if one.is_image), default="")
