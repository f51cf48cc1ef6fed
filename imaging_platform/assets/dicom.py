"""The gate between the identified and the clean zone."""

import dataclasses
from collections.abc import Iterator

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.explaining import sealed
from imaging_platform.assets.scope import Scope, publish, read_versions, session_key
from imaging_platform.model import layout
from imaging_platform.model.errors import Held, IdentityLeak
from imaging_platform.resources.zones import IdentifiedZone, PublishedZone

ANONYMIZED_DICOM = "anonymized_dicom"
NO_IDENTITY = "no_residual_identity"
POLICY_INPUT = "policy"
"""Input that stands for what the policy makes of this session (`deid.outcome`)."""


def make_dicom_assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """Return ``anonymized_dicom`` of a study."""
    from imaging_platform.deid.codes import ENGINE_VERSION

    @scope.asset(
        name=ANONYMIZED_DICOM,
        kinds={"dicom"},
        code_version=ENGINE_VERSION,
        partitions=scope.sessions,
        deps=["raw_session"],
        checks=["every_file_accounted_for"],
        blocking=[NO_IDENTITY],
    )
    def anonymized_dicom(
        context: dg.AssetExecutionContext,
        identified: IdentifiedZone,
        published: PublishedZone,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        """DICOM of one session with every identifying element removed or replaced."""
        from imaging_platform.deid.outcome import digest_report
        from imaging_platform.deid.session import anonymize_session

        key, store, originals = (
            session_key(context),
            published.store(),
            identified.store(),
        )
        source_key = layout.raw_session(scope.name, key)
        tree_key = layout.anonymized_dicom(scope.name, key)
        with sealed():
            try:
                with (
                    originals.fetch(source_key) as source,
                    store.stage(tree_key) as target,
                ):
                    report = anonymize_session(
                        source,
                        target,
                        key=key,
                        settings=scope.study.deid,
                        secret=identified.secret(scope.name),
                    )
                    versions = read_versions(originals, {"raw_session": source_key})
                    result = publish(
                        context,
                        store,
                        target,
                        tree_key,
                        report=dataclasses.asdict(report),
                        inputs={
                            **versions,
                            POLICY_INPUT: digest_report(report, scope.study.deid),
                        },
                    )
            except Held as held:
                store.hold(tree_key, str(held))
                if isinstance(held, IdentityLeak):
                    yield shown.check_leak(held)
                raise
        checks = [shown.check_proved(report), shown.check_anonymized(report)]
        yield shown.add(result, shown.anonymized(report), checks)

    return [anonymized_dicom]
