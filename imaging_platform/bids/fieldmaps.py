"""Which fieldmap serves which scan: B0FieldIdentifier, B0FieldSource, IntendedFor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imaging_platform.bids.decisions import Decision
from imaging_platform.bids.defaults import Conventions
from imaging_platform.bids.evidence import Evidence
from imaging_platform.model.ids import SessionKey

_TARGETS = frozenset({"func/bold", "func/sbref", "dwi/dwi", "dwi/sbref", "perf/asl"})

_EPI_PAIR_S = 600.0
"""Two EPI fieldmaps of opposite direction belong together within this, in s."""


@dataclass(frozen=True)
class Estimator:
    """
    Images that together measure one field.

    Parameters
    ----------
    kind
        ``gre`` or ``epi``.
    members
        Positions of the images in the session.
    moment
        Start of the first image in s, None when unknown.
    shim
        Shim setting of the first image; empty when unknown.
    """

    kind: str
    members: tuple[int, ...]
    moment: float | None
    shim: tuple[float, ...]


def link_fieldmaps(
    decisions: Sequence[Decision],
    images: Sequence[Evidence],
    *,
    key: SessionKey,
    settings: Conventions,
) -> dict[int, dict[str, object]]:
    """
    Return the sidecar keys that tie fieldmaps to the scans that they serve.

    A scan takes the fieldmap with its own shim setting, or else, the nearest in
    time (an earlier one before a later one at the same distance). A single EPI
    fieldmap is completed by the scan of the opposite direction itself. Both the
    B0Field keys and IntendedFor are written (BIDS, fieldmaps): tools read either.

    Parameters
    ----------
    decisions, images
        Of one session, in the same order.
    key
        Its subject and session; they are part of every identifier.
    settings
        For the largest gap in time.

    Returns
    -------
    dict
        Position in the session to keys; positions without keys are left out.
    """
    estimators = find_estimators(decisions, images)
    added: dict[int, dict[str, object]] = defaultdict(dict)
    served: dict[int, list[int]] = defaultdict(list)
    names = _identifiers(estimators, key)
    for number, estimator in enumerate(estimators):
        for member in estimator.members:
            added[member]["B0FieldIdentifier"] = names[number]
    for position, decision in enumerate(decisions):
        label = f"{decision.datatype}/{decision.suffix}"
        if not decision.is_converted or label not in _TARGETS:
            continue
        chosen = _choose(images, position, estimators, settings)
        if chosen is not None:
            added[position]["B0FieldSource"] = names[chosen]
            served[chosen].append(position)
    for number, targets in served.items():
        _add_intended(estimators[number], targets, decisions, added, key)
        _complete_pair(estimators[number], targets, images, added, names[number])
    _calibrate(decisions, added, key)
    return dict(added)


def find_estimators(
    decisions: Sequence[Decision], images: Sequence[Evidence]
) -> list[Estimator]:
    """Group the fieldmap images of a session into sets that measure one field."""
    gre: dict[tuple[object, ...], list[int]] = defaultdict(list)
    epi: list[list[int]] = []
    for position, decision in enumerate(decisions):
        if not decision.is_converted or decision.datatype != "fmap":
            continue
        if decision.suffix == "epi":
            _join_pair(epi, position, images)
        elif decision.suffix.startswith(("magnitude", "phase", "fieldmap")):
            gre[tuple(decision.entities.items())].append(position)
    whole = [
        members
        for members in gre.values()
        if any(decisions[m].suffix.startswith(("phase", "fieldmap")) for m in members)
    ]
    found = [_estimator("gre", members, images) for members in whole]
    found += [_estimator("epi", members, images) for members in epi]
    return sorted(found, key=lambda e: (min(e.members), e.kind))


def _join_pair(epi: list[list[int]], position: int, images: Sequence[Evidence]) -> None:
    image = images[position]
    for members in epi:
        first = images[members[0]]
        directions = {images[m].text("PhaseEncodingDirection") for m in members}
        if (
            first.output.shape[:3] == image.output.shape[:3]
            and image.text("PhaseEncodingDirection") not in directions
            and _distance(first, image) <= _EPI_PAIR_S
            and first.number("EchoTime") == image.number("EchoTime")
            and _may_share_shim(first, image)
        ):
            members.append(position)
            return
    epi.append([position])


def _may_share_shim(one: Evidence, other: Evidence) -> bool:
    """Tell whether two images may have measured one field, not that of a new shim."""
    mine, theirs = _shim(one), _shim(other)
    return not (mine and theirs) or mine == theirs


def _distance(one: Evidence, other: Evidence) -> float:
    if one.moment is None or other.moment is None:
        return 0.0
    return abs(one.moment - other.moment)


def _estimator(
    kind: str, members: Sequence[int], images: Sequence[Evidence]
) -> Estimator:
    first = images[members[0]]
    return Estimator(kind, tuple(members), first.moment, _shim(first))


def _shim(image: Evidence) -> tuple[float, ...]:
    value = image.output.sidecar.get("ShimSetting")
    if not isinstance(value, list):
        return ()
    return tuple(float(part) for part in value if isinstance(part, int | float))


def _identifiers(estimators: Sequence[Estimator], key: SessionKey) -> list[str]:
    counts: dict[str, int] = defaultdict(int)
    names = []
    for estimator in estimators:
        counts[estimator.kind] += 1
        kind = "pepolar" if estimator.kind == "epi" else estimator.kind
        number = counts[estimator.kind]
        names.append(f"{kind}{number}_sub{key.subject}_ses{key.session}")
    return names


def _choose(
    images: Sequence[Evidence],
    position: int,
    estimators: Sequence[Estimator],
    settings: Conventions,
) -> int | None:
    image = images[position]
    ranked: list[tuple[tuple[object, ...], int]] = []
    for number, estimator in enumerate(estimators):
        gap = _gap(image, estimator)
        if abs(gap) > settings.maximum_fieldmap_gap_s:
            continue
        first = images[estimator.members[0]]
        shim = _shim(image)
        other_shim = not (shim and shim == estimator.shim)
        other_grid = estimator.kind == "epi" and (
            first.output.shape[:3] != image.output.shape[:3]
        )
        other_kind = estimator.kind == "epi" and (
            first.is_diffusion_sequence != image.is_diffusion_sequence
        )
        rank = (other_shim, other_kind, other_grid, abs(gap), gap > 0, number)
        ranked.append((rank, number))
    return min(ranked)[1] if ranked else None


def _gap(image: Evidence, estimator: Estimator) -> float:
    if image.moment is None or estimator.moment is None:
        return 0.0
    return estimator.moment - image.moment


def _add_intended(
    estimator: Estimator,
    targets: Sequence[int],
    decisions: Sequence[Decision],
    added: Mapping[int, dict[str, object]],
    key: SessionKey,
) -> None:
    paths = sorted(bids_uri(decisions[target], key) for target in targets)
    for member in estimator.members:
        if not decisions[member].suffix.startswith("magnitude"):
            added[member]["IntendedFor"] = list(paths)


def bids_uri(decision: Decision, key: SessionKey) -> str:
    """Return the BIDS URI of a decided image in the dataset itself."""
    folder = f"sub-{key.subject}/ses-{key.session}/{decision.datatype}"
    return f"bids::{folder}/{decision.name(str(key))}.nii.gz"


def _complete_pair(
    estimator: Estimator,
    targets: Sequence[int],
    images: Sequence[Evidence],
    added: Mapping[int, dict[str, object]],
    name: str,
) -> None:
    """Let scans of the opposite direction help a fieldmap that stands alone."""
    if estimator.kind != "epi" or len(estimator.members) != 1:
        return
    mine = images[estimator.members[0]].text("PhaseEncodingDirection")
    for target in targets:
        if images[target].text("PhaseEncodingDirection") != mine:
            added[target]["B0FieldIdentifier"] = name


def _calibrate(
    decisions: Sequence[Decision],
    added: dict[int, dict[str, object]],
    key: SessionKey,
) -> None:
    """Tie each M0 image to the nearest labelling series, or all it could serve."""
    series = [d for d in decisions if d.is_converted and d.suffix == "asl"]
    for position, decision in enumerate(decisions):
        if decision.is_converted and decision.suffix == "m0scan" and series:
            paths = sorted(bids_uri(one, key) for one in series)
            added[position]["IntendedFor"] = paths
