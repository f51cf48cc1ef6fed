"""How often the built-in rules are right on sidecars of public data sets."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path

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


def score(shared_data: Path, *, tuning: bool) -> tuple[float, float]:
    """Return the share of right labels over images and over labels."""
    with gzip.open(shared_data / "bids/sidecar_labels.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    sessions: dict[tuple[str, ...], list[tuple[str, Output]]] = defaultdict(list)
    for number, row in enumerate(rows):
        if is_tuning(row["dataset"]) == tuning:
            entities = row["entities"]
            session = (row["dataset"], entities["sub"], entities.get("ses", ""))
            facts = {k: v for k, v in row["sidecar"].items() if k not in TOLD}
            bvals = (0.0, 1000.0) if row["has_bval"] else None
            label = f"{row['datatype']}/{row['suffix']}"
            sessions[session].append((label, Output(str(number), facts, bvals=bvals)))
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for members in sessions.values():
        members.sort(key=lambda pair: sort_key(pair[1]))
        decisions = decide_session([one for _, one in members], BidsSettings())
        for (label, _), decision in zip(members, decisions, strict=True):
            total[label] += 1
            right[label] += label == f"{decision.datatype}/{decision.suffix}"
    micro = right.total() / total.total()
    return micro, sum(right[label] / total[label] for label in total) / len(total)


@pytest.mark.parametrize(
    ("tuning", "least_micro", "least_macro"), [(True, 0.97, 0.95), (False, 0.98, 0.84)]
)
def test_public_sidecars_are_labelled_as_their_owners_did(
    shared_data, tuning, least_micro, least_macro
):
    micro, macro = score(shared_data, tuning=tuning)

    assert micro >= least_micro
    assert macro >= least_macro
