"""
Pulse, breathing and ECG that the CMRR sequences of Siemens scanners record.

They come as logs, or as a DICOM file of raw data that holds the same logs; both are
text of version EJA_1 (CMRR-C2P/MB, readCMRRPhysio.m and extractCMRRPhysio.m).
Identifiers and dates of the logs are not read; clocks become times since the first
volume.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.files.writing import write_bytes, write_json
from imaging_platform.model.errors import BadInput

TIC_S = 0.0025
"""Length of a tic in s; tics count from midnight."""

LONGEST_GAP_SAMPLES = 2.5
"""Wider gaps between samples are ``n/a``; the scanner's clock jitters by a tic."""

_PHYSIO_DATA = 0x7FE11010
_BLOCK_BYTES = 1024
_MOST_LOG_BYTES = 64 << 20
_CHANNELS = {"PULS": "cardiac", "RESP": "respiratory", "ECG": "ecg"}
_SETTING = re.compile(r"^(\w+)\s*=\s*(\S+)\s*$", re.MULTILINE)
_SAMPLE = re.compile(r"^\s*(\d+)\s+(PULS|RESP|ECG\d?)\s+(\d+)", re.MULTILINE)
_VOLUME = re.compile(r"^\s*(\d+)\s+\d+\s+(\d+)\s+\d+", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Recording:
    """
    One kind of signal at one rate.

    Parameters
    ----------
    label
        ``cardiac``, ``respiratory`` or ``ecg``; the ``recording-`` of its name.
    sampling_hz
        Samples a second.
    start_s
        First sample after the start of the first volume; mostly negative.
    columns
        Names of the columns.
    values
        Shape (samples, columns), float64; the device's own units, NaN where the
        scanner recorded nothing; the last column, ``trigger``, is 1 in the sample
        nearest to the start of a volume, else 0.
    """

    label: str
    sampling_hz: float
    start_s: float
    columns: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """
    What a sidecar says of samples.

    Parameters
    ----------
    columns
        Their names.
    sampling_hz
        Samples a second.
    start_s
        First sample after the start of the first volume.
    """

    columns: tuple[str, ...]
    sampling_hz: float
    start_s: float


@dataclass(frozen=True, eq=False)
class Physio:
    """
    What was recorded during one run.

    Parameters
    ----------
    recordings
        By label.
    clock_s
        Start of the first volume, in s after midnight.
    volumes
        How many volumes were acquired meanwhile.
    """

    recordings: tuple[Recording, ...]
    clock_s: float
    volumes: int


def read_physio(logs: Iterable[str]) -> Physio:
    """
    Return the recordings of one run from the texts of its logs.

    Parameters
    ----------
    logs
        The log of the acquisition (``_Info.log``) and at least one of a signal, in
        any order. Logs of other kinds (external triggers) are passed over.

    Raises
    ------
    BadInput
        There is no log of the acquisition or of a signal, or one is of a version
        that is not known.
    """
    starts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    signals: dict[str, tuple[int, str]] = {}
    for text in logs:
        settings = dict(_SETTING.findall(text))
        if settings.get("LogVersion", "").strip() != "EJA_1":
            raise _unreadable("a log is not of version EJA_1")
        kind = settings.get("LogDataType", "")
        if kind == "ACQUISITION_INFO":
            starts = _volume_starts(text)
        elif kind in _CHANNELS:
            signals[kind] = (int(settings.get("SampleTime", "0") or 0), text)
    if not starts.size:
        raise _unreadable("there is no log of the acquisition")
    found = [
        _read_signal(kind, *signals[kind], starts=starts)
        for kind in _CHANNELS
        if kind in signals
    ]
    recordings = tuple(one for one in found if one is not None)
    if not recordings:
        raise _unreadable("no log holds a sample")
    return Physio(recordings, float(starts[0]) * TIC_S, int(starts.size))


def read_physio_dicom(path: Path) -> Physio:
    """
    Return the recordings that a DICOM file of raw data holds in (7FE1,xx10).

    Raises
    ------
    BadInput
        The file is no such DICOM.
    """
    from imaging_platform.dicom.structure import StructureLimits, scan_structure

    wanted = frozenset({_PHYSIO_DATA})
    limits = StructureLimits(max_value_bytes=_MOST_LOG_BYTES)
    values = scan_structure(path, wanted=wanted, limits=limits).values
    return read_physio(split_logs(values.get(_PHYSIO_DATA, b"")))


def split_logs(data: bytes) -> list[str]:
    """
    Return the logs in the data of a DICOM file.

    Each log begins at a multiple of 1024 bytes: its length and that of its name as
    little-endian integers of 4 bytes, its name, and from byte 1024 on its text. All
    of them have equal room.

    Raises
    ------
    BadInput
        The data is cut off or has another form.
    """
    logs: list[str] = []
    position = 0
    while position + _BLOCK_BYTES <= len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        name_length = int.from_bytes(data[position + 4 : position + 8], "little")
        start = position + _BLOCK_BYTES
        if length == 0 and name_length == 0:
            position = start
            continue
        if name_length > _BLOCK_BYTES - 8 or length > min(
            len(data) - start, _MOST_LOG_BYTES
        ):
            raise _unreadable("its data is cut off")
        logs.append(data[start : start + length].decode("latin-1"))
        position = start + -(-length // _BLOCK_BYTES) * _BLOCK_BYTES
    if not logs:
        raise _unreadable("it holds no log")
    return logs


def write_physio(physio: Physio, target: Path, name: str) -> tuple[str, ...]:
    """
    Write each recording as BIDS has it and return the names of the files.

    Parameters
    ----------
    target
        Existing folder.
    name
        Entities in front of ``_recording-<label>_physio``.
    """
    written = []
    for one in physio.recordings:
        base = f"{name}_recording-{one.label}_physio"
        write_samples(
            target / f"{base}.tsv.gz",
            "".join("\t".join(map(_cell, row)) + "\n" for row in one.values),
            Sampling(one.columns, one.sampling_hz, one.start_s),
        )
        written += [f"{base}.json", f"{base}.tsv.gz"]
    return tuple(written)


def write_samples(path: Path, text: str, sampling: Sampling) -> None:
    """Write samples, a line each, as ``.tsv.gz`` at `path` and its sidecar beside."""
    write_bytes(path, gzip.compress(text.encode(), 6, mtime=0))
    write_json(
        path.with_name(path.name.replace(".tsv.gz", ".json")),
        {
            "Columns": list(sampling.columns),
            "SamplingFrequency": round(sampling.sampling_hz, 6),
            "StartTime": round(sampling.start_s, 6),
        },
    )


def read_sampling(sidecar: Path) -> Sampling:
    """
    Return what the sidecar of samples says of them (BIDS, continuous recordings).

    Raises
    ------
    BadInput
        There is none, or it lacks the columns, the frequency or the start.
    """
    try:
        facts = json.loads(sidecar.read_text(encoding="utf-8"))
        found = Sampling(
            tuple(map(str, facts["Columns"])),
            float(facts["SamplingFrequency"]),
            float(facts["StartTime"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        raise _unreadable(
            "beside it is no JSON with Columns, SamplingFrequency and StartTime"
        ) from None
    if not (0 < found.sampling_hz < inf and isfinite(found.start_s)):
        raise _unreadable("its frequency or start is no number of Hz or seconds")
    return found


def read_packed(path: Path) -> str:
    """
    Return the text of a gzip file.

    Raises
    ------
    BadInput
        It is none, is cut off, or holds more than a recording can.
    """
    try:
        with gzip.open(path) as packed:
            data = packed.read(_MOST_LOG_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise _unreadable("it is no complete gzip file") from None
    if len(data) > _MOST_LOG_BYTES:
        raise _unreadable("it holds more than 64 MiB")
    return data.decode("utf-8", errors="replace")


def _volume_starts(text: str) -> NDArray[np.int64]:
    """Return the first tic of each volume that was acquired, in order."""
    first: dict[int, int] = {}
    for volume, tic in _VOLUME.findall(text):
        number = int(volume)
        first[number] = min(int(tic), first.get(number, int(tic)))
    return np.array([first[number] for number in sorted(first)], dtype=np.int64)


def _read_signal(
    kind: str, sample_tics: int, text: str, *, starts: NDArray[np.int64]
) -> Recording | None:
    channels: dict[str, list[tuple[int, int]]] = {}
    for tic, channel, value in _SAMPLE.findall(text):
        channels.setdefault(channel, []).append((int(tic), int(value)))
    if not channels:
        return None
    if sample_tics <= 0:
        raise _unreadable("a log does not say how often it sampled")
    begin = min(samples[0][0] for samples in channels.values())
    end = max(samples[-1][0] for samples in channels.values())
    grid = np.arange(begin, end + 1, sample_tics, dtype=np.int64)
    sampled = [
        _sample(channels[c], grid, sample_tics=sample_tics) for c in sorted(channels)
    ]
    trigger = np.zeros(grid.size)
    nearest = np.rint((starts - begin) / sample_tics).astype(int)
    trigger[nearest[(nearest >= 0) & (nearest < grid.size)]] = 1.0
    label = _CHANNELS[kind]
    names = _column_names(label, sorted(channels))
    return Recording(
        label=label,
        sampling_hz=1.0 / (sample_tics * TIC_S),
        start_s=float(begin - starts[0]) * TIC_S,
        columns=(*names, "trigger"),
        values=np.column_stack([*sampled, trigger]),
    )


def _sample(
    samples: Sequence[tuple[int, int]], grid: NDArray[np.int64], *, sample_tics: int
) -> NDArray[np.float64]:
    """Return a channel at the times of the grid; NaN in gaps of the recording."""
    latest: Mapping[int, int] = dict(samples)
    tics = np.array(sorted(latest), dtype=np.float64)
    values = np.array([latest[int(tic)] for tic in tics], dtype=np.float64)
    result = np.rint(np.interp(grid, tics, values, left=np.nan, right=np.nan))
    after = np.clip(np.searchsorted(tics, grid), 1, max(tics.size - 1, 1))
    if tics.size > 1:
        wide = tics[after] - tics[after - 1] > LONGEST_GAP_SAMPLES * sample_tics
        inside = (grid > tics[after - 1]) & (grid < tics[after])
        result[wide & inside] = np.nan
    return result


def _column_names(label: str, channels: Sequence[str]) -> list[str]:
    if len(channels) == 1:
        return [label]
    return [f"{label}_{number}" for number, _ in enumerate(channels, start=1)]


def _cell(value: np.float64) -> str:
    return "n/a" if np.isnan(value) else f"{value:.0f}"


def _unreadable(what: str) -> BadInput:
    return BadInput(
        f"A recording of pulse or breathing cannot be read: {what}.",
        fix="Give all logs of the run, or the _PHYSIO DICOM as the scanner wrote it.",
    )
