"""All metrics of one session, and one verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.errors import BadConfig, BadInput, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.qc.anatomy import measure_t1w
from imaging_platform.qc.bold import (
    measure_motion,
    measure_raw_bold,
    measure_realigned_bold,
)
from imaging_platform.qc.diffusion import (
    B0_LIMIT,
    measure_gradients,
    measure_tensor,
    measure_weighted_series,
)
from imaging_platform.qc.metric import Measure, Metric, judge, worst
from imaging_platform.qc.scans import (
    Volumes,
    count_volumes,
    find_derived,
    list_scans,
    read_column,
    read_gradients,
    read_sidecar,
    read_volumes,
    scan_name,
)
from imaging_platform.qc.settings import QualitySettings

COLUMNS = ("scan", "metric", "value", "unit", "verdict", "threshold", "reason")

BOLD_KEYS = ("SliceTiming", "PhaseEncodingDirection", "TotalReadoutTime")
DWI_KEYS = ("PhaseEncodingDirection", "TotalReadoutTime")
"""Keys whose absence tells that private elements were stripped."""

SILENT_VENDORS = ("philips", "canon", "toshiba", "uih")
"""They do not record slice timing and polarity in a form that converters can read."""


@dataclass(frozen=True)
class Unmeasured:
    """
    A scan, or a kind of scan, that has no metrics of its own.

    Parameters
    ----------
    scan
        Name of the scan without extension, or the kind.
    reason
        Why.
    """

    scan: str
    reason: str


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


@dataclass(frozen=True)
class _Inputs:
    """Folders of one session; None where a derivative is missing."""

    bids: Path
    brain_mask: Path | None
    motion: Path | None
    temporal_snr: Path | None
    diffusion_maps: Path | None


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
) -> dict[str, object]:
    """
    Measure each scan of a session and write metrics and verdict.

    Writes ``metrics.tsv`` (a row a scan and metric), ``metrics.json`` (the same and
    what was skipped) and ``verdict.json`` into `target`.

    Parameters
    ----------
    bids_session
        ``.../sub-X/ses-Y`` of a BIDS dataset.
    brain_mask, motion, temporal_snr, diffusion_maps
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
    inputs = _Inputs(
        Path(bids_session),
        *(
            Path(folder) if folder is not None else None
            for folder in (brain_mask, motion, temporal_snr, diffusion_maps)
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
        for scan, measures in _measure_scans(inputs, skipped)
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


def _measure_scans(
    inputs: _Inputs, skipped: list[Unmeasured]
) -> Iterable[tuple[str, Sequence[Measure]]]:
    for datatype, suffix, measured in (
        ("anat", "T1w", _measure_anatomy),
        ("func", "bold", _measure_bold),
        ("dwi", "dwi", _measure_dwi),
    ):
        scans = list_scans(inputs.bids, datatype, suffix)
        if not scans:
            skipped.append(Unmeasured(suffix, f"no {suffix}"))
        for scan in scans:
            yield scan_name(scan), measured(scan, inputs, skipped)


def _measure_anatomy(
    scan: Path, inputs: _Inputs, skipped: list[Unmeasured]
) -> Sequence[Measure]:
    mask = find_derived(inputs.brain_mask, scan, "brain", "mask")
    if mask is None:
        skipped.append(Unmeasured(scan_name(scan), "it has no brain mask"))
        return (Measure("icv_ml", float("nan"), "ml", "no brain mask"),)
    image, brain = read_volumes(scan), read_volumes(mask).data > 0
    _same_grid(scan, image, brain.shape)
    if brain.sum() < 100:
        return (Measure("icv_ml", 0.0, "ml", "the brain mask is empty"),)
    return measure_t1w(image.data, brain, image.affine)


def _measure_bold(
    scan: Path, inputs: _Inputs, skipped: list[Unmeasured]
) -> Sequence[Measure]:
    sidecar = read_sidecar(scan)
    volumes = count_volumes(scan)
    measures = [
        Measure("volumes", float(volumes)),
        _missing_metadata(sidecar, BOLD_KEYS),
    ]
    table = find_derived(inputs.motion, scan, "motion", "timeseries", ".tsv")
    if table is not None:
        measures.extend(measure_motion(read_column(table, "framewise_displacement")))
    found = [
        find_derived(inputs.temporal_snr, scan, "head", "mask"),
        find_derived(inputs.temporal_snr, scan, "tsnr", "sbref"),
        find_derived(inputs.motion, scan, "realigned", "bold"),
    ]
    mask_path, tsnr_path, realigned_path = found
    if mask_path is None or tsnr_path is None or realigned_path is None:
        skipped.append(Unmeasured(scan_name(scan), "it was not realigned"))
        return measures
    mask = read_volumes(mask_path).data > 0
    raw = read_volumes(scan)
    _same_grid(scan, raw, mask.shape)
    if mask.any():
        measures.extend(measure_raw_bold(raw.data, mask, _phase_axis(sidecar)))
        del raw
        realigned = read_volumes(realigned_path).data
        ratio = read_volumes(tsnr_path).data
        measures.extend(measure_realigned_bold(realigned, mask, ratio))
    return measures


def _measure_dwi(
    scan: Path, inputs: _Inputs, skipped: list[Unmeasured]
) -> Sequence[Measure]:
    volumes = count_volumes(scan)
    measures = [
        Measure("volumes", float(volumes)),
        _missing_metadata(read_sidecar(scan), DWI_KEYS),
    ]
    table = read_gradients(scan)
    if table is None or len(table[0]) != volumes:
        return [*measures, Measure("n_directions", 0.0, "", "no table of gradients")]
    b_values, vectors = table
    measures.extend(measure_gradients(b_values, vectors))
    found = [
        find_derived(inputs.diffusion_maps, scan, desc, suffix)
        for desc, suffix in (("brain", "mask"), ("tensor", "FA"), ("tensor", "ADC"))
    ]
    mask_path, fa_path, md_path = found
    if mask_path is None or fa_path is None or md_path is None:
        skipped.append(Unmeasured(scan_name(scan), "it has no tensor maps"))
        return measures
    image, mask = read_volumes(scan), read_volumes(mask_path).data > 0
    _same_grid(scan, image, mask.shape)
    if mask.any() and (b_values > B0_LIMIT).any():
        fa, md = read_volumes(fa_path).data, read_volumes(md_path).data
        measures.extend(measure_weighted_series(image.data, mask, b_values, vectors))
        measures.extend(measure_tensor(fa, md, mask))
    return measures


def _missing_metadata(sidecar: Mapping[str, object], wanted: Sequence[str]) -> Measure:
    missing = [key for key in wanted if key not in sidecar]
    reason = f"{', '.join(missing)} not in the sidecar" if missing else ""
    vendor = str(sidecar.get("Manufacturer", "")).lower()
    if missing and vendor.startswith(SILENT_VENDORS):
        reason += "; this vendor does not record them: supplement them in the study"
        return Measure("unrecorded_metadata", float(len(missing)), "", reason)
    return Measure("missing_metadata", float(len(missing)), "", reason)


def _phase_axis(sidecar: Mapping[str, object]) -> int:
    """Return the axis of phase encoding; columns, the usual one, when unknown."""
    direction = str(sidecar.get("PhaseEncodingDirection", "j"))
    return "ijk".find(direction[:1]) if direction[:1] in ("i", "j", "k") else 1


def _same_grid(scan: Path, image: Volumes, shape: tuple[int, ...]) -> None:
    if image.data.shape[:3] != shape[:3]:
        raise BadInput(
            f"A derivative of {scan_name(scan)} has another shape than the scan.",
            fix="Make the derivatives of this session again.",
        )


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
