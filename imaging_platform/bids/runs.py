"""Which acquisitions are repeats: run- for equals, acq- for what differs in kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from imaging_platform.bids.drafts import GRE_PARTS, Draft, read_names
from imaging_platform.bids.labels import allowed_entities
from imaging_platform.bids.sidecar_values import is_allowed

_ABORTED_SHARE = 0.9
"""A run with less than this share of the volumes of its repeat was interrupted."""

_PLANES = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal"}


def separate_kinds(acquisitions: Sequence[Sequence[Draft]]) -> None:
    """
    Give acq- to structural images whose names collide although their kinds differ.

    A run repeats the same parameters (BIDS, run); a slab in another plane or a 2-D
    beside a 3-D encoding is another acquisition. What is equal in kind stays for run-.
    """
    groups: dict[tuple[object, ...], list[Sequence[Draft]]] = defaultdict(list)
    for members in acquisitions:
        first = members[0]
        if first.verdict.datatype == "anat" and "acq" not in first.entities:
            groups[_run_key(first)].append(members)
    for same in groups.values():
        for read in (_encoding, _plane):
            kinds = [read(members[0]) for members in same]
            if len(set(kinds)) > 1 and all(kinds):
                for members, kind in zip(same, kinds, strict=True):
                    _separate(members, kind)
                break


def _separate(members: Sequence[Draft], kind: str) -> None:
    for draft in members:
        if "acq" in allowed_entities(draft.verdict.datatype, draft.final_suffix):
            draft.entities.setdefault("acq", kind)


def _encoding(draft: Draft) -> str:
    kind = draft.image.text("MRAcquisitionType")
    return kind if is_allowed("MRAcquisitionType", kind) else ""


def _plane(draft: Draft) -> str:
    codes = draft.image.output.axis_codes
    if draft.image.is_volumetric or len(codes) < 3:
        return ""
    return _PLANES.get(codes[2], "sagittal")


def add_runs(acquisitions: Sequence[Sequence[Draft]]) -> None:
    """Number acquisitions whose names collide, in order of time."""
    ordered = sorted((a for a in acquisitions if a), key=lambda a: _position(a[0]))
    references = [a for a in ordered if a[0].final_suffix == "sbref"]
    others = [a for a in ordered if a[0].final_suffix != "sbref"]
    _number_collisions(others)
    _follow_runs(references, others)
    _number_collisions(references)
    _warn_of_aborted(others)


def _warn_of_aborted(ordered: Sequence[Sequence[Draft]]) -> None:
    """Say of a run that a longer one of the same name follows: it was interrupted."""
    longest_after: dict[tuple[object, ...], int] = {}
    for members in reversed(ordered):
        draft = members[0]
        mine = draft.image.output.volumes
        if draft.verdict.datatype not in {"func", "dwi", "perf"} or mine is None:
            continue
        protocol = (*_run_key(draft), draft.image.protocol)
        whole = longest_after.get(protocol, 0)
        if mine < _ABORTED_SHARE * whole:
            draft.warnings.append(
                f"Only {mine} volumes of {whole}, which a repeat with the same "
                "protocol has: probably interrupted."
            )
        longest_after[protocol] = max(mine, whole)


def _position(draft: Draft) -> tuple[float, float]:
    moment = draft.image.moment
    number = draft.image.number("SeriesNumber") or 0.0
    return (moment if moment is not None else 0.0, number)


def _number_collisions(acquisitions: Sequence[Sequence[Draft]]) -> None:
    groups: dict[tuple[object, ...], list[Sequence[Draft]]] = defaultdict(list)
    for members in acquisitions:
        groups[_run_key(members[0])].append(members)
    for same in groups.values():
        taken: set[str] = set()
        stated = [members[0].entities.get("run", "") for members in same]
        collide = any(
            read_names(a) & read_names(b) for i, a in enumerate(same) for b in same[:i]
        )
        if not collide:
            continue
        free = (str(n) for n in range(1, 10_000) if str(n) not in set(stated))
        for members, run in zip(same, stated, strict=True):
            number = run if run and run not in taken else next(free)
            taken.add(number)
            for draft in members:
                draft.entities["run"] = number
        _warn_of_renumbering(same, stated)


def _warn_of_renumbering(
    same: Sequence[Sequence[Draft]], stated: Sequence[str]
) -> None:
    for members, run in zip(same, stated, strict=True):
        given = members[0].entities["run"]
        if run and run != given:
            for draft in members:
                draft.warnings.append(
                    f"The name says run {run}, which is taken; this is run {given}."
                )


def _run_key(draft: Draft) -> tuple[object, ...]:
    loose = {"echo", "part", "rec", "inv", "run"}
    fixed = tuple(sorted((k, v) for k, v in draft.entities.items() if k not in loose))
    suffix = "gre" if draft.verdict.suffix in GRE_PARTS else draft.final_suffix
    return (draft.verdict.datatype, suffix, fixed)


def _follow_runs(
    references: Sequence[Sequence[Draft]], runs: Sequence[Sequence[Draft]]
) -> None:
    """Give a single-band reference the run number of the run that it precedes."""
    for members in references:
        draft = members[0]
        start = _position(draft)
        for run in runs:
            same = _compatible(draft.entities, run[0].entities)
            if (
                same
                and run[0].verdict.datatype == draft.verdict.datatype
                and _position(run[0]) >= start
            ):
                if number := run[0].entities.get("run"):
                    for each in members:
                        each.entities.setdefault("run", number)
                break


def _compatible(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    keys = ("task", "acq", "dir", "ce")
    return all(one.get(key) == other.get(key) for key in keys)
