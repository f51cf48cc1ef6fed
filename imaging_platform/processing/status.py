"""What is done, outstanding and held in one study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.bids.expectation import compare_with_protocol
from imaging_platform.intake.session import HeldSummary, list_held
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import ZONES, Home
from imaging_platform.pipeline.names import DROP_INDEX
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.outstanding import find_drop_orders, list_orders
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.settings import Study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_made
from imaging_platform.survey.site import Site
from imaging_platform.survey.study import survey_study


@dataclass(frozen=True)
class Status:
    """
    One study now.

    Parameters
    ----------
    study
        Its name.
    n_drops, n_sessions
        Known drops and sessions.
    n_settling
        Drops in the inbox that are still growing.
    outstanding
        (partition, asset, why) of all that `process` would run.
    held
        (what, why) of all that waits for a person.
    unusable
        (drop, why) of files that are kept and cannot be used.
    incomplete
        (session, what) of all that did not come, and of series that the protocol
        does not expect.
    """

    study: str
    n_drops: int
    n_sessions: int
    n_settling: int
    outstanding: tuple[tuple[str, str, str], ...]
    held: tuple[tuple[str, str], ...]
    unusable: tuple[tuple[str, str], ...]
    incomplete: tuple[tuple[str, str], ...]

    def counts(self) -> list[tuple[str, int]]:
        """Return names and numbers for a table."""
        return [
            ("drops indexed", self.n_drops),
            ("drops settling", self.n_settling),
            ("sessions", self.n_sessions),
            ("outstanding", len(self.outstanding)),
            ("held for a person", len(self.held)),
            ("not as expected", len({session for session, _ in self.incomplete})),
        ]


def read_status(home: Home, study: Study) -> Status:
    """Return the status of a study; nothing is changed."""
    scope = Scope(study)
    waiting = list_held(home.zone("identified", study.name))
    outline = outline_study(study, home.notebooks(study.name))
    with dg.DagsterInstance.get() as instance:
        identified = IdentifiedZone(home=str(home.root))
        drops, settling = find_drop_orders(scope, instance, identified)
        released = identified.released_versions(study.name)
        database = find_database(instance)
        site = Site(outline, database, LocalStore(home.root), released)
        survey = survey_study(site)
        sessions, cohort = list_orders(site, survey, instance)
        orders = [*drops, *sessions, *cohort]
        return Status(
            study=study.name,
            n_drops=len(read_made(database, study.name, DROP_INDEX)),
            n_sessions=len(survey.members),
            n_settling=settling,
            outstanding=tuple(
                (order.name, asset, why)
                for order in orders
                for asset, why in (order.reasons or {"drop_index": "new"}).items()
            ),
            held=tuple(_list_held(home, study.name, waiting)),
            unusable=tuple(
                (found.drop_id, f"{found.n_files} file(s): {found.reason}")
                for found in waiting.useless
            ),
            incomplete=tuple(list_incomplete(site.store, study, survey.members)),
        )


def list_incomplete(
    store: LocalStore, study: Study, sessions: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """
    Yield what sessions lack, and what they have that nobody expects.

    Parameters
    ----------
    store
        Holds their records; what may not be read is passed over.
    study
        Its protocol of today counts.
    sessions
        Session keys.
    """
    for session in sorted(sessions):
        key = SessionKey.parse(session)
        gathered = store.read(layout.raw_session(study.name, key))
        for lack in gathered.report.get("shortfalls", []) if gathered else []:
            slices = f" ({'; '.join(lack['missing'])})" if lack["missing"] else ""
            yield session, f"series {lack['series_number']}: {lack['why']}{slices}"
        if study.protocol.series:
            made = store.read(layout.bids_session(study.name, key))
            if made is not None and not made.is_imported:
                found = compare_with_protocol(made.report, study.protocol)
                for text in (*found.missing, *found.unexpected):
                    yield session, text


def _list_held(home: Home, study: str, waiting: HeldSummary) -> list[tuple[str, str]]:
    store = LocalStore(home.root)
    trees = [item for zone in ZONES for item in store.held(f"{zone}/{study}/").items()]
    waits = [(w.what, f"{w.why}; {w.command}") for w in waiting.list_waits(study)]
    return [*trees, *waits]
