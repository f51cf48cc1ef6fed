"""
What people decided about results: this one counts, that study is not touched again.

The list only grows, names sessions by pseudonyms, and stands beside the study file,
where everyone who plans can read it. Each line has its entry in the audit trail.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from imaging_platform.files.digests import digest_json
from imaging_platform.files.staging import locked
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadInput, Held
from imaging_platform.model.layout import RELEASE, Home
from imaging_platform.planning.state import Made

Action = Literal["accept", "withdraw", "freeze", "thaw", "rate", "unrate"]
RATING_ACTIONS = ("rate", "unrate")


@dataclass(frozen=True)
class Decision:
    """
    One line of the list.

    Parameters
    ----------
    action
        ``accept`` or ``withdraw`` a result; ``freeze`` or ``thaw`` the study or a
        release, ``withdraw`` a release; ``rate`` a session or ``unrate`` it.
    author, reason
        Who decided it and why, without identity.
    when
        Moment in UTC, ISO 8601.
    asset, partition
        Which result; the partition is empty for one of the whole study, and the
        version for a release; both are empty for the study itself.
    data_version
        Content digest of the accepted result, of what was rated, or of a release.
    code_version
        Version of code and settings that would make it now.
    inputs_digest
        Digest of the versions of the inputs as they are now (`digest_inputs`).
    verdict
        ``pass`` or ``fail`` of a rating.
    """

    action: Action
    author: str
    reason: str
    when: str
    asset: str = ""
    partition: str = ""
    data_version: str = ""
    code_version: str = ""
    inputs_digest: str = ""
    verdict: str = ""

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(self.action)


@dataclass(frozen=True)
class Decisions:
    """
    All decisions about a study, oldest first.

    Parameters
    ----------
    steps
        The lines of the list.
    """

    steps: tuple[Decision, ...] = ()

    def accepts(
        self,
        asset: str,
        partition: str,
        made: Made,
        code_version: str,
        inputs: Mapping[str, str],
    ) -> str | None:
        """
        Return who lets a result count as current and why, or None.

        An acceptance ends by itself when the result, the code that would make it
        or a version of its inputs is another than at that time.

        Parameters
        ----------
        asset, partition
            Which result; the partition is empty for one of the whole study.
        made
            Its latest materialization.
        code_version, inputs
            Version of code, and of each input, as they are now.

        Examples
        --------
        >>> Decisions().accepts("motion", "sub-1_ses-1", Made("1", "d", {}), "2", {})
        """
        step = self._latest.get((asset, partition))
        if step is None or step.action != "accept":
            return None
        accepted = (step.data_version, step.code_version, step.inputs_digest)
        if accepted != (made.data_version, code_version, digest_inputs(inputs)):
            return None
        return f"accepted by {step.author}: {step.reason}"

    @property
    def frozen(self) -> str | None:
        """Who froze the study and why; None when it is not frozen."""
        step = self._latest.get(("", ""))
        if step is None or step.action != "freeze":
            return None
        return f"frozen by {step.author}: {step.reason}"

    def releases_in(self, action: Action) -> dict[str, Decision]:
        """Return the latest decision on each release, where it is `action`."""
        return {
            version: step
            for (asset, version), step in self._latest.items()
            if asset == RELEASE and step.action == action
        }

    @cached_property
    def _latest(self) -> dict[tuple[str, str], Decision]:
        return {
            (step.asset, step.partition): step
            for step in self.steps
            if step.action not in RATING_ACTIONS
        }


def digest_inputs(inputs: Mapping[str, str]) -> str:
    """Return one digest for the version of each input, whatever their order."""
    return digest_json(dict(inputs))


def read_decisions(home: Path, study: str) -> Decisions:
    """
    Return what was decided about a study; nothing when there is no list.

    Parameters
    ----------
    home
        The imaging home.
    study
        Name of the study.

    Raises
    ------
    BadInput
        A line is damaged; nothing counts as current by a guess.
    """
    try:
        lines = Home(home).decisions_file(study).read_text().splitlines()
    except FileNotFoundError:
        return Decisions()
    try:
        return Decisions(tuple(Decision(**json.loads(line)) for line in lines))
    except (ValueError, TypeError):
        raise BadInput(
            f"The list of decisions of {study} is damaged.",
            fix="Put decisions.jsonl beside the study file back from its backup; "
            "`imaging-platform audit` shows what was decided.",
        ) from None


def append_decision(home: Path, study: str, decision: Decision) -> None:
    """Add a line to the list of a study; a reader sees the old list or the new."""
    file = Home(home).decisions_file(study)
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.with_name("decisions.lock")):
        steps = (*read_decisions(home, study).steps, decision)
        lines = [json.dumps(dataclasses.asdict(s), sort_keys=True) for s in steps]
        write_text(file, "".join(f"{line}\n" for line in lines))


def refuse_frozen(home: Path, study: str) -> None:
    """
    Refuse to change anything of a frozen study.

    Raises
    ------
    Held
        It is frozen; the message says by whom and why.
    """
    if frozen := read_decisions(home, study).frozen:
        raise Held(
            f"Study {study} is {frozen}.",
            fix=f'imaging-platform thaw {study} --reason "..."',
        )
