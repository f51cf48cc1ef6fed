"""Finding the record of every published tree of a study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imaging_platform.files.digests import RECORD_NAME
from imaging_platform.model.layout import PIPELINES, Home
from imaging_platform.provenance.record import Record, read_record


def collect_records(home: Path, study: str) -> dict[tuple[str, str], Record]:
    """
    Return the record of each session tree by (asset, session key).

    Parameters
    ----------
    home
        The imaging home.
    study
        Name of the study.
    """
    records = (read_record(tree) for tree in _session_trees(Home(home), study))
    return {(r.asset, r.partition): r for r in records if r is not None}


def _session_trees(home: Home, study: str) -> Iterator[Path]:
    derivatives = home.zone("derivatives", study)
    patterns = [
        (home.zone("dicom", study), "sub-*_ses-*"),
        (home.zone("bids", study), "sub-*/ses-*"),
        *((derivatives / pipeline, "sub-*/ses-*") for pipeline in PIPELINES),
        (home.zone("catalog", study) / "quality", "sub-*_ses-*"),
        (home.zone("reports", study) / "sessions", "sub-*_ses-*"),
    ]
    for folder, pattern in patterns:
        for record in sorted(folder.glob(f"{pattern}/{RECORD_NAME}")):
            yield record.parent
