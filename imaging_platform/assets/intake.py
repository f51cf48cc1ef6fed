"""From a drop to the original DICOM of a session: the identified zone."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.attachments import bring_late
from imaging_platform.assets.explaining import sealed
from imaging_platform.assets.held import tell_held
from imaging_platform.assets.metering import tell_cost
from imaging_platform.assets.routing import make_router, naming_version
from imaging_platform.assets.scope import Scope, publish, session_key
from imaging_platform.model import layout
from imaging_platform.model.errors import MissingInput
from imaging_platform.model.ids import SessionKey, parse_drop_id
from imaging_platform.pipeline.names import DROP_INDEX, RAW_SESSION
from imaging_platform.pipeline.stages import Outline
from imaging_platform.planning.decisions import refuse_frozen
from imaging_platform.resources.zones import EchoGuard, IdentifiedZone, PublishedZone

if TYPE_CHECKING:
    from imaging_platform.intake.drop_report import DropReport
    from imaging_platform.storage.store import Store

JOBS = 2
"""Processes that read headers side by side, when a drop is large."""


def make_intake_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """Return ``drop_index`` and ``raw_session`` of a study."""

    @scope.asset(
        outline[DROP_INDEX],
        kinds={"dicom", "parquet"},
        checks=["every_file_accounted_for"],
    )
    def drop_index(
        context: dg.AssetExecutionContext,
        identified: IdentifiedZone,
        published: PublishedZone,
        echo_guard: EchoGuard,
    ) -> Iterator[dg.MaterializeResult]:
        """Receipt and header index of one drop: each file accepted, or why not."""
        from imaging_platform.intake.drop import note_told
        from imaging_platform.intake.drop_report import report_drop
        from imaging_platform.intake.zone import telling

        zone = identified.folder(scope.name)
        with sealed():
            refuse_frozen(Path(identified.home), scope.name)
            drop_id = parse_drop_id(context.partition_key)
            _take_in(scope, drop_id, identified, published)
            with telling(zone):
                report = report_drop(zone, drop_id)
                _refuse_empty(report, zone)
                # Dagster has stored it when this goes on.
                yield dg.MaterializeResult(
                    metadata=shown.drop(report) | tell_cost(report.n_bytes),
                    data_version=dg.DataVersion(report.data_version),
                    check_results=[shown.check_drop(report)],
                )
            bring_late(
                scope.name,
                report.attached_to,
                identified=identified,
                published=published,
                echo_guard=echo_guard,
            )
            with telling(zone):
                note_told(zone, drop_id)
                tell_held(context.instance, scope, zone)

    @scope.asset(
        outline[RAW_SESSION],
        kinds={"dicom"},
        checks=["one_content_an_instance", "everything_arrived"],
    )
    def raw_session(
        context: dg.AssetExecutionContext, identified: IdentifiedZone
    ) -> dg.MaterializeResult:
        """Original DICOM of one session, from all the drops that it came in."""
        from imaging_platform.intake.session import gather_session

        key, store = session_key(context), identified.store()
        tree_key = layout.raw_session(scope.name, key)
        with sealed(), store.stage(tree_key) as target:
            report = gather_session(
                key, zone=identified.folder(scope.name), target=target
            )
            result = publish(
                context,
                store,
                target,
                tree_key,
                report=dataclasses.asdict(report),
                inputs={"drop_index": report.members_digest},
            )
        return shown.add(
            result,
            shown.raw_session(report),
            [shown.check_gathered(report), shown.check_arrived(report)],
        )

    return [drop_index, raw_session]


def _take_in(
    scope: Scope, drop_id: str, identified: IdentifiedZone, published: PublishedZone
) -> None:
    """Index what has settled of a drop, in the inbox and in the bucket."""
    from imaging_platform.bids.attachments import name_session
    from imaging_platform.intake.arrivals import find_settled
    from imaging_platform.intake.drop import index_drop
    from imaging_platform.storage.s3_inbox import bring_in

    zone, inbox = identified.folder(scope.name), identified.inbox(scope.name)
    labels = identified.labels(scope.name, scope.study.labels)
    settings = scope.study.intake
    bring_in(
        scope.study.s3_inbox,
        inbox,
        drop_id=drop_id,
        secret=labels.secret,
        now_s=time.time(),
        quiet_s=settings.quiet_s,
        reserve_bytes=settings.min_free_bytes,
    )
    settled = find_settled(
        inbox, secret=labels.secret, now_s=time.time(), quiet_s=settings.quiet_s
    )
    index_drop(
        [found.path for found in settled if found.drop_id == drop_id],
        drop_id=drop_id,
        zone=zone,
        label_study=labels.of_study,
        label_version=naming_version(scope, identified),
        router=make_router(scope, identified),
        limits=settings,
        name_companion=name_session,
        imported=list_imported(scope.name, zone, published.store()),
        jobs=JOBS,
    )


def list_imported(study: str, zone: Path, store: "Store") -> list[SessionKey]:
    """Return the sessions whose BIDS tree came from an existing dataset, and stands."""
    from imaging_platform.intake.ledger import read_imported

    keys = sorted(read_imported(zone))
    records = ((key, store.read(layout.bids_session(study, key))) for key in keys)
    return [key for key, record in records if record and record.is_imported]


def _refuse_empty(report: "DropReport", zone: Path) -> None:
    from imaging_platform.intake.drop import note_told

    if report.n_files == 0:
        # Nothing of it is there to be taken up again.
        note_told(zone, report.drop_id)
        raise MissingInput(
            f"{report.drop_id} is not in the inbox: it was withdrawn or is growing.",
            fix="Nothing to do: a drop that has settled starts by itself.",
        )
