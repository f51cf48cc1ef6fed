"""Rules that stand in each other's way: shadowed ones, and names that meet."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imaging_platform.bids.planned import Planned
from imaging_platform.bids.settings import Condition, Scalar, StudyRule
from imaging_platform.bids.study_rules import STUDY, Test

_ANYTHING, _ONE_SIGN = "\0", "\1"


@dataclass(frozen=True)
class Meeting:
    """
    Series of one session to which rules of the study give the same name.

    Parameters
    ----------
    session
        Session key.
    name
        Path without subject, session, run and extension.
    series
        Numbers of the series.
    """

    session: str
    name: str
    series: tuple[int, ...]


def find_shadowed(rules: Mapping[int, StudyRule]) -> Iterator[tuple[int, int]]:
    """
    Yield (rule, earlier rule) where the earlier one decides all that the rule matches.

    Only what can be proved is told: an earlier test must cover each test of the
    rule on the same field.

    Parameters
    ----------
    rules
        Rules by their place in the study file.
    """
    ordered = sorted(rules)
    for position, late in enumerate(ordered):
        if not rules[late].decides:
            continue
        for early in ordered[:position]:
            if rules[early].decides and _covers_rule(rules[early], rules[late]):
                yield late, early
                break


def find_same_names(rules: Mapping[int, StudyRule]) -> Iterator[tuple[int, int]]:
    """Yield (rule, earlier rule) that give the same label with the same run."""
    seen: dict[tuple[object, ...], int] = {}
    for place in sorted(rules):
        rule = rules[place]
        if rule.suffix and "run" in rule.entities:
            name = (rule.datatype, rule.suffix, tuple(sorted(rule.entities.items())))
            if name in seen:
                yield place, seen[name]
            seen.setdefault(name, place)


def find_meetings(session: str, planned: Sequence[Planned]) -> Iterator[Meeting]:
    """
    Yield the names that rules of the study give to several series of a session.

    They are told apart by ``run`` in order of time; whether repetitions were meant
    only a person knows.

    Parameters
    ----------
    session
        Session key.
    planned
        What the rules make of its images.
    """
    found: dict[str, set[int]] = defaultdict(set)
    for one in planned:
        decision = one.decision
        if decision.rule == STUDY and decision.is_converted:
            labels = [f"{k}-{v}" for k, v in decision.entities.items() if k != "run"]
            name = "_".join([*labels, decision.suffix])
            number = one.sidecar.get("SeriesNumber")
            found[f"{decision.datatype}/{name}"].add(
                number if isinstance(number, int) else 0
            )
    for name, series in sorted(found.items()):
        if len(series) > 1:
            yield Meeting(session, name, tuple(sorted(series)))


def _covers_rule(wide: StudyRule, narrow: StudyRule) -> bool:
    return all(
        field in narrow.match and covers(test, narrow.match[field])
        for field, test in wide.match.items()
    )


def covers(wide: Test, narrow: Test) -> bool:
    """
    Tell whether a test holds for every value for which a narrower one holds.

    False where it cannot be proved.

    Examples
    --------
    >>> covers("*rest*", "rest_?"), covers("rest_?", "*rest*")
    (True, False)
    """
    if wide == narrow:
        return True
    return _covers(_normal(wide), _normal(narrow))


def _normal(test: Test) -> Condition:
    """Write every form of a test as one condition."""
    if isinstance(test, Condition):
        return test
    values = test if isinstance(test, tuple) else (test,)
    return Condition(any=values)


def _covers(wide: Condition, narrow: Condition) -> bool:
    if wide.absent or narrow.absent:
        return bool(wide.absent and narrow.absent)
    parts = [wide.regex is None or wide.regex == narrow.regex]
    if wide.glob is not None:
        parts.append(_within_values((wide.glob,), narrow))
    if wide.any:
        parts.append(_within_values(wide.any, narrow))
    if wide.minimum is not None or wide.maximum is not None:
        parts.append(_within_range(wide, narrow))
    return all(parts)


def _within_values(wide: Sequence[Scalar], narrow: Condition) -> bool:
    options: Sequence[Scalar] = narrow.any
    if narrow.glob is not None:
        options = (narrow.glob,)
    if not options:
        return "*" in wide
    return all(any(_value_covers(w, n) for w in wide) for n in options)


def _value_covers(wide: Scalar, narrow: Scalar) -> bool:
    if not isinstance(wide, str):
        return type(wide) is type(narrow) and wide == narrow
    if not isinstance(narrow, str):
        return wide == "*"
    if "[" in narrow or "[" in wide:
        return wide.lower() == narrow.lower()
    text = narrow.lower().replace("*", _ANYTHING).replace("?", _ONE_SIGN)
    # A ? of the wide pattern stands for one sign, never for a * of the narrow one.
    parts = {"*": ".*", "?": f"[^{_ANYTHING}]"}
    pattern = "".join(parts.get(sign, re.escape(sign)) for sign in wide.lower())
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def _within_range(wide: Condition, narrow: Condition) -> bool:
    low = wide.minimum if wide.minimum is not None else float("-inf")
    high = wide.maximum if wide.maximum is not None else float("inf")
    numbers = [n for n in narrow.any if isinstance(n, int | float)]
    if narrow.any:
        return len(numbers) == len(narrow.any) and all(
            low <= n <= high for n in numbers
        )
    least = narrow.minimum if narrow.minimum is not None else float("-inf")
    most = narrow.maximum if narrow.maximum is not None else float("inf")
    bounded = narrow.minimum is not None or narrow.maximum is not None
    return bounded and low <= least and most <= high
