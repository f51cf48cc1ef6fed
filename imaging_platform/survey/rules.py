"""What the BIDS rules of today would make of the sessions that are published."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from imaging_platform.bids.preview import describe_changes, preview_session
from imaging_platform.bids.stored import lens_digest, rules_version
from imaging_platform.model.ids import SessionKey
from imaging_platform.pipeline.evidence import read_stored
from imaging_platform.pipeline.names import RULES_INPUT
from imaging_platform.planning.state import Made
from imaging_platform.settings import Study
from imaging_platform.storage.store import Store


@dataclass(frozen=True)
class RuleWatch:
    """
    Asks the rules of today about what a session was when it was converted.

    Parameters
    ----------
    study
        The study.
    store
        Holds the facts of its converted sessions.
    """

    study: Study
    store: Store

    def inputs(self, session: str, made: Made | None) -> dict[str, str]:
        """
        Return the rules as an input of ``bids_session``, as they are now.

        Parameters
        ----------
        session
            Partition key.
        made
            The latest materialization; nothing is read while all that decides is
            as it was then.

        Returns
        -------
        dict
            Empty when it cannot be told: no rules then, or no facts now.
        """
        if made is None or RULES_INPUT not in made.inputs:
            return {}
        version = made.inputs[RULES_INPUT]
        if version.split(".")[0] == self._lens:
            return {RULES_INPUT: version}
        stored = read_stored(self.store, self.study.name, session)
        if stored is None:
            return {}
        key = SessionKey.parse(session)
        return {RULES_INPUT: rules_version(stored, key, self.study.bids)}

    def describe(self, session: str) -> str:
        """Return in words what the rules of today make otherwise of a session."""
        stored = read_stored(self.store, self.study.name, session)
        if stored is None:
            return "rules: there is no record of the images of this session"
        key = SessionKey.parse(session)
        return describe_changes(preview_session(stored, key, self.study.bids))

    @functools.cached_property
    def _lens(self) -> str:
        return lens_digest(self.study.bids)
