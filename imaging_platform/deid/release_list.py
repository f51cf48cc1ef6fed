"""
Which series a person let through the pixel gate, and took back: a list that grows.

It names sessions and series by pseudonyms. Author and reason are a person's words,
so the list stands in the identified zone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from imaging_platform.files.digests import digest_json
from imaging_platform.files.staging import locked
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey

Step = Literal["release", "unrelease"]
_SERIES = re.compile(r"-?\d{3,11}-[0-9a-f]{8}")


@dataclass(frozen=True)
class ReleaseStep:
    """
    One line of the list.

    Parameters
    ----------
    step
        Whether the series was let through or taken back.
    session
        Session key.
    series
        Pseudonymous name of the series (`batch.series_folder`).
    author, reason
        Who decided it and why.
    when
        Moment in UTC, ISO 8601.
    """

    step: Step
    session: str
    series: str
    author: str
    reason: str
    when: str

    def __post_init__(self) -> None:
        SessionKey.parse(self.session)
        if self.step not in ("release", "unrelease") or not _SERIES.fullmatch(
            self.series
        ):
            raise BadInput(
                "A line of the release list names a step and a series such as "
                "0003-ab12cd34.",
                fix="Take the name from `imaging-platform release STUDY SESSION`.",
            )


def read_steps(file: Path) -> tuple[ReleaseStep, ...]:
    """
    Return all lines of the list, oldest first; none when there is no list.

    Raises
    ------
    BadInput
        A line is damaged; nothing is released by a guess.
    """
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return ()
    try:
        return tuple(ReleaseStep(**json.loads(line)) for line in lines)
    except (ValueError, TypeError):
        raise BadInput(
            "The list of released series is damaged.",
            fix="Put released.jsonl of the identified zone back from its backup.",
        ) from None


def append_steps(file: Path, steps: Iterable[ReleaseStep]) -> None:
    """Add lines to the list, all or none; its owner alone can read it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(file.with_name("released.lock")):
        lines = [
            json.dumps(asdict(step), sort_keys=True)
            for step in (*read_steps(file), *steps)
        ]
        write_text(file, "".join(f"{line}\n" for line in lines), mode=0o600)


def released_series(steps: Iterable[ReleaseStep], key: SessionKey) -> frozenset[str]:
    """Return the series of a session that are let through now."""
    latest = {s.series: s.step for s in steps if s.session == str(key)}
    return frozenset(series for series, step in latest.items() if step == "release")


def released_versions(steps: Iterable[ReleaseStep]) -> dict[str, str]:
    """Return `digest_released` by session key, for sessions with a released series."""
    latest: dict[str, dict[str, Step]] = {}
    for one in steps:
        latest.setdefault(one.session, {})[one.series] = one.step
    versions = {
        session: digest_released(
            frozenset(s for s, step in of.items() if step == "release")
        )
        for session, of in latest.items()
    }
    return {session: version for session, version in versions.items() if version}


def digest_released(series: frozenset[str]) -> str:
    """Return the version of what is let through; empty when nothing is."""
    return digest_json(sorted(series)) if series else ""
