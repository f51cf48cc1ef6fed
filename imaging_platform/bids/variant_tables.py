"""Variants and deviations as rows of the catalog."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from imaging_platform.bids.acquisition import Scan, read_scans
from imaging_platform.bids.protocol import ProtocolSettings
from imaging_platform.bids.stored import StoredSession
from imaging_platform.bids.variants import (
    Variant,
    find_deviations,
    find_variants,
    say_value,
)
from imaging_platform.catalog.rows import DeviationRow, VariantRow


def compare_sessions(
    sessions: Iterable[tuple[str, StoredSession]], protocol: ProtocolSettings
) -> tuple[list[VariantRow], list[DeviationRow]]:
    """
    Return how the scans of a study were acquired, and what stands out.

    Parameters
    ----------
    sessions
        Facts of each converted session by session key; read one at a time.
    protocol
        What the study expects.

    Returns
    -------
    tuple of list
        Rows of ``variants``, by kind of scan and frequency, and of ``deviations``,
        by session.
    """
    keys: list[str] = []
    scans: list[Scan] = []
    for session, stored in sessions:
        keys.append(session)
        scans += read_scans(session, stored)
    variants = find_variants(scans, protocol)
    deviations = find_deviations(sorted(keys), scans, variants, protocol)
    return _variant_rows(variants), [
        DeviationRow(
            session_key=one.session,
            scan=one.kind,
            file=one.file,
            against=one.against,
            parameter=one.parameter,
            expected=one.expected,
            found=one.found,
        )
        for one in deviations
    ]


def _variant_rows(variants: Sequence[Variant]) -> list[VariantRow]:
    first = {one.kind: one for one in reversed(variants)}
    rows = []
    for one in variants:
        sessions = sorted({scan.session for scan in one.scans})
        usual = first[one.kind]
        rows.append(
            VariantRow(
                scan=one.kind,
                variant=one.number,
                is_dominant=one.is_dominant,
                n_scans=len(one.scans),
                n_sessions=len(sessions),
                differs="; ".join(
                    f"{name} {say_value(name, one.values[name])} instead of "
                    f"{say_value(name, usual.values[name])}"
                    for name in one.differs(usual)
                ),
                parameters=json.dumps(
                    {k: v for k, v in one.values.items() if v is not None}
                ),
                session_keys=", ".join(sessions),
            )
        )
    return rows
