"""What is known of the results of each session, and what they were made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imaging_platform.apps.edits import EDITS_INPUT, edits_version
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.model.rating import Rating
from imaging_platform.pipeline.names import (
    ANONYMIZED_DICOM,
    BIDS_SESSION,
    DROP_INDEX,
    RAW_SESSION,
    RELEASED_INPUT,
)
from imaging_platform.pipeline.stages import Per
from imaging_platform.planning.cells import Facts
from imaging_platform.planning.ratings import find_ratings
from imaging_platform.planning.state import Made, Node
from imaging_platform.provenance.record import ATTACHMENTS, EXISTING_DATASET
from imaging_platform.storage.proof import UNDER_WAY
from imaging_platform.survey.attempts import Attempts, read_attempts
from imaging_platform.survey.history import read_makings, read_members
from imaging_platform.survey.policies import PolicyWatch
from imaging_platform.survey.rules import RuleWatch
from imaging_platform.survey.site import Makings, Site


@dataclass(frozen=True)
class SessionLog:
    """
    What the event log says of the sessions of a study.

    Parameters
    ----------
    nodes
        The assets of a session, upstream first.
    made
        Latest materialization by asset and session.
    members
        Digest of the files of each session that came as DICOM.
    known
        The same of all sessions; of an imported one, of its content.
    attempts
        Latest attempts that made nothing.
    """

    nodes: Sequence[Node]
    made: Makings
    members: Mapping[str, str]
    known: Mapping[str, str]
    attempts: Attempts


def read_log(site: Site, session: str | None) -> SessionLog:
    """Return what the event log says of one session, or of all when None."""
    nodes = site.nodes(Per.SESSION)
    _check_gates(site.study.ratings.gates, [node.asset for node in nodes])
    study, only = site.study.name, None if session is None else [session]
    names = [node.asset for node in nodes]
    made = read_makings(site.database, study, names, only)
    members = read_members(site.database, study, session)
    known = {**find_imported(made[BIDS_SESSION]), **members}
    if session is not None:
        known = {key: digest for key, digest in known.items() if key == session}
    attempts = read_attempts(site.database, study, made, only)
    return SessionLog(nodes, made, members, known, attempts)


def gather_sessions(site: Site, log: SessionLog) -> Iterator[Facts]:
    """Yield what is known of the results of each session, sorted by session."""
    watches = (PolicyWatch(site.study, site.store), RuleWatch(site.study, site.store))
    holds = _read_holds(site)
    versions = {k: m.data_version for k, m in log.made[BIDS_SESSION].items() if k}
    ratings = find_ratings(site.decisions, versions)
    for key in sorted(log.known):
        current = {a: found[key] for a, found in log.made.items() if key in found}
        inputs = {
            asset: {
                parent: current[parent].data_version
                for parent in site.parents[asset]
                if parent in current
            }
            for asset in log.made
        }
        held = {asset: found[key] for asset, found in holds.items() if key in found}
        if key in log.members:
            _add_other_inputs(site, key, current, inputs, watches)
            inputs[RAW_SESSION] = {DROP_INDEX: log.members[key]}
        _add_edits(site, key, inputs)
        yield Facts(
            key,
            current,
            inputs,
            {a: found[key] for a, found in log.attempts.items() if key in found},
            {a: why for a, why in held.items() if why != UNDER_WAY},
            {a: why for a, why in held.items() if why == UNDER_WAY},
            gates=_find_gates(site, ratings.get(key)),
        )


def find_imported(made: Mapping[str | None, Made]) -> dict[str, str]:
    """
    Return the data version of each session whose latest BIDS tree was imported.

    Parameters
    ----------
    made
        Latest materialization of ``bids_session`` by session.
    """
    return {
        key: one.data_version
        for key, one in made.items()
        if key is not None and EXISTING_DATASET in one.inputs
    }


def _check_gates(gates: Sequence[str], names: Sequence[str]) -> None:
    """
    Refuse to gate what sessions do not have.

    Raises
    ------
    BadConfig
        The study file names such an asset.
    """
    unknown = sorted(set(gates).difference(names))
    if unknown:
        raise BadConfig(
            f"ratings.gates names {', '.join(unknown)}, which sessions do not have.",
            fix=f"Give some of: {', '.join(sorted(names))}.",
        )


def _find_gates(site: Site, rating: Rating | None) -> dict[str, str]:
    """Return what a person's verdict keeps from being made, with it in words."""
    if rating is None or rating.is_expired or rating.verdict != "fail":
        return {}
    return dict.fromkeys(site.study.ratings.gates, rating.sentence)


def _add_other_inputs(
    site: Site,
    key: str,
    current: Mapping[str, Made],
    inputs: dict[str, dict[str, str]],
    watches: tuple[PolicyWatch, RuleWatch],
) -> None:
    """Add what decides about a session and is no asset: policy, rules, people."""
    policy, rules = watches
    gated = current.get(ANONYMIZED_DICOM)
    inputs[ANONYMIZED_DICOM] |= policy.inputs(key, gated)
    inputs[BIDS_SESSION] |= rules.inputs(key, current.get(BIDS_SESSION))
    released = site.released
    if released is None:
        released = {key: gated.inputs.get(RELEASED_INPUT, "")} if gated else {}
    if released.get(key):
        inputs[ANONYMIZED_DICOM][RELEASED_INPUT] = released[key]
    place = layout.attachments(site.study.name, SessionKey.parse(key))
    brought = site.store.read(place)
    if brought is not None:
        inputs[BIDS_SESSION][ATTACHMENTS] = brought.data_version


def _add_edits(site: Site, key: str, inputs: dict[str, dict[str, str]]) -> None:
    """Add what people corrected by hand for an app of a session."""
    home, study = Home(site.store.root), site.study.name
    for app in site.study.apps:
        version = edits_version(home.edits(study, app.name, key))
        if version and app.level == "session":
            inputs[app.name][EDITS_INPUT] = version


def _read_holds(site: Site) -> dict[str, dict[str, str]]:
    """Return why a session is held, by asset and session."""
    study = site.study.name
    dicom, bids = layout.anonymized_dicoms(study), f"{layout.bids_dataset(study)}/"
    return {
        ANONYMIZED_DICOM: {
            place.removeprefix(dicom): why
            for place, why in site.store.held(dicom).items()
        },
        BIDS_SESSION: {
            place.removeprefix(bids).replace("/", "_"): why
            for place, why in site.store.held(bids).items()
        },
    }
