"""What waits for a person: an asset that no run makes, told when it changes."""

from pathlib import Path

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.scope import DEFAULT_OWNER, Scope

HELD = "held_sessions"
CHECK = "nothing_waits"
WAITING = "waiting"


def make_held_spec(scope: Scope) -> dg.AssetSpec:
    """Return ``held_sessions`` of a study."""
    return dg.AssetSpec(
        scope.key(HELD),
        group_name=scope.name,
        kinds={"dicom"},
        code_version="1",
        owners=[scope.study.owner or DEFAULT_OWNER],
        description="Files and sessions that wait for a person, with the command "
        "that resolves each. Told after each indexed drop and each decision.",
    )


def make_held_check(scope: Scope) -> dg.AssetChecksDefinition:
    """Return the check of ``held_sessions``, which can also be run by hand."""

    @dg.asset_check(
        asset=scope.key(HELD), name=CHECK, description="Nothing waits for a person."
    )
    def nothing_waits(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        # What was told, not the zone: a check has no business with identity.
        told = context.instance.get_latest_materialization_event(scope.key(HELD))
        event = told.asset_materialization if told else None
        n_waiting = int(str(event.metadata[WAITING].value)) if event else 0
        return dg.AssetCheckResult(
            passed=not n_waiting,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={WAITING: n_waiting},
        )

    return nothing_waits


def tell_held(instance: dg.DagsterInstance, scope: Scope, zone: Path) -> None:
    """Tell Dagster what waits in an identified zone; nothing is read but marks."""
    from imaging_platform.intake.session import list_held

    held, key = list_held(zone), scope.key(HELD)
    instance.report_runless_asset_event(
        dg.AssetMaterialization(key, metadata=shown.held(scope.name, held))
    )
    result = shown.check_held(scope.name, held)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=CHECK,
            passed=result.passed,
            severity=result.severity,
            description=result.description,
            metadata=result.metadata,
        )
    )
