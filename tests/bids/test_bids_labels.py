"""How often the built-in rules are right on sidecars of public data sets."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imaging_platform.bids.outputs import Output, sort_key
from imaging_platform.bids.rules import decide_session
from imaging_platform.bids.settings import BidsSettings

# Keys that curators add by hand: they would tell the label.
TOLD = {
    "ArterialSpinLabelingType",
    "B0FieldIdentifier",
    "B0FieldSource",
    "BackgroundSuppression",
    "BidsGuess",
    "IntendedFor",
    "M0Type",
    "TaskName",
    "TotalAcquiredPairs",
    "Units",
}


def is_tuning(dataset: str) -> bool:
    """Split by data set, so that no protocol is in both halves."""
    return int(hashlib.sha256(f"{dataset}-split".encode()).hexdigest(), 16) % 2 == 0


@dataclass(frozen=True)
class Score:
    """
    How often labels are right.

    Parameters
    ----------
    micro, macro
        Share over images; mean share over labels.
    confidently_wrong
        Share of images whose wrong label is called certain.
    """

    micro: float
    macro: float
    confidently_wrong: float


@functools.cache
def read_public(file: Path) -> list[dict[str, Any]]:
    """Return every public sidecar with its label; nobody may change them."""
    with gzip.open(file, "rt") as lines:
        return [json.loads(line) for line in lines]


def read_rows(shared_data: Path, *, forgotten: Set[str] = frozenset()):
    """Return label, session and image of every public sidecar."""
    rows = read_public(shared_data / "bids/sidecar_labels.jsonl.gz")
    for number, row in enumerate(rows):
        entities = row["entities"]
        session = (row["dataset"], entities["sub"], entities.get("ses", ""))
        hidden = TOLD | forgotten
        facts = {k: v for k, v in row["sidecar"].items() if k not in hidden}
        bvals = (0.0, 1000.0) if row["has_bval"] else None
        label = f"{row['datatype']}/{row['suffix']}"
        yield label, session, Output(str(number), facts, bvals=bvals)


def score(rows: Iterable[tuple[str, tuple[str, ...], Output]]) -> Score:
    """Return how often the labels of whole sessions are right."""
    sessions: dict[tuple[str, ...], list[tuple[str, Output]]] = defaultdict(list)
    for label, session, image in rows:
        sessions[session].append((label, image))
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    certain = 0
    for members in sessions.values():
        members.sort(key=lambda pair: sort_key(pair[1]))
        decisions = decide_session([one for _, one in members], BidsSettings())
        for (label, _), decision in zip(members, decisions, strict=True):
            found = f"{decision.datatype}/{decision.suffix}"
            total[label] += 1
            right[label] += label == found
            certain += label != found and decision.confidence == "high"
    return Score(
        micro=right.total() / total.total(),
        macro=sum(right[label] / total[label] for label in total) / len(total),
        confidently_wrong=certain / total.total(),
    )


@pytest.mark.parametrize(
    ("tuning", "least_micro", "least_macro"), [(True, 0.97, 0.95), (False, 0.98, 0.87)]
)
def test_public_sidecars_are_labelled_as_their_owners_did(
    shared_data, tuning, least_micro, least_macro
):
    rows = [r for r in read_rows(shared_data) if is_tuning(r[1][0]) == tuning]

    found = score(rows)

    assert found.micro >= least_micro
    assert found.macro >= least_macro
    assert found.confidently_wrong <= 0.01


def test_a_sidecar_without_its_session_is_labelled_almost_as_well(shared_data):
    alone = [
        (label, (str(number),), image)
        for number, (label, _, image) in enumerate(read_rows(shared_data))
    ]

    found = score(alone)

    assert found.micro >= 0.97
    assert found.macro >= 0.95
    assert found.confidently_wrong <= 0.01


@pytest.mark.parametrize(
    ("fields", "least_micro"),
    [
        ({"SequenceName", "PulseSequenceDetails", "PulseSequenceName"}, 0.98),
        ({"ScanningSequence"}, 0.94),
        ({"ImageType"}, 0.95),
        ({"SeriesDescription", "ProtocolName"}, 0.8),
    ],
)
def test_no_single_kind_of_field_carries_the_labels_alone(
    shared_data, fields, least_micro
):
    found = score(read_rows(shared_data, forgotten=fields))

    assert found.micro >= least_micro
