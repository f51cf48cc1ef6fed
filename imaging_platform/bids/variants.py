"""Groups of scans with the same parameters, and what stands out from them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imaging_platform.bids.acquisition import Found, Scan
from imaging_platform.bids.protocol import (
    PARAMETERS,
    ExpectedRange,
    ExpectedSeries,
    ProtocolSettings,
)

_SLACK = 1e-9
"""Two numbers that differ by the tolerance itself are equal, in spite of rounding."""


@dataclass(frozen=True)
class Variant:
    """
    The scans of one kind that were acquired alike.

    Parameters
    ----------
    kind
        Such as ``func/task-rest_bold``.
    number
        1 for the most frequent one.
    is_dominant
        True when more scans are of this variant than of any other.
    scans
        Its scans, by session and file.
    values
        The most frequent value of each parameter among them.
    """

    kind: str
    number: int
    is_dominant: bool
    scans: tuple[Scan, ...]
    values: Mapping[str, Found]

    def differs(self, other: Variant) -> list[str]:
        """Return the parameters in which two variants of a kind differ."""
        return [name for name in PARAMETERS if self.values[name] != other.values[name]]


@dataclass(frozen=True)
class Deviation:
    """
    One parameter of one scan that is not as it should be.

    Parameters
    ----------
    session, kind, file
        Which scan; the file is empty for one that is missing.
    against
        ``majority`` or ``protocol``.
    parameter
        One of `PARAMETERS`, or ``count``.
    expected, found
        In words, with their unit.
    """

    session: str
    kind: str
    file: str
    against: str
    parameter: str
    expected: str
    found: str


def find_variants(
    scans: Sequence[Scan], protocol: ProtocolSettings
) -> tuple[Variant, ...]:
    """
    Return the variants of each kind, the most frequent first.

    Values of a parameter that differ by no more than its tolerance from a more
    frequent one count as that. So small steps never chain to a large one, and
    neither order nor names of sessions matter.

    Parameters
    ----------
    scans
        Scans of any number of sessions.
    protocol
        For tolerances.
    """
    kinds: dict[str, list[Scan]] = defaultdict(list)
    for scan in scans:
        kinds[scan.kind].append(scan)
    return tuple(
        variant
        for kind in sorted(kinds)
        for variant in _variants_of(kind, kinds[kind], protocol)
    )


def find_deviations(
    sessions: Sequence[str],
    scans: Sequence[Scan],
    variants: Sequence[Variant],
    protocol: ProtocolSettings,
) -> tuple[Deviation, ...]:
    """
    Return what is not as the protocol says, or else as in most of the study.

    Parameters
    ----------
    sessions
        All converted sessions; one without a scan may lack what is expected.
    scans, variants
        Of the study (`find_variants`).
    protocol
        What is expected. A parameter that it gives for a kind is not compared with
        the majority.
    """
    found = [
        *_against_protocol(sessions, scans, protocol),
        *_against_majority(variants, protocol),
    ]
    return tuple(
        sorted(found, key=lambda d: (d.session, d.kind, d.file, d.against, d.parameter))
    )


def cluster_values(values: Sequence[Found], tolerance: float) -> dict[str, Found]:
    """
    Return, for each value in its written form, the value that stands for it.

    Parameters
    ----------
    values
        Values of one parameter, repeats included; their order does not matter.
    tolerance
        Largest difference from the value that stands for them.

    Examples
    --------
    >>> sorted(cluster_values([2.0, 2.0, 2.001, 2.5], 0.01).items())
    [('2.0', 2.0), ('2.001', 2.0), ('2.5', 2.5)]
    """
    counts = Counter(map(_written, values))
    by_text = {_written(value): value for value in values}
    ordered = sorted(counts, key=lambda t: (-counts[t], _rank(by_text[t]), t))
    anchors: list[Found] = []
    stands: dict[str, Found] = {}
    for text in ordered:
        value = by_text[text]
        near = next((a for a in anchors if is_equal(value, a, tolerance)), None)
        if near is None:
            anchors.append(value)
        stands[text] = value if near is None else near
    return stands


def is_equal(one: Found, other: Found, tolerance: float) -> bool:
    """Tell whether two values are equal within a tolerance, part by part."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        pairs = zip(one, other, strict=False)
        same = all(is_equal(a, b, tolerance) for a, b in pairs)
        return len(one) == len(other) and same
    numbers = (one, other)
    if any(isinstance(value, bool | str | tuple) or value is None for value in numbers):
        return one == other and type(one) is type(other)
    return abs(float(one) - float(other)) <= tolerance + _SLACK  # pyright: ignore[reportArgumentType] - both are numbers


