"""Quality of any BIDS dataset, without Dagster."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from imaging_platform import __version__
from imaging_platform.bids.existing import BidsFile, ExistingSession, read_existing
from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.cli.stages import (
    DEFAULT_TITLE,
    SOURCE,
    STUDY,
    TARGET,
    refuse_existing,
)
from imaging_platform.files.staging import publish_tree, staged_tree
from imaging_platform.model.errors import BadInput, PlatformError
from imaging_platform.model.layout import PIPELINES
from imaging_platform.qc.metric import Metric
from imaging_platform.settings import Study, read_study

NEEDED = {
    "T1w": ("brain_mask", "tissues"),
    "bold": ("motion", "temporal_snr"),
    "dwi": ("diffusion_maps",),
}
"""Derivatives that metrics are measured on, by suffix."""

MASKS = {"T1w": ("brain_mask", "brain"), "bold": ("temporal_snr", "head")}
MASKS["dwi"] = ("diffusion_maps", "brain")
"""The derivative that holds the mask of a kind of scan, and its description."""


@dataclasses.dataclass
class _Measured:
    """What was measured so far, and why the rest was not."""

    scans: list[Any]  # of `qc.group.ScanQuality`, which loads numpy
    failed: dict[str, str]


@click.command()
@SOURCE
@TARGET
@STUDY
@json_option
def qc(source: Path, target: Path, study_file: Path | None, as_json: bool) -> None:
    """
    Measure the quality of the BIDS dataset SOURCE, and write it into TARGET.

    TARGET becomes a BIDS derivative: a brain mask and all metrics of each T1w, T2w,
    FLAIR, BOLD and DWI, a table a kind (group_T1w.tsv), and index.html. The dataset
    may have sessions or not. A scan that cannot be measured is named in failed.tsv;
    the others are measured, and the command ends with 1.
    """
    from imaging_platform.qc.group import write_quality

    study = (
        read_study(study_file)
        if study_file
        else Study(name="local", title=DEFAULT_TITLE)
    )
    dataset = read_existing(source.absolute(), {})
    refuse_existing(target)
    done = _Measured([], {})
    with staged_tree(target.absolute().parent, target.name) as staged:
        for session in dataset.sessions:
            with tempfile.TemporaryDirectory() as work:
                _measure_session(session, Path(work), staged, study, done)
        if not done.scans and not done.failed:
            raise BadInput(
                "The dataset has no T1w, T2w, FLAIR, BOLD or DWI image.",
                fix="Look at the names of its files.",
            )
        done.scans[:] = _judge_together(done.scans, study)
        write_quality(staged, done.scans, done.failed)
        _describe(staged, study)
        publish_tree(staged, target.absolute())
    _report(target, done, as_json=as_json)


def _measure_session(
    session: ExistingSession, work: Path, target: Path, study: Study, done: _Measured
) -> None:
    from imaging_platform.tools.isolated import call_isolated

    files = _link_readable(session, work / "bids_session", done)
    if not files:
        return
    trees = _derive(session, work, files, done)
    out = work / "quality"
    out.mkdir()
    named = {"subject": session.key.subject, "session": session.key.session}
    try:
        report = call_isolated(
            "imaging_platform.qc.session:measure_session",
            {
                **dict.fromkeys(("brain_mask", "motion", "temporal_snr")),
                "diffusion_maps": None,
                **trees,
                **named,
                "target": out,
                "settings": study.quality.model_dump(mode="json"),
            },
        )
    except PlatformError as error:
        done.failed.update({_own_name(f): str(error) for f in files.values()})
        return
    _keep(report, files, trees, target, done)


def _link_readable(
    session: ExistingSession, view: Path, done: _Measured
) -> dict[str, BidsFile]:
    """Link each image that can be read; return the images by their name in the view."""
    from imaging_platform.bids.session_view import link_image, list_images
    from imaging_platform.qc.scans import read_volumes, scan_name

    files = {}
    for file in list_images(session):
        try:
            read_volumes(file.path)
            image = link_image(session, file, view)
        except (PlatformError, OSError) as error:
            done.failed[_own_name(file)] = str(error)
        else:
            files[scan_name(image)] = file
    return files


def _derive(
    session: ExistingSession,
    work: Path,
    files: Mapping[str, BidsFile],
    done: _Measured,
) -> dict[str, Path]:
    """Make the derivatives that the scans need; return their trees by name."""
    from imaging_platform.assets.derivatives import as_argument
    from imaging_platform.tools.isolated import call_isolated

    kinds = {file.suffix for file in files.values()}
    wanted = {name for kind in kinds for name in NEEDED.get(kind, ())}
    trees = {"bids_session": work / "bids_session"}
    for name in (each for each in PIPELINES if each in wanted):
        if not all(needed in trees for needed in PIPELINES[name]):
            continue
        tree = work / name
        tree.mkdir()
        try:
            call_isolated(
                f"imaging_platform.derivatives.{name}:write_{name}",
                {
                    **{as_argument(each): trees[each] for each in PIPELINES[name]},
                    "target": tree,
                    "subject": session.key.subject,
                    "session": session.key.session,
                },
            )
        except PlatformError as error:
            for file in files.values():
                if name in NEEDED.get(file.suffix, ()):
                    done.failed[_own_name(file)] = f"{name}: {error}"
        else:
            trees[name] = tree
    return trees


def _keep(
    report: Mapping[str, Any],  # a `QualityReport`
    files: Mapping[str, BidsFile],
    trees: Mapping[str, Path],
    target: Path,
    done: _Measured,
) -> None:
    from imaging_platform.qc.group import ScanQuality
    from imaging_platform.qc.scans import find_derived

    for entry in report["skipped"]:
        if entry["scan"] in files:
            name = _own_name(files[entry["scan"]])
            done.failed.setdefault(name, entry["reason"])
    for scan, file in files.items():
        rows = [row for row in report["metrics"] if row["scan"] == scan]
        name = _own_name(file)
        metrics = tuple(Metric(**{**row, "scan": name}) for row in rows)
        parts = [
            f"{k}-{file.entities[k]}" for k in ("sub", "ses") if k in file.entities
        ]
        folder = "/".join([*parts, file.datatype])
        if metrics and name not in done.failed:
            done.scans.append(ScanQuality(folder, name, file.suffix, metrics))
        tree, desc = MASKS.get(file.suffix, ("", ""))
        view = trees["bids_session"] / file.datatype / f"{scan}{file.extension}"
        mask = find_derived(trees.get(tree), view, desc, "mask")
        if mask is not None:
            stem = name.rsplit("_", 1)[0]
            place = target / folder / f"{stem}_desc-brain_mask.nii.gz"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(mask, place)


def _judge_together(scans: list[Any], study: Study) -> list[Any]:
    """Let what stands out among the sessions make the verdicts worse."""
    from imaging_platform.catalog.rows import MetricRow
    from imaging_platform.catalog.tables import worse_verdict
    from imaging_platform.qc.cohort import judge_cohort

    rows = [
        MetricRow(
            session_key=scan.folder.rsplit("/", 1)[0],
            scan=scan.name,
            metric=m.metric,
            value=float("nan") if m.value is None else m.value,
            unit=m.unit,
            verdict=m.verdict,
            threshold=m.threshold,
            reason=m.reason,
        )
        for scan in scans
        for m in scan.metrics
    ]
    found = {(row.scan, row.metric): row for row in judge_cohort(rows, study.cohort)}
    judged = []
    for scan in scans:
        metrics = []
        for m in scan.metrics:
            other = found.get((scan.name, m.metric))
            if other is not None and other.reason:
                verdict = worse_verdict(m.verdict, other.verdict)
                reason = "; ".join(part for part in (m.reason, other.reason) if part)
                m = dataclasses.replace(m, verdict=verdict, reason=reason)
            metrics.append(m)
        judged.append(dataclasses.replace(scan, metrics=tuple(metrics)))
    return judged


def _describe(target: Path, study: Study) -> None:
    from imaging_platform.bids.dataset import write_derivative_description
    from imaging_platform.qc.group import IGNORED

    write_derivative_description(
        target,
        name="Quality",
        pipeline="imaging_platform",
        version=__version__,
        bids_version=study.bids.bids_version,
        ignored=IGNORED,
    )


def _report(target: Path, done: _Measured, *, as_json: bool) -> None:
    if as_json:
        scans = {each.name: dataclasses.asdict(each) for each in done.scans}
        print_json({"scans": scans, "failed": done.failed})
    else:
        rows = [(each.name, each.verdict, each.reasons) for each in done.scans]
        print_table(f"Quality in {target}", ["scan", "verdict", "reasons"], rows)
    if done.failed:
        names = ", ".join(sorted(done.failed))
        raise BadInput(
            f"{len(done.failed)} scan(s) could not be measured: {names}.",
            fix=f"Read the reasons in {target / 'failed.tsv'}; the others are done.",
        )


def _own_name(file: BidsFile) -> str:
    """Return the name of an image in its own dataset, without extension."""
    return file.path.name.removesuffix(file.extension)


def _own_folder(file: BidsFile) -> str:
    """Return the folder of an image in its own dataset, such as ``sub-01/anat``."""
    labels = [f"{k}-{v}" for k, v in file.entities.items() if k in ("sub", "ses")]
    return "/".join([*labels, file.datatype])
