"""The built-in demo study: written as drops, with everything that is true of it."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imaging_platform.demo.anatomy import marker_ras_mm
from imaging_platform.demo.bold import expected_tsnr
from imaging_platform.demo.diffusion import gradient_table
from imaging_platform.demo.identities import VISITS, Visit, planted_identities
from imaging_platform.demo.motion import framewise_displacement_mm
from imaging_platform.demo.protocol import Acquisition
from imaging_platform.demo.session import (
    acquisitions_of,
    motion_of,
    person_of,
    write_sessions,
)
from imaging_platform.demo.truth import (
    DemoDrop,
    DemoSession,
    DemoStudy,
    SeriesTruth,
    truth_as_json,
)
from imaging_platform.model.errors import BadInput
from imaging_platform.tools.isolated import call_isolated

__all__ = [
    "DemoDrop",
    "DemoSession",
    "DemoStudy",
    "SeriesTruth",
    "demo_study_truth",
    "truth_as_json",
    "write_demo_study",
]

_SESSION_MODULE = "imaging_platform.demo.session"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class _Parcel:
    """Which visits, and which kinds of series of them, arrive in one drop."""

    name: str
    visits: tuple[str, ...]
    late_kinds: tuple[str, ...] = ()


_PARCELS = (
    _Parcel("KESTREL^ANNIKA_19610417", ("kestrel-1",)),
    _Parcel(
        "KES-4471902X fieldmap nachgereicht", ("kestrel-1",), ("magnitude", "phasediff")
    ),
    _Parcel(
        "for Dr Halloran - OMBROSSI and QUILLFEATHER", ("ombrossi-1", "quillfeather-1")
    ),
    _Parcel("vanterpool_isolde_19880309.zip", ("vanterpool-1",)),
    _Parcel("P1984-66203-VI_20230607", ("vanterpool-2",)),
)


def write_demo_study(
    target: Path,
    *,
    small: bool = False,
    seed: int = 2026,
    jobs: int = 2,
    report_progress: Callable[[str], None] | None = None,
) -> DemoStudy:
    """
    Write the demo study's drops directly under `target` and return what is true of it.

    Four people, five sessions, three vendors: a drop with a late field map, a drop
    with two patients, a zip file. Each drop is made in a hidden folder beside the
    others and renamed when it is whole; nothing else remains.

    Parameters
    ----------
    target
        Folder for the drops; made if it is not there.
    small
        Coarse voxels and short runs: seconds instead of a minute.
    seed
        Draws people, motion and noise. The same seed and size give the same bytes.
    jobs
        How many sessions are made at once, each in a process of its own; 1 makes
        them here, one after the other.
    report_progress
        Called with a line of text, free of identity, when a session is done.

    Raises
    ------
    BadInput
        `target` already holds a drop of this study.
    ToolFailed
        A session's process died.
    """
    target.mkdir(parents=True, exist_ok=True)
    for parcel in _PARCELS:
        if (target / parcel.name).exists():
            raise BadInput(
                "The folder for the demo study already holds one of its drops.",
                fix="Choose an empty folder, or remove the drops in it.",
            )
    staging = Path(tempfile.mkdtemp(prefix=".demo-", dir=target))
    try:
        _write_sessions(staging, small, seed, jobs, report_progress)
        for parcel in _PARCELS:
            _publish(staging / parcel.name, target / parcel.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return demo_study_truth(target, small=small, seed=seed)


def demo_study_truth(
    target: Path, *, small: bool = False, seed: int = 2026
) -> DemoStudy:
    """
    Return what is true of the study that `write_demo_study` writes; writes nothing.

    Parameters
    ----------
    target, small, seed
        As given to `write_demo_study`.
    """
    drops = tuple(
        DemoDrop(parcel.name, target / parcel.name, parcel.visits)
        for parcel in _PARCELS
    )
    sessions = tuple(_session_truth(visit, small=small, seed=seed) for visit in VISITS)
    return DemoStudy(drops, sessions, planted_identities())


def _write_sessions(
    staging: Path,
    small: bool,
    seed: int,
    jobs: int,
    report_progress: Callable[[str], None] | None,
) -> None:
    """Share the visits among processes; small ones would mostly start and import."""

    def make(batch: list[Visit]) -> list[int]:
        orders = [_order(staging, visit) for visit in batch]
        if jobs == 1:
            return write_sessions(orders, small=small, seed=seed)["files"]
        arguments = {"orders": orders, "small": small, "seed": seed}
        written = call_isolated(f"{_SESSION_MODULE}:write_sessions", arguments)
        return list(written["files"])  # type: ignore[call-overload]

    # The longest first: GE and Philips write one file a slice.
    order = sorted(VISITS, key=lambda visit: visit.scanner.vendor)
    n_batches = jobs if small else len(order)
    batches = [order[first::n_batches] for first in range(min(n_batches, len(order)))]
    done = 0
    with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
        for batch, files in zip(batches, pool.map(make, batches), strict=True):
            for visit, count in zip(batch, files, strict=True):
                done += 1
                if report_progress is not None:
                    report_progress(
                        f"session {done} of {len(order)} "
                        f"({visit.scanner.vendor}): {count} files"
                    )


def _order(staging: Path, visit: Visit) -> dict[str, str]:
    """What `session.write_sessions` must know about a visit."""
    parcels = [parcel for parcel in _PARCELS if visit.name in parcel.visits]
    late = next((parcel for parcel in parcels if parcel.late_kinds), None)
    home = next(parcel for parcel in parcels if not parcel.late_kinds)
    return {
        "name": visit.name,
        "target": str(staging / home.name),
        "late": str(staging / late.name) if late else "",
        "kinds_late": ",".join(late.late_kinds) if late else "",
    }


def _publish(staged: Path, final: Path) -> None:
    if final.suffix == ".zip":
        archive = staged.with_name("staged.archive")
        _zip_folder(staged, archive)
        archive.replace(final)
    else:
        staged.rename(final)


def _zip_folder(folder: Path, archive: Path) -> None:
    """Zip with fixed times, modes and order, so that the bytes are the same."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = f"{folder.stem}/{path.relative_to(folder).as_posix()}"
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o644 << 16
                entry.create_system = 3
                entry.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(entry, path.read_bytes(), compresslevel=1)


