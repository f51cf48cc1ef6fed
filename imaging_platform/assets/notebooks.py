"""Notebooks of people as assets: one a session, a subject or the study; no Python."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from imaging_platform.assets import result_shown, shown
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.notebook_runs import NotebookRun, Sources, execute_run
from imaging_platform.assets.notebook_sources import Needs
from imaging_platform.assets.scope import (
    Scope,
    publish,
    read_code_version,
    read_versions,
    session_key,
)
from imaging_platform.files.writing import write_json
from imaging_platform.model import layout
from imaging_platform.model.errors import InvalidOutput, PlatformError
from imaging_platform.pipeline.app_trees import tree_name
from imaging_platform.pipeline.outline import name_notebook
from imaging_platform.pipeline.stages import Outline, Per, Stage, select_names
from imaging_platform.provenance.record import told_apps
from imaging_platform.reporting.front_matter import (
    BrokenTemplate,
    FrontMatter,
    Template,
    UnmetTemplate,
    judge_results,
)
from imaging_platform.resources.zones import PublishedZone

RESULTS = "results.json"


def make_notebook_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """
    Return an asset for each notebook that is a stage of a study.

    One whose front matter cannot be used fails with the reason.
    """
    makers = {"session": _of_session, "subject": _of_subjects, "study": _of_study}
    made = []
    for template in outline.templates:
        if isinstance(template, UnmetTemplate):
            continue
        stage = outline[name_notebook(template)]
        if isinstance(template, BrokenTemplate):
            made.append(_broken(scope, template, stage))
        else:
            make = makers[template.front.level]
            made.append(make(Notebook(scope, template, stage, outline)))
    return made


@dataclass(frozen=True)
class Notebook:
    """
    A notebook of a study.

    Parameters
    ----------
    scope
        The study.
    template, stage
        The notebook.
    outline
        Has what it may need.
    """

    scope: Scope
    template: Template
    stage: Stage
    outline: Outline

    @property
    def front(self) -> FrontMatter:
        """What it says of itself."""
        return self.template.front

    @property
    def asset_name(self) -> str:
        """Name of its asset."""
        return self.stage.name

    @property
    def needs(self) -> Needs:
        """What it reads of several sessions."""
        of_sessions = select_names(self.outline.stages, Per.SESSION)
        return Needs.sort(self.scope, self.front.needs, of_sessions)

    @property
    def apps(self) -> dict[str, str]:
        """Version of each BIDS App that it needs."""
        versions = self.scope.app_versions
        return {name: versions[name] for name in self.front.needs if name in versions}

    def out_key(self, partition: str = "") -> str:
        """Return where it is published."""
        return layout.notebook(self.scope.name, self.asset_name, partition)

    def asset(self) -> Any:
        """Return `Scope.asset` for it."""
        return self.scope.asset(
            self.stage,
            kinds={"jupyter"},
            checks=["results_within_limits"],
            description=self.front.title or f"Executed notebook {self.template.name}.",
        )

    def plan(
        self,
        partition: str,
        sources: Sources,
        versions: Mapping[str, str],
        **about: str,
    ) -> NotebookRun:
        """Return its run; of what it is about, it is told what it declares."""
        from imaging_platform.reporting.notebook import choose_parameters

        front, study = self.front, self.scope.name
        offered = {"study": study, "title": front.title, **about}
        return NotebookRun(
            template=self.template.path,
            partition=partition,
            sources=sources,
            versions=versions,
            out_key=self.out_key(partition),
            partial_key=layout.partial_report(study, self.asset_name, partition),
            parameters={
                **choose_parameters(self.template.path, offered),
                **front.params,
            },
            timeout_s=front.timeout_min * 60,
            memory_gb=front.memory_gb,
            apps=self.apps,
        )

    def make(
        self,
        context: dg.AssetExecutionContext,
        published: PublishedZone,
        run: NotebookRun,
        left: dict[str, dg.MetadataValue],
    ) -> dg.MaterializeResult:
        """Execute it and say what it recorded."""
        result, executed = execute_run(context, published, run, left)
        problems = list(judge_results(self.front.limits, executed.results))
        links = result_shown.report(published, run.out_key)
        metadata = {**result_shown.results(executed.results), **links}
        return shown.add(result, metadata, [result_shown.check_results(problems)])


def _of_session(notebook: Notebook) -> dg.AssetsDefinition:
    scope, front = notebook.scope, notebook.front
    names = {name: tree_name(scope.study, name) for name in front.needs}

    @notebook.asset()
    def executed(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        key, left = session_key(context), dict[str, dg.MetadataValue]()
        with explained(lambda: left):
            keys = {
                need: layout.session_tree(scope.name, name, key)
                for need, name in names.items()
            }
            versions = read_versions(published.store(), keys)
            about = {"subject": key.subject, "session": key.session}
            run = notebook.plan(str(key), keys, versions, **about)
            return notebook.make(context, published, run, left)

    return executed


def _of_study(notebook: Notebook) -> dg.AssetsDefinition:
    needs = notebook.needs

    @notebook.asset()
    def executed(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        store, left = published.store(), dict[str, dg.MetadataValue]()
        with explained(lambda: left):
            run = notebook.plan("", needs.sources(store), needs.versions(store))
            return notebook.make(context, published, run, left)

    return executed


def _of_subjects(notebook: Notebook) -> dg.AssetsDefinition:
    """One asset of the study, in which each subject that changed has a run."""
    needs = notebook.needs

    @notebook.asset()
    def executed(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        store, left = published.store(), dict[str, dg.MetadataValue]()
        with explained(lambda: left):
            found = _renew_subjects(context, published, notebook, left)
            with store.stage(notebook.out_key()) as target:
                write_json(target / RESULTS, found)
                result = publish(
                    context,
                    store,
                    target,
                    notebook.out_key(),
                    report={"subjects": len(found), **told_apps(notebook.apps)},
                    inputs=needs.versions(store),
                )
        problems = [
            f"{subject}: {problem}"
            for subject, results in found.items()
            for problem in judge_results(notebook.front.limits, results)
        ]
        links = {s: result_shown.report(published, notebook.out_key(s)) for s in found}
        metadata = result_shown.subject_results(found) | {
            f"report {subject}": each["report"] for subject, each in links.items()
        }
        return shown.add(result, metadata, [result_shown.check_results(problems)])

    return executed


def _renew_subjects(
    context: dg.AssetExecutionContext,
    published: PublishedZone,
    notebook: Notebook,
    left: dict[str, dg.MetadataValue],
) -> dict[str, Mapping[str, Any]]:
    """Return what was recorded of each subject, or fail when all had their turn."""
    store, needs = published.store(), notebook.needs
    found: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, PlatformError] = {}
    for label in needs.subjects(store):
        versions = needs.versions(store, label)
        try:
            run = notebook.plan(
                f"sub-{label}", needs.sources(store, label), versions, subject=label
            )
            found[run.partition] = _renew(context, published, run, left)
        except PlatformError as error:
            failed[f"sub-{label}"] = error
    for first, error in failed.items():
        raise InvalidOutput(
            f"{notebook.template.path.name} failed for {len(failed)} subject(s), "
            f"first {first}: {error}",
            fix=error.fix,
        )
    return found


def _renew(
    context: dg.AssetExecutionContext,
    published: PublishedZone,
    run: NotebookRun,
    left: dict[str, dg.MetadataValue],
) -> Mapping[str, Any]:
    """Return the results of a subject, from its page when that is as it would be."""
    made = published.store().read(run.out_key)
    now = read_code_version(context), dict(run.versions)
    if made is not None and (made.code_version, dict(made.inputs)) == now:
        return made.report["results"]
    return execute_run(context, published, run, left)[1].results


def _broken(
    scope: Scope, template: BrokenTemplate, stage: Stage
) -> dg.AssetsDefinition:
    problem = template.problem

    @scope.asset(
        stage,
        kinds={"jupyter"},
        description=f"Cannot be made. {problem} {problem.fix}",
    )
    def executed(context: dg.AssetExecutionContext) -> None:
        with explained():
            raise problem

    return executed
