"""Sessions in BIDS, and the dataset that holds them."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.attachments import left_out_of
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope, publish, read_versions, session_key
from imaging_platform.files.writing import write_json
from imaging_platform.model import layout
from imaging_platform.model.errors import Held, IdentityLeak, InvalidOutput
from imaging_platform.model.ids import SessionKey
from imaging_platform.pipeline.names import BIDS_SESSION, RULES_INPUT
from imaging_platform.pipeline.stages import Outline
from imaging_platform.provenance.record import ATTACHMENTS
from imaging_platform.resources.zones import EchoGuard, PublishedZone
from imaging_platform.tools import dcm2niix

if TYPE_CHECKING:
    from imaging_platform.bids.attachments import Attached
    from imaging_platform.bids.stored import StoredSession
    from imaging_platform.deid.residue import Residue
    from imaging_platform.provenance.record import Record
    from imaging_platform.storage.store import Store


def make_bids_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """Return ``bids_session`` and ``bids_dataset`` of a study."""
    settings = scope.study.bids

    @scope.asset(
        outline[BIDS_SESSION],
        kinds={"bids", "nifti"},
        checks=[
            "every_series_named",
            "every_instance_accounted_for",
            "everything_attached",
            "series_as_expected",
        ],
        blocking=["valid_bids"],
    )
    def bids_session(
        context: dg.AssetExecutionContext,
        published: PublishedZone,
        echo_guard: EchoGuard,
    ) -> dg.MaterializeResult:
        """NIfTI and sidecars of one session under BIDS names, each with its reason."""
        from imaging_platform.bids.expectation import compare_with_protocol
        from imaging_platform.bids.participants import (
            read_participant,
            write_fragment,
        )
        from imaging_platform.bids.session import convert_and_store
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
            _refuse_kept_back(store.read(source_key), scope.name, key)
            converted = convert_and_store(source, target, key=key, settings=settings)
            report, stored = converted.report, converted.stored
            told = dataclasses.asdict(report)
            write_fragment(target, read_participant(source))
            attachments_key = layout.attachments(scope.name, key)
            attached = _attach(store, attachments_key, target)
            made_of = {"anonymized_dicom": source_key, ATTACHMENTS: attachments_key}
            inputs = read_versions(store, made_of)
            inputs[RULES_INPUT] = stored.version
            # Before validation: a preview helps most with what is no valid BIDS yet.
            _publish_evidence(context, store, echo_guard, stored, inputs)
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
                report=told,
                inputs=inputs,
                tools={"dcm2niix": dcm2niix.version()},
                tool_digests={"dcm2niix": dcm2niix.digest()},
                parameters=settings.model_dump(mode="json"),
            )
        left_out = left_out_of(store.read(attachments_key))
        checks = [
            shown.check_valid(validation),
            *shown.check_series(report),
            shown.check_attached(attached, left_out, key),
            shown.check_protocol(compare_with_protocol(told, scope.study.protocol)),
        ]
        metadata = shown.converted(report, validation) | shown.attached(attached)
        return shown.add(result, metadata, checks)

    @scope.asset(
        outline["bids_dataset"],
        kinds={"bids"},
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


def _publish_evidence(
    context: dg.AssetExecutionContext,
    store: "Store",
    echo_guard: EchoGuard,
    stored: "StoredSession",
    inputs: Mapping[str, str],
) -> None:
    """Publish what the rules of later may be asked about, before what these made."""
    study, key = context.asset_key.path[0], session_key(context)
    facts = stored.to_dict()
    with tempfile.TemporaryDirectory(prefix="evidence-") as scratch:
        write_json(Path(scratch) / "images.json", facts)
        echoes = echo_guard.search(study, key, Path(scratch))
    if echoes:
        leak = _explain_echoes(echoes)
        store.hold(layout.bids_session(study, key), str(leak))
        raise leak
    evidence_key = layout.bids_evidence(study, key)
    with store.stage(evidence_key) as told:
        publish(context, store, told, evidence_key, report=facts, inputs=inputs)


def _refuse_kept_back(record: "Record | None", study: str, key: SessionKey) -> None:
    """Wait for a person where no file of a session may be written."""
    if record is not None and not record.report["files_written"]:
        raise Held(
            f"De-identification kept back each of the {record.report['files_read']} "
            f"file(s) of {key}; there is nothing to convert.",
            fix=f"Look at them, then: imaging-platform release {study} {key}",
        )


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
