"""Names by which assets tell Dagster what they did, and by which it is read again."""

from __future__ import annotations

DROP_INDEX = "drop_index"
RAW_SESSION = "raw_session"
ANONYMIZED_DICOM = "anonymized_dicom"
BIDS_SESSION = "bids_session"
PROCESSING_PLAN = "processing_plan"

POLICY_INPUT = "policy"
"""Input that stands for what the policy makes of this session (`deid.outcome`)."""

RULES_INPUT = "rules"
"""Input that stands for what the rules make of this session (`bids.stored`)."""

RELEASED_INPUT = "released"
"""Input that stands for the series that a person let through the pixel gate."""

RATINGS = "ratings"
"""Input that stands for the verdicts of people."""

FAILED_TAG = "imaging/failed/"
"""Before the name of an asset: tag of a run, with the class of the asset's error."""

FAILED_CODE_TAG = "imaging/failed_code/"
"""The same with the version of code and settings that failed."""

CPU_S = "CPU seconds"
BYTES = "bytes published"


def sessions_of(study: str) -> str:
    """Return the name of the partitions of a study's sessions."""
    return f"{study}_sessions"
