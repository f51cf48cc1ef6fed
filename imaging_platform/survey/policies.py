"""What today's policy would make of the sessions that are published."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from imaging_platform.deid.gate import GateFacts
from imaging_platform.deid.inventory import Inventory
from imaging_platform.deid.policy import policy_digest
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.pipeline.names import POLICY_INPUT
from imaging_platform.planning.state import Made
from imaging_platform.provenance.record import Record
from imaging_platform.settings import Study
from imaging_platform.storage.store import Store


@dataclass(frozen=True)
class PolicyWatch:
    """
    Asks the policy of today about what a session held when it was published.

    Parameters
    ----------
    study
        The study.
    store
        Holds the records of its de-identified sessions.
    """

    study: Study
    store: Store

    def inputs(self, session: str, made: Made | None) -> dict[str, str]:
        """
        Return the policy as an input of ``anonymized_dicom``, as it is now.

        Parameters
        ----------
        session
            Partition key.
        made
            The latest materialization; nothing is read when it had no policy, or
            the one of today.

        Returns
        -------
        dict
            Empty when it cannot be told: no policy then, or no record now.
        """
        if made is None or POLICY_INPUT not in made.inputs:
            return {}
        if made.policy and self._version.startswith(made.policy):
            return {POLICY_INPUT: made.inputs[POLICY_INPUT]}
        record = self._read(session)
        if record is None or "inventory" not in record.report:
            return {}
        from imaging_platform.deid.outcome import outcome_digest

        settings = self.study.deid
        return {POLICY_INPUT: outcome_digest(*_held(record, settings))}

    def describe(self, session: str) -> str:
        """Return in words why the policy of today makes something else of it."""
        from imaging_platform.deid.outcome import describe_change

        record = self._read(session)
        if record is None:
            return "policy: there is no record of what the session held"
        inventory, settings, facts = _held(record, self.study.deid)
        try:
            before = DeidSettings.model_validate(record.report["options"])
        except ValueError:
            return "policy: made with options that this version does not have"
        return describe_change(inventory, before, settings, facts)

    @functools.cached_property
    def _version(self) -> str:
        return policy_digest(self.study.deid)

    def _read(self, session: str) -> Record | None:
        key = layout.anonymized_dicom(self.study.name, SessionKey.parse(session))
        return self.store.read(key)


def _held(
    record: Record, settings: DeidSettings
) -> tuple[Inventory, DeidSettings, tuple[GateFacts, ...]]:
    facts = tuple(map(GateFacts.from_dict, record.report["gate_facts"]))
    return Inventory.from_dict(record.report["inventory"]), settings, facts
