"""What the assets of one study share: key prefix, group, partitions, code versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from imaging_platform.assets.metering import tell_cost, weigh
from imaging_platform.model.ids import SessionKey
from imaging_platform.pipeline.names import sessions_of
from imaging_platform.pipeline.stages import Per, Stage
from imaging_platform.provenance.record import Record
from imaging_platform.provenance.stamps import Stamp, digest_origin
from imaging_platform.settings import Study
from imaging_platform.storage.store import Store

DEFAULT_OWNER = "team:imaging"
STUDY_TAG = "imaging/study"
"""Tag of the runs of a backfill, which belong to no job of the study."""
VERSION_PARTS = "code version"
"""Metadata of an asset: what the parts of its code version between dots stand for."""


@dataclass(frozen=True)
class Scope:
    """
    One study as Dagster sees it.

    Parameters
    ----------
    study
        The study whose name is key prefix and group of each of its assets.
    """

    study: Study

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.name

    @property
    def drops(self) -> dg.DynamicPartitionsDefinition:
        """One partition a drop."""
        return dg.DynamicPartitionsDefinition(name=f"{self.name}_drops")

    @property
    def sessions(self) -> dg.DynamicPartitionsDefinition:
        """One partition a session."""
        return dg.DynamicPartitionsDefinition(name=sessions_of(self.name))

    def partitions(self, per: Per) -> dg.DynamicPartitionsDefinition | None:
        """Return the partitions of stages of this kind; None for the whole study."""
        return {Per.DROP: self.drops, Per.SESSION: self.sessions}.get(per)

    @property
    def drop_job(self) -> str:
        """Name of the job that indexes one drop."""
        return f"{self.name}_index_drop"

    @property
    def session_job(self) -> str:
        """Name of the job that processes one session."""
        return f"{self.name}_process_session"

    @property
    def cohort_job(self) -> str:
        """Name of the job that rebuilds what spans all sessions."""
        return f"{self.name}_summarize_cohort"

    def app_job(self, app: str) -> str:
        """Return the name of the job of one BIDS App."""
        return f"{self.name}_run_{app}"

    @property
    def apps(self) -> frozenset[str]:
        """Names of the BIDS Apps, which have runs of their own."""
        return frozenset(app.name for app in self.study.apps)

    @property
    def session_apps(self) -> list[str]:
        """Names of the BIDS Apps that have a result a session."""
        return [app.name for app in self.study.apps if app.level == "session"]

    @property
    def app_versions(self) -> dict[str, str]:
        """Version of each BIDS App, by name."""
        return {app.name: app.version for app in self.study.apps}

    def job_of(self, asset: str, partition: str) -> str:
        """Return the name of the job that makes an asset of a session, or of all."""
        if asset in self.apps:
            return self.app_job(asset)
        return self.session_job if partition else self.cohort_job

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of one of the study's assets."""
        return dg.AssetKey([self.name, asset])

    def asset(
        self,
        stage: Stage,
        *,
        kinds: set[str],
        checks: Sequence[str] = (),
        blocking: Sequence[str] = (),
        description: str | None = None,
        pool: str | None = None,
    ) -> Callable[[Callable[..., object]], dg.AssetsDefinition]:
        """
        Return `dagster.asset` for a stage, with what all assets of a study have.

        Parameters
        ----------
        stage
            What it makes, of what and by which code.
        kinds
            Badges shown in the graph.
        checks, blocking
            Names of the asset's checks; a failed blocking one stops the run.
        description
            What the asset is; the docstring when left out.
        pool
            Dagster pool whose limit says how many of its assets run at once.
        """
        specs = [
            dg.AssetCheckSpec(
                check, asset=self.key(stage.name), blocking=check in blocking
            )
            for check in (*checks, *blocking)
        ]
        return dg.asset(
            name=stage.name,
            key_prefix=self.name,
            group_name=self.name,
            partitions_def=self.partitions(stage.per),
            kinds=kinds,
            owners=[self.study.owner or DEFAULT_OWNER],
            code_version=stage.code_version,
            deps=[
                *map(self.key, stage.needs),
                *(
                    # An edge for the eye.
                    dg.AssetDep(
                        self.key(name),
                        partition_mapping=dg.SpecificPartitionsPartitionMapping([]),
                    )
                    for name in stage.shown_behind
                ),
            ],
            check_specs=specs,
            metadata={VERSION_PARTS: ", ".join(stage.version_parts)},
            description=description,
            pool=pool,
        )


def session_key(context: dg.AssetExecutionContext) -> SessionKey:
    """Return the session that the run is about."""
    return SessionKey.parse(context.partition_key)


def read_versions(store: Store, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the data version of each input, by asset name; absent ones left out."""
    records = {asset: store.read(key) for asset, key in inputs.items()}
    return {asset: r.data_version for asset, r in records.items() if r is not None}


def make_stamp(context: dg.AssetExecutionContext, inputs: Mapping[str, str]) -> Stamp:
    """Return what says in a figure of this asset where it comes from."""
    study, asset = context.asset_key.path
    partition = context.partition_key if context.has_partition_key else ""
    origin = digest_origin(read_code_version(context), inputs)
    return Stamp(study, asset, partition, origin)


def publish(
    context: dg.AssetExecutionContext,
    store: Store,
    tree: Path,
    key: str,
    *,
    report: Mapping[str, Any],
    inputs: Mapping[str, str],
    tools: Mapping[str, str] | None = None,
    tool_digests: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    partition: str | None = None,
) -> dict[str, Any]:  # keyword arguments of dagster.MaterializeResult
    """
    Publish a staged tree with its record and return what Dagster is told of it.

    Parameters
    ----------
    context
        Names asset, partition and code version.
    store, tree, key
        See `Store.publish`.
    report
        The stage's report; no identity.
    inputs
        Data version of each input by asset name.
    tools, tool_digests
        Version, and digest of the program, of each outside tool.
    parameters
        The settings that the tree depends on; no identity.
    partition
        What the tree is of; the run's own partition when None.

    Returns
    -------
    dict
        ``data_version`` and the part of ``metadata`` that each asset has:
        ``inputs`` (versions, for planning), ``published`` (the key), and the cost.
    """
    asset = context.asset_key.path[-1]
    if partition is None:
        partition = context.partition_key if context.has_partition_key else ""
    record = Record(
        asset=asset,
        partition=partition,
        code_version=read_code_version(context),
        inputs=dict(inputs),
        tools=dict(tools or {}),
        tool_digests=dict(tool_digests or {}),
        parameters=dict(parameters or {}),
        report=dict(report),
    )
    n_bytes = weigh(tree)
    version = store.publish(tree, key, record)
    return {
        "data_version": dg.DataVersion(version),
        "metadata": {
            "inputs": dg.MetadataValue.json(dict(inputs)),
            "published": dg.MetadataValue.text(key),
            **tell_cost(n_bytes),
        },
    }


def read_code_version(context: dg.AssetExecutionContext) -> str:
    """Return the version of code and settings of the asset that is being made."""
    return context.assets_def.specs_by_key[context.asset_key].code_version or ""
