"""BIDS Apps of a study: an asset each, of a session, of each subject or of all."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from imaging_platform.apps.edits import EDITS_INPUT, edits_version
from imaging_platform.apps.settings import App
from imaging_platform.assets import app_shown
from imaging_platform.assets.explaining import cancelled_told, explained
from imaging_platform.assets.scope import Scope, publish, read_code_version, session_key
from imaging_platform.model import layout
from imaging_platform.model.errors import IdentityLeak, MissingInput, PlatformError
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.app_trees import (
    STUDY_PARTITION,
    cohort_inputs,
    read_app_version,
)
from imaging_platform.pipeline.names import BIDS_SESSION
from imaging_platform.pipeline.stages import Outline, Stage
from imaging_platform.resources.zones import EchoGuard, PublishedZone
from imaging_platform.settings import find_binds
from imaging_platform.storage.local import LocalStore

if TYPE_CHECKING:
    from imaging_platform.apps.run import AppReport
    from imaging_platform.apps.runners import AppJob

CHECK = "expected_outputs_present"


@dataclass(frozen=True)
class Part:
    """
    What one run of an app is about.

    Parameters
    ----------
    label
        Session, subject or `STUDY_PARTITION`.
    tree_key
        Where its result is published.
    sessions
        Data version of each of its sessions.
    """

    label: str
    tree_key: str
    sessions: Mapping[SessionKey, str]

    def inputs(self, home: Home, study: str, app: App) -> dict[str, str]:
        """Return the data version of each input of this part."""
        named = {
            f"{BIDS_SESSION}[{key}]": version for key, version in self.sessions.items()
        }
        if app.level == "session":
            named = dict.fromkeys([BIDS_SESSION], next(iter(self.sessions.values())))
        edited = edits_version(home.edits(study, app.name, self.label))
        return {**named, **({EDITS_INPUT: edited} if edited else {})}


@dataclass(frozen=True)
class _Site:
    """All that a run of an app needs beside its part."""

    scope: Scope
    app: App
    context: dg.AssetExecutionContext
    published: PublishedZone
    echo_guard: EchoGuard

    @property
    def store(self) -> LocalStore:
        return self.published.store()

    @property
    def home(self) -> Home:
        return Home(Path(self.published.home))


def make_app_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """Return an asset for each app of a study file."""
    return [
        make(scope, app, outline[app.name])
        for app in scope.study.apps
        for make in [_of_session if app.level == "session" else _of_study]
    ]


def app_tags(app: App) -> dict[str, str]:
    """Return the tags of an app's runs, for limits of the run queue."""
    return {
        "imaging/app": app.name,
        "imaging/cpus": str(app.cpus),
        "imaging/memory_gb": f"{app.memory_gb:g}",
    }


def _of_session(scope: Scope, app: App, stage: Stage) -> dg.AssetsDefinition:
    @_declare(scope, app, stage)
    def app_session(
        context: dg.AssetExecutionContext,
        published: PublishedZone,
        echo_guard: EchoGuard,
    ) -> dg.MaterializeResult:
        key = session_key(context)
        site = _Site(scope, app, context, published, echo_guard)
        place = layout.app_session(scope.name, app.name, app.version, key)
        with _told(site, str(key)):
            versions = _read_sessions(site.store, scope.name, [key])
            result, report = _run_part(site, Part(str(key), place, versions))
        return app_shown.add(result, report, published, place)

    return app_session


def _of_study(scope: Scope, app: App, stage: Stage) -> dg.AssetsDefinition:
    @_declare(scope, app, stage)
    def app_study(
        context: dg.AssetExecutionContext,
        published: PublishedZone,
        echo_guard: EchoGuard,
    ) -> dg.MaterializeResult:
        site = _Site(scope, app, context, published, echo_guard)
        with _told(site, STUDY_PARTITION):
            parts = _list_parts(site)
            todo = [part for part in parts if not _is_current(site, part)] or parts
            reports = _run_parts(site, todo)
            return _summarize(site, parts, reports)

    return app_study


def _declare(scope: Scope, app: App, stage: Stage) -> Any:  # a decorator of dagster
    about = {"session": "each session", "subject": "each subject", "study": "all"}
    return scope.asset(
        stage,
        kinds={"bids", app.runner},
        checks=[CHECK],
        description=f"BIDS App {app.name} {app.version} on {about[app.level]}.",
        pool=app.pool,
    )


@contextlib.contextmanager
def _told(site: _Site, label: str) -> Iterator[None]:
    """Tell a failure with the address of the log, and a cancellation as one."""
    key = layout.app_log(site.scope.name, site.app.name, label)
    site.store.path(key).unlink(missing_ok=True)

    left: dict[str, dg.MetadataValue] = {}
    with explained(lambda: left), cancelled_told(site.context):
        try:
            yield
        finally:
            if site.store.path(key).exists():
                left["log"] = dg.MetadataValue.url(site.published.link(key))


def _read_sessions(
    store: LocalStore, study: str, keys: Sequence[SessionKey]
) -> dict[SessionKey, str]:
    found = {key: store.read(layout.bids_session(study, key)) for key in keys}
    return {key: r.data_version for key, r in found.items() if r is not None}


