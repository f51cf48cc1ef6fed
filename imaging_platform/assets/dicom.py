"""The gate between the identified and the clean zone."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.attachments import bring_attachments
from imaging_platform.assets.explaining import sealed
from imaging_platform.assets.scope import Scope, publish, session_key
from imaging_platform.model import layout
from imaging_platform.model.errors import IdentityLeak
from imaging_platform.pipeline.names import (
    ANONYMIZED_DICOM,
    POLICY_INPUT,
    RELEASED_INPUT,
)
from imaging_platform.pipeline.stages import Outline
from imaging_platform.resources.zones import EchoGuard, IdentifiedZone, PublishedZone
from imaging_platform.storage.proof import attempted

if TYPE_CHECKING:
    from imaging_platform.deid.session import DeidReport

NO_IDENTITY = "no_residual_identity"


def make_dicom_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """Return ``anonymized_dicom`` of a study."""

    @scope.asset(
        outline[ANONYMIZED_DICOM],
        kinds={"dicom"},
        checks=["every_file_accounted_for"],
        blocking=[NO_IDENTITY],
    )
    def anonymized_dicom(
        context: dg.AssetExecutionContext,
        identified: IdentifiedZone,
        published: PublishedZone,
        echo_guard: EchoGuard,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        """DICOM of one session with every identifying element removed or replaced."""
        with sealed():
            try:
                result, report = _anonymize(context, scope, identified, published)
            except IdentityLeak as leak:
                yield shown.check_leak(leak)
                raise
            bring_attachments(
                scope.name,
                session_key(context),
                identified=identified,
                published=published,
                echo_guard=echo_guard,
            )
        checks = [shown.check_proved(report), shown.check_anonymized(report)]
        yield shown.add(result, shown.anonymized(report), checks)

    return [anonymized_dicom]


def _anonymize(
    context: dg.AssetExecutionContext,
    scope: Scope,
    identified: IdentifiedZone,
    published: PublishedZone,
) -> "tuple[dict[str, Any], DeidReport]":  # what `publish` returns
    """Publish the report and then the DICOM of a session; closed until then."""
    from imaging_platform.deid.deid_report import write_deid_report
    from imaging_platform.deid.outcome import digest_report
    from imaging_platform.deid.session import anonymize_session

    study, key = scope.name, session_key(context)
    store, originals = published.store(), identified.store()
    source_key, tree_key = (
        layout.raw_session(study, key),
        layout.anonymized_dicom(study, key),
    )
    with (
        store.stage(tree_key) as target,
        store.stage(layout.deid_report(study, key)) as told,
        # After `stage`, where one attempt waits for the other.
        attempted(store, tree_key),
        originals.fetch(source_key) as source,
    ):
        released = identified.released(study, key)
        report = anonymize_session(
            source,
            target,
            key=key,
            settings=scope.study.deid,
            secret=identified.secret(study),
            released=released,
            guard_file=identified.guard_file(study, key),
        )
        gathered = originals.read(source_key)
        inputs = {"raw_session": gathered.data_version} if gathered else {}
        inputs[POLICY_INPUT] = digest_report(report, scope.study.deid)
        if released:
            inputs[RELEASED_INPUT] = identified.released_versions(study)[str(key)]
        write_deid_report(report, told, str(key))
        publish(
            context,
            store,
            told,
            layout.deid_report(study, key),
            report={},
            inputs=inputs,
        )
        # What did not come, for those who may not read the identified zone.
        arrived = gathered.report.get("shortfalls", []) if gathered else []
        values = {**dataclasses.asdict(report), "shortfalls": arrived}
        result = publish(
            context,
            store,
            target,
            tree_key,
            report=values,
            inputs=inputs,
            parameters=scope.study.deid.model_dump(mode="json"),
        )
        return result, report
