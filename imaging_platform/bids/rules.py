"""From the facts of a session to one decision an image: pure, ordered, explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imaging_platform.bids.anatomy import ANATOMY
from imaging_platform.bids.claims import SETTLED, is_counted, weigh
from imaging_platform.bids.decisions import Decision, Verdict, order_entities
from imaging_platform.bids.defaults import Conventions
from imaging_platform.bids.derived import DERIVED, DERIVED_OR_SCOUT
from imaging_platform.bids.diffusion import DIFFUSION
from imaging_platform.bids.drafts import Draft
from imaging_platform.bids.entities import name_drafts
from imaging_platform.bids.evidence import Evidence, Rule, Surroundings, read_evidence
from imaging_platform.bids.fields import FIELDS
from imaging_platform.bids.function import FUNCTION, is_single_band_reference
from imaging_platform.bids.metadata import find_missing_metadata
from imaging_platform.bids.outputs import Output
from imaging_platform.bids.perfusion import PERFUSION
from imaging_platform.bids.relaxometry import RELAXOMETRY, find_missing_of_set
from imaging_platform.bids.reproin import ReproinName, read_reproin_name
from imaging_platform.bids.study_rules import apply_study_rules, matches
from imaging_platform.bids.tomography import TOMOGRAPHY

BUILT_IN: tuple[Rule, ...] = (
    *TOMOGRAPHY,
    *DERIVED,
    *PERFUSION,
    is_single_band_reference,
    *DIFFUSION,
    *FIELDS,
    *FUNCTION,
    *RELAXOMETRY,
    *ANATOMY,
)
"""The built-in rules in the order in which they are asked."""

_SHOWN = (
    "SeriesDescription",
    "ImageType",
    "ScanningSequence",
    "SequenceName",
    "PulseSequenceDetails",
    "MRAcquisitionType",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
    "EchoNumber",
    "PhaseEncodingDirection",
)


@dataclass(frozen=True)
class _Judged:
    image: Evidence
    verdict: Verdict


def decide_session(
    outputs: Sequence[Output], settings: Conventions
) -> tuple[Decision, ...]:
    """
    Decide what each image of one session is and what it is called.

    Order: rules of the study, derived and positioning images, ReproIn names,
    built-in rules; then entities for the session as a whole; then the metadata
    that the standard requires. The guess of dcm2niix is recorded, never used.

    Parameters
    ----------
    outputs
        All images of the session, in order of time (`outputs.sort_key`).
    settings
        Rules and defaults of the study.

    Returns
    -------
    tuple of Decision
        One for each output, in the same order.
    """
    session = Surroundings([read_evidence(output) for output in outputs])
    judged = [
        _Judged(image, judge_image(image, session, settings))
        for image in session.images
    ]
    drafts = name_drafts(
        [
            Draft(image=j.image, verdict=j.verdict, entities=dict(j.verdict.entities))
            for j in judged
        ],
        settings,
    )
    decided = _add_calibration_type([_decide(draft) for draft in drafts])
    while True:
        held = [
            _hold_without_metadata(decision, draft.image, decided)
            for decision, draft in zip(decided, drafts, strict=True)
        ]
        if held == decided:
            return tuple(decided)
        # What is held may be the partner that another image requires: look again.
        decided = held


def judge_image(
    image: Evidence, session: Surroundings, settings: Conventions
) -> Verdict:
    """Return the first verdict on one image, or ``unknown``."""
    builtin = _ask_built_in(image, session, settings)
    own = [rule for rule in settings.rules if matches(rule, image)]
    return apply_study_rules(own, builtin)


def _ask_built_in(
    image: Evidence, session: Surroundings, settings: Conventions
) -> Verdict:
    answers = (rule(image, session) for rule in BUILT_IN)
    meant = next((answer for answer in answers if answer), None)
    named = read_reproin_name(image.text("ProtocolName")) or read_reproin_name(
        image.text("SeriesDescription")
    )
    if meant and meant.rule == "scanner_map" and settings.scanner_maps == "exclude":
        return replace(meant, outcome="excluded", datatype="", suffix="")
    if named:
        return _join_reproin(named, meant, image)
    if meant:
        return weigh(meant, image)
    return Verdict(
        rule="none",
        why="No rule fits this series.",
        confidence="low",
        outcome="unknown",
    )


def _join_reproin(
    named: ReproinName, meant: Verdict | None, image: Evidence
) -> Verdict:
    """Take names from ReproIn and parts that it cannot say from the evidence."""
    if meant and (meant.rule in DERIVED_OR_SCOUT or meant.outcome == "excluded"):
        return replace(meant, entities={**_shared(named), **meant.entities})
    default = {"func": "bold", "dwi": "dwi", "perf": "asl", "fmap": "epi"}
    same = meant is not None and meant.datatype == named.datatype
    suffix = named.suffix or default.get(named.datatype, "")
    refined = {"sbref", "m0scan", "UNIT1", "MP2RAGE", "TB1TFL"}
    if meant and same and (not named.suffix or meant.suffix in refined):
        suffix = meant.suffix
    if not suffix:
        return meant or Verdict("none", "No rule fits this series.", outcome="unknown")
    return Verdict(
        rule="reproin" if not meant or not same else f"reproin+{meant.rule}",
        why="The name follows ReproIn." + (f" {meant.why}" if meant and same else ""),
        datatype=named.datatype,
        suffix=suffix,
        entities={**(meant.entities if meant and same else {}), **named.entities},
        confidence=_confidence_of_name(meant, suffix, image),
    )


def _confidence_of_name(meant: Verdict | None, suffix: str, image: Evidence) -> str:
    """A convention that the physics confirm is certain; alone, it is a name."""
    if meant is None or meant.outcome != "converted":
        return "medium"
    if meant.rule in SETTLED:
        return meant.confidence
    confirmed = meant.suffix == suffix and is_counted(suffix, image)
    return "high" if confirmed else "medium"


def _shared(named: ReproinName) -> dict[str, str]:
    return {k: v for k, v in named.entities.items() if k in {"acq", "run", "ce"}}


def _decide(draft: Draft) -> Decision:
    image, verdict = draft.image, draft.verdict
    guess = image.output.sidecar.get("BidsGuess")
    opinion = ""
    if isinstance(guess, list) and len(guess) == 2:
        opinion = f"{guess[0]}/{str(guess[1]).rsplit('_', 1)[-1]}"
    return Decision(
        stem=image.output.stem,
        outcome=draft.outcome or verdict.outcome,
        datatype=verdict.datatype,
        suffix=draft.suffix or verdict.suffix,
        entities=order_entities(draft.entities),
        metadata={**draft.metadata, **verdict.metadata},
        volume_types=verdict.volume_types,
        why=draft.why or verdict.why,
        rule=verdict.rule,
        evidence=_shown_evidence(image),
        confidence=verdict.confidence,
        warnings=tuple(draft.warnings),
        second_opinion=opinion,
    )


def _add_calibration_type(decided: Sequence[Decision]) -> list[Decision]:
    """Say M0Type where the session or the volumes show it."""
    separate = any(d.is_converted and d.suffix == "m0scan" for d in decided)
    found = []
    for decision in decided:
        if decision.suffix == "asl" and "M0Type" not in decision.metadata:
            kind = "Separate" if separate else ""
            if "m0scan" in decision.volume_types:
                kind = "Included"
            added = {"M0Type": kind} if kind else {}
            decision = replace(decision, metadata={**added, **decision.metadata})
        found.append(decision)
    return found


def _shown_evidence(image: Evidence) -> tuple[str, ...]:
    shown = [f"{name}={text}" for name in _SHOWN if (text := image.text(name))]
    if image.output.shape:
        shown.append("shape=" + "x".join(map(str, image.output.shape)))
    if image.output.bvals:
        shown.append(f"largest b={max(image.output.bvals):g}")
    return tuple(shown)


def _hold_without_metadata(
    decision: Decision, image: Evidence, session: Sequence[Decision]
) -> Decision:
    if not decision.is_converted:
        return decision
    missing = find_missing_metadata(decision, image, session)
    missing += find_missing_of_set(decision.suffix, image, decision.metadata)
    if not missing:
        return decision
    return replace(
        decision,
        outcome="incomplete",
        why=f"{decision.why} BIDS also requires: {', '.join(missing)}.",
    )
