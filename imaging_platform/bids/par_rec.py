"""
PAR/REC of Philips: pairs of a text header and raw slices, for dcm2niix.

A PAR file names the patient and the examination. What dcm2niix gets is a copy that
holds the lines of an allow-list only, so that neither name nor date can reach a
sidecar or an image header. Version 4 and later are read: 4.2 has the exports of all
scanners since 2007.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import statistics
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.files.digests import digest_file
from imaging_platform.files.writing import write_json

PAR_VERSIONS = ("V4", "V4.1", "V4.2")

CUT_OFF = "The REC file is shorter than its PAR file says."
NO_PARTNER = "PAR without its REC, or REC without its PAR"
OTHER_VERSION = "PAR of a version that is not read"

_VERSION_LINE = re.compile(r"# CLINICAL TRYOUT\s+Research image export tool\s+(V\S+)")
_GENERAL_LINE = re.compile(r"\.\s+(.*?)\s*:\s?(.*)")
_KEPT_LINES = frozenset(
    {
        "Acquisition nr",
        "Angulation midslice(ap,fh,rl)[degr]",
        "Diffusion <0=no 1=yes> ?",
        "Diffusion echo time [ms]",
        "Diffusion echo time [msec]",
        "Dynamic scan <0=no 1=yes> ?",
        "EPI factor <0,1=no EPI>",
        "FOV (ap,fh,rl) [mm]",
        "Flow compensation <0=no 1=yes> ?",
        "MTC <0=no 1=yes> ?",
        "Max. number of Diffusion values",
        "Max. number of cardiac phases",
        "Max. number of diffusion values",
        "Max. number of dynamics",
        "Max. number of echoes",
        "Max. number of gradient orients",
        "Max. number of mixes",
        "Max. number of slices/locations",
        "Number of label types <0=no ASL>",
        "Off Centre midslice(ap,fh,rl) [mm]",
        "Patient Position",
        "Patient position",
        "Phase encoding velocity [cm/sec]",
        "Preparation direction",
        "Presaturation <0=no 1=yes> ?",
        "Protocol name",
        "Reconstruction nr",
        "Repetition time [ms]",
        "Repetition time [msec]",
        "SPIR <0=no 1=yes> ?",
        "Scan Duration [sec]",
        "Scan mode",
        "Scan resolution (x, y)",
        "Series Type",
        "Series_data_type",
        "Technique",
        "Water Fat shift [pixels]",
    }
)
_DEFINITIONS = frozenset(
    {
        "Inversion delay (in ms) (float)",
        "TURBO factor <0=no turbo> (integer)",
        "cardiac frequency (bpm) (integer)",
        "cardiac phase number (integer)",
        "contrast type (string)",
        "diffusion (ap, fh, rl) (3*float)",
        "diffusion anisotropy type (string)",
        "diffusion b value number (imagekey!) (integer)",
        "diffusion_b_factor (float)",
        "dyn_scan_begin_time (float)",
        "dynamic scan number (integer)",
        "echo number (integer)",
        "echo_time (float)",
        "fmri_status_indication (integer)",
        "gradient orientation number (imagekey!) (integer)",
        "image angulation (ap,fh,rl in degrees ) (3*float)",
        "image offcentre (ap,fh,rl in mm ) (3*float)",
        "image pixel size (in bits) (integer)",
        "image_display_orientation (integer)",
        "image_flip_angle (in degrees) (float)",
        "image_type_ed_es (end diast/end syst) (integer)",
        "image_type_mr (integer)",
        "index in REC file (in images) (integer)",
        "label type (ASL) (imagekey!) (integer)",
        "maximum RR-interval (in ms) (integer)",
        "minimum RR-interval (in ms) (integer)",
        "number of averages (integer)",
        "pixel spacing (x,y) (in mm) (2*float)",
        "recon resolution (x y) (2*integer)",
        "rescale intercept (float)",
        "rescale slope (float)",
        "scale slope (float)",
        "scan percentage (integer)",
        "scanning sequence (integer)",
        "slice gap (in mm ) (float)",
        "slice number (integer)",
        "slice orientation ( TRA/SAG/COR ) (integer)",
        "slice thickness (in mm ) (float)",
        "trigger_time (float)",
        "window center (integer)",
        "window width (integer)",
    }
)
_COLUMN_NAMES = "#  sl ec"
"""Start of the line that stands above the table; dcm2niix counts from there."""

_TITLES = ("IMAGE INFORMATION DEFINITION", "IMAGE INFORMATION")
_SLICE, _BITS, _COLUMNS, _ROWS, _BEGIN_S = 0, 7, 9, 10, 31
_VOLUME_TIME = struct.Struct("<f")
_VOLUME_TIME_OFFSET = 92


@dataclass(frozen=True)
class Pair:
    """
    A PAR file with its REC file.

    Parameters
    ----------
    rec
        Where the slices lie.
    uid
        A UID made of the content (PS3.5 section B.2); the pair has none.
    text
        What dcm2niix gets for the PAR file: allowed lines only.
    sidecar
        What the PAR file says and dcm2niix does not pass on, in BIDS units.
    number
        Acquisition number, 0 when unknown.
    description
        Protocol name.
    fault
        Why the pair cannot be converted; "" when it can.
    """

    rec: Path
    uid: str
    text: str
    sidecar: Mapping[str, object]
    number: int
    description: str
    fault: str


@dataclass(frozen=True)
class Pairs:
    """
    The PAR and REC files of a session.

    Parameters
    ----------
    pairs
        In order of number and content.
    unreadable
        Category of damage -> how many files.
    duplicates
        How many further copies of pairs there were.
    """

    pairs: tuple[Pair, ...] = ()
    unreadable: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0


def is_par_or_rec(path: str) -> bool:
    """Tell by its ending whether a file is one of a pair."""
    return path[-4:].lower() in {".par", ".rec"}


def read_pairs(paths: Sequence[str]) -> Pairs:
    """Return the pairs among `paths`; the same pair twice counts once."""
    by_name = {path[:-4] + path[-4:].lower(): Path(path) for path in paths}
    pairs: dict[str, Pair] = {}
    unreadable: Counter[str] = Counter()
    duplicates = 0
    for name, path in sorted(by_name.items()):
        other = name[:-4] + (".rec" if name.endswith(".par") else ".par")
        if other not in by_name:
            unreadable[NO_PARTNER] += 1
        elif name.endswith(".par"):
            pair = _read_pair(path, by_name[other])
            if pair is None:
                unreadable[OTHER_VERSION] += 1
            else:
                duplicates += pair.uid in pairs
                pairs[pair.uid] = pair
    ordered = sorted(pairs.values(), key=lambda pair: (pair.number, pair.uid))
    return Pairs(tuple(ordered), dict(unreadable), duplicates)


def _read_pair(par: Path, rec: Path) -> Pair | None:
    lines = par.read_text(encoding="latin-1").splitlines()
    version = next((m.group(1) for m in map(_VERSION_LINE.match, lines) if m), "")
    if version not in PAR_VERSIONS:
        return None
    found = (_GENERAL_LINE.match(line) for line in lines)
    general = {_fold(m.group(1)): m.group(2).strip() for m in found if m}
    rows = [row for line in lines if (row := _read_row(line))]
    text = _write_text(lines, version)
    seed = hashlib.sha256((text + digest_file(rec)).encode()).digest()
    number = general.get("Acquisition nr", "")
    uid = f"2.25.{int.from_bytes(seed[:16], 'big')}"
    return Pair(
        rec=rec,
        uid=uid,
        text=text,
        sidecar={"SeriesInstanceUID": uid, **_describe(general, rows)},
        number=int(number) if number.isdecimal() else 0,
        description=general.get("Protocol name", ""),
        fault=_find_fault(rows, rec.stat().st_size),
    )


def _describe(
    general: Mapping[str, str], rows: Sequence[Sequence[float]]
) -> dict[str, object]:
    """Return technique and time of a volume under the names of a DICOM sidecar."""
    technique = general.get("Technique", "").upper()
    parts = {
        "SE": "SE" in technique,
        "GR": "FE" in technique,
        "EP": "EPI" in technique or technique == "DWISE",
        "IR": technique.startswith("IR"),
    }
    sequence = "\\".join(name for name, is_part in parts.items() if is_part)
    found: dict[str, object] = {"Modality": "MR", "ScanningSequence": sequence}
    begins_s = sorted({row[_BEGIN_S] for row in rows if len(row) > _BEGIN_S})
    times_ms = _read_row(general.get("Repetition time [ms]", ""))
    if len(begins_s) > 1:
        steps_s = [b - a for a, b in itertools.pairwise(begins_s)]
        found["RepetitionTime"] = round(statistics.median(steps_s), 4)
    elif times_ms:
        found["RepetitionTime"] = times_ms[0] / 1000
    return found


def _read_row(line: str) -> list[float]:
    """Return the numbers of a line of the image table; [] for any other line."""
    try:
        return [float(part) for part in line.split()]
    except ValueError:
        return []


def _write_text(lines: Sequence[str], version: str) -> str:
    """Return a PAR file of the allowed lines; dcm2niix counts columns by comments."""
    kept = [
        f"# CLINICAL TRYOUT             Research image export tool     {version}",
        "# === GENERAL INFORMATION ========",
    ]
    for line in lines:
        general = _GENERAL_LINE.match(line)
        if general and _fold(general.group(1)) not in _KEPT_LINES:
            continue
        title = line.strip("#= ") if line.startswith("# === ") else ""
        if title in _TITLES:
            kept.append(f"# === {title} ===")
        elif line.startswith(_COLUMN_NAMES):
            kept.append(_COLUMN_NAMES)
        elif general or _read_row(line) or _fold(line[1:]) in _DEFINITIONS:
            kept.append(line.rstrip())
    return "\n".join([*kept, "# === END OF DATA DESCRIPTION FILE ==="]) + "\n"


def _fold(text: str) -> str:
    return " ".join(text.split())


def _find_fault(rows: Sequence[Sequence[float]], rec_bytes: int) -> str:
    from imaging_platform.dicom.completeness import CUT_SHORT

    needed = sum(row[_COLUMNS] * row[_ROWS] * row[_BITS] / 8 for row in rows)
    if not rows or rec_bytes < needed:
        return CUT_OFF
    slices = Counter(int(row[_SLICE]) for row in rows)
    return "" if len(set(slices.values())) == 1 else CUT_SHORT


def write_pair(pair: Pair, folder: Path) -> None:
    """Write what dcm2niix may see of a pair into the new `folder`."""
    folder.mkdir()
    (folder / "image.PAR").write_text(pair.text, encoding="latin-1")
    (folder / "image.REC").symlink_to(pair.rec)


def name_outputs(pair: Pair, made: Path, folder: Path) -> None:
    """
    Move what dcm2niix made of a pair to `folder`, under names that no other has.

    The sidecar gets what dcm2niix leaves out, the UID too, and the image its time
    between volumes, which dcm2niix leaves at 0.
    """
    for path in sorted(made.iterdir()):
        stem, _, ending = path.name.partition(".")
        if ending == "json":
            facts = json.loads(path.read_text(encoding="utf-8", errors="replace"))
            write_json(path, {**pair.sidecar, **facts})
        elif ending == "nii":
            _set_volume_time(path, pair.sidecar.get("RepetitionTime"))
        path.rename(folder / f"{pair.number}_{pair.uid}_{stem}.{ending}")


def _set_volume_time(image: Path, volume_s: object) -> None:
    """Write pixdim[4] of a NIfTI-1 image when it is 0."""
    with image.open("r+b") as file:
        file.seek(_VOLUME_TIME_OFFSET)
        (said,) = _VOLUME_TIME.unpack(file.read(_VOLUME_TIME.size))
        if said == 0 and isinstance(volume_s, float):
            file.seek(_VOLUME_TIME_OFFSET)
            file.write(_VOLUME_TIME.pack(volume_s))
