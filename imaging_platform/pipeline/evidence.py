"""The facts of converted sessions, on which their BIDS names rest, in a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imaging_platform.bids.stored import StoredSession
from imaging_platform.files.digests import RECORD_NAME
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.storage.local import LocalStore
from imaging_platform.storage.store import Store


def read_stored(store: Store, study: str, session: str) -> StoredSession | None:
    """Return the facts of a converted session; None when there are none."""
    record = store.read(layout.bids_evidence(study, SessionKey.parse(session)))
    return None if record is None else StoredSession.from_dict(record.report)


def list_stored(store: LocalStore, study: str) -> list[str]:
    """Return the keys of the sessions of which facts were kept, sorted."""
    folder = store.path(layout.bids_evidence_folder(study))
    return sorted(record.parent.name for record in folder.glob(f"*/{RECORD_NAME}"))


def read_converted(
    store: Store, study: str, records: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, StoredSession]]:
    """Yield key and facts of each session that ``bids_session`` has published."""
    for asset, session in sorted(records):
        if asset == "bids_session":
            stored = read_stored(store, study, session)
            if stored is not None:
                yield session, stored
