"""What the Dagster UI shows of derivatives, metrics, pages, tables and plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from imaging_platform.assets.shown import Shown, table
from imaging_platform.resources.zones import PublishedZone

if TYPE_CHECKING:
    from imaging_platform.model.rating import Rating
    from imaging_platform.planning.plan import Plan


def derivative(report: Mapping[str, Any], tree: Path) -> Shown:
    """Show each scan in a row; each of its numbers becomes a curve in the UI."""
    numbers = {
        f"{_without_session(scan['scan'])} {name}": value
        for scan in report["scans"]
        for name, value in scan.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    images = sorted(p.relative_to(tree).as_posix() for p in tree.rglob("*.nii.gz"))
    scans = report.get("scans", [])
    columns = sorted({column for scan in scans for column in scan})
    return {
        **numbers,
        "images": len(images),
        "scans": table(columns, [[s.get(c, "") for c in columns] for s in scans]),
        **_skipped(report),
    }


def check_outputs(name: str, report: Mapping[str, Any]) -> dg.AssetCheckResult:
    """State whether each scan that the derivative needs gave its output."""
    skipped = report.get("skipped", [])
    return dg.AssetCheckResult(
        check_name="expected_outputs_present",
        passed=not skipped,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={**_skipped(report), "scans": len(report.get("scans", []))},
        description=f"{len(skipped)} scan(s) without {name}."
        if skipped
        else "Each scan has its output.",
    )


def quality(report: Mapping[str, Any]) -> Shown:
    """Show the verdict, each metric as a table row, and the main ones as curves."""
    columns = ["scan", "metric", "value", "unit", "verdict", "reason"]
    rows = [[m.get(c, "") for c in columns] for m in report["metrics"]]
    curves = {
        f"{_without_session(m['scan'])} {m['metric']}": float(m["value"])
        for m in report["metrics"]
        if m.get("verdict") in ("pass", "look", "fail") and m["value"] is not None
    }
    return {
        "verdict": report["verdict"],
        "reasons": "; ".join(report["reasons"]),
        "metrics": table(columns, rows),
        **curves,
    }


def check_quality(report: Mapping[str, Any]) -> dg.AssetCheckResult:
    """State the verdict; a person decides what follows from it."""
    return dg.AssetCheckResult(
        check_name="within_thresholds",
        passed=report["verdict"] == "pass",
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(report["reasons"]) or "Every metric is within limits.",
        metadata={"verdict": report["verdict"]},
    )


def check_cohort(outliers: Mapping[str, Sequence[str]]) -> dg.AssetCheckResult:
    """Name the sessions that stand out among those of the study, and why."""
    rows = [[key, "; ".join(reasons)] for key, reasons in outliers.items()]
    return dg.AssetCheckResult(
        check_name="no_outliers",
        passed=not outliers,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(outliers)} session(s) stand out: {', '.join(outliers)}."
        if outliers
        else "No session stands out among the others.",
        metadata={"outliers": table(["session", "why"], rows)},
    )


def report(published: PublishedZone, key: str) -> Shown:
    """Link the page and the notebook."""
    return {
        "report": dg.MetadataValue.url(published.link(f"{key}/report.html")),
        "notebook": dg.MetadataValue.url(published.link(f"{key}/report.ipynb")),
    }


def partial(published: PublishedZone, key: str) -> Shown:
    """Link what a notebook had made when it failed."""
    page = published.link(f"{key}/report.partial.html")
    return {
        "partial report": dg.MetadataValue.url(page),
        "partial notebook": dg.MetadataValue.url(
            published.link(f"{key}/report.partial.ipynb")
        ),
    }


def results(found: Mapping[str, float | int | str]) -> Shown:
    """Show what a notebook recorded; each number becomes a curve in the UI."""
    return {
        name: float(value) if isinstance(value, float | int) else value
        for name, value in sorted(found.items())
    }


def subject_results(found: Mapping[str, Mapping[str, float | int | str]]) -> Shown:
    """Show what a notebook recorded of each subject, a row each."""
    names = sorted({name for each in found.values() for name in each})
    rows = [[who, *(each.get(n, "") for n in names)] for who, each in found.items()]
    return {"subjects": len(found), "results": table(["subject", *names], rows)}


def check_results(problems: Sequence[str]) -> dg.AssetCheckResult:
    """State which recorded numbers are not as the front matter says."""
    return dg.AssetCheckResult(
        check_name="results_within_limits",
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or "Each result with a limit lies within it.",
    )


def tables(report: Mapping[str, Any]) -> Shown:
    """Show how many rows each table of the catalog has."""
    return {name: int(n_rows) for name, n_rows in report.items()}


def check_ratings(ratings: Mapping[str, Rating]) -> dg.AssetCheckResult:
    """Warn when a person's verdict is on scans that have changed since."""
    expired = [key for key, rating in ratings.items() if rating.is_expired]
    return dg.AssetCheckResult(
        check_name="ratings_current",
        passed=not expired,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(expired)} verdict(s) have expired, for the session has "
        f"changed: {', '.join(expired[:10])}. Look again, then: imaging-platform rate."
        if expired
        else "Every verdict is on the session as it is.",
        metadata={"rated": len(ratings), "expired": len(expired)},
    )


def plan(plan: Plan) -> Shown:
    """Show how many results are in each state, why, and what they cost."""
    from imaging_platform.planning.published import (
        ACCEPTED_COLUMNS,
        COLUMNS,
        RELEASE_COLUMNS,
        list_accepted,
        list_reasons,
        list_releases,
    )

    found = plan.estimate()
    releases = table(RELEASE_COLUMNS, list_releases(plan))
    accepted = table(ACCEPTED_COLUMNS, list_accepted(plan))
    return {
        **({"accepted": accepted} if plan.accepted else {}),
        **({"releases": releases} if plan.releases else {}),
        **{f"results {s}": n for s, n in plan.count_states().items() if n},
        "not up to date": table(COLUMNS, list_reasons(plan)),
        "estimated CPU hours": round(found.cpu_hours, 3),
        "estimated bytes": found.n_bytes,
        "never measured": ", ".join(found.unknown) or "none",
    }


def check_plan(plan: Plan) -> dg.AssetCheckResult:
    """Warn when something is stale or failed."""
    states = plan.count_states()
    n_stale, n_failed = states["stale"], states["failed"]
    return dg.AssetCheckResult(
        check_name="up_to_date",
        passed=not n_stale and not n_failed,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{n_stale} result(s) are out of date, {n_failed} failed; "
        "`imaging-platform reprocess` makes them again."
        if n_stale or n_failed
        else "Nothing is out of date.",
    )


def _without_session(scan: str) -> str:
    """Name a scan alike in every session, so that its numbers form one curve."""
    return scan.split("_", 2)[2]


def _skipped(report: Mapping[str, Any]) -> Shown:
    skipped = report.get("skipped", [])
    return {
        "skipped": table(
            ["scan", "reason"], [(s["scan"], s["reason"]) for s in skipped]
        )
    }
