"""What a row of each table of a study holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionRow:
    """
    One session.

    Parameters
    ----------
    session_key, subject, session
        Partition key and BIDS labels.
    n_series, n_instances
        Series, and DICOM instances in them.
    verdict
        ``pass``, ``look`` or ``fail``: a person's, while it has not expired, else the
        measured one; empty when there is neither.
    reasons
        Why it is not ``pass``, and who rated it.
    measured
        The verdict of the metrics.
    rating
        ``pass`` or ``fail`` of a person, ``expired``, or empty.
    flagged
        Names of the metrics that are not ``pass``.
    report
        Page of the session, relative to the study report; empty without one.
    """

    session_key: str
    subject: str
    session: str
    n_series: int
    n_instances: int
    verdict: str
    reasons: str
    measured: str
    rating: str
    flagged: str
    report: str


@dataclass(frozen=True)
class SeriesRow:
    """
    One series of a session and what became of it.

    Parameters
    ----------
    session_key
        The session.
    series_number, description
        As the scanner named it, de-identified.
    n_instances
        DICOM instances.
    outcome
        ``converted``, ``excluded``, ``unknown``, ``incomplete`` or ``failed``.
    datatype, suffix, files, why
        The decision: label, files (comma separated) and reason.
    """

    session_key: str
    series_number: int
    description: str
    n_instances: int
    outcome: str
    datatype: str
    suffix: str
    files: str
    why: str


@dataclass(frozen=True)
class MetricRow:
    """
    One quality metric of one scan.

    Parameters
    ----------
    session_key, scan, metric
        What was measured on what.
    value
        NaN when it cannot be measured.
    unit, threshold, verdict, reason
        Its unit, its limits, and what follows.
    """

    session_key: str
    scan: str
    metric: str
    value: float
    unit: str
    verdict: str
    threshold: str
    reason: str


@dataclass(frozen=True)
class CohortRow:
    """
    How one value stands among those of the study's sessions.

    Parameters
    ----------
    session_key, scan, metric, value
        What was measured on what.
    median, z, percentile
        Of the same metric and kind of scan: the middle, the robust z of this value,
        and the percentage of the other values below it.
    n_sessions
        Sessions that were compared.
    verdict
        ``pass``, ``look``, ``fail``; ``none`` with too few sessions.
    reason
        Why it is not ``pass``.
    """

    session_key: str
    scan: str
    metric: str
    value: float
    median: float
    z: float
    percentile: float
    n_sessions: int
    verdict: str
    reason: str


@dataclass(frozen=True)
class VersionRow:
    """
    One published tree.

    Parameters
    ----------
    session_key, asset
        Which tree.
    data_version
        Its content digest.
    code_version
        The code and settings that made it.
    """

    session_key: str
    asset: str
    data_version: str
    code_version: str


@dataclass(frozen=True)
class VariantRow:
    """
    Scans of one kind that were acquired with the same parameters.

    Parameters
    ----------
    scan
        Datatype and name without subject, session and run.
    variant
        1 for the most frequent one.
    is_dominant
        Whether more scans are of this variant than of any other.
    n_scans, n_sessions
        How many scans, and sessions, are of it.
    differs
        In which parameters it differs from the most frequent one, in words.
    parameters
        All its parameters, as JSON.
    session_keys
        Its sessions, comma separated.
    """

    scan: str
    variant: int
    is_dominant: bool
    n_scans: int
    n_sessions: int
    differs: str
    parameters: str
    session_keys: str


@dataclass(frozen=True)
class DeviationRow:
    """
    One parameter of one scan that is not as it should be.

    Parameters
    ----------
    session_key, scan, file
        Which scan; the file is empty for one that is missing.
    against
        ``majority`` or ``protocol``.
    parameter, expected, found
        Which parameter (or ``count``), and both values in words.
    """

    session_key: str
    scan: str
    file: str
    against: str
    parameter: str
    expected: str
    found: str


@dataclass(frozen=True)
class IssueRow:
    """
    One rule of the BIDS validator that a dataset of the study does not keep.

    Parameters
    ----------
    dataset
        ``bids`` or the name of a derivative dataset.
    severity, code, n_findings, message
        What the validator says, and how often.
    places
        The first files, comma separated.
    """

    dataset: str
    severity: str
    code: str
    n_findings: int
    message: str
    places: str
