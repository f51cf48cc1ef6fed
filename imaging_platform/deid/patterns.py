"""Value patterns that a study gives: bounded in time before they are ever used."""

from __future__ import annotations

import functools
import re

from imaging_platform.model.patterns import count_ways

OWN_RULE = "own "
"""Begins the name of a rule that is a study's own pattern; the pattern follows."""

MAX_KEPT_CHARACTERS = 64
"""Longer components never stay by a study's own pattern (LO, PS3.5 section 6.2)."""

MAX_PATTERN_CHARACTERS = 200
MAX_WAYS = 100_000
"""Ways to match a value that a pattern may have: bounds the time of a search."""


def check_pattern(pattern: str) -> None:
    """
    Refuse a pattern that a hostile value could keep busy, or that is none.

    The number of ways in which the pattern can match 64 characters is counted: a
    repeat of a repeat has too many, and so have five open repeats in a row.

    Raises
    ------
    ValueError
        The pattern is empty, too long, not ASCII, does not compile, looks around
        or back, or has more than `MAX_WAYS` ways.
    """
    if not pattern or not pattern.isascii() or not pattern.isprintable():
        raise ValueError("a pattern is printable ASCII and not empty")
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise ValueError(f"a pattern has {MAX_PATTERN_CHARACTERS} characters at most")
    if count_ways(pattern, looking_around=False) > MAX_WAYS:
        raise ValueError(
            "the pattern repeats what already repeats, or repeats too often without "
            "a bound; give bounds such as {1,16}"
        )


def matches_own(rule: str, text: str) -> bool:
    """Return whether a whole component fits a study's own rule (`OWN_RULE`)."""
    return (
        len(text) <= MAX_KEPT_CHARACTERS
        and text.isascii()
        and _compiled(rule.removeprefix(OWN_RULE)).fullmatch(text) is not None
    )


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)
