"""Whether a session has the series that the study's protocol expects of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imaging_platform.bids.acquisition import name_kind
from imaging_platform.bids.protocol import ProtocolSettings


@dataclass(frozen=True)
class Expectation:
    """
    How the series of a session differ from the protocol; nothing when they agree.

    Parameters
    ----------
    missing
        Kinds of which there are too few, with both numbers.
    unexpected
        Kinds of which there are too many, or that the protocol does not name, and
        series without a name.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """``incomplete``, ``unexpected``, or ``complete``; the first that holds."""
        if self.missing:
            return "incomplete"
        return "unexpected" if self.unexpected else "complete"


def compare_with_protocol(
    report: Mapping[str, Any],  # `ConversionReport` as its record holds it
    protocol: ProtocolSettings,
) -> Expectation:
    """
    Return how a converted session differs from the protocol.

    A study whose protocol names no series expects none, and finds none unexpected.
    Series that a rule leaves out are neither.

    Parameters
    ----------
    report
        `ConversionReport`, as a mapping.
    protocol
        What is expected.
    """
    if not protocol.series:
        return Expectation()
    counts = _count_kinds(report)
    found = [
        (sum(n for kind, n in counts.items() if each.matches(kind)), each)
        for each in protocol.series
    ]
    wrong = [
        (n < each.minimum, f"{each.scan}: {n}, expected {each.say_count()}")
        for n, each in found
        if not each.allows(n)
    ]
    strange = [
        f"{kind}: {n}, not in the protocol"
        for kind, n in sorted(counts.items())
        if not any(each.matches(kind) for each in protocol.series)
    ]
    nameless = [
        f"series {row['series_number']}: has no name"
        for row in report.get("series", [])
        if row["outcome"] == "unknown"
    ]
    return Expectation(
        missing=tuple(text for is_short, text in wrong if is_short),
        unexpected=(*(t for is_short, t in wrong if not is_short), *strange, *nameless),
    )


def _count_kinds(report: Mapping[str, Any]) -> Counter[str]:  # as its caller
    """Return how many converted images of each kind there are."""
    return Counter(
        name_kind(file.partition(".")[0])
        for row in report.get("series", [])
        for scan in row["scans"]
        if scan["outcome"] == "converted"
        for file in scan["files"]
        if file.endswith(".nii.gz")
    )
