"""The official validator on one session: a dataset of one, made of a link."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.bids.dataset import (
    write_dataset_files,
    write_derivative_description,
)
from imaging_platform.bids.defaults import Conventions
from imaging_platform.files.writing import write_text
from imaging_platform.model.ids import SessionKey
from imaging_platform.tools.validator import Issue, Validation, validate_dataset

MOST_PLACES = 20
"""Places that are listed of one kind of issue; all are counted."""


@dataclass(frozen=True)
class IssueGroup:
    """
    All findings of one rule of the validator.

    Parameters
    ----------
    severity
        ``error`` or ``warning``.
    code
        The rule, such as ``SIDECAR_KEY_REQUIRED``.
    count
        How many findings.
    message
        What the rule asks for.
    places
        The first files, below the dataset, sorted; at most `MOST_PLACES`.
    """

    severity: str
    code: str
    count: int
    message: str
    places: tuple[str, ...]


def group_issues(validation: Validation) -> tuple[IssueGroup, ...]:
    """Return what the validator said by rule: errors first, then the most frequent."""
    found: dict[tuple[str, str], list[Issue]] = defaultdict(list)
    for severity in ("error", "warning"):
        for issue in getattr(validation, f"{severity}s"):
            found[severity, issue.code].append(issue)
    groups = [
        IssueGroup(
            severity=severity,
            code=code,
            count=len(issues),
            message=min(issue.message for issue in issues),
            places=tuple(sorted({i.location for i in issues if i.location}))[
                :MOST_PLACES
            ],
        )
        for (severity, code), issues in found.items()
    ]
    return tuple(sorted(groups, key=lambda g: (g.severity, -g.count, g.code)))


def validate_session(
    session_tree: Path, *, key: SessionKey, settings: Conventions
) -> Validation:
    """
    Validate one converted session in a temporary dataset.

    Parameters
    ----------
    session_tree
        The folder that is ``sub-x/ses-y``; it is linked, not copied.
    key
        Its subject and session.
    settings
        For the BIDS version.

    Raises
    ------
    ToolFailed
        The validator crashed or printed no report.
    """
    with tempfile.TemporaryDirectory(prefix="bids-validate-") as name:
        root = Path(name)
        _link_session(root, session_tree, key)
        write_dataset_files(root, name="one session", settings=settings, members=[key])
        return validate_dataset(root)


def validate_derivative(
    session_tree: Path,
    *,
    key: SessionKey,
    pipeline: str,
    version: str,
    bids_version: str = "1.11.1",
) -> Validation:
    """
    Validate one session of a derivative dataset in a temporary dataset.

    Parameters
    ----------
    session_tree
        The folder that is ``sub-x/ses-y``; it is linked, not copied.
    key
        Its subject and session.
    pipeline, version
        What made the derivative.
    bids_version
        BIDS version of the derivative dataset.

    Raises
    ------
    ToolFailed
        The validator crashed or printed no report.
    """
    with tempfile.TemporaryDirectory(prefix="bids-validate-") as name:
        root = Path(name)
        _link_session(root, session_tree, key)
        write_derivative_description(
            root,
            name="one session",
            pipeline=pipeline,
            version=version,
            bids_version=bids_version,
        )
        write_text(
            root / "README.md",
            "# One session\n\nA temporary dataset to validate one session of a "
            "derivative; it is removed after the check.\n",
        )
        return validate_dataset(root)


def _link_session(root: Path, session_tree: Path, key: SessionKey) -> None:
    subject = root / f"sub-{key.subject}"
    subject.mkdir()
    (subject / f"ses-{key.session}").symlink_to(
        session_tree.resolve(), target_is_directory=True
    )
