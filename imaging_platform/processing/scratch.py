"""A home for a trial: the sessions of a sample lent to it, all else its own."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from imaging_platform.files.staging import locked
from imaging_platform.model import layout
from imaging_platform.model.errors import Held, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.provenance.trees import sees_originals
from imaging_platform.storage.local import LocalStore


@contextlib.contextmanager
def scratch_home(home: Home, study: str) -> Iterator[Home]:
    """
    Give an empty home beside the real one; gone afterwards.

    What has identity lies inside the real identified zone. What a killed trial left
    is removed first; one trial of a study at a time, another waits.
    """
    home.canary_lock(study).parent.mkdir(parents=True, exist_ok=True)
    with locked(home.canary_lock(study)):
        _clear(home, study)
        home.canary(study).mkdir(mode=0o700)
        try:
            yield Home(home.canary(study))
        finally:
            _clear(home, study)


def lend_sessions(
    home: Home, scratch: Home, study: str, sessions: Sequence[str]
) -> None:
    """
    Show the trees of some sessions in a scratch home, without a copy.

    A tree is lent as a link to its folder: publishing there replaces the link, and
    what it leads to stays. What is held or not published is not lent.
    """
    _lend_settings(home, scratch, study)
    is_seen = sees_originals(home.root, study)
    if is_seen:
        _lend_originals(home, scratch, study, sessions)
    store = LocalStore(home.root)
    for name in layout.SESSION_TREES:
        if name == "raw_session" and not is_seen:
            continue
        for session in sessions:
            key = layout.tree_key(study, name, session)
            with (
                contextlib.suppress(Held, MissingInput),
                store.fetch(key) as tree,
            ):
                _link(tree, scratch.root / key)


def _lend_settings(home: Home, scratch: Home, study: str) -> None:
    """Copy what decides about results; link the key, of which no copy is made."""
    copied = [
        (home.study_file(study), scratch.study_file(study)),
        (home.decisions_file(study), scratch.decisions_file(study)),
    ]
    for source, target in copied:
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    _link(home.secret_file(study), scratch.secret_file(study))


def _lend_originals(
    home: Home, scratch: Home, study: str, sessions: Sequence[str]
) -> None:
    originals = home.canary_originals(study)
    originals.mkdir(mode=0o700)
    _link(originals, scratch.zone("identified", study))
    _link(home.released_file(study), scratch.released_file(study))
    # New ones are written over the links, and stay in the identified zone, too.
    for key in map(SessionKey.parse, sessions):
        _link(home.guard_file(study, key), scratch.guard_file(study, key))


def _link(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.symlink_to(source)


def _clear(home: Home, study: str) -> None:
    for folder in (home.canary(study), home.canary_originals(study)):
        if folder.exists():
            shutil.rmtree(folder)
