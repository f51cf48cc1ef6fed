"""Finding the record of every published tree of a study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from imaging_platform.catalog.app_metrics import AppResult
from imaging_platform.files.digests import RECORD_NAME
from imaging_platform.model.layout import PIPELINES, Home, app_dataset_name
from imaging_platform.provenance.record import Record, read_record


def collect_records(
    home: Path, study: str, pipelines: Iterable[str] = tuple(PIPELINES)
) -> dict[tuple[str, str], Record]:
    """
    Return the record of each session tree by (asset, session key).

    Parameters
    ----------
    home
        The imaging home.
    study
        Name of the study.
    pipelines
        Its derivatives; what stands of others is from before they were skipped.
    """
    trees = _session_trees(Home(home), study, pipelines)
    records = (read_record(tree) for tree in trees)
    return {(r.asset, r.partition): r for r in records if r is not None}


def collect_app_results(
    home: Path, study: str, versions: Mapping[str, str]
) -> list[AppResult]:
    """
    Return what BIDS Apps have published: of sessions, subjects and the whole study.

    Parameters
    ----------
    home, study
        As for `collect_records`.
    versions
        Version of each app, by its name.
    """
    zone = Home(home).zone("derivatives", study)
    found = []
    for app, version in sorted(versions.items()):
        dataset = zone / app_dataset_name(app, version)
        for pattern in ("", "sub-*", "sub-*/ses-*"):
            for file in sorted(dataset.glob(f"{pattern}/{RECORD_NAME}".lstrip("/"))):
                tree = file.parent
                record = read_record(tree)
                label = "_".join(tree.relative_to(dataset).parts)
                if record is not None:
                    found.append(AppResult(app, version, label, record))
    return found


def _session_trees(home: Home, study: str, pipelines: Iterable[str]) -> Iterator[Path]:
    derivatives = home.zone("derivatives", study)
    patterns = [
        (home.zone("dicom", study), "sub-*_ses-*"),
        (home.zone("bids", study), "sub-*/ses-*"),
        *((derivatives / pipeline, "sub-*/ses-*") for pipeline in pipelines),
        (home.zone("catalog", study) / "quality", "sub-*_ses-*"),
        (home.zone("reports", study) / "sessions", "sub-*_ses-*"),
    ]
    for folder, pattern in patterns:
        for record in sorted(folder.glob(f"{pattern}/{RECORD_NAME}")):
            yield record.parent
