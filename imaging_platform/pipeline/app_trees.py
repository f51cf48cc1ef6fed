"""What the BIDS Apps of a study have published, and what those of sessions read."""

from __future__ import annotations

from collections.abc import Mapping

from imaging_platform.apps.edits import EDITS_INPUT, edits_version
from imaging_platform.apps.settings import App
from imaging_platform.files.digests import digest_json
from imaging_platform.model import layout
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.names import BIDS_SESSION
from imaging_platform.provenance.trees import list_sessions
from imaging_platform.settings import Study
from imaging_platform.storage.local import LocalStore

STUDY_PARTITION = "study"
"""Stands for all sessions in the name of a log and of a folder of edits."""


def measuring_apps(study: Study) -> list[App]:
    """Return the BIDS Apps that declare an output as metrics."""
    return [a for a in study.apps if any(o.metrics for o in a.outputs)]


def tree_name(study: Study, asset: str) -> str:
    """Return the name of an asset's trees; that of an app holds its version."""
    versions = {app.name: app.version for app in study.apps}
    version = versions.get(asset)
    return layout.app_dataset_name(asset, version) if version else asset


def list_app_trees(
    store: LocalStore, study: Study, name: str, subject: str = ""
) -> dict[str, str]:
    """
    Return the keys of the published trees of an app that spans sessions, by label.

    Parameters
    ----------
    store, study
        Where the trees of which study are.
    name
        The app.
    subject
        Only of this one, without ``sub-``; of all when empty.

    Returns
    -------
    dict
        By ``sub-<label>``, or one by `STUDY_PARTITION` whatever the subject.
    """
    (app,) = (each for each in study.apps if each.name == name)
    where = study.name, app.name, app.version
    if app.level == "study":
        places = {STUDY_PARTITION: layout.app_dataset(*where)}
    else:
        subjects = {key.subject for key in list_sessions(store.root, study.name)}
        places = {
            f"sub-{label}": layout.app_subject(*where, label)
            for label in sorted(subjects)
            if subject in ("", label)
        }
    return {label: p for label, p in places.items() if store.read(p) is not None}


def read_app_version(
    store: LocalStore, study: Study, name: str, subject: str = ""
) -> str:
    """Return the version of all these trees together; empty when there is none."""
    found = {
        label: record.data_version
        for label, place in list_app_trees(store, study, name, subject).items()
        if (record := store.read(place)) is not None
    }
    return digest_json(found) if found else ""


def read_wide_apps(store: LocalStore, study: Study) -> dict[str, str]:
    """Return the version of each app that spans sessions and has metrics, by name."""
    found = {
        app.name: read_app_version(store, study, app.name)
        for app in measuring_apps(study)
        if app.level != "session"
    }
    return {name: version for name, version in found.items() if version}


def cohort_inputs(
    home: Home, study: str, app: App, sessions: Mapping[str, str]
) -> dict[str, str]:
    """
    Return the inputs of an app that spans sessions, as they are now.

    Parameters
    ----------
    home, study, app
        Where people put their edits.
    sessions
        Data version of the BIDS tree of each session.
    """
    edited = {
        f"{EDITS_INPUT}[{label}]": version
        for label in home.edited(study, app.name)
        if (version := edits_version(home.edits(study, app.name, label)))
    }
    return {**{f"{BIDS_SESSION}[{key}]": v for key, v in sessions.items()}, **edited}
