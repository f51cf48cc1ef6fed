"""Entities of all images of a session: task, dir, rec, echo, part and run."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from imaging_platform.bids.defaults import Conventions
from imaging_platform.bids.drafts import GRE_PARTS, Draft, read_names
from imaging_platform.bids.evidence import Evidence
from imaging_platform.bids.labels import allowed_entities
from imaging_platform.bids.runs import add_runs, separate_kinds
from imaging_platform.bids.tasks import read_task

SAME_ACQUISITION_S = 20.0
"""Images of one acquisition (echoes, phase, fieldmap parts) start within this."""

_ALWAYS_NUMBERED = frozenset({"MEGRE", "MESE"})
_RECONSTRUCTIONS = ("NORM", "DIS3D", "DIS2D", "ND", "FIL", "SM2")


def name_drafts(drafts: Sequence[Draft], settings: Conventions) -> list[Draft]:
    """
    Fill in the entities of every draft of a session, given in order of time.

    What a rule or a ReproIn name said already stays.
    """
    named = [draft for draft in drafts if draft.is_named]
    for draft in named:
        if draft.verdict.datatype == "func":
            draft.entities.setdefault("task", read_task(draft.image, settings))
    _add_directions(named)
    gre = [d for d in named if d.verdict.suffix in GRE_PARTS]
    sets = _cluster(gre, _fieldmap_identity)
    for members in sets:
        _name_fieldmap_parts(members)
    rest = [d for d in named if d.verdict.suffix not in GRE_PARTS]
    acquisitions = _cluster_by_series(rest)
    for members in acquisitions:
        _add_echo_part_rec(members)
    for draft in named:
        _drop_foreign_entities(draft)
    pieces = [p for members in [*sets, *acquisitions] for p in _split_twins(members)]
    separate_kinds(pieces)
    add_runs(pieces)
    return list(drafts)


def _drop_foreign_entities(draft: Draft) -> None:
    """Drop what the standard forbids in this name, such as dir- of a T1w."""
    allowed = allowed_entities(draft.verdict.datatype, draft.final_suffix)
    for key in sorted(set(draft.entities) - allowed):
        label = draft.entities.pop(key)
        draft.warnings.append(
            f"BIDS has no {key}- in the name of a {draft.final_suffix}: "
            f"{key}-{label} is left out."
        )


def _split_twins(members: Sequence[Draft]) -> list[list[Draft]]:
    """Part images that no entity may tell apart, so that run- can."""
    pieces: list[list[Draft]] = []
    counts: dict[tuple[object, ...], int] = defaultdict(int)
    for draft in members:
        name = next(iter(read_names([draft])))
        position = counts[name]
        counts[name] += 1
        if position == len(pieces):
            pieces.append([])
        pieces[position].append(draft)
    return pieces


def _add_directions(named: Sequence[Draft]) -> None:
    """Give dir- to diffusion and EPI fieldmaps, and to runs that differ in it."""
    runs = [d for d in named if d.verdict.datatype == "func"]
    differ = len({_direction(d) for d in runs} - {None}) > 1
    for draft in named:
        label = f"{draft.verdict.datatype}/{draft.final_suffix}"
        always = draft.verdict.datatype == "dwi" or label == "fmap/epi"
        if not always and not (differ and draft.verdict.datatype == "func"):
            continue
        direction = _direction(draft)
        measured = draft.image.direction
        claimed = draft.entities.get("dir") or draft.image.named_direction
        if measured and claimed and claimed.upper() != measured:
            draft.warnings.append(
                f"The name says direction {claimed}, the images say {measured}."
            )
        if direction:
            draft.entities.setdefault("dir", direction)


def _direction(draft: Draft) -> str | None:
    return draft.image.direction or draft.image.named_direction


def _timing(draft: Draft) -> tuple[object, ...]:
    image = draft.image
    return (image.number("EchoTime"), image.number("EchoNumber"))


def _fieldmap_identity(draft: Draft) -> tuple[object, ...]:
    computed = draft.verdict.suffix == "fieldmap"
    return (computed, draft.image.is_phase, *_timing(draft))


def _cluster(
    drafts: Iterable[Draft], identity: Callable[[Draft], tuple[object, ...]]
) -> list[list[Draft]]:
    """Group images that start together; a second of the same kind starts a group."""
    clusters: list[list[Draft]] = []
    seen: set[tuple[object, ...]] = set()
    for draft in drafts:
        kind = identity(draft)
        if clusters and kind not in seen and _together(clusters[-1][0], draft):
            clusters[-1].append(draft)
            seen.add(kind)
        else:
            clusters.append([draft])
            seen = {kind}
    return clusters


def _together(first: Draft, draft: Draft) -> bool:
    start, moment = first.image.moment, draft.image.moment
    if start is None or moment is None:
        return first.image.protocol == draft.image.protocol
    return abs(moment - start) <= SAME_ACQUISITION_S


def _cluster_by_series(drafts: Sequence[Draft]) -> list[list[Draft]]:
    by_name: dict[tuple[object, ...], list[Draft]] = defaultdict(list)
    for draft in drafts:
        by_name[_stem(draft)].append(draft)
    clusters: list[list[Draft]] = []
    for members in by_name.values():
        clusters.extend(_cluster(members, _identity))
    return clusters


def _stem(draft: Draft) -> tuple[object, ...]:
    loose = {"echo", "part", "rec", "inv"}
    fixed = tuple(sorted((k, v) for k, v in draft.entities.items() if k not in loose))
    return (draft.verdict.datatype, draft.final_suffix, fixed, draft.image.protocol)


def _identity(draft: Draft) -> tuple[object, ...]:
    image = draft.image
    return (
        *_timing(draft),
        _part(image),
        image.number("InversionTime"),
        tuple(sorted(image.image_type)),
    )


def _part(image: Evidence) -> str:
    if image.is_phase:
        return "phase"
    if "IMAGINARY" in image.image_type:
        return "imag"
    if "REAL" in image.image_type and not {"M", "MAGNITUDE"} & image.image_type:
        return "real"
    return "mag"


def _combines_echoes(image: Evidence) -> bool:
    """Tell whether the scanner made one image of all echoes: their root mean square."""
    named = image.has_word(r"(^|[^a-z])rms([^a-z]|$)")
    return named or bool({"MEAN", "RMS"} & image.image_type)


def _add_echo_part_rec(members: Sequence[Draft]) -> None:
    single = [d for d in members if not _combines_echoes(d.image)]
    echoes = _number_echoes(single)
    parts = {_part(d.image) for d in members}
    for draft in members:
        part = _part(draft.image)
        allowed = allowed_entities(draft.verdict.datatype, draft.final_suffix)
        stated = int(draft.image.number("EchoNumber") or 1)
        if draft not in single:
            if len(echoes) > 1:
                draft.entities.setdefault("rec", "rms")
        elif len(echoes) > 1 and "echo" in allowed:
            number = echoes[draft.image.number("EchoTime") or 0.0]
            draft.entities.setdefault("echo", str(number))
        elif draft.final_suffix in _ALWAYS_NUMBERED or (
            stated > 1 and draft.verdict.datatype == "func"
        ):
            draft.entities.setdefault("echo", str(stated))
        if "part" in allowed and (len(parts) > 1 or part != "mag"):
            draft.entities.setdefault("part", part)
            if part == "phase":
                draft.metadata.setdefault("Units", "arbitrary")
    if len(members) > 1:
        _add_reconstructions(members)


def _number_echoes(members: Sequence[Draft]) -> dict[float, int]:
    """
    Return the number of each echo time, as the scanner counts or else by place.

    Where an echo is lost, the scanner's own numbers keep the others as they are.
    """
    stated: dict[float, set[int]] = defaultdict(set)
    for draft in members:
        number = int(draft.image.number("EchoNumber") or 1)
        stated[draft.image.number("EchoTime") or 0.0].add(number)
    times = sorted(stated)
    numbers = [max(stated[time]) for time in times]
    rising = all(a < b for a, b in itertools.pairwise(numbers))
    if rising and all(len(said) == 1 for said in stated.values()):
        return dict(zip(times, numbers, strict=True))
    return {time: place for place, time in enumerate(times, start=1)}


def _add_reconstructions(members: Sequence[Draft]) -> None:
    """Tell copies of one acquisition apart by the filters that ImageType names."""
    copies: dict[tuple[object, ...], list[Draft]] = defaultdict(list)
    for draft in members:
        copies[tuple(sorted(draft.entities.items()))].append(draft)
    for same in copies.values():
        if len(same) < 2:
            continue
        for token in _RECONSTRUCTIONS:
            having = [d for d in same if token in d.image.image_type]
            if 0 < len(having) < len(same):
                for draft in same:
                    has = token in draft.image.image_type
                    label = token.lower() if has else f"no{token.lower()}"
                    draft.entities.setdefault("rec", label)
                break


def _name_fieldmap_parts(members: Sequence[Draft]) -> None:
    """Tell magnitude1, magnitude2, phasediff, phase1, phase2 and fieldmap apart."""
    for draft in members:
        if draft.verdict.rule == "study":
            return
    computed = [d for d in members if d.verdict.suffix == "fieldmap"]
    phases = [d for d in members if d.image.is_phase and d not in computed]
    magnitudes = [d for d in members if d not in phases and d not in computed]
    by_echo = sorted(magnitudes, key=lambda d: d.image.number("EchoTime") or 0.0)
    for position, draft in enumerate(by_echo):
        number = _echo_number(draft, position, alone=len(by_echo) == 1)
        draft.suffix = "magnitude" if computed else f"magnitude{number}"
    if len(phases) == 1 and not computed:
        _name_single_phase(phases[0], by_echo)
    else:
        ordered = sorted(phases, key=lambda d: d.image.number("EchoTime") or 0.0)
        for position, draft in enumerate(ordered):
            draft.suffix = f"phase{min(position + 1, 2)}"


def _echo_number(draft: Draft, position: int, *, alone: bool) -> int:
    """Number an echo by its place; one that stands alone, by what it says itself."""
    stated = draft.image.number("EchoNumber")
    return min(int(stated) if alone and stated else position + 1, 2)


def _name_single_phase(phase: Draft, magnitudes: Sequence[Draft]) -> None:
    phase.suffix = "phasediff"
    if _is_phase_of_one_echo(phase, magnitudes):
        phase.suffix = f"phase{_echo_number(phase, 0, alone=True)}"
        return
    if phase.image.number("EchoTime1") is None and len(magnitudes) >= 2:
        first, second = (d.image.number("EchoTime") for d in magnitudes[:2])
        # The scanner wrote one phase image for two echoes: it is their difference.
        if first and second and first != second:
            phase.metadata.update({"EchoTime1": first, "EchoTime2": second})


def _is_phase_of_one_echo(phase: Draft, magnitudes: Sequence[Draft]) -> bool:
    """
    Tell a phase image of one echo from a difference of two.

    A sequence made for fieldmaps writes the difference; any other one writes each
    phase, of which the partner may be lost.
    """
    image = phase.image
    stated = image.number("EchoTime1") is not None
    made_for_it = image.has_sequence(r"fm[23]d|(.*_)?field_?map")
    return not (stated or made_for_it or len(magnitudes) > 1 or not image.sequence)