def _list_parts(site: _Site) -> list[Part]:
    """Return the subjects of a study that have a session, or the study as one."""
    study, app = site.scope.name, site.app
    root = site.store.path(layout.bids_dataset(study))
    keys = [
        SessionKey.parse(f"{folder.parent.name}_{folder.name}")
        for folder in sorted(root.glob("sub-*/ses-*"))
        if folder.is_dir()
    ]
    versions = _read_sessions(site.store, study, keys)
    if not versions:
        raise MissingInput(
            f"{app.name} has no session to work on.",
            fix="Run `imaging-platform process` first.",
        )
    if app.level == "study":
        place = layout.app_dataset(study, app.name, app.version)
        return [Part(STUDY_PARTITION, place, versions)]
    return [
        Part(
            f"sub-{subject}",
            layout.app_subject(study, app.name, app.version, subject),
            {k: v for k, v in versions.items() if k.subject == subject},
        )
        for subject in sorted({key.subject for key in versions})
    ]


def _is_current(site: _Site, part: Part) -> bool:
    record = site.store.read(part.tree_key)
    return (
        record is not None
        and record.code_version == read_code_version(site.context)
        and record.inputs == part.inputs(site.home, site.scope.name, site.app)
    )


def _run_parts(site: _Site, parts: Sequence[Part]) -> "dict[str, AppReport]":
    """Run every part, and fail with the first error only when all were tried."""
    reports: dict[str, AppReport] = {}
    errors: dict[str, PlatformError] = {}
    for part in parts:
        try:
            _, reports[part.label] = _run_part(site, part)
        except PlatformError as error:
            errors[part.label] = error
    if errors:
        label, first = next(iter(errors.items()))
        raise type(first)(
            f"{len(errors)} of {len(parts)} failed; the first is {label}: {first}",
            fix=first.fix,
        )
    return reports


def _run_part(site: _Site, part: Part) -> "tuple[dict[str, Any], AppReport]":
    """Run an app on one part, publish what it made, and describe the dataset."""
    from imaging_platform.apps.run import run_app

    scope, app, store = site.scope, site.app, site.store
    with contextlib.ExitStack() as stack:
        trees = {
            key: stack.enter_context(store.fetch(layout.bids_session(scope.name, key)))
            for key in part.sessions or [SessionKey.parse(part.label)]
        }
        inputs = part.inputs(site.home, scope.name, app)
        workspace = stack.enter_context(store.stage(part.tree_key))
        _refuse_echoes(site, part)
        report = run_app(_make_job(site, part, trees), workspace)
        if app.level == "study":
            _describe(site, report, workspace / "published")
        result = publish(
            site.context,
            store,
            workspace / "published",
            part.tree_key,
            report=dataclasses.asdict(report),
            inputs=inputs,
            tools={app.name: app.version},
            tool_digests={app.name: app.digest} if app.digest else {},
            parameters=app.parameters,
        )
    if app.level != "study":
        _describe(site, report, _dataset(site))
    return result, report


def _make_job(site: _Site, part: Part, trees: Mapping[SessionKey, Path]) -> "AppJob":
    from imaging_platform.apps.runners import AppJob

    scope, app, home = site.scope, site.app, site.home
    key = layout.app_log(scope.name, app.name, part.label)
    log = site.store.path(key)
    log.unlink(missing_ok=True)
    site.context.log.info("What it prints: %s", site.published.link(key))
    return AppJob(
        app=app,
        study=scope.name,
        sessions=trees,
        log=log,
        edits=home.edits(scope.name, app.name, part.label),
        licence=home.licence_file(app.licence) if app.licence else None,
        binds=find_binds(),
        bids_version=scope.study.bids.bids_version,
    )


def _refuse_echoes(site: _Site, part: Part) -> None:
    """Refuse edits that hold an identifier of a subject: they come from people."""
    folder = site.home.edits(site.scope.name, site.app.name, part.label)
    if not edits_version(folder):
        return
    for key in part.sessions:
        echoes = site.echo_guard.search(site.scope.name, key, folder)
        if echoes:
            places = ", ".join(echo.file or echo.place for echo in echoes[:5])
            raise IdentityLeak(
                f"An identifier of the subject was found in the edits of {part.label} "
                f"for {site.app.name}, in {places}.",
                fix="Remove it from these files; the result was not made.",
            )


def _dataset(site: _Site) -> Path:
    app = site.app
    return site.store.path(layout.app_dataset(site.scope.name, app.name, app.version))


def _describe(site: _Site, report: "AppReport", root: Path) -> None:
    """Write the top of the dataset; of a whole study it is a part of the tree."""
    from imaging_platform.apps.description import write_description

    study, app = site.scope.study, site.app
    raw = site.store.path(layout.bids_dataset(study.name))
    write_description(
        root,
        app,
        report.described,
        name=f"{study.title or study.name}: {app.name} {app.version}",
        bids_version=study.bids.bids_version,
        raw=os.path.relpath(raw, _dataset(site)),
    )


def _summarize(
    site: _Site, parts: Sequence[Part], reports: "Mapping[str, AppReport]"
) -> dg.MaterializeResult:
    """Return what Dagster is told of an app that has a result a subject, or one."""
    study, app, home = site.scope.name, site.app, site.home
    sessions = {str(key): v for p in parts for key, v in p.sessions.items()}
    return app_shown.summary(
        read_app_version(site.store, site.scope.study, app.name),
        inputs=cohort_inputs(home, study, app, sessions),
        reports=reports,
        place=layout.app_dataset(study, app.name, app.version),
    )
