"""The pipeline of a study, from its study file and the notebooks of people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from imaging_platform import __version__
from imaging_platform.apps.settings import App
from imaging_platform.bids.settings import DATASET_FIELDS
from imaging_platform.bids.stored import stored_keys_digest
from imaging_platform.deid.codes import ENGINE_VERSION
from imaging_platform.files.digests import digest_file, digest_json
from imaging_platform.model import layout
from imaging_platform.pipeline.app_trees import measuring_apps
from imaging_platform.pipeline.names import (
    ANONYMIZED_DICOM,
    BIDS_SESSION,
    DROP_INDEX,
    PROCESSING_PLAN,
    RAW_SESSION,
)
from imaging_platform.pipeline.stages import Outline, Per, Stage, select_names
from imaging_platform.reporting.front_matter import (
    BrokenTemplate,
    Template,
    UnmetTemplate,
    find_templates,
)
from imaging_platform.settings import Study
from imaging_platform.tools import dcm2niix

DERIVATIVE_VERSIONS = {
    "defaced_t1w": "2",
    "diffusion_maps": "3",
    "motion": "2",
    "tissues": "2",
}
"""Of derivatives whose results have changed; the others are at 1."""

MEASURED = (
    "bids_session",
    "brain_mask",
    "tissues",
    "motion",
    "temporal_snr",
    "diffusion_maps",
)
"""What the metrics are measured on."""

SESSION_TEMPLATE = "notebooks/session_report.ipynb"
STUDY_TEMPLATE = "notebooks/study_report.ipynb"
OF_NOTEBOOK = ("code", "notebook")
IDENTIFIED = (DROP_INDEX, RAW_SESSION)
"""Stages that no notebook may need."""


def outline_study(study: Study, notebooks: Sequence[Path] = ()) -> Outline:
    """
    Return the pipeline of a study.

    Parameters
    ----------
    study
        The study.
    notebooks
        Folders of the notebooks that become stages; one of a later folder takes the
        place of one of the same name.

    Notes
    -----
    A notebook whose front matter cannot be used is a stage of the whole study, so
    that it is seen and keeps nothing else from being made. One of every study that
    needs what this study does not have is no stage of it.
    """
    stages = [
        *_list_intake(study),
        *_list_bids(study),
        *_list_derivatives(study),
        *_list_summaries(study),
        *(_of_app(app) for app in study.apps),
    ]
    known = [stage for stage in stages if stage.name not in IDENTIFIED]
    templates = find_templates(
        notebooks, select_names(known, Per.SESSION), select_names(known, Per.STUDY)
    )
    stages += [
        _of_notebook(template)
        for template in templates
        if not isinstance(template, UnmetTemplate)
    ]
    return Outline(study, tuple(stages), tuple(templates))


def name_notebook(template: Template | BrokenTemplate) -> str:
    """Return the name of the stage that a notebook is."""
    stem = template.path.stem
    if isinstance(template, BrokenTemplate) and not stem.isidentifier():
        # Several may have no name that an asset can have.
        stem = f"misnamed_{digest_file(template.path)[:8]}"
    return f"{stem}{layout.NOTEBOOK}"


def _list_intake(study: Study) -> Iterator[Stage]:
    yield Stage(
        DROP_INDEX,
        Per.DROP,
        f"2.{study.digest('intake', 'labels', 'routing')}",
        ("code", "parameter intake, labels and routing"),
    )
    # A session does not go out of date with each drop of the study. Which drops it
    # came from is in its members.
    yield Stage(RAW_SESSION, Per.SESSION, "1", shown_behind=(DROP_INDEX,))
    yield Stage(ANONYMIZED_DICOM, Per.SESSION, ENGINE_VERSION, needs=(RAW_SESSION,))


def _list_bids(study: Study) -> Iterator[Stage]:
    yield Stage(
        BIDS_SESSION,
        Per.SESSION,
        # The rules are an input of each session.
        f"5.{stored_keys_digest()}.{dcm2niix.version()}",
        ("code", "code", "tool dcm2niix"),
        needs=(ANONYMIZED_DICOM,),
    )
    told = study.bids.model_dump(mode="json", include={*DATASET_FIELDS})
    yield Stage(
        "bids_dataset",
        Per.STUDY,
        f"4.{digest_json([told, study.title])[:12]}.{__version__}",
        ("code", "parameter bids and title", "code"),
        needs=(BIDS_SESSION, *study.pipelines),
    )


def _list_derivatives(study: Study) -> Iterator[Stage]:
    for name in study.pipelines:
        version = DERIVATIVE_VERSIONS.get(name, "1")
        yield Stage(name, Per.SESSION, version, needs=layout.PIPELINES[name])
    yield Stage(
        "session_quality",
        Per.SESSION,
        f"3.{study.digest('quality')}",
        ("code", "parameter quality"),
        needs=measured_of(study),
    )


def measured_of(study: Study) -> tuple[str, ...]:
    """Return what the metrics of a study are measured on."""
    return tuple(name for name in MEASURED if name not in study.derivatives.skip)


def _list_summaries(study: Study) -> Iterator[Stage]:
    yield Stage(
        "session_report",
        Per.SESSION,
        _version_report("5", SESSION_TEMPLATE),
        OF_NOTEBOOK,
        needs=(ANONYMIZED_DICOM, BIDS_SESSION, *study.pipelines, "session_quality"),
    )
    yield Stage(
        "study_report",
        Per.STUDY,
        _version_report("5", STUDY_TEMPLATE),
        OF_NOTEBOOK,
        needs=("catalog", "bids_dataset"),
    )
    # An app of the whole study may take a day, or fail: nothing waits for it.
    apps = [app.name for app in measuring_apps(study) if app.level == "session"]
    yield Stage(
        "catalog",
        Per.STUDY,
        f"4.{study.digest('protocol', 'cohort')}",
        ("code", "parameter protocol and cohort"),
        needs=(BIDS_SESSION, "session_quality", "session_report", *apps),
    )
    yield Stage(
        PROCESSING_PLAN,
        Per.STUDY,
        "3",
        needs=("catalog", "bids_dataset", "study_report"),
    )


def _version_report(code: str, template: str) -> str:
    return f"{code}.{digest_file(layout.product_file(template))[:12]}"


def _of_app(app: App) -> Stage:
    return Stage(
        app.name,
        Per.SESSION if app.level == "session" else Per.STUDY,
        f"1.{app.parameters_digest}.{app.tool_version}",
        ("code", f"parameter apps.{app.name}", f"tool {app.name}"),
        needs=(BIDS_SESSION,),
    )


def _of_notebook(template: Template | BrokenTemplate) -> Stage:
    version = f"2.{digest_file(template.path)[:12]}"
    name, per, needs = name_notebook(template), Per.STUDY, tuple[str, ...]()
    if isinstance(template, Template):
        front = template.front
        per = Per.SESSION if front.level == "session" else Per.STUDY
        needs = front.needs
    return Stage(name, per, version, OF_NOTEBOOK, needs=needs)
