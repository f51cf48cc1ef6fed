"""Assets without work in them: what remains is what the orchestration costs."""

from collections.abc import Sequence

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.definitions import define_home
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home, product_file
from imaging_platform.settings import Study

STUDY = Study(name="bench")
SCOPE = Scope(STUDY)
CHAIN = ("one", "two", "three", "four", "five", "six")
DIGEST = "0123456789abcdef" * 4
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def write_home(home: Home) -> None:
    """Write a home with one study and the platform's settings of Dagster."""
    home.dagster.mkdir(parents=True)
    settings = product_file("dagster.yaml").read_text()
    write_text(home.dagster / "dagster.yaml", settings)
    write_text(home.study_file(STUDY.name), f"name: {STUDY.name}\n")


def session_label(number: int) -> str:
    """Return the partition key of the n-th made-up session."""
    return f"sub-{number:06d}_ses-1"


def define_chain() -> dg.Definitions:
    """Return six assets, each after the other, and the job that makes them."""
    assets = [
        _hollow(
            dg.AssetSpec(
                SCOPE.key(name),
                deps=[SCOPE.key(CHAIN[place - 1])] if place else [],
                code_version="1",
                partitions_def=SCOPE.sessions,
            )
        )
        for place, name in enumerate(CHAIN)
    ]
    return _with_job(assets)


def define_hollow_study(home: Home) -> dg.Definitions:
    """Return the session's real graph, with its checks, and bodies that do nothing."""
    assets = [
        _hollow(spec, list(definition.check_specs))
        for definition in define_home(home).assets or ()
        if isinstance(definition, dg.AssetsDefinition)
        for spec in definition.specs
        if spec.partitions_def == SCOPE.sessions
    ]
    return _with_job(assets)


def execute(
    definitions: dg.Definitions, instance: dg.DagsterInstance, partition: str
) -> str:
    """Run the job of one session as a worker of `process` does; return the run's id."""
    instance.add_dynamic_partitions(SCOPE.sessions.name or "", [partition])
    result = definitions.resolve_job_def(SCOPE.session_job).execute_in_process(
        instance=instance,
        partition_key=partition,
        run_config=QUIET,
        tags={"imaging/launched_by": "process", "dagster/run_key": partition},
    )
    return result.run_id


def _hollow(
    spec: dg.AssetSpec, checks: Sequence[dg.AssetCheckSpec] = ()
) -> dg.AssetsDefinition:
    name = spec.key.path[-1]

    @dg.multi_asset(name=name, specs=[spec], check_specs=list(checks))
    def hollow(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return dg.MaterializeResult(
            asset_key=spec.key,
            metadata=metadata_of(spec),
            data_version=dg.DataVersion(DIGEST),
            check_results=[
                dg.AssetCheckResult(
                    passed=True, check_name=check.name, asset_key=spec.key
                )
                for check in checks
            ],
        )

    return hollow


def metadata_of(spec: dg.AssetSpec) -> dict[str, dg.MetadataValue]:
    """Return what each asset of the platform tells Dagster, at its least."""
    inputs = {dep.asset_key.path[-1]: DIGEST for dep in spec.deps}
    if spec.key == SCOPE.key("raw_session"):
        inputs = {"drop_index": DIGEST}
    return {
        "inputs": dg.MetadataValue.json(inputs),
        "published": dg.MetadataValue.text("/".join(spec.key.path)),
    }


def _with_job(assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    job = dg.define_asset_job(
        SCOPE.session_job,
        selection=dg.AssetSelection.assets(*assets),
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(assets=assets, jobs=[job])
