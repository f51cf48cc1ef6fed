"""Patterns that a study gives: the time of a search is bounded before it begins."""

from __future__ import annotations

import importlib
import re
from typing import Any

MANY_WAYS = 1 << 40
"""Counting ends here; no limit is as large."""

_COUNTED_CHARACTERS = 64

# The parser of `re` has no public name since `sre_parse` was deprecated.
_parser = importlib.import_module("re._parser")


def count_ways(pattern: str, *, looking_around: bool) -> int:
    """
    Return in how many ways a pattern can match 64 characters, `MANY_WAYS` at most.

    A repeat of a repeat has very many ways, and so have many open repeats in a row;
    these are the patterns that a hostile value keeps busy.

    Parameters
    ----------
    pattern
        A regular expression of the module `re`.
    looking_around
        Whether ``(?=...)`` and ``(?!...)`` are allowed. References back never are.

    Raises
    ------
    ValueError
        It does not compile, or holds what is not allowed.

    Examples
    --------
    >>> count_ways("a[0-9]?", looking_around=False)
    2
    """
    try:
        return _ways(_parser.parse(pattern), looking_around)
    except (re.error, OverflowError, RecursionError):
        raise ValueError("the pattern is no regular expression") from None


def _ways(tree: Any, looking_around: bool) -> int:  # nodes of `re`
    ways = 1
    for operation, argument in tree:
        each = _ways_of(str(operation), argument, looking_around)
        ways = min(ways * each, MANY_WAYS)
    return ways


def _ways_of(operation: str, argument: Any, looking_around: bool) -> int:  # as `_ways`
    if operation in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"):
        return 1
    if operation == "BRANCH":
        return sum(_ways(branch, looking_around) for branch in argument[1])
    if operation == "SUBPATTERN":
        return _ways(argument[3], looking_around)
    if operation == "ATOMIC_GROUP":
        return _ways(argument, looking_around)
    if operation in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = argument
        least = min(int(least), _COUNTED_CHARACTERS)
        most = min(int(most), _COUNTED_CHARACTERS)
        return _ways_repeated(least, most, _ways(inner, looking_around))
    if operation in ("ASSERT", "ASSERT_NOT") and looking_around:
        return _ways(argument[1], looking_around)
    raise ValueError("a pattern does not look around or back")


def _ways_repeated(least: int, most: int, ways: int) -> int:
    total = 0
    for count in range(least, most + 1):
        total += ways**count
        if total > MANY_WAYS:
            return MANY_WAYS
    return max(total, 1)
