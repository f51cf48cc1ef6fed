"""A notebook in an asset: fetch, execute, publish, and keep what a failed one had."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from imaging_platform.assets import result_shown
from imaging_platform.assets.scope import (
    make_stamp,
    publish,
    read_code_version,
)
from imaging_platform.files.writing import write_bytes
from imaging_platform.model.errors import PlatformError
from imaging_platform.provenance.record import Record, told_apps
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.storage.local import LocalStore

if TYPE_CHECKING:
    from imaging_platform.reporting.notebook import ExecutedNotebook
    from imaging_platform.reporting.notebook_inputs import Inputs

Sources = Mapping[str, str | Mapping[str, str | Path]]
"""By input name, the key of a tree; or several keys and files, by their place in it."""


@dataclass(frozen=True)
class NotebookRun:
    """
    One notebook to execute.

    Parameters
    ----------
    template
        The notebook.
    partition
        Session, subject, or empty for the whole study.
    sources
        What it may read.
    versions
        Data version of each of them, by input name.
    out_key, partial_key
        Where it is published, and where what it had made stands when it fails.
    parameters
        Values for its cell tagged ``parameters``.
    timeout_s, memory_gb
        Limits of its kernel.
    apps
        Version of each BIDS App whose results it reads.
    """

    template: Path
    partition: str
    sources: Sources
    versions: Mapping[str, str]
    out_key: str
    partial_key: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 600
    memory_gb: float = 4
    apps: Mapping[str, str] = field(default_factory=dict)


def execute_run(
    context: dg.AssetExecutionContext,
    published: PublishedZone,
    run: NotebookRun,
    left: dict[str, dg.MetadataValue],
) -> tuple[dict[str, Any], ExecutedNotebook]:
    """
    Execute and publish a notebook; return what Dagster is told, and what it made.

    Parameters
    ----------
    context, published
        Of the asset.
    run
        What is executed.
    left
        Filled with links to the partial report when the notebook fails.

    Raises
    ------
    PlatformError
        As `imaging_platform.reporting.notebook.execute_notebook`.
    """
    from imaging_platform.reporting.notebook import execute_notebook

    store = published.store()
    with contextlib.ExitStack() as stack:
        inputs = _fetch(stack, store, run.sources)
        target = stack.enter_context(store.stage(run.out_key))
        try:
            executed = execute_notebook(
                run.template,
                target,
                inputs=inputs,
                parameters=run.parameters,
                stamp=make_stamp(context, run.versions),
                timeout_s=run.timeout_s,
                memory_gb=run.memory_gb,
            )
        except PlatformError:
            left.update(_keep_partial(context, published, run, target))
            raise
        result = publish(
            context,
            store,
            target,
            run.out_key,
            report=dataclasses.asdict(executed) | told_apps(run.apps),
            inputs=run.versions,
            parameters=run.parameters,
            partition=run.partition,
        )
    if store.read(run.partial_key) is not None:
        store.remove(run.partial_key)
    return result, executed


def _fetch(stack: contextlib.ExitStack, store: LocalStore, sources: Sources) -> Inputs:
    def fetch(what: str | Path) -> Path:
        if isinstance(what, Path):
            return what
        return stack.enter_context(store.fetch(what))

    return {
        name: fetch(source)
        if isinstance(source, str)
        else {place: fetch(what) for place, what in source.items()}
        for name, source in sources.items()
    }


def _keep_partial(
    context: dg.AssetExecutionContext,
    published: PublishedZone,
    run: NotebookRun,
    tree: Path,
) -> Mapping[str, dg.MetadataValue]:
    """Publish what there is of a failed notebook; nothing when no kernel started."""
    store, files = published.store(), sorted(_partial_files(tree))
    if not files:
        return {}
    with store.stage(run.partial_key) as kept:
        for file in files:
            write_bytes(kept / file.name, file.read_bytes())
        record = Record(
            asset=context.asset_key.path[-1],
            partition=run.partition,
            code_version=read_code_version(context),
            inputs=dict(run.versions),
            parameters=dict(run.parameters),
        )
        store.publish(kept, run.partial_key, record)
    return result_shown.partial(published, run.partial_key)


def _partial_files(tree: Path) -> Iterator[Path]:
    from imaging_platform.reporting.notebook import PARTIAL

    yield from tree.glob(f"{PARTIAL}.*")
