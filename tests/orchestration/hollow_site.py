"""A study's real graph whose assets only say what they were made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg

from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope
from imaging_platform.definitions import define_home
from imaging_platform.files.digests import digest_json
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import PIPELINES, Home
from imaging_platform.pipeline.names import PROCESSING_PLAN
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.pipeline.stages import Outline
from imaging_platform.planning.plan import Choice, Plan, choose_frontier
from imaging_platform.processing.live import LiveSite
from imaging_platform.resources.database import find_database
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_made
from imaging_platform.survey.site import Site
from imaging_platform.survey.study import survey_study

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
OF_SESSIONS = (
    "raw_session",
    "anonymized_dicom",
    "bids_session",
    *PIPELINES,
    "session_quality",
    "session_report",
)
COHORT = ("bids_dataset", "catalog", "study_report")
ASSETS = (*OF_SESSIONS, *COHORT)
Result = tuple[str, str]


@dataclass
class HollowSite:
    """
    Sessions of a study, all of whose results are digests of their inputs.

    Parameters
    ----------
    codes
        Other code versions than those of today, by asset.
    meanings
        What the code of an asset makes of its inputs: the same for a cosmetic change.
    failing
        Results that cannot be made.
    """

    home: Home
    instance: dg.DagsterInstance
    codes: dict[str, str] = field(default_factory=dict)
    meanings: dict[str, str] = field(default_factory=dict)
    failing: set[Result] = field(default_factory=set)
    members: dict[str, str] = field(default_factory=dict)
    built: dict[str, dg.Definitions] = field(default_factory=dict)

    def deliver(self, session: str, digest: str) -> None:
        """Index a drop that brings or changes a session."""
        self.members[session] = digest
        self.instance.add_dynamic_partitions("demo_sessions", [session])
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=["demo", "drop_index"],
                partition=f"drop-{digest_json([session, digest])[:16]}",
                metadata={"sessions": dg.MetadataValue.json({session: digest})},
            )
        )

    @property
    def scope(self) -> Scope:
        return Scope(load_study(self.home, "demo"))

    def code_of(self, asset: str) -> str:
        if asset in self.codes:
            return self.codes[asset]
        return self.outline()[asset].code_version

    def definitions(self) -> dg.Definitions:
        """Return the assets as they are now; built anew when a code changed."""
        now = str((self.codes, self.home.study_file("demo").read_text()))
        if now not in self.built:
            self.built[now] = self._build()
        return self.built[now]

    def _build(self) -> dg.Definitions:
        specs = [
            spec.replace_attributes(
                code_version=self.codes.get(spec.key.path[-1], spec.code_version)
            )
            for definition in define_home(self.home).assets or ()
            if isinstance(definition, dg.AssetsDefinition)
            for spec in definition.specs
            if spec.key.path[-1] != PROCESSING_PLAN
        ]
        return dg.Definitions(
            assets=[self._hollow(spec) for spec in specs],
            executor=dg.in_process_executor,
        )

    def outline(self) -> Outline:
        """Return the stages as they are now."""
        real = outline_study(self.scope.study, self.home.notebooks("demo"))
        stages = [
            replace(s, code_version=self.codes.get(s.name, s.code_version))
            for s in real.stages
        ]
        return replace(real, stages=tuple(stages))

    def site(self) -> Site:
        database, store = find_database(self.instance), LocalStore(self.home.root)
        return Site(self.outline(), database, store, {})

    def live(self) -> LiveSite:
        graph = self.definitions().resolve_asset_graph()
        return LiveSite(self.site(), self.instance, graph)

    def plan(self) -> Plan:
        return survey_study(self.site()).plan

    def versions(self) -> dict[Result, str]:
        """Return the data version of every result."""
        scope = self.scope
        return {
            (asset, partition or ""): made.data_version
            for asset in ASSETS
            for partition, made in read_made(
                find_database(self.instance), scope.name, asset
            ).items()
        }

    def reprocess(self, choice: Choice) -> list[Result]:
        """Make what is wanted, frontier by frontier, and return it in that order."""
        ran: list[Result] = []
        while cells := choose_frontier(self.plan(), choice, set(ran)):
            chosen: dict[str, list[str]] = {}
            for cell in cells:
                chosen.setdefault(cell.partition, []).append(cell.asset)
                ran.append((cell.asset, cell.partition))
            for partition, assets in chosen.items():
                self.run(partition, assets)
        return ran

    def run(self, partition: str, assets: list[str]) -> dg.ExecuteInProcessResult:
        keys = [dg.AssetKey(["demo", asset]) for asset in assets]
        job = self.definitions().resolve_implicit_global_asset_job_def()
        return job.get_subset(asset_selection=set(keys)).execute_in_process(
            instance=self.instance,
            partition_key=partition or None,
            run_config=QUIET,
            raise_on_error=False,
        )

    def _hollow(self, spec: dg.AssetSpec) -> dg.AssetsDefinition:
        asset = spec.key.path[-1]

        @dg.multi_asset(name=asset, specs=[spec])
        def hollow(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            session = context.partition_key if context.has_partition_key else ""
            if (asset, session) in self.failing:
                with explained():
                    raise RuntimeError("cannot be made")
            inputs = self._inputs(asset, session, spec)
            content = [asset, self.meanings.get(asset, ""), inputs]
            # The tree of an app stands elsewhere; the catalog does not list it.
            if session and asset not in ("raw_session", *self.scope.apps):
                self.tree(asset, session).mkdir(parents=True, exist_ok=True)
            return dg.MaterializeResult(
                asset_key=spec.key,
                metadata={"inputs": dg.MetadataValue.json(inputs)},
                data_version=dg.DataVersion(digest_json(content)),
            )

        return hollow

    def tree(self, asset: str, session: str) -> Path:
        """Return the folder that an asset makes of a session."""
        key = SessionKey.parse(session)
        return self.home.root / layout.session_tree("demo", asset, key)

    def _inputs(
        self, asset: str, session: str, spec: dg.AssetSpec
    ) -> Mapping[str, str]:
        if asset == "raw_session":
            return {"drop_index": self.members[session]}
        if session:
            scope, parents = self.scope, [dep.asset_key.path[-1] for dep in spec.deps]
            return {
                parent: read_made(
                    find_database(self.instance), scope.name, parent, [session]
                )[session].data_version
                for parent in parents
            }
        versions = self.versions()
        if asset == "study_report":
            return {a: versions[a, ""] for a in ("catalog", "bids_dataset")}
        if asset.endswith(layout.NOTEBOOK):
            parents = {dep.asset_key.path[-1] for dep in spec.deps}
            return {
                f"{a}[{key}]" if key else a: version
                for (a, key), version in versions.items()
                if a in parents
            }
        assets = {a for a, _ in versions} - {"raw_session"}
        if asset in ("bids_dataset", *self.scope.apps):
            assets = {"bids_session"}
        return {
            f"{a}[{key}]": version
            for (a, key), version in versions.items()
            if key and a in assets and self.tree(a, key).is_dir()
        }
