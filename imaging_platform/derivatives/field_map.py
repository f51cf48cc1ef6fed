"""The map of the static field in Hz, whatever a scanner recorded it as."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.opposed import find_displacement
from imaging_platform.derivatives.phase import TURN, to_radians, unwrap
from imaging_platform.derivatives.scans import (
    DerivativeReport,
    Scan,
    Skipped,
    derived_path,
    find_scans,
    read_sidecar,
    source_uri,
)
from imaging_platform.derivatives.temporal_snr import mask_head
from imaging_platform.derivatives.volumes import Volume
from imaging_platform.files.writing import write_json
from imaging_platform.model.ids import SessionKey
from imaging_platform.voxels.masks import Mask

_HZ_PER_UNIT = {"Hz": 1.0, "rad/s": 1 / TURN, "T": 42.577e6, "Tesla": 42.577e6}


@dataclass(frozen=True)
class FieldMap:
    """
    One map of the field.

    Parameters
    ----------
    scan
        Name of the scan that it comes from, without extension.
    image
        Path of the map inside the target folder.
    method
        ``phase difference``, ``two phases``, ``field of the scanner`` or
        ``opposed phase encoding``.
    median_hz, low_hz, high_hz
        Median, 2nd and 98th percentile in the mask.
    mask_ml
        Volume of the mask in millilitres.
    """

    scan: str
    image: str
    method: str
    median_hz: float
    low_hz: float
    high_hz: float
    mask_ml: float


@dataclass(frozen=True, eq=False)
class _Found:
    """A map before it is written."""

    sources: tuple[Scan, ...]
    method: str
    hz: Volume
    magnitude: Volume
    mask: Mask
    image: Image


def write_field_map(
    bids_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write ``fmap/*_desc-preproc_fieldmap.nii.gz`` for each field map of a session.

    Hz, unwrapped, 0 outside of the head; from a phase difference, two phases, the
    field that the scanner computed, or two echo planar images of opposed phase
    encoding (a simple estimate, see `find_displacement`).

    Parameters
    ----------
    bids_session
        ``.../sub-X/ses-Y`` of a BIDS dataset.
    target
        Existing empty folder: content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.

    Returns
    -------
    dict
        A `DerivativeReport` of `FieldMap`; its note may be ``no field map``.

    Raises
    ------
    BadInput
        A scan cannot be read.
    MissingInput
        The session folder is not there.
    """
    key = SessionKey(subject, session)
    done: list[FieldMap] = []
    skipped: list[Skipped] = []
    for found in _find_maps(Path(bids_session)):
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            done.append(_write_map(found, Path(target), key))
    note = "" if done or skipped else "no field map"
    return asdict(DerivativeReport(tuple(done), tuple(skipped), note))


def _find_maps(session: Path) -> Iterator[_Found | Skipped]:
    for scan in find_scans(session, "fmap", "phasediff"):
        yield _from_phases([scan])
    for scan in find_scans(session, "fmap", "phase1"):
        second = _twin(scan, "phase2")
        if second is None:
            yield Skipped(scan.name, "its second phase is missing")
        else:
            yield _from_phases([scan, second])
    for scan in find_scans(session, "fmap", "fieldmap"):
        yield _from_scanner(scan)
    yield from _from_opposed(find_scans(session, "fmap", "epi"))


def _from_phases(scans: list[Scan]) -> _Found | Skipped:
    first = scans[0]
    times_s = _echo_times_s(scans)
    if times_s is None:
        keys = "EchoTime1 and EchoTime2" if len(scans) == 1 else "EchoTime"
        return Skipped(first.name, f"its sidecar has no {keys}: set them in study.yaml")
    images = [read_image(scan.path) for scan in scans]
    magnitude = _read_twin(first, "magnitude1", images[0])
    if images[0].data.ndim != 3 or images[0].data.shape != images[-1].data.shape:
        return Skipped(first.name, "its phases are not one volume each of one shape")
    if magnitude is None:
        return Skipped(first.name, "no magnitude of its shape stands beside it")
    phase = to_radians(images[0].data)
    if len(images) == 2:
        phase = to_radians(images[1].data) - phase
    mask = mask_head(magnitude)
    turns = unwrap(phase, magnitude, mask) / TURN
    hz = (turns / (times_s[1] - times_s[0])).astype(np.float32)
    method = "phase difference" if len(scans) == 1 else "two phases"
    return _Found(tuple(scans), method, hz, magnitude, mask, images[0])


def _echo_times_s(scans: list[Scan]) -> tuple[float, float] | None:
    if len(scans) == 1:
        sidecar = read_sidecar(scans[0])
        found = [sidecar.get("EchoTime1"), sidecar.get("EchoTime2")]
    else:
        found = [read_sidecar(scan).get("EchoTime") for scan in scans]
    first, second = (float(t) if isinstance(t, int | float) else 0.0 for t in found)
    return (first, second) if 0 < first < second else None


def _from_scanner(scan: Scan) -> _Found | Skipped:
    unit = str(read_sidecar(scan).get("Units", ""))
    if unit not in _HZ_PER_UNIT:
        known = ", ".join(_HZ_PER_UNIT)
        return Skipped(scan.name, f"its Units are none of {known}: set in study.yaml")
    image = read_image(scan.path)
    if image.data.ndim != 3:
        return Skipped(scan.name, "more than one volume")
    magnitude = _read_twin(scan, "magnitude", image)
    if magnitude is None:
        return Skipped(scan.name, "no magnitude of its shape stands beside it")
    mask = mask_head(magnitude)
    hz = np.where(mask, image.data * np.float32(_HZ_PER_UNIT[unit]), 0)
    return _Found((scan,), "field of the scanner", hz, magnitude, mask, image)


