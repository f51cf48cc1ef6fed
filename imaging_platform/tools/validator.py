"""The official BIDS validator, offline."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.model.errors import ToolFailed
from imaging_platform.tools.run import run


@dataclass(frozen=True)
class Issue:
    """
    One finding of the validator.

    Parameters
    ----------
    code
        The rule, such as ``SIDECAR_KEY_REQUIRED``.
    location
        Path inside the dataset, with a leading slash; empty for the dataset itself.
    message
        What the rule asks for.
    """

    code: str
    location: str
    message: str


@dataclass(frozen=True)
class Validation:
    """
    What the validator says of a dataset.

    Parameters
    ----------
    errors, warnings
        Findings by severity; a dataset is valid without errors.
    files
        How many files it looked at.
    """

    errors: tuple[Issue, ...]
    warnings: tuple[Issue, ...]
    files: int

    @property
    def is_valid(self) -> bool:
        """True when there is no error."""
        return not self.errors


def validate_dataset(root: Path, *, timeout_s: float = 3600) -> Validation:
    """
    Validate the BIDS dataset or derivative dataset at `root`.

    Raises
    ------
    ToolFailed
        The validator crashed, took too long, or printed no report.
    """
    done = run(
        [program(), "--format", "json", str(root)],
        timeout_s=timeout_s,
        env={"NO_COLOR": "1"},
        accepted=(0, 16),
    )
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        raise ToolFailed(
            "The BIDS validator printed no report.",
            fix="Install the platform again; its validator comes with it.",
        ) from error
    return _read_report(report)


def program() -> str:
    """Return the path of the validator that the pinned wheel installs."""
    return str(Path(sys.executable).with_name("bids-validator-deno"))


def version() -> str:
    """Return the version of the pinned validator wheel, such as ``3.0.2``."""
    from importlib.metadata import version as installed

    return installed("bids-validator-deno")


def _read_report(report: dict) -> Validation:  # type: ignore[type-arg]  # outside JSON
    found: dict[str, list[Issue]] = {"error": [], "warning": []}
    issues = dict(report["issues"])
    messages = issues.get("codeMessages", {})
    for issue in issues.get("issues", []):
        if issue.get("severity") in found:
            found[issue["severity"]].append(
                Issue(
                    code=issue["code"],
                    location=issue.get("location", ""),
                    message=issue.get("issueMessage")
                    or messages.get(issue["code"], ""),
                )
            )
    return Validation(
        errors=tuple(found["error"]),
        warnings=tuple(found["warning"]),
        files=report["summary"]["totalFiles"],
    )
