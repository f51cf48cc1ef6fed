"""What was published of one session, found by its BIDS names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging_platform.model.errors import BadInput
from imaging_platform.provenance.record import Record, read_record

TREES = (
    "anonymized_dicom",
    "bids_session",
    "brain_mask",
    "tissues",
    "defaced_t1w",
    "motion",
    "confounds",
    "temporal_snr",
    "field_map",
    "diffusion_maps",
    "pet",
    "session_quality",
)
"""Inputs of a session report, in the order in which they were made."""


@dataclass(frozen=True)
class SessionInputs:
    """
    The published trees of one session; any of them may be absent.

    Parameters
    ----------
    root
        Folder with one entry for each of `TREES` that there is.
    """

    root: Path

    def find(self, tree: str, pattern: str) -> list[Path]:
        """Return the files of one tree that match a glob pattern, sorted by name."""
        return sorted((self.root / tree).glob(pattern))

    def first(self, tree: str, pattern: str) -> Path | None:
        """Return the first file of `find`, or None."""
        found = self.find(tree, pattern)
        return found[0] if found else None

    def find_t1w(self) -> list[Path]:
        """
        Return the T1w images, first what the scanner evened out (``rec-norm``).

        Without that, what is near the coils is bright and the middle dark.
        """
        found = self.find("bids_session", "anat/*_T1w.nii.gz")
        return sorted(found, key=lambda path: "_rec-norm_" not in path.name)

    def twin(self, tree: str, pattern: str, scan: str) -> Path | None:
        """
        Return the file of `tree` that was made from the scan named `scan`.

        Parameters
        ----------
        scan
            BIDS entities without suffix, such as ``sub-01_ses-1_run-1``. Without a
            file of these entities the only file of the pattern is taken.
        """
        found = self.find(tree, pattern)
        same = [path for path in found if entities(path) == scan]
        return same[0] if same else (found[0] if len(found) == 1 else None)

    def record(self, tree: str) -> Record | None:
        """Return the provenance record of a tree, or None when it is absent."""
        return read_record(self.root / tree)

    def report(self, tree: str) -> Mapping[str, Any]:  # a stage's own shape
        """Return the stage's own report of a tree; empty when it is absent."""
        record = self.record(tree)
        return record.report if record else {}

    def quality(self, name: str) -> Any:  # JSON of the quality stage
        """
        Return one JSON file of the quality tree, or None when it is absent.

        Raises
        ------
        BadInput
            The file is not JSON.
        """
        path = self.root / "session_quality" / name
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            raise BadInput(
                f"{name} of the quality tree is not JSON.",
                fix="Materialize session_quality of this session again.",
            ) from error


def entities(path: Path) -> str:
    """
    Return the entities of a BIDS file that name its scan.

    Suffix, extension and what a derivative adds (space, res, desc, param) go.

    Examples
    --------
    >>> entities(Path("sub-01_ses-1_run-2_desc-brain_mask.nii.gz"))
    'sub-01_ses-1_run-2'
    """
    parts = path.name.split(".")[0].split("_")[:-1]
    added = ("space-", "res-", "desc-", "param-", "stat-", "model-")
    return "_".join(part for part in parts if not part.startswith(added))


def short_name(path: Path) -> str:
    """
    Return the scan of a file in the words of the protocol, without subject and session.

    Examples
    --------
    >>> short_name(Path("sub-01_ses-1_task-rest_bold.nii.gz"))
    'task-rest bold'
    """
    parts = path.name.split(".")[0].split("_")
    return " ".join(p for p in parts if not p.startswith(("sub-", "ses-")))
