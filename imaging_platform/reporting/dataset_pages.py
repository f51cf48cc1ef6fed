"""The reports of any BIDS dataset on disk, with what other programs derived from it."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging_platform.catalog.tables import write_tables
from imaging_platform.model.errors import BadInput, MissingInput, PlatformError
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import product_file
from imaging_platform.provenance.record import Record
from imaging_platform.reporting.notebook import execute_notebook
from imaging_platform.reporting.notebook_inputs import Inputs
from imaging_platform.reporting.session_inputs import TREES
from imaging_platform.reporting.thumbnail import THUMBNAIL

NO_SESSION = "none"
"""Label of the only visit of a subject in a dataset without sessions."""

_SIGNS = {
    "brain_mask": "anat/*_desc-brain_mask.nii.gz",
    "tissues": "anat/*_dseg.nii.gz",
    "defaced_t1w": "anat/*_desc-defaced_T1w.nii.gz",
    "motion": "func/*_desc-motion_timeseries.tsv",
    "confounds": "func/*_desc-confounds_timeseries.tsv",
    "temporal_snr": "func/*_desc-tsnr_*.nii.gz",
    "field_map": "fmap/*_fieldmap.nii.gz",
    "diffusion_maps": "dwi/*_FA.nii.gz",
    "pet": "pet/*SUV*.nii.gz",
}
"""Files by which a derivative of another program is known."""

_QUALITY = "session_quality"


@dataclass(frozen=True)
class Pages:
    """
    What was drawn of a dataset.

    Parameters
    ----------
    sessions
        Page of each session, relative to the target, by session key.
    study
        Page of the whole dataset, relative to the target.
    failed
        Why a session has no page, by session key.
    """

    sessions: dict[str, str]
    study: str
    failed: dict[str, str]


def write_pages(
    dataset: Path, target: Path, *, derivatives: Path | None = None, title: str = ""
) -> Pages:
    """
    Draw a page of each session of a BIDS dataset, and one of all of them.

    Parameters
    ----------
    dataset
        Top folder; subjects with or without sessions.
    target
        Existing empty folder: gets ``sessions/<key>`` and ``study``.
    derivatives
        Folder of derivative datasets, or of what `imaging-platform qc` wrote;
        ``derivatives`` in the dataset when None. Known by their names, or by the
        files that they hold. Without a brain mask no head is drawn.
    title
        Of the page of all; the dataset's own name when empty.

    Returns
    -------
    Pages
        A session that cannot be drawn is named with its reason; the others are.

    Raises
    ------
    MissingInput
        The folder is no BIDS dataset or has no subject.
    """
    sessions = find_sessions(dataset)
    made = derivatives or dataset / "derivatives"
    records: dict[tuple[str, str], Record] = {}
    pages, failed, drawn = {}, {}, {}
    for key, folder in sessions.items():
        trees = {"bids_session": folder, **_find_trees(made, key)}
        records |= _read_records(key, trees)
        place = target / "sessions" / str(key)
        try:
            _draw_session(place, key, trees)
        except PlatformError as error:
            failed[str(key)] = str(error)
            continue
        records["session_report", str(key)] = Record("session_report", str(key), "")
        pages[str(key)] = f"sessions/{key}/report.html"
        if (place / THUMBNAIL).is_file():
            drawn[str(key)] = place
    _draw_study(target / "study", records, drawn, title or _read_name(dataset))
    return Pages(pages, "study/report.html", failed)


def find_sessions(dataset: Path) -> dict[SessionKey, Path]:
    """
    Return the folder of each session; of each subject where there are no sessions.

    Raises
    ------
    MissingInput
        The folder is no BIDS dataset or has no subject.
    """
    subjects = sorted(p for p in dataset.glob("sub-*") if p.is_dir())
    if not subjects or not (dataset / "dataset_description.json").is_file():
        raise MissingInput(
            "The folder is no BIDS dataset: it needs dataset_description.json and "
            "folders sub-<label>.",
            fix="Give the top folder of a BIDS dataset.",
        )
    found: dict[SessionKey, Path] = {}
    for subject in subjects:
        label = subject.name.removeprefix("sub-")
        visits = sorted(p for p in subject.glob("ses-*") if p.is_dir())
        for visit in visits:
            found[SessionKey(label, visit.name.removeprefix("ses-"))] = visit
        if not visits:
            found[SessionKey(label, NO_SESSION)] = subject
    return found


def _folder_of(top: Path, key: SessionKey) -> Path:
    subject = top / f"sub-{key.subject}"
    return subject if key.session == NO_SESSION else subject / f"ses-{key.session}"


def _find_trees(made: Path, key: SessionKey) -> dict[str, Path]:
    """Return what was derived of a session, by the asset that it is like."""
    if not made.is_dir():
        return {}
    datasets = sorted(p for p in made.iterdir() if p.is_dir())
    found = {
        d.name: _folder_of(d, key)
        for d in datasets
        if d.name in TREES and _folder_of(d, key).is_dir()
    }
    for name, pattern in _SIGNS.items():
        like = (_folder_of(d, key) for d in datasets)
        other = next((f for f in like if any(f.glob(pattern))), None)
        if name not in found and other is not None:
            found[name] = other
    quality = made / "quality" / str(key)
    return {**found, **({_QUALITY: quality} if quality.is_dir() else {})}


def _draw_session(place: Path, key: SessionKey, trees: Mapping[str, Path]) -> None:
    visit = "" if key.session == NO_SESSION else key.session
    execute_notebook(
        product_file("notebooks/session_report.ipynb"),
        place,
        inputs=trees,
        parameters={"study": "dataset", "subject": key.subject, "session": visit},
    )


def _draw_study(
    place: Path,
    records: Mapping[tuple[str, str], Record],
    drawn: Mapping[str, Path],
    title: str,
) -> None:
    with tempfile.TemporaryDirectory(prefix="catalog-") as folder:
        write_tables(records, Path(folder))
        inputs: Inputs = {"catalog": Path(folder), "reports": drawn}
        execute_notebook(
            product_file("notebooks/study_report.ipynb"),
            place,
            inputs=inputs,
            parameters={"study": "dataset", "title": title},
        )


def _read_records(
    key: SessionKey, trees: Mapping[str, Path]
) -> dict[tuple[str, str], Record]:
    """Return the records of a session as the catalog would have them."""
    images = sorted(trees["bids_session"].glob("*/*.nii*"))
    series = [_as_series(number, path) for number, path in enumerate(images, 1)]
    reports: dict[str, Mapping[str, Any]] = {"bids_session": {"series": series}}
    if _QUALITY in trees:
        reports[_QUALITY] = _read_quality(trees[_QUALITY])
    return {
        (asset, str(key)): Record(asset, str(key), "", report=report)
        for asset, report in reports.items()
    }


def _as_series(number: int, path: Path) -> dict[str, object]:
    stem = path.name.split(".")[0]
    files = [f"{path.parent.name}/{path.name}"]
    datatype, suffix = path.parent.name, stem.split("_")[-1]
    return {
        "series_number": number,
        "description": suffix,
        "instances": 0,
        "outcome": "converted",
        "why": "",
        "scans": [{"datatype": datatype, "suffix": suffix, "files": files}],
    }


def _read_quality(folder: Path) -> dict[str, object]:
    try:
        verdict = json.loads((folder / "verdict.json").read_bytes())
        with (folder / "metrics.tsv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        metrics = [{**_blank(row), "value": _number(row["value"])} for row in rows]
    except (OSError, ValueError, KeyError):
        raise BadInput(
            f"The quality of {folder.name} cannot be read.",
            fix="Make it again with `imaging-platform qc`.",
        ) from None
    reasons = verdict.get("reasons", [])
    return {"verdict": verdict["verdict"], "reasons": reasons, "metrics": metrics}


def _blank(row: Mapping[str, str]) -> dict[str, str]:
    return {name: "" if cell == "n/a" else cell for name, cell in row.items()}


def _number(text: str) -> float | None:
    return None if text in ("n/a", "") else float(text)


def _read_name(dataset: Path) -> str:
    about = json.loads((dataset / "dataset_description.json").read_bytes())
    return str(about.get("Name") or "BIDS dataset")


def list_failures(pages: Pages) -> Iterator[str]:
    """Yield a line for each session that has no page."""
    for key, why in pages.failed.items():
        yield f"{key}: {why}"
