"""A study of two sessions as its trees would stand in a home, without any image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.model import layout
from imaging_platform.model.layout import Home
from imaging_platform.provenance.lineage import Origin
from imaging_platform.provenance.record import Record
from imaging_platform.provenance.stamps import Stamp, digest_origin, stamp_markup
from imaging_platform.storage.local import LocalStore

STUDY = "demo"
ONE, TWO = "sub-A_ses-1", "sub-B_ses-1"
BOLD, T1W = "func/{}_task-rest_bold", "anat/{}_T1w"
REALIGNED = "func/{}_task-rest_desc-realigned_bold"
TSNR = "func/{}_task-rest_desc-tsnr_sbref"
DROP = "drop-0123456789abcdef"


@dataclass
class PublishedStudy:
    """Publishes trees into a home, each made from the latest of its inputs."""

    home: Home
    versions: dict[str, str] = field(default_factory=dict)

    def publish(
        self,
        name: str,
        partition: str,
        files: Mapping[str, str],
        inputs: list[str],
        *,
        outside: Mapping[str, str] | None = None,
        code_version: str = "1",
        report: Mapping[str, object] | None = None,
    ) -> None:
        store, key = (
            LocalStore(self.home.root),
            layout.tree_key(STUDY, name, partition),
        )
        made_of = {each: self._version(each, partition) for each in inputs}
        record = Record(
            asset=name,
            partition=partition,
            code_version=code_version,
            inputs={**made_of, **(outside or {})},
            tools={"dcm2niix": "1.0"} if name == "bids_session" else {},
            tool_digests={"dcm2niix": "a" * 64} if name == "bids_session" else {},
            parameters={"limit": 0.2},
            report=report or {},
        )
        with store.stage(key) as tree:
            for path, text in files.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_text(text)
            tree_id = f"{name}[{partition}]" if partition else name
            self.versions[tree_id] = store.publish(tree, key, record)

    def _version(self, name: str, partition: str) -> str:
        return self.versions.get(f"{name}[{partition}]") or self.versions[name]

    def session(self, key: str, *, note: str = "") -> None:
        self.publish(
            "raw_session", key, {"1.dcm": key}, [], outside={"drop_index": "m"}
        )
        dicom = {"0001-aaaaaaaa/1.dcm": key, "0002-bbbbbbbb/2.dcm": key}
        outside = {"policy": "p"}
        self.publish("anonymized_dicom", key, dicom, ["raw_session"], outside=outside)
        self.bids(key, note=note)
        self.derive(key)

    def bids(self, key: str, *, note: str = "") -> None:
        images = [T1W.format(key), BOLD.format(key)]
        files = {
            f"{each}{end}": f"{each}{note}"
            for each in images
            for end in (".json", ".nii.gz")
        }
        series = [
            {
                "series_number": number,
                "description": each.rpartition("_")[2],
                "scans": [{"files": [f"{each}.json", f"{each}.nii.gz"]}],
            }
            for number, each in enumerate(images, start=1)
        ]
        self.publish(
            "bids_session",
            key,
            files,
            ["anonymized_dicom"],
            outside={"rules": "r"},
            report={"series": series},
        )

    def derive(self, key: str) -> None:
        raw, motion = f"bids:raw:{_folder(key)}", f"bids:motion:{_folder(key)}"
        self._derivative(
            "brain_mask", key, "anat/mask", f"{raw}/{T1W.format(key)}", ["bids_session"]
        )
        self._derivative(
            "motion",
            key,
            REALIGNED.format(key),
            f"{raw}/{BOLD.format(key)}",
            ["bids_session"],
        )
        self._derivative(
            "temporal_snr",
            key,
            TSNR.format(key),
            f"{motion}/{REALIGNED.format(key)}",
            ["motion"],
        )
        self.publish(
            "session_quality", key, {"metrics.tsv": key}, ["bids_session", "motion"]
        )
        self.report(key)

    def report(self, key: str) -> None:
        inputs = ["bids_session", "motion", "session_quality"]
        versions = {each: self._version(each, key) for each in inputs}
        stamp = Stamp(STUDY, "session_report", key, digest_origin("1", versions))
        page = stamp_markup(f"<html><head></head><svg></svg>{key}</html>", stamp)
        self.publish("session_report", key, {"report.html": page}, inputs)

    def cohort(self) -> None:
        members = [
            name for name in self.versions if name.endswith("]") and "raw" not in name
        ]
        self.publish(
            "bids_dataset", "", {"layout.db": "x"}, [m for m in members if "bids" in m]
        )
        self.publish("catalog", "", {"sessions.parquet": str(members)}, members)
        self.publish(
            "study_report", "", {"report.html": "<html>"}, ["catalog", "bids_dataset"]
        )

    def _derivative(
        self, name: str, key: str, path: str, source: str, inputs: list[str]
    ) -> None:
        sidecar = json.dumps({"Sources": [f"{source}.nii.gz"]})
        files = {
            f"{path}.nii.gz": f"{name} {key} {self.versions[f'{inputs[0]}[{key}]']}",
            f"{path}.json": sidecar,
        }
        self.publish(name, key, files, inputs)


def make_study(root: Path) -> PublishedStudy:
    """Return a study in which everything is published."""
    study = PublishedStudy(Home(root))
    for key in (ONE, TWO):
        study.session(key)
    study.cohort()
    return study


def origins_of(_: str) -> tuple[Origin, ...]:
    """Say that one drop brought both series of each session."""
    receipt = f"identified/{STUDY}/drops/{DROP}/receipt.jsonl"
    return tuple(Origin(DROP, number, 10 * number, receipt) for number in (1, 2))


def _folder(key: str) -> str:
    return key.replace("_", "/")
