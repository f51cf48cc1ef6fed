"""Sessions in BIDS, and the dataset that holds them."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform import __version__
from imaging_platform.assets import shown
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope, publish, read_versions, session_key
from imaging_platform.model import layout
from imaging_platform.model.errors import Held, IdentityLeak, InvalidOutput
from imaging_platform.model.ids import SessionKey
from imaging_platform.provenance.record import ATTACHMENTS
from imaging_platform.resources.zones import EchoGuard, PublishedZone
from imaging_platform.tools import dcm2niix

if TYPE_CHECKING:
    from pathlib import Path

    from imaging_platform.bids.attachments import Attached
    from imaging_platform.deid.residue import Residue
    from imaging_platform.storage.store import Store


def make_bids_assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """Return ``bids_session`` and ``bids_dataset`` of a study."""
    settings = scope.study.bids

    @scope.asset(
        name="bids_session",
        kinds={"bids", "nifti"},
        code_version=f"2.{settings.conversion_digest()}.{dcm2niix.version()}",
        partitions=scope.sessions,
        deps=["anonymized_dicom"],
        checks=["every_series_named", "every_instance_accounted_for"],
        blocking=["valid_bids"],
    )
    def bids_session(
        context: dg.AssetExecutionContext,
        published: PublishedZone,
        echo_guard: EchoGuard,
    ) -> dg.MaterializeResult:
        """NIfTI and sidecars of one session under BIDS names, each with its reason."""
        from imaging_platform.bids.participants import (
            read_participant,
            write_fragment,
        )
        from imaging_platform.bids.session import convert_session
        from imaging_platform.bids.validation import validate_session

        key, store = session_key(context), published.store()
        source_key = layout.anonymized_dicom(scope.name, key)
        tree_key = layout.bids_session(scope.name, key)
        with (
            explained(),
            _keeping_imported(store, tree_key),
            store.fetch(source_key) as source,
            store.stage(tree_key) as target,
        ):
            report = convert_session(source, target, key=key, settings=settings)
            write_fragment(target, read_participant(source))
            attached = _attach(store, layout.attachments(scope.name, key), target)
            validation = validate_session(target, key=key, settings=settings)
            if not validation.is_valid:
                store.hold(tree_key, f"{len(validation.errors)} BIDS errors")
                raise InvalidOutput(
                    "The session is no valid BIDS: " + shown.list_issues(validation),
                    fix="Add a rule or a metadata supplement under `bids.rules`.",
                )
            echoes = echo_guard.search(scope.name, key, target)
            if echoes:
                leak = _explain_echoes(echoes)
                store.hold(tree_key, str(leak))
                raise leak
            result = publish(
                context,
                store,
                target,
                tree_key,
                report=dataclasses.asdict(report),
                inputs=read_versions(
                    store,
                    {
                        "anonymized_dicom": source_key,
                        ATTACHMENTS: layout.attachments(scope.name, key),
                    },
                ),
                tools={"dcm2niix": dcm2niix.version()},
            )
        checks = [shown.check_valid(validation), *shown.check_series(report)]
        metadata = shown.converted(report, validation) | shown.attached(attached)
        return shown.add(result, metadata, checks)

    @scope.asset(
        name="bids_dataset",
        kinds={"bids"},
        code_version=f"2.{scope.study.digest('bids', 'title')}.{__version__}",
        deps=["bids_session", *layout.PIPELINES],
        checks=["valid_bids", "valid_derivatives"],
    )
    def bids_dataset(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        """Files at the top of the BIDS dataset and of each derivative dataset."""
        from imaging_platform.assets.dataset import describe_datasets, index_dataset

        with explained():
            described = describe_datasets(published.store(), scope.study)
            result = index_dataset(context, published.store(), scope.study, described)
        return shown.add(
            result, shown.dataset(described), shown.check_datasets(described)
        )

    return [bids_session, bids_dataset]


def _attach(store: "Store", attachments_key: str, tree: "Path") -> "Attached":
    """Put what people brought beside the runs of a converted session."""
    from imaging_platform.bids.attachments import Attached, attach_files

    record = store.read(attachments_key)
    if record is None:
        return Attached(())
    with store.fetch(attachments_key) as brought:
        return attach_files(brought, tree, SessionKey.parse(record.partition))


@contextlib.contextmanager
def _keeping_imported(store: "Store", tree_key: str) -> Iterator[None]:
    """Refuse to convert over a session that a person imported from elsewhere."""
    known = store.read(tree_key)
    if known is not None and known.is_imported:
        raise Held(
            f"DICOM arrived for {known.partition}, which was imported from an "
            "existing dataset; the import stays.",
            fix="Give one of the two other labels: `mapping`, or `import-bids --map`.",
        )
    yield


def _explain_echoes(echoes: "tuple[Residue, ...]") -> IdentityLeak:
    """Return the error that names files and places; no value is known here."""
    named = [f"{e.file}: {e.place}" if e.file else e.place for e in echoes[:5]]
    more = f" and {len(echoes) - 5} more" if len(echoes) > 5 else ""
    return IdentityLeak(
        "An identifier of the subject was found in what conversion made, in "
        f"{', '.join(named)}{more}; nothing was published.",
        fix="Look at these places in the originals; `descriptors: remove` under deid "
        "empties free text, and `bids.rules` names the series.",
    )
