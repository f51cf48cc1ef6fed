"""One run of a BIDS App: from sessions to a tree that can be published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.apps.diagnosis import refuse_failure
from imaging_platform.apps.edits import lay_edits
from imaging_platform.apps.lint import lint_app
from imaging_platform.apps.outputs import (
    find_outputs,
    free_space,
    hide_paths,
    place_files,
    read_description,
    read_metrics,
)
from imaging_platform.apps.runners import (
    INSIDE,
    AppJob,
    find_values,
    hide_places,
    prepare,
)
from imaging_platform.apps.settings import App
from imaging_platform.apps.template import fill_text
from imaging_platform.apps.view import refuse_missing, write_view
from imaging_platform.model.errors import BadConfig, Licence
from imaging_platform.tools.supervised import Limits, supervise


@dataclass(frozen=True)
class AppReport:
    """
    What came of a run.

    Parameters
    ----------
    app, version
        What ran.
    n_files
        Files that are published.
    outputs
        How many files each declared output has, by its pattern.
    metrics
        Numbers, by name.
    pages
        HTML pages below the published folder.
    left_out
        Links that lead elsewhere, and what is no file.
    described
        What the app says of its dataset.
    """

    app: str
    version: str
    n_files: int
    outputs: Mapping[str, int]
    metrics: Mapping[str, float]
    pages: tuple[str, ...]
    left_out: tuple[str, ...]
    described: Mapping[str, object]


def run_app(job: AppJob, workspace: Path) -> AppReport:
    """
    Run an app and leave what can be published in ``workspace/published``.

    Nothing else is left: no process, no container, no other folder.

    Parameters
    ----------
    job
        What to run, on what.
    workspace
        Empty folder on the file system of the sessions.

    Raises
    ------
    BadConfig
        The entry of the app cannot be used, or its image has no digest.
    MissingInput
        What it needs is not there, or its image is not.
    Licence, OutOfMemory, Timeout, BadOutput, ToolFailed
        It failed.
    """
    app = job.app
    refuse_unusable(app)
    values = find_values(job, INSIDE)
    needs = [fill_text(pattern, values) for pattern in app.needs]
    refuse_missing(job.sessions, needs, app.name)
    if app.licence and (job.licence is None or not job.licence.is_file()):
        raise Licence(
            f"{app.name} needs the licence {app.licence}, which is not there.",
            fix=f"Put it into `licences/{app.licence}` of the home.",
        )
    folders = {name: workspace / name for name in INSIDE}
    for folder in folders.values():
        folder.mkdir()
    try:
        write_view(
            folders["bids"],
            job.sessions,
            study=job.study,
            bids_version=job.bids_version,
            is_linked=app.runner != "local",
        )
        if job.edits is not None:
            lay_edits(job.edits, workspace)
        _start(job, folders)
        return _gather(job, folders, workspace / "published")
    finally:
        free_space(workspace)


def refuse_unusable(app: App) -> None:
    """
    Refuse an app whose entry has an error.

    Raises
    ------
    BadConfig
        The first error of the lint.
    """
    for finding in lint_app(app):
        if finding.level == "error":
            raise BadConfig(f"{finding.field}: {finding.message}", fix=finding.fix)


def _start(job: AppJob, folders: Mapping[str, Path]) -> None:
    app = job.app
    limits = Limits(
        memory_bytes=int(app.memory_gb * (1 << 30)), timeout_s=app.timeout_min * 60
    )
    hidden = hide_places(job, folders)
    ended = supervise(prepare(job, folders), limits, log=job.log, hidden=hidden)
    refuse_failure(app, ended, job.log)


def _gather(job: AppJob, folders: Mapping[str, Path], target: Path) -> AppReport:
    app, out = job.app, folders["out"]
    values = find_values(job, {name: str(path) for name, path in folders.items()})
    found = find_outputs(app, out, values)
    metrics = read_metrics(found, _common_name(job))
    described = read_description(out)
    target.mkdir()
    left_out = place_files(out, target, own=_own(job), found=found, values=values)
    if app.runner == "local":
        hide_paths(target, hide_places(job, folders))
    files = sorted(
        p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()
    )
    return AppReport(
        app=app.name,
        version=app.version,
        n_files=len(files),
        outputs={each.declared.glob: len(each.files) for each in found},
        metrics=metrics,
        pages=tuple(name for name in files if name.endswith(".html")),
        left_out=tuple(left_out),
        described=described,
    )


def _own(job: AppJob) -> str:
    key = min(job.sessions)
    return {
        "session": f"sub-{key.subject}/ses-{key.session}",
        "subject": f"sub-{key.subject}",
        "study": "",
    }[job.app.level]


def _common_name(job: AppJob) -> str:
    key = min(job.sessions)
    return {"session": f"{key}_", "subject": f"sub-{key.subject}_", "study": ""}[
        job.app.level
    ]
