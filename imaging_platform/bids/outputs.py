"""What dcm2niix wrote, as facts: one `Output` for each image with a sidecar."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging_platform.files.digests import digest_file, digest_json
from imaging_platform.model.errors import InvalidOutput

_NO_NUMBER = re.compile(r"(?<=[:\[,\s])-?(?:nan|inf)(?=\s*[,\]}])", re.IGNORECASE)
_LAST_COMMA = re.compile(r",(?=\s*[\]}])")


@dataclass(frozen=True)
class Output:
    """
    One image of dcm2niix with what is known about it.

    Parameters
    ----------
    stem
        File name without extension in the scratch folder; carries no evidence.
    sidecar
        The JSON that dcm2niix wrote, in its units (s, Hz, mm, degrees).
    shape
        Voxels along i, j, k and, for series, volumes; empty when unknown.
    zooms
        Voxel sizes in mm and, for series, the repetition time in s.
    axis_codes
        Anatomical directions to which i, j, k grow, such as ``("L", "A", "S")``.
    bvals
        b-values in s/mm2, one a volume; None without a bval file.
    center_mm
        World coordinates of the middle of the grid in mm; empty when unknown.
    fields
        DICOM elements of its series that rules of the study ask for, by keyword.
    """

    stem: str
    sidecar: Mapping[str, object]
    shape: tuple[int, ...] = ()
    zooms: tuple[float, ...] = ()
    axis_codes: tuple[str, ...] = ()
    bvals: tuple[float, ...] | None = None
    center_mm: tuple[float, ...] = ()
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def volumes(self) -> int | None:
        """How many volumes the image has; None when its shape is unknown."""
        if not self.shape:
            return None
        return self.shape[3] if len(self.shape) > 3 else 1

    @property
    def series_uid(self) -> str:
        """The series that dcm2niix names; of a merged run, the first one."""
        return str(self.sidecar.get("SeriesInstanceUID", ""))


@dataclass(frozen=True)
class Scratch:
    """
    Everything that one dcm2niix call left behind.

    Parameters
    ----------
    outputs
        Images with a sidecar, in an order that does not depend on file names.
    orphans
        Names of images without a sidecar: interrupted or resampled copies.
    unreadable
        Names of images that are broken themselves or have a broken sidecar.
    """

    outputs: tuple[Output, ...]
    orphans: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def read_scratch(folder: Path) -> Scratch:
    """
    Read what dcm2niix wrote into `folder`.

    One broken image does not cost the session: its name is among `unreadable`.
    """
    outputs: list[Output] = []
    orphans: list[str] = []
    unreadable: list[str] = []
    for image in sorted(folder.glob("*.nii")):
        sidecar = folder / f"{image.name.removesuffix('.nii')}.json"
        if sidecar.exists():
            output = _read_output(image, sidecar)
            if output is None:
                unreadable.append(image.name)
            else:
                outputs.append(output)
        else:
            orphans.append(image.name)
    return Scratch(tuple(_in_order(outputs, folder)), tuple(orphans), tuple(unreadable))


def _read_output(image: Path, sidecar: Path) -> Output | None:
    # Who only plans needs the facts that were kept, and no arrays.
    from imaging_platform.bids.geometry import read_geometry

    try:
        geometry = read_geometry(image)
        facts = _parse_facts(sidecar.read_text(encoding="utf-8", errors="replace"))
    except (InvalidOutput, ValueError, OSError):
        return None
    bval = image.with_name(sidecar.stem + ".bval")
    return Output(
        stem=sidecar.stem,
        sidecar=facts,
        shape=geometry.shape,
        zooms=geometry.zooms,
        axis_codes=geometry.axis_codes,
        bvals=_read_bvals(bval) if bval.exists() else None,
        center_mm=tuple(round(x, 3) for x in geometry.center_mm),
    )


def _parse_facts(text: str) -> dict[str, Any]:  # JSON
    """
    Return what a sidecar says, also where it is no JSON to anyone else.

    dcm2niix has written numbers that are none, a comma behind the last value of a
    list, and lines as they stand in a header.
    """
    try:
        facts = json.loads(text, strict=False, parse_constant=lambda _: None)
    except ValueError:
        mended = _NO_NUMBER.sub("null", _LAST_COMMA.sub("", text))
        facts = json.loads(mended, strict=False)
    if not isinstance(facts, dict):
        raise ValueError("a sidecar is no object")
    return facts


def _read_bvals(path: Path) -> tuple[float, ...]:
    return tuple(float(text) for text in path.read_text().split())


def _in_order(outputs: Sequence[Output], folder: Path) -> list[Output]:
    """Sort by time, then by what the image is; bytes decide only between twins."""
    keys = {output.stem: sort_key(output) for output in outputs}
    twice = _repeated(list(keys.values()))
    digests = {
        stem: digest_file(folder / f"{stem}.nii") if key in twice else ""
        for stem, key in keys.items()
    }
    return sorted(outputs, key=lambda o: (keys[o.stem], digests[o.stem]))


def _repeated(keys: Sequence[tuple[object, ...]]) -> set[tuple[object, ...]]:
    seen: set[tuple[object, ...]] = set()
    return {key for key in keys if key in seen or seen.add(key)}


def sort_key(output: Output) -> tuple[object, ...]:
    """Return a total order of outputs by time of acquisition, series, echo, content."""
    sidecar = output.sidecar
    when = sidecar.get("AcquisitionDateTime") or sidecar.get("AcquisitionTime") or ""
    return (
        str(when),
        _number(sidecar.get("SeriesNumber")),
        _number(sidecar.get("EchoTime")),
        _number(sidecar.get("InversionTime")),
        str(sidecar.get("ImageType", "")),
        output.series_uid,
        digest_json(sidecar),
        str(output.shape),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
