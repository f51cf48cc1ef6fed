"""What a BIDS App that spans sessions has published: a tree a subject, or one."""

from __future__ import annotations

from imaging_platform.assets.scope import Scope
from imaging_platform.files.digests import digest_json
from imaging_platform.model import layout
from imaging_platform.provenance.trees import list_sessions
from imaging_platform.storage.local import LocalStore

STUDY_PARTITION = "study"
"""Stands for all sessions in the name of a log and of a folder of edits."""


def list_app_trees(
    store: LocalStore, scope: Scope, name: str, subject: str = ""
) -> dict[str, str]:
    """
    Return the keys of the published trees of an app that spans sessions, by label.

    Parameters
    ----------
    store, scope
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
    (app,) = (each for each in scope.study.apps if each.name == name)
    where = scope.name, app.name, app.version
    if app.level == "study":
        places = {STUDY_PARTITION: layout.app_dataset(*where)}
    else:
        subjects = {key.subject for key in list_sessions(store.root, scope.name)}
        places = {
            f"sub-{label}": layout.app_subject(*where, label)
            for label in sorted(subjects)
            if subject in ("", label)
        }
    return {label: p for label, p in places.items() if store.read(p) is not None}


def read_app_version(
    store: LocalStore, scope: Scope, name: str, subject: str = ""
) -> str:
    """Return the version of all these trees together; empty when there is none."""
    found = {
        label: record.data_version
        for label, place in list_app_trees(store, scope, name, subject).items()
        if (record := store.read(place)) is not None
    }
    return digest_json(found) if found else ""


def read_wide_apps(store: LocalStore, scope: Scope) -> dict[str, str]:
    """Return the version of each app that spans sessions and has metrics, by name."""
    found = {
        app.name: read_app_version(store, scope, app.name)
        for app in scope.measuring_apps
        if app.level != "session"
    }
    return {name: version for name, version in found.items() if version}