def _from_opposed(scans: list[Scan]) -> Iterator[_Found | Skipped]:
    """Pair each image with the next of the same field and opposed direction."""
    waiting = list(scans)
    while waiting:
        scan = waiting.pop(0)
        partner = next((other for other in waiting if _are_opposed(scan, other)), None)
        if partner is None:
            reason = "no image of opposed PhaseEncodingDirection stands beside it"
            yield Skipped(scan.name, reason)
        else:
            waiting.remove(partner)
            yield _from_pair(scan, partner)


def _from_pair(one: Scan, other: Scan) -> _Found | Skipped:
    direction = str(read_sidecar(one)["PhaseEncodingDirection"])
    readout_s = read_sidecar(one).get("TotalReadoutTime")
    if not isinstance(readout_s, int | float) or readout_s <= 0:
        return Skipped(one.name, "no TotalReadoutTime: set it in study.yaml")
    forward, backward = (other, one) if direction.endswith("-") else (one, other)
    images = [read_image(scan.path) for scan in (forward, backward)]
    ahead, behind = (i.data if i.data.ndim == 3 else i.data.mean(3) for i in images)
    if ahead.shape != behind.shape:
        return Skipped(one.name, "the two images have different shapes")
    mask = mask_head(ahead) & mask_head(behind)
    shift = find_displacement(ahead, behind, "ijk".index(direction[0]))
    hz = np.where(mask, shift / np.float32(readout_s), 0).astype(np.float32)
    mean = ((ahead + behind) / 2).astype(np.float32)
    return _Found((one, other), "opposed phase encoding", hz, mean, mask, images[0])


def _are_opposed(one: Scan, other: Scan) -> bool:
    first, second = read_sidecar(one), read_sidecar(other)
    directions = {str(s.get("PhaseEncodingDirection", "")) for s in (first, second)}
    plain = {direction.rstrip("-") for direction in directions}
    same_field = first.get("B0FieldIdentifier") == second.get("B0FieldIdentifier")
    return same_field and len(directions) == 2 and len(plain) == 1


def _twin(scan: Scan, suffix: str) -> Scan | None:
    """Return the scan of the same name with another suffix."""
    stem = scan.name.removesuffix(scan.suffix)
    for extension in (".nii.gz", ".nii"):
        path = scan.path.with_name(f"{stem}{suffix}{extension}")
        if path.is_file():
            return dataclasses.replace(scan, path=path, suffix=suffix)
    return None


def _read_twin(scan: Scan, suffix: str, image: Image) -> Volume | None:
    twin = _twin(scan, suffix)
    data = read_image(twin.path).data if twin else None
    return data if data is not None and data.shape == image.data.shape else None


def _write_map(found: _Found, target: Path, key: SessionKey) -> FieldMap:
    first = found.sources[0]
    kept = tuple(pair for pair in first.entities if pair[0] != "dir")
    scan = dataclasses.replace(first, entities=kept)
    hz = np.round(found.hz, 3)
    signal = np.where(found.mask, found.magnitude, 0)
    path = _write_image(found, scan, "fieldmap", hz, target, key)
    _write_image(found, scan, "magnitude", signal, target, key)
    inside = hz[found.mask] if found.mask.any() else np.zeros(1, dtype=np.float32)
    low, middle, high = np.percentile(inside, [2, 50, 98])
    voxel_ml = abs(float(np.linalg.det(found.image.affine[:3, :3]))) / 1000
    return FieldMap(
        scan=first.name,
        image=path.relative_to(target).as_posix(),
        method=found.method,
        median_hz=round(float(middle), 3),
        low_hz=round(float(low), 3),
        high_hz=round(float(high), 3),
        mask_ml=round(float(found.mask.sum()) * voxel_ml, 2),
    )


def _write_image(
    found: _Found, scan: Scan, suffix: str, data: Volume, target: Path, key: SessionKey
) -> Path:
    path = derived_path(target, key, scan, "preproc", suffix, ".nii.gz")
    write_image(path, data, found.image.affine)
    sidecar = derived_path(target, key, scan, "preproc", suffix, ".json")
    write_json(sidecar, _describe(found, suffix, key))
    return path


def _describe(found: _Found, suffix: str, key: SessionKey) -> dict[str, object]:
    raw = read_sidecar(found.sources[0])
    described: dict[str, object] = {
        "Description": "Magnitude in the mask of the map.",
        "SkullStripped": False,
        "Sources": [source_uri(key, scan) for scan in found.sources],
    }
    if suffix == "magnitude":
        return described
    words = f"Off-resonance from: {found.method}. 0 outside of the head."
    described |= {"Description": words, "Units": "Hz"}
    for name in ("B0FieldIdentifier", "EchoTime1", "EchoTime2", "TotalReadoutTime"):
        if name in raw:
            described[name] = raw[name]
    intended = raw.get("IntendedFor", [])
    listed = intended if isinstance(intended, list) else [intended]
    if listed:
        described["IntendedFor"] = [
            str(uri).replace("bids::", "bids:raw:") for uri in listed
        ]
    return described