def _session_truth(visit: Visit, *, small: bool, seed: int) -> DemoSession:
    motion = motion_of(visit, small=small, seed=seed)
    marker = marker_ras_mm(person_of(visit, seed=seed))
    return DemoSession(
        name=visit.name,
        vendor=visit.scanner.vendor,
        patient_id=visit.patient.patient_id,
        patient_name=visit.patient.name,
        study_date=visit.date,
        visit=visit.order,
        quality=visit.quality,
        series=tuple(map(_series_truth, acquisitions_of(visit, small=small))),
        motion=tuple(tuple(map(float, row)) for row in motion),
        mean_fd_mm=float(np.mean(framewise_displacement_mm(motion)[1:])),
        median_tsnr=expected_tsnr(visit.quality, len(motion)),
        marker_ras_mm=(float(marker[0]), float(marker[1]), float(marker[2])),
    )


def _series_truth(acquisition: Acquisition) -> SeriesTruth:
    direction = "AP" if acquisition.polarity == 1 else "PA"
    datatype, suffixes, entities, excluded = {
        "localizer": ("", (), (), "localizer"),
        "t1w": ("anat", ("T1w",), (), ""),
        "bold": ("func", ("bold",), (("task", "rest"),), ""),
        "dwi": ("dwi", ("dwi",), (), ""),
        "magnitude": ("fmap", ("magnitude1", "magnitude2"), (), ""),
        "phasediff": ("fmap", ("phasediff",), (), ""),
        "spin_echo": ("fmap", ("epi",), (("dir", direction),), ""),
        "b0_map": ("fmap", ("magnitude", "fieldmap"), (), ""),
    }[acquisition.kind]
    bvalues = (
        gradient_table(acquisition.n_volumes - 2)[0]
        if acquisition.kind == "dwi"
        else ()
    )
    return SeriesTruth(
        acquisition.number,
        acquisition.description,
        datatype,
        suffixes,
        entities,
        excluded,
        (*acquisition.grid.shape, acquisition.n_volumes),
        tuple(map(float, bvalues)),
    )
