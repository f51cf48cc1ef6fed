"""All metrics of one session, and one verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.errors import BadConfig, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.qc.metric import Metric, judge, worst
from imaging_platform.qc.scan_measures import (
    SessionFolders,
    Unmeasured,
    measure_scans,
)
from imaging_platform.qc.settings import QualitySettings

COLUMNS = ("scan", "metric", "value", "unit", "verdict", "threshold", "reason")


@dataclass(frozen=True)
class QualityReport:
    """
    Quality of one session.

    Parameters
    ----------
    verdict
        Worst verdict of all metrics: ``pass``, ``look`` or ``fail``; ``look`` when
        nothing could be judged.
    reasons
        One sentence a metric that is not ``pass``, worst first.
    metrics
        A row a scan and metric.
    skipped
        What could not be measured.
    """

    verdict: str
    reasons: tuple[str, ...]
    metrics: tuple[Metric, ...]
    skipped: tuple[Unmeasured, ...]


def measure_session(
    bids_session: str,
    brain_mask: str | None,
    motion: str | None,
    temporal_snr: str | None,
    diffusion_maps: str | None,
    target: str,
    subject: str,
    session: str,
    settings: Mapping[str, object],
    tissues: str | None = None,
) -> dict[str, object]:
    """
    Measure each scan of a session and write metrics and verdict.

    Writes ``metrics.tsv`` (a row a scan and metric), ``metrics.json`` (the same and
    what was skipped) and ``verdict.json`` into `target`.

    Parameters
    ----------
    bids_session
        ``.../sub-X/ses-Y`` of a BIDS dataset.
    brain_mask, motion, temporal_snr, diffusion_maps, tissues
        What the derivatives of the same names wrote for the session, or None.
    target
        Existing empty folder.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.
    settings
        Fields of `QualitySettings`; an empty mapping takes the defaults.

    Returns
    -------
    dict
        A `QualityReport`.

    Raises
    ------
    BadConfig
        The settings hold an unknown metric or a limit that contradicts itself.
    BadInput
        An image or a table cannot be read.
    MissingInput
        The session folder is not there.
    """
    SessionKey(subject, session)
    inputs = SessionFolders(
        Path(bids_session),
        *(
            Path(folder) if folder is not None else None
            for folder in (brain_mask, motion, temporal_snr, diffusion_maps, tissues)
        ),
    )
    if not inputs.bids.is_dir():
        raise MissingInput(
            "The session has no folder to read scans from.",
            fix="Convert the session to BIDS first.",
        )
    limits = read_settings(settings)
    skipped: list[Unmeasured] = []
    metrics = tuple(
        judge(scan, measure, limits)
        for scan, measures in measure_scans(inputs, skipped)
        for measure in measures
    )
    report = QualityReport(
        verdict=_verdict(metrics),
        reasons=_reasons(metrics),
        metrics=metrics,
        skipped=tuple(skipped),
    )
    _write(Path(target), report)
    return asdict(report)


def read_settings(values: Mapping[str, object]) -> QualitySettings:
    """
    Return the limits of a study.

    Raises
    ------
    BadConfig
        A key is unknown, or a limit contradicts itself.
    """
    from pydantic import ValidationError

    try:
        return QualitySettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadConfig(
            f"quality.{place}: {first['msg']}.",
            fix="Correct the part `quality` of the study file.",
        ) from error


def format_table(metrics: Iterable[Metric]) -> str:
    """Return metrics as tab-separated text; an unknown value reads ``n/a``."""
    lines = ["\t".join(COLUMNS)]
    for metric in metrics:
        row = asdict(metric)
        row["value"] = "n/a" if metric.value is None else f"{metric.value:.6g}"
        lines.append("\t".join(str(row[column]) or "n/a" for column in COLUMNS))
    return "\n".join(lines) + "\n"


def _verdict(metrics: Sequence[Metric]) -> str:
    verdict = worst(metric.verdict for metric in metrics)
    return "look" if verdict == "none" else verdict


def _reasons(metrics: Sequence[Metric]) -> tuple[str, ...]:
    if not any(metric.verdict != "none" for metric in metrics):
        return ("No scan of this session could be judged.",)
    doubtful = [m for m in metrics if m.verdict in ("look", "fail")]
    doubtful.sort(key=lambda m: m.verdict != "fail")
    return tuple(_sentence(metric) for metric in doubtful)


def _sentence(metric: Metric) -> str:
    value = "unknown" if metric.value is None else f"{metric.value:.3g} {metric.unit}"
    return (
        f"{metric.verdict}: {metric.scan} {metric.metric} {value.strip()} "
        f"({metric.threshold}): {metric.reason}"
    )


def _write(target: Path, report: QualityReport) -> None:
    plain = asdict(report)
    write_text(target / "metrics.tsv", format_table(report.metrics))
    write_json(
        target / "metrics.json",
        {"metrics": plain["metrics"], "skipped": plain["skipped"]},
    )
    write_json(
        target / "verdict.json",
        {"verdict": report.verdict, "reasons": list(report.reasons)},
    )