def say_value(parameter: str, value: Found) -> str:
    """
    Return a value in words, with its unit.

    Examples
    --------
    >>> say_value("EchoTime", 0.03), say_value("VoxelSize", (3.0, 3.0, 3.3))
    ('0.03 s', '3 x 3 x 3.3 mm')
    """
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "given" if value else "not given"
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, tuple) else (value,)
    text = " x ".join(f"{part:.6g}" for part in parts)
    return f"{text} {PARAMETERS[parameter].unit}".strip()


def _variants_of(
    kind: str, scans: Sequence[Scan], protocol: ProtocolSettings
) -> Iterator[Variant]:
    stands = {
        name: cluster_values([s.values[name] for s in scans], protocol.tolerance(name))
        for name in PARAMETERS
    }
    groups: dict[str, list[Scan]] = defaultdict(list)
    values: dict[str, dict[str, Found]] = {}
    for scan in scans:
        own = {name: stands[name][_written(scan.values[name])] for name in PARAMETERS}
        text = json.dumps(own)
        groups[text].append(scan)
        values[text] = own
    ordered = sorted(groups, key=lambda text: (-len(groups[text]), text))
    sizes = [len(groups[text]) for text in ordered]
    for number, text in enumerate(ordered, start=1):
        alone = len(sizes) == 1 or sizes[0] > sizes[1]
        yield Variant(
            kind=kind,
            number=number,
            is_dominant=number == 1 and alone,
            scans=tuple(sorted(groups[text], key=lambda s: (s.session, s.file))),
            values=values[text],
        )


def _against_majority(
    variants: Sequence[Variant], protocol: ProtocolSettings
) -> Iterator[Deviation]:
    dominant = {one.kind: one for one in variants if one.is_dominant}
    for variant in variants:
        usual = dominant.get(variant.kind)
        if usual is None or usual is variant:
            continue
        given = _given(variant.kind, protocol)
        for parameter in variant.differs(usual):
            if parameter in given:
                continue
            for scan in variant.scans:
                yield Deviation(
                    session=scan.session,
                    kind=scan.kind,
                    file=scan.file,
                    against="majority",
                    parameter=parameter,
                    expected=say_value(parameter, usual.values[parameter]),
                    found=say_value(parameter, scan.values[parameter]),
                )


def _given(kind: str, protocol: ProtocolSettings) -> set[str]:
    """Return the parameters that the protocol gives for a kind."""
    return {
        parameter
        for expected in protocol.series
        if expected.matches(kind)
        for parameter in expected.parameters
    }


def _against_protocol(
    sessions: Sequence[str], scans: Sequence[Scan], protocol: ProtocolSettings
) -> Iterator[Deviation]:
    for expected in protocol.series:
        own = [s for s in scans if expected.matches(s.kind)]
        counts = Counter(scan.session for scan in own)
        for session in sessions:
            if not expected.allows(counts[session]):
                yield Deviation(
                    session=session,
                    kind=expected.scan,
                    file="",
                    against="protocol",
                    parameter="count",
                    expected=expected.say_count(),
                    found=str(counts[session]),
                )
        for scan in own:
            yield from _check_scan(scan, expected, protocol)


def _check_scan(
    scan: Scan, expected: ExpectedSeries, protocol: ProtocolSettings
) -> Iterator[Deviation]:
    for parameter, wanted in expected.parameters.items():
        found = scan.values[parameter]
        if isinstance(wanted, ExpectedRange):
            fits = _is_within(found, wanted)
            said = _say_range(parameter, wanted)
        else:
            value = tuple(map(float, wanted)) if isinstance(wanted, tuple) else wanted
            fits = is_equal(found, value, protocol.tolerance(parameter))
            said = say_value(parameter, value)
        if not fits:
            yield Deviation(
                session=scan.session,
                kind=scan.kind,
                file=scan.file,
                against="protocol",
                parameter=parameter,
                expected=said,
                found=say_value(parameter, found),
            )


def _is_within(found: Found, wanted: ExpectedRange) -> bool:
    if isinstance(found, bool | str | tuple) or found is None:
        return False
    low = wanted.minimum is None or found >= wanted.minimum - _SLACK
    return low and (wanted.maximum is None or found <= wanted.maximum + _SLACK)


def _say_range(parameter: str, wanted: ExpectedRange) -> str:
    low, high = wanted.minimum, wanted.maximum
    if low is None:
        return f"at most {say_value(parameter, high)}"
    if high is None:
        return f"at least {say_value(parameter, low)}"
    return f"{low:g} to {say_value(parameter, high)}"


def _written(value: Found) -> str:
    return json.dumps(value)


def _rank(value: Found) -> tuple[int, str, tuple[float, ...]]:
    """Return a total order of values of any kind."""
    if value is None:
        return (0, "", ())
    if isinstance(value, bool | str):
        return (1, str(value), ())
    return (2, "", value if isinstance(value, tuple) else (float(value),))
