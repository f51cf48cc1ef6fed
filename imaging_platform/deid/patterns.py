"""Value patterns that a study gives: bounded in time before they are ever used."""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

OWN_RULE = "own "
"""Begins the name of a rule that is a study's own pattern; the pattern follows."""

MAX_KEPT_CHARACTERS = 64
"""Longer components never stay by a study's own pattern (LO, PS3.5 section 6.2)."""

MAX_PATTERN_CHARACTERS = 200
MAX_WAYS = 100_000
"""Ways to match a value that a pattern may have: bounds the time of a search."""

# The parser of `re` has no public name since `sre_parse` was deprecated.
_parser = importlib.import_module("re._parser")


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
    try:
        ways = _ways(_parser.parse(pattern))
    except (re.error, OverflowError, RecursionError):
        raise ValueError("the pattern is no regular expression") from None
    if ways > MAX_WAYS:
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


def _ways(tree: Any) -> int:  # nodes of the parser of `re`
    ways = 1
    for operation, argument in tree:
        ways = min(ways * _ways_of(str(operation), argument), MAX_WAYS + 1)
    return ways


def _ways_of(operation: str, argument: Any) -> int:  # as `_ways`
    if operation in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"):
        return 1
    if operation == "BRANCH":
        return sum(map(_ways, argument[1]))
    if operation == "SUBPATTERN":
        return _ways(argument[3])
    if operation == "ATOMIC_GROUP":
        return _ways(argument)
    if operation in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = argument
        return _ways_repeated(int(least), min(int(most), 64), _ways(inner))
    raise ValueError("a pattern does not look around or back")


def _ways_repeated(least: int, most: int, ways: int) -> int:
    total = 0
    for count in range(least, most + 1):
        total += ways**count
        if total > MAX_WAYS:
            return MAX_WAYS + 1
    return max(total, 1)
