"""Sessions of an existing dataset, published and told to Dagster as made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.scope import Scope
from imaging_platform.bids.conversion_report import ConversionReport
from imaging_platform.files.digests import digest_tree
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, InvalidOutput
from imaging_platform.model.ids import SessionKey
from imaging_platform.pipeline.names import BIDS_SESSION
from imaging_platform.processing.telling import tell_made
from imaging_platform.provenance.record import EXISTING_DATASET, Record
from imaging_platform.resources.database import find_database
from imaging_platform.storage.store import Store
from imaging_platform.survey.history import read_made
from imaging_platform.tools.validator import Validation

IMPORT_VERSION = "import.1"
"""Code version of an imported session; raised when an import comes out different."""


def refuse_converted(store: Store, scope: Scope, key: SessionKey) -> None:
    """
    Refuse to import over a session that was made from DICOM.

    Raises
    ------
    BadConfig
        There is one under these labels.
    """
    converted = store.read(layout.bids_session(scope.name, key))
    gated = store.read(layout.anonymized_dicom(scope.name, key))
    if gated is not None or (converted is not None and not converted.is_imported):
        raise BadConfig(
            f"{key} was made from DICOM; an import would replace it.",
            fix="Give the subject another label with --map.",
        )


def publish_import(
    instance: dg.DagsterInstance,
    store: Store,
    scope: Scope,
    key: SessionKey,
    *,
    tree: Path,
    report: ConversionReport,
) -> str:
    """
    Validate and publish a session and tell Dagster; the same again does nothing.

    A kill between the two is mended by the next import.

    Parameters
    ----------
    tree
        Staged, complete.
    report
        What came of it.

    Returns
    -------
    str
        ``new``, ``changed`` or ``unchanged``.

    Raises
    ------
    InvalidOutput
        The official validator finds an error; nothing is published.
    """
    place = layout.bids_session(scope.name, key)
    known, version = store.read(place), digest_tree(tree)
    record = Record(
        asset=BIDS_SESSION,
        partition=str(key),
        code_version=IMPORT_VERSION,
        inputs={EXISTING_DATASET: version},
        report=dataclasses.asdict(report),
    )
    is_same = known is not None and known.data_version == version
    told = read_made(find_database(instance), scope.name, BIDS_SESSION).get(str(key))
    if is_same and told is not None and told.data_version == version:
        return "unchanged"
    validation = _validate(tree, key, scope)
    if not is_same:
        store.publish(tree, place, record)
    instance.add_dynamic_partitions(scope.sessions.name or "", [str(key)])
    tell_made(
        instance,
        scope,
        BIDS_SESSION,
        dataclasses.replace(record, data_version=version),
        key=place,
        description="Imported from an existing BIDS dataset.",
        metadata=shown.converted(report, validation),
    )
    return "new" if known is None else "changed"


def _validate(tree: Path, key: SessionKey, scope: Scope) -> Validation:
    from imaging_platform.bids.validation import validate_session

    validation = validate_session(tree, key=key, settings=scope.study.bids)
    if not validation.is_valid:
        raise InvalidOutput(
            f"{key} is no valid BIDS: {shown.list_issues(validation)}.",
            fix="Correct it in the dataset, or give what lacks by --metadata.",
        )
    return validation
