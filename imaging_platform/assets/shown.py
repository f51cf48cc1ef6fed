"""The one gate for what the Dagster UI may show: counts, reasons, pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from imaging_platform.assets.dataset import DescribedDatasets
from imaging_platform.model.errors import PlatformError
from imaging_platform.tools.validator import Validation

if TYPE_CHECKING:
    from imaging_platform.bids.attachments import Attached
    from imaging_platform.bids.expectation import Expectation
    from imaging_platform.bids.session import ConversionReport
    from imaging_platform.deid.session import DeidReport
    from imaging_platform.intake.drop_report import DropReport
    from imaging_platform.intake.session import GatheredSession, HeldSummary
    from imaging_platform.model.ids import SessionKey

Shown = dict[str, Any]  # values that dagster turns into metadata
MOST_ROWS = 200


def add(
    result: Mapping[str, Any],  # keyword arguments of MaterializeResult
    metadata: Mapping[str, Any],
    checks: Sequence[dg.AssetCheckResult] = (),
) -> dg.MaterializeResult:
    """Return a materialization with more metadata and its check results."""
    return dg.MaterializeResult(
        data_version=result["data_version"],
        metadata={**metadata, **result["metadata"]},
        check_results=list(checks),
    )


def drop(report: DropReport) -> Shown:
    """Show an indexed drop: counts, and the sessions that it belongs to."""
    return {
        "files": report.n_files,
        "megabytes": round(report.n_bytes / 1e6, 1),
        "verdicts": table(["verdict", "files"], report.verdicts.items()),
        "reasons": table(["reason", "files"], report.reasons.items()),
        # Read again by the sensor and the planner, so it stays JSON.
        "sessions": dg.MetadataValue.json(
            {
                # Without a digest: it has no file left.
                **dict.fromkeys(report.gone, ""),
                **{s.session_key: s.members_digest for s in report.sessions},
            }
        ),
    }


def check_drop(report: DropReport) -> dg.AssetCheckResult:
    """Prove that each file of the drop has exactly one verdict."""
    counted = sum(report.verdicts.values())
    refused = report.verdicts.get("quarantined", 0)
    return dg.AssetCheckResult(
        check_name="every_file_accounted_for",
        passed=counted == report.n_files and not refused,
        severity=dg.AssetCheckSeverity.WARN
        if counted == report.n_files
        else dg.AssetCheckSeverity.ERROR,
        metadata={"files": report.n_files, "with a verdict": counted},
        description=f"{refused} file(s) cannot be used and are kept; see the reasons."
        if refused
        else "Each file is accepted, attached, a duplicate, or ignored for a reason.",
    )


def held(study: str, waiting: HeldSummary) -> Shown:
    """Show what waits for a person, why, and what resolves it."""
    rows = [(w.what, w.why, w.command) for w in waiting.list_waits(study)]
    return {
        "waiting": len(rows),
        "held": table(["what", "why", "what to do"], rows),
        "kept, but of no use": table(
            ["drop", "reason", "files"],
            [(f.drop_id, f.reason, f.n_files) for f in waiting.useless],
        ),
    }


def check_held(study: str, waiting: HeldSummary) -> dg.AssetCheckResult:
    """State whether something waits for a person."""
    waits = waiting.list_waits(study)
    return dg.AssetCheckResult(
        check_name="nothing_waits",
        passed=not waits,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(waits)} thing(s) wait for a person; the first: "
        f"{waits[0].what}, {waits[0].why}. {waits[0].command}"
        if waits
        else "Nothing waits for a person.",
        metadata={"waiting": len(waits)},
    )


def raw_session(report: GatheredSession) -> Shown:
    """Show what a session consists of, without a word from its headers."""
    return {
        "instances": report.n_instances,
        "series": report.n_series,
        "drops": report.n_drops,
        "duplicates": report.n_duplicates,
        "set aside": report.n_set_aside,
        "to attach": report.n_companions,
    }


def check_gathered(report: GatheredSession) -> dg.AssetCheckResult:
    """State whether each instance of the session has one content."""
    return dg.AssetCheckResult(
        check_name="one_content_an_instance",
        passed=report.n_set_aside == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{report.n_set_aside} file(s) that are no images came with "
        "several contents; they are kept and not used."
        if report.n_set_aside
        else "No instance came with two contents.",
    )


def check_arrived(report: GatheredSession) -> dg.AssetCheckResult:
    """State whether all came that the scanner counted."""
    rows = [
        (s.series_number, s.n_instances, s.why, "; ".join(s.missing))
        for s in report.shortfalls
    ]
    return dg.AssetCheckResult(
        check_name="everything_arrived",
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(rows)} series lack images. Send them again: what comes "
        "later joins the session."
        if rows
        else "Nothing is missing by the counts in the headers.",
        metadata={"incomplete": table(["#", "files", "why", "missing"], rows)},
    )


def anonymized(report: DeidReport) -> Shown:
    """Show what de-identification did, as counts."""
    return {
        "files read": report.files_read,
        "files written": report.files_written,
        "quarantined": table(
            ["series", "reason", "SOP class", "files", "can be released"],
            [
                (
                    q.series or "unreadable",
                    q.reason,
                    q.sop_class,
                    q.n_files,
                    "yes" if q.can_be_released else "no",
                )
                for q in report.quarantined
            ],
        ),
        "released by a person": sum(w.n_files for w in report.written if w.is_released),
        "masked": sum(w.n_files for w in report.written if w.mask),
        "actions": table(["action", "elements"], report.actions.items()),
        "policy": report.policy_digest[:12],
        "table of the standard": report.table_edition,
    }


def check_proved(report: DeidReport) -> dg.AssetCheckResult:
    """State that the echo guard found no identifier of the subject in the output."""
    return dg.AssetCheckResult(
        check_name="no_residual_identity",
        passed=report.proved,
        metadata={"files searched": report.files_written},
    )


def check_leak(error: PlatformError) -> dg.AssetCheckResult:
    """State where an identifier was found; the message holds no value."""
    return dg.AssetCheckResult(
        check_name="no_residual_identity",
        passed=False,
        description=str(error),
        metadata={"fix": error.fix},
    )


def check_anonymized(report: DeidReport) -> dg.AssetCheckResult:
    """Prove that each file was written or quarantined with a reason."""
    kept_back = sum(q.n_files for q in report.quarantined)
    complete = (
        report.files_read == report.files_written + report.files_duplicate + kept_back
    )
    return dg.AssetCheckResult(
        check_name="every_file_accounted_for",
        passed=complete and not kept_back,
        severity=dg.AssetCheckSeverity.WARN
        if complete
        else dg.AssetCheckSeverity.ERROR,
        metadata={"read": report.files_read, "written": report.files_written},
        description=f"{kept_back} file(s) stay in the identified zone."
        if kept_back
        else "Each file was written.",
    )


def converted(report: ConversionReport, validation: Validation) -> Shown:
    """Show every series with its outcome, file and reason."""
    rows = [
        (
            row.series_number,
            row.description,
            row.instances,
            row.outcome,
            ", ".join(file for scan in row.scans for file in scan.files),
            row.why,
        )
        for row in report.series
    ]
    return {
        "series": len(rows),
        "images": sum(len(row.scans) for row in report.series),
        "series table": table(
            ["#", "description", "instances", "outcome", "files", "why"], rows
        ),
        "BIDS errors": len(validation.errors),
        "BIDS warnings": len(validation.warnings),
    }


def attached(report: Attached) -> Shown:
    """Show what people brought: the files it became, and what waits for a name."""
    if not report.files and not report.waiting:
        return {}
    return {
        "attached": table(["file"], [(name,) for name in report.files]),
        "not attached": table(["file", "why"], report.waiting.items()),
    }


def check_attached(
    report: Attached, left_out: Mapping[str, int], key: SessionKey
) -> dg.AssetCheckResult:
    """State whether all that people brought stands beside a run, and what to do."""
    n_waiting = len(report.waiting) + sum(left_out.values())
    return dg.AssetCheckResult(
        check_name="everything_attached",
        passed=not n_waiting,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{n_waiting} file(s) are not attached. Correct or rename them as "
        f"the reasons say, then: imaging-platform attach <study> {key} <folder>."
        if n_waiting
        else "All events, answers and recordings that came are attached.",
        metadata={
            "fit no run": table(["file", "why"], report.waiting.items()),
            "left out": table(["why", "files"], left_out.items()),
        },
    )


def check_valid(validation: Validation) -> dg.AssetCheckResult:
    """State what the official validator says of the session."""
    return dg.AssetCheckResult(
        check_name="valid_bids",
        passed=validation.is_valid,
        description=list_issues(validation) or "The official validator finds no error.",
        metadata={"files": validation.files, "warnings": len(validation.warnings)},
    )


def check_series(report: ConversionReport) -> list[dg.AssetCheckResult]:
    """State which series need a rule, and that each instance has one fate."""
    from imaging_platform.bids.accounting import OUTCOMES

    fates = [
        (row.series_number, row.description, *row.count_fates().values())
        for row in report.series
    ]
    open_rows = [
        (row.series_number, row.description, row.outcome, row.why)
        for row in report.series
        if row.outcome in ("unknown", "incomplete", "failed")
    ]
    counted = sum(row.instances for row in report.series)
    with_fate = sum(sum(numbers) for _, _, *numbers in fates)
    unreadable = sum(report.unreadable.values())
    return [
        dg.AssetCheckResult(
            check_name="every_series_named",
            passed=not open_rows,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(open_rows)} series are kept without a BIDS name."
            if open_rows
            else "Each series is converted, or left out for a reason.",
            metadata={
                "not named": table(["#", "description", "outcome", "why"], open_rows),
                "add to study.yaml": _yaml_blocks(
                    scan.rule_hint for row in report.series for scan in row.scans
                ),
                "warnings": table(["warning"], [(w,) for w in report.warnings]),
            },
        ),
        dg.AssetCheckResult(
            check_name="every_instance_accounted_for",
            passed=counted == with_fate == report.instances and not unreadable,
            metadata={
                "instances": report.instances,
                "in a series": counted,
                "instances by fate": table(["#", "description", *OUTCOMES], fates),
            },
        ),
    ]


def check_protocol(found: Expectation) -> dg.AssetCheckResult:
    """State whether the session has the series that the protocol expects."""
    rows = [("missing", text) for text in found.missing]
    rows += [("unexpected", text) for text in found.unexpected]
    return dg.AssetCheckResult(
        check_name="series_as_expected",
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(text for _, text in rows)
        or "The session has the series that the protocol expects.",
        metadata={
            "session": found.verdict,
            "against the protocol": table(["what", "series"], rows),
        },
    )


def list_issues(validation: Validation) -> str:
    """Return the first errors of a validation as one line each."""
    lines = [f"{i.code} {i.location}" for i in validation.errors[:10]]
    more = len(validation.errors) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def dataset(described: DescribedDatasets) -> Shown:
    """Show the size of the dataset and what the validator says of each part."""
    from imaging_platform.bids.validation import group_issues

    return {
        "sessions": len(described.members),
        "subjects": len({key.split("_")[0] for key in described.members}),
        "validation": table(
            ["dataset", "files", "errors", "warnings"],
            [
                (name, v.files, len(v.errors), len(v.warnings))
                for name, v in described.validations.items()
            ],
        ),
        "what the validator says": table(
            ["dataset", "severity", "rule", "times", "first file"],
            [
                (name, g.severity, g.code, g.count, next(iter(g.places), ""))
                for name, v in described.validations.items()
                for g in group_issues(v)
            ],
        ),
    }


def check_datasets(described: DescribedDatasets) -> list[dg.AssetCheckResult]:
    """State whether the BIDS dataset and the derivative datasets are valid."""
    bids = described.validations["bids"]
    broken = {n: v for n, v in described.validations.items() if not v.is_valid}
    derived = {name: v for name, v in broken.items() if name != "bids"}
    return [
        dg.AssetCheckResult(
            check_name="valid_bids",
            passed=bids.is_valid,
            description=list_issues(bids) or "The official validator finds no error.",
            metadata={"files": bids.files, "warnings": len(bids.warnings)},
        ),
        dg.AssetCheckResult(
            check_name="valid_derivatives",
            passed=not derived,
            description="; ".join(f"{n}: {list_issues(v)}" for n, v in derived.items()),
        ),
    ]


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MetadataValue:
    """Return rows as a Markdown table; the UI shows it in place."""
    listed = list(rows)
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(map(_cell, row)) + " |" for row in listed[:MOST_ROWS]),
    ]
    if len(listed) > MOST_ROWS:
        lines.append(f"\n{len(listed) - MOST_ROWS} more rows.")
    return dg.MetadataValue.md("\n".join(lines) if listed else "none")


def _yaml_blocks(snippets: Iterable[str]) -> dg.MetadataValue:
    """Return snippets that can be copied into a study file as they are."""
    blocks = [f"```yaml\n{text.rstrip()}\n```" for text in snippets if text]
    return dg.MetadataValue.md("\n\n".join(blocks) or "nothing")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "/").replace("\n", " ")
