"""
Sessions that have no file left: what was made of them goes, and their partition.

Where their files are another session now, it goes when that session is made: new
first, old removed after.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import cast

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import (
    SESSION_TREES,
    Home,
    companions,
    derivative_dataset,
    session_pages,
    tree_key,
)
from imaging_platform.storage.local import LocalStore

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@dataclass(frozen=True)
class Left:
    """
    What became of sessions without a file.

    Parameters
    ----------
    removed
        Those whose trees and partition were removed.
    kept
        Those that stay until their files are made anew under another label.
    """

    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def clear_emptied(home: Home, scope: Scope, instance: dg.DagsterInstance) -> Left:
    """
    Remove what was made of sessions that have no file left, where that is safe.

    Killed at any line and called again, it goes on; called once more, it does
    nothing. Cheap when there is none.

    Parameters
    ----------
    home
        Holds ledger, decisions, indexes and trees.
    scope
        The study.
    instance
        Knows partitions, and what was made when.
    """
    from imaging_platform.intake.marks import forget, has_marks
    from imaging_platform.intake.resolving import list_left
    from imaging_platform.intake.session import digest_sessions

    zone = home.zone("identified", scope.name)
    left = list_left(zone)
    known = set(instance.get_dynamic_partitions(scope.sessions.name or ""))
    standing = {
        key
        for key in left
        if key in known or _trees(home, scope, key) or has_marks(zone, key)
    }
    if not standing:
        return Left()
    followers = {key: left[key] for key in standing}
    digests = digest_sessions(zone, standing.union(*followers.values()))
    emptied = {key for key in standing if not digests[key]}
    kept = {
        key
        for key in emptied
        if _is_running(scope, instance, key)
        or not all(
            _is_made(scope, instance, follower, digests[follower])
            for follower in followers[key]
            if digests[follower]
        )
        # Nothing was made of it that could be missed.
        if _trees(home, scope, key)
    }
    for key in sorted(emptied - kept):
        _remove(home, scope, key)
        forget(zone, key)
        if key in known:
            instance.delete_dynamic_partition(scope.sessions.name or "", key)
    return Left(tuple(sorted(emptied - kept)), tuple(sorted(kept)))


def _trees(home: Home, scope: Scope, text: str) -> list[str]:
    """Return the keys of what was made of a session and stands."""
    key, store = SessionKey.parse(text), LocalStore(home.root)
    return [t for t in _places(home, scope.name, key) if store.path(t).exists()]


def _places(home: Home, study: str, key: SessionKey) -> list[str]:
    """Return where what is made of a session stands, or would."""
    return [
        *(tree(study, key) for tree in SESSION_TREES.values()),
        *(tree_key(study, name, str(key)) for name in home.app_datasets(study)),
        companions(study, key),
        *session_pages(home.root, study, key),
    ]


def _is_made(
    scope: Scope, instance: dg.DagsterInstance, session: str, members_digest: str
) -> bool:
    """Return whether the report of a session was made of the files that it has now."""
    gathered = _newest(scope, instance, "raw_session", session)
    reported = _newest(scope, instance, "session_report", session)
    if gathered is None or reported is None or gathered.asset_materialization is None:
        return False
    inputs = gathered.asset_materialization.metadata["inputs"].value
    is_current = cast(dict[str, str], inputs).get("drop_index") == members_digest
    return is_current and reported.storage_id > gathered.storage_id


def _newest(
    scope: Scope, instance: dg.DagsterInstance, asset: str, session: str
) -> dg.EventLogRecord | None:
    wanted = dg.AssetRecordsFilter(
        asset_key=scope.key(asset), asset_partitions=[session]
    )
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0] if records else None


def _remove(home: Home, scope: Scope, text: str) -> None:
    key, store = SessionKey.parse(text), LocalStore(home.root)
    for tree in _places(home, scope.name, key):
        store.remove(tree)
    home.guard_file(scope.name, key).unlink(missing_ok=True)
    _remove_of_subject(home, store, scope.name, key)
    for log in home.app_logs(scope.name, text):
        log.unlink()
    _remove_empty_subjects(home, scope.name, key)


def _is_running(scope: Scope, instance: dg.DagsterInstance, partition: str) -> bool:
    """Return whether a run of a session or drop of the study has not ended."""
    tags = {"dagster/partition": partition}
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags=tags))
    return any(run.job_name.startswith(f"{scope.name}_") for run in runs)


def _remove_of_subject(
    home: Home, store: LocalStore, study: str, key: SessionKey
) -> None:
    """Remove what apps made of all sessions of the subject: this one was among them."""
    for name in home.app_datasets(study):
        place = f"{derivative_dataset(study, name)}/sub-{key.subject}"
        if store.read(place) is not None:
            store.remove(place)
    for log in home.app_logs(study, f"sub-{key.subject}"):
        log.unlink()


def _remove_empty_subjects(home: Home, study: str, key: SessionKey) -> None:
    """Remove what is left of a subject that has no session in a dataset any more."""
    datasets = [home.zone("bids", study), *home.zone("derivatives", study).glob("*")]
    for dataset in datasets:
        subject = dataset / f"sub-{key.subject}"
        if subject.is_dir() and not any(subject.glob("ses-*")):
            shutil.rmtree(subject)
