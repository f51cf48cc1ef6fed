"""The top of each dataset of a study, rebuilt from the sessions that are published."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from imaging_platform import __version__
from imaging_platform.assets.scope import publish
from imaging_platform.files.writing import write_json
from imaging_platform.model import layout
from imaging_platform.model.layout import Home
from imaging_platform.planning.decisions import refuse_frozen
from imaging_platform.settings import Study
from imaging_platform.storage.local import LocalStore
from imaging_platform.tools import dcm2niix
from imaging_platform.tools.validator import Validation, validate_dataset

if TYPE_CHECKING:
    from imaging_platform.catalog.rows import IssueRow


_WITH_TABLES = ("motion", "confounds", "pet")
"""Derivatives with tables over time."""


@dataclass(frozen=True)
class DescribedDatasets:
    """
    A study's datasets after their top-level files were rebuilt.

    Parameters
    ----------
    members
        Data version of the BIDS tree of each session, by session key.
    validations
        What the official validator says, by dataset: ``bids``, each pipeline and
        each version of an app.
    """

    members: Mapping[str, str]
    validations: Mapping[str, Validation]


def describe_datasets(store: LocalStore, study: Study) -> DescribedDatasets:
    """Write the top-level files of all datasets of a study and validate each."""
    from imaging_platform.bids.dataset import (
        DatasetFacts,
        rebuilding,
        write_dataset_files,
        write_derivative_description,
    )
    from imaging_platform.derivatives.motion import BIDSIGNORE

    refuse_frozen(store.root, study.name)
    root = store.path(layout.bids_dataset(study.name))
    dicom = store.path(layout.anonymized_dicoms(study.name))
    facts = DatasetFacts(
        versions={"imaging_platform": __version__, "dcm2niix": dcm2niix.version()},
        # A dataset that was imported has no DICOM here.
        source=os.path.relpath(dicom, root) if any(dicom.glob("sub-*")) else "",
    )
    with rebuilding(root) as keys:
        records = {
            key: store.read(layout.bids_session(study.name, key)) for key in keys
        }
        members = {str(k): r.data_version for k, r in records.items() if r is not None}
        write_dataset_files(
            root,
            name=study.title or study.name,
            settings=study.bids,
            members=keys,
            facts=facts,
        )
    validations = {"bids": validate_dataset(root)}
    for pipeline in study.pipelines:
        derived = store.path(layout.derivative_dataset(study.name, pipeline))
        derived.mkdir(parents=True, exist_ok=True)
        write_derivative_description(
            derived,
            name=f"{study.title or study.name}: {pipeline}",
            pipeline=pipeline,
            version=__version__,
            bids_version=study.bids.bids_version,
            links=_links(pipeline, study.name),
            ignored=BIDSIGNORE if pipeline in _WITH_TABLES else (),
        )
        validations[pipeline] = validate_dataset(derived)
    for name in Home(store.root).app_datasets(study.name):
        # An app describes its dataset itself, when its first result is published.
        validations[name] = validate_dataset(
            store.path(layout.derivative_dataset(study.name, name))
        )
    return DescribedDatasets(members, validations)


def index_dataset(
    context: dg.AssetExecutionContext,
    store: LocalStore,
    study: Study,
    described: DescribedDatasets,
) -> dict[str, Any]:  # keyword arguments of dagster.MaterializeResult
    """Publish the pybids index of the dataset and what the validator said."""
    from imaging_platform.bids.layout_index import DATABASE, build_index
    from imaging_platform.bids.settings import DATASET_FIELDS
    from imaging_platform.catalog.tables import write_issues

    key = layout.dataset_index(study.name)
    with store.stage(key) as target:
        build_index(store.path(layout.bids_dataset(study.name)), target / DATABASE)
        for name, validation in described.validations.items():
            write_json(target / f"validation_{name}.json", _as_plain(validation))
        write_issues(target / "issues.parquet", _issue_rows(described))
        return publish(
            context,
            store,
            target,
            key,
            report={"sessions": len(described.members)},
            inputs={f"bids_session[{m}]": v for m, v in described.members.items()},
            parameters=study.bids.model_dump(mode="json", include={*DATASET_FIELDS}),
        )


def _links(pipeline: str, study: str) -> dict[str, str]:
    """Return where the sources that sidecars name stand, seen from the dataset."""
    needs = (n for n in layout.PIPELINES[pipeline] if n != "bids_session")
    return {
        "raw": f"../../../{layout.bids_dataset(study)}",
        **{name: f"../{name}" for name in needs},
    }


def _as_plain(validation: Validation) -> dict[str, object]:
    from imaging_platform.bids.validation import group_issues

    return {
        "files": validation.files,
        "errors": [[i.code, i.location, i.message] for i in validation.errors],
        "warnings": sorted({issue.code for issue in validation.warnings}),
        "groups": [dataclasses.asdict(g) for g in group_issues(validation)],
    }


def _issue_rows(described: DescribedDatasets) -> Iterator[IssueRow]:
    from imaging_platform.bids.validation import group_issues
    from imaging_platform.catalog.rows import IssueRow

    for name, validation in sorted(described.validations.items()):
        for group in group_issues(validation):
            yield IssueRow(
                dataset=name,
                severity=group.severity,
                code=group.code,
                n_findings=group.count,
                message=group.message,
                places=", ".join(group.places),
            )
