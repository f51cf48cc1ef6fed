"""The releases of a study: frozen or thawed, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.model.errors import BadInput, Held
from imaging_platform.model.layout import RELEASE
from imaging_platform.planning.decisions import Decisions, read_decisions
from imaging_platform.planning.reasons import name_some
from imaging_platform.provenance.trees import read_release, read_releases


@dataclass(frozen=True)
class Release:
    """
    A release that stands.

    Parameters
    ----------
    version
        Such as ``1.0.0``.
    digest
        SHA-256 of its manifest.
    n_sessions
        How many sessions it holds.
    is_frozen
        False when a person has thawed it, so that it can be withdrawn.
    note
        Who froze or thawed it, and why.
    changed
        Sessions of which something has changed since, or that are gone.
    """

    version: str
    digest: str
    n_sessions: int
    is_frozen: bool
    note: str
    changed: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """``frozen`` or ``thawed``."""
        return "frozen" if self.is_frozen else "thawed"

    @property
    def since(self) -> str:
        """What has changed since, in words; empty when nothing has."""
        if not self.changed:
            return ""
        return f"{name_some(self.changed)} changed after release {self.version}"


def find_releases(
    home: Path,
    study: str,
    decisions: Decisions,
    versions: Mapping[str, str] | None = None,
) -> tuple[Release, ...]:
    """
    Return the releases of a study that stand, oldest version first.

    Parameters
    ----------
    home, study
        The imaging home, and name of the study.
    decisions
        What people decided about it.
    versions
        Data version of each result as it is now, such as ``motion[sub-01_ses-1]``;
        None when nothing is to be said of changes.
    """
    thawed, frozen = decisions.releases_in("thaw"), decisions.releases_in("freeze")
    found = []
    for tree in read_releases(home, study).values():
        inputs, version = tree.record.inputs, tree.partition
        sessions = {_session_of(name) for name in inputs}
        step = thawed.get(version) or frozen.get(version)
        changed = {
            _session_of(name)
            for name, was in inputs.items()
            if versions is not None and versions.get(name) != was
        }
        found.append(
            Release(
                version,
                tree.record.data_version,
                len(sessions),
                version not in thawed,
                f"{step.action} by {step.author}: {step.reason}" if step else "",
                tuple(sorted(changed)),
            )
        )
    return tuple(sorted(found, key=lambda one: order_version(one.version)))


def order_version(version: str) -> tuple[int, ...]:
    """
    Return what sorts versions by their numbers.

    Examples
    --------
    >>> sorted(["1.10", "1.9"], key=order_version)
    ['1.9', '1.10']
    """
    return tuple(int(part) for part in version.split("."))


def refuse_absent_release(home: Path, study: str, version: str) -> None:
    """
    Refuse a release that does not stand.

    Raises
    ------
    BadInput
        There is none of this version.
    """
    if read_release(home, study, version) is None:
        raise BadInput(
            f"Study {study} has no release {version}.",
            fix=f"imaging-platform plan --study {study} lists the releases.",
        )


def refuse_frozen_release(home: Path, study: str, version: str) -> None:
    """
    Refuse to withdraw a release that nobody has thawed.

    Raises
    ------
    Held
        It is frozen.
    """
    if version not in read_decisions(home, study).releases_in("thaw"):
        raise Held(
            f"{RELEASE.capitalize()} {version} of {study} is frozen.",
            fix=f'imaging-platform thaw {study} --release {version} --reason "..."',
        )


def _session_of(name: str) -> str:
    return name.rstrip("]").partition("[")[2]
