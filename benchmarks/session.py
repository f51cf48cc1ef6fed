"""One session of the demo study at each stage; made when it is asked for."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.repeated import repeat_session
from imaging_platform.deid.labels import Labels
from imaging_platform.dicom.header_index import write_header_index
from imaging_platform.model.ids import SessionKey
from imaging_platform.settings import Study
from imaging_platform.tools.isolated import call_isolated

if TYPE_CHECKING:
    from imaging_platform.intake.drop_report import DropReport

DROP = "P1984-66203-VI_20230607"
"""A drop with one session and one file a slice: many files are the dear case."""

DROP_ID = "drop-0123456789abcdef"
SECRET = bytes(range(32))
STUDY = Study(name="bench")

NEEDS: Mapping[str, Mapping[str, str]] = {
    "brain_mask": {"bids_session": "bids_session"},
    "motion": {"bids_session": "bids_session"},
    "temporal_snr": {"motion_session": "motion"},
    "diffusion_maps": {"bids_session": "bids_session"},
}
"""Derivatives that quality is measured from; their inputs by argument."""


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder as a person would; links are followed, since they are content."""
    subprocess.run(["cp", "-rL", str(source), str(target)], check=True)


def index_copied_drop(folder: Path) -> DropReport:
    """Index ``folder/arrival`` into the zone ``folder/zone``, as the asset does."""
    from imaging_platform.assets.intake import JOBS
    from imaging_platform.intake.drop import index_drop

    return index_drop(
        [folder / "arrival"],
        drop_id=DROP_ID,
        zone=folder / "zone",
        label_study=Labels(SECRET).of_study,
        limits=STUDY.intake,
        jobs=JOBS,
    )


class PreparedSession:
    """
    A session whose trees are made once, the first time that one is needed.

    Parameters
    ----------
    folder
        Existing folder for the trees.
    is_small
        Coarse voxels and short runs.
    """

    def __init__(self, folder: Path, *, is_small: bool) -> None:
        self._folder = folder
        self._is_small = is_small

    @functools.cached_property
    def drop(self) -> Path:
        """The drop as a scanner sends it."""
        from imaging_platform.demo.study import write_demo_study

        inbox = self._folder / "inbox"
        write_demo_study(inbox, small=self._is_small, jobs=2)
        return inbox / DROP

    @functools.cached_property
    def _gathered(self) -> tuple[SessionKey, Path]:
        from imaging_platform.intake.session import gather_session

        place = self._new("intake")
        copy_tree(self.drop, place / "arrival")
        (session,) = index_copied_drop(place).sessions
        key = SessionKey.parse(session.session_key)
        target = place / "zone" / "raw"
        target.mkdir()
        gather_session(key, zone=place / "zone", target=target)
        return key, target

    @property
    def key(self) -> SessionKey:
        """The session's key."""
        return self._gathered[0]

    @property
    def raw(self) -> Path:
        """Original DICOM."""
        return self._gathered[1]

    @functools.cached_property
    def dicom(self) -> Path:
        """De-identified DICOM."""
        from imaging_platform.deid.session import anonymize_session

        target = self._new("dicom")
        anonymize_session(
            self.raw, target, key=self.key, settings=STUDY.deid, secret=SECRET
        )
        return target

    @functools.cached_property
    def many_files(self) -> Path:
        """De-identified DICOM, repeated under other UIDs to more than 5,000 files."""
        return repeat_session(self.dicom, self._new("many"))

    @functools.cached_property
    def indexed_files(self) -> Path:
        """The same with the header index that de-identification leaves beside."""
        target = self._new("indexed")
        shutil.copytree(
            self.many_files, target, copy_function=os.link, dirs_exist_ok=True
        )
        write_header_index(target)
        return target

    @functools.cached_property
    def bids(self) -> Path:
        """The session's folder of a BIDS dataset."""
        from imaging_platform.bids.session import convert_session

        name = f"bids/sub-{self.key.subject}/ses-{self.key.session}"
        target = self._new(name)
        convert_session(self.dicom, target, key=self.key, settings=STUDY.bids)
        return target

    @functools.cached_property
    def measured(self) -> dict[str, Path]:
        """The trees that quality is measured from, by asset."""
        trees = {"bids_session": self.bids}
        for pipeline in NEEDS:
            name = f"{pipeline}/sub-{self.key.subject}/ses-{self.key.session}"
            trees[pipeline] = self._new(name)
            self.derive(pipeline, trees[pipeline], trees)
        return trees

    @functools.cached_property
    def quality(self) -> Path:
        """Metrics and verdict."""
        target = self._new("quality")
        self.measure(target)
        return target

    def derive(self, pipeline: str, target: Path, trees: Mapping[str, Path]) -> None:
        """Make a derivative as its asset does: in a process of its own."""
        needs = {argument: trees[tree] for argument, tree in NEEDS[pipeline].items()}
        call_isolated(
            f"imaging_platform.derivatives.{pipeline}:write_{pipeline}",
            {**needs, "target": target, **self._names},
        )

    def measure(self, target: Path) -> None:
        """Measure quality as its asset does: in a process of its own."""
        call_isolated(
            "imaging_platform.qc.session:measure_session",
            {
                **self.measured,
                "target": target,
                **self._names,
                "settings": STUDY.quality.model_dump(mode="json"),
            },
        )

    @property
    def _names(self) -> dict[str, str]:
        return {"subject": self.key.subject, "session": self.key.session}

    def _new(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(parents=True)
        return folder
