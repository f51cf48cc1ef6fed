"""What stands in a session's folder once its decisions are carried out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imaging_platform.bids.decisions import Decision
from imaging_platform.bids.defaults import Conventions
from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.fieldmaps import link_fieldmaps
from imaging_platform.bids.metadata import build_sidecar
from imaging_platform.bids.outputs import Output
from imaging_platform.bids.rules import decide_session
from imaging_platform.files.digests import digest_json
from imaging_platform.model.ids import SessionKey

UNCLASSIFIED = "unclassified"
"""Folder of a session for what has no valid BIDS name yet; `.bidsignore` names it."""


@dataclass(frozen=True)
class Planned:
    """
    One image and what is to be written of it.

    Parameters
    ----------
    decision
        What it is.
    base
        Path below the session's folder without extension; empty when left out.
    sidecar
        Its sidecar; empty when left out.
    """

    decision: Decision
    base: str
    sidecar: Mapping[str, object]

    @property
    def digest(self) -> str:
        """
        Digest of what is made of the image, 16 hex digits.

        It covers name, sidecar, outcome and volume types, and the reason of an
        exclusion, which is all that is told of such a series. Other reasons,
        evidence and confidence are not in it: they change no file.
        """
        decision = self.decision
        reason = "" if self.base else decision.why
        types = decision.volume_types
        told = [decision.outcome, self.base, self.sidecar, types, reason]
        return digest_json(told)[:16]


def plan_session(
    outputs: Sequence[Output], *, key: SessionKey, settings: Conventions
) -> tuple[Planned, ...]:
    """Decide all images of a session and return what is written of each, in order."""
    decisions = decide_session(outputs, settings)
    return plan_images(outputs, decisions, key=key, settings=settings)


def plan_images(
    outputs: Sequence[Output],
    decisions: Sequence[Decision],
    *,
    key: SessionKey,
    settings: Conventions,
) -> tuple[Planned, ...]:
    """
    Return the path and the sidecar of each decided image.

    Parameters
    ----------
    outputs, decisions
        Of one session, in the same order.
    key
        Its subject and session.
    settings
        For what ties fieldmaps to scans.
    """
    images = [read_evidence(output) for output in outputs]
    links = link_fieldmaps(decisions, images, key=key, settings=settings)
    taken: set[str] = set()
    planned = []
    for position, (output, decision) in enumerate(zip(outputs, decisions, strict=True)):
        if decision.outcome == "excluded":
            planned.append(Planned(decision, "", {}))
            continue
        if decision.is_converted:
            base = f"{decision.datatype}/{decision.name(str(key))}"
        else:
            base = _unclassified_name(output, decision, key, taken)
            taken.add(base)
        sidecar = build_sidecar(decision, output) | links.get(position, {})
        planned.append(Planned(decision, base, sidecar))
    return tuple(planned)


def outcome_digest(planned: Sequence[Planned]) -> str:
    """Return 20 hex digits over what decisions make of a session's images."""
    return digest_json([one.digest for one in planned])[:20]


def _unclassified_name(
    output: Output, decision: Decision, key: SessionKey, taken: set[str]
) -> str:
    """Name an image by series number and description; never twice the same."""
    sidecar = output.sidecar
    words = str(sidecar.get("SeriesDescription") or sidecar.get("ProtocolName") or "")
    label = re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")[:60] or "series"
    suffix = decision.suffix or "unknown"
    base = f"{UNCLASSIFIED}/{key}_series-{sidecar.get('SeriesNumber', 0)}_{label}"
    name, count = f"{base}_{suffix}", 1
    while name in taken:
        count += 1
        name = f"{base}-{count}_{suffix}"
    return name
