"""
Days and numbers of people, as they stand in texts: found by their form.

No header says which number is a person's. A day has a form of its own, and a
telephone or patient number that is written in groups has more digits than any
chain of sizes, times and b-values.
"""

from __future__ import annotations

import re

_MONTHS = (
    r"(?<![A-Za-z])(?:jan(?:uary?)?|feb(?:ruary?)?|mar(?:ch)?|april?|may|june?|july?|"
    r"aug(?:ust)?|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?|mai|"
    r"juni|juli|maerz)(?![A-Za-z])"
)
_YEAR = r"(?:19|20)\d{2}"
_DATE_LIKE = re.compile(
    # Also beside other digits: with marks between them they are a day.
    rf"{_YEAR}(?P<dash>[-./])[01]\d(?P=dash)[0-3]\d|"
    r"(?<!\d)[0-3]?\d(?P<mark>[-/])[0-3]?\d(?P=mark)\d{2,4}|"
    r"[0-3]\d/[01]\d/\d{2,4}|"
    rf"(?<!\d)(?:{_YEAR}[-./_ ]?[01]\d[-./_ ]?[0-3]\d|"
    rf"[0-3]?\d[-./][01]?\d[-./]{_YEAR}|(?<!\.)[0-3]\d\.[01]\d\.\d{{2}}(?!\.)|"
    # What is left of a date whose month was written with other words.
    r"(?<!\.)[0-3]?\d[-./ ]{1,2}(?:19\d{2}|20[0-3][1-9])(?![-./]\d)|"
    rf"{_YEAR}[-./ ]?(?i:{_MONTHS})[-./ ]?\d{{1,2}}|"
    rf"(?<![A-Za-z])\d{{1,2}}[-./ ]{{0,2}}(?i:{_MONTHS})[-./, ]{{0,2}}"
    rf"(?:{_YEAR}|\d{{2}}(?:[, ]{{1,2}}{_YEAR})?)|"
    rf"(?i:{_MONTHS})[-./ ]{{1,2}}(?:{_YEAR}|\d{{1,2}}(?:[-./, ]{{1,2}}{_YEAR})?)"
    r")(?!\d)"
)
# Telephone numbers and numbers of people, as they are written in groups.
_CHAIN = re.compile(
    r"\+?(?<!\d)\d{1,5}(?:(?:[ ()/_-]{1,3}|\.)\d{1,5})+(?!\d)(?P<unit>(?=[A-Za-z]))?"
)
_DECIMAL = re.compile(r"(?<![\d.])\d+\.\d+(?![\d.])")
_DOTTED = re.compile(r"\d+(?:\.\d+)*")
_ROUND = re.compile(r"\d{1,3}[05]0")
_FEWEST_CHAINED_DIGITS = 7
_FEWEST_BEFORE_A_UNIT = 9


def tells_number(text: str, *, with_releases: bool = False) -> bool:
    """
    Return whether a text has a day, or a number that may be a person's.

    Parameters
    ----------
    text
        Plain ASCII.
    with_releases
        Whether numbers with points between them are those of a release.

    Examples
    --------
    >>> tells_number("14.02.1937"), tells_number("+49 341 99 40 2221")
    (True, True)
    >>> tells_number("555-123-4567Body"), tells_number("1937-02-142D")
    (True, True)
    >>> tells_number("0.8 0.8 0.8 256"), tells_number("b0 1000 2000")
    (False, False)
    """
    if _DATE_LIKE.search(text):
        return True
    return any(_is_long(chain, with_releases) for chain in _CHAIN.finditer(text))


def cut_numbers(text: str, *, with_releases: bool = False) -> str:
    """
    Return a text without what `tells_number` finds.

    Examples
    --------
    >>> cut_numbers("rest 0049-8812-77"), cut_numbers("rest 14/2/37")
    ('rest ', 'rest ')
    """

    def plain(match: re.Match[str]) -> str:
        return "" if _is_long(match, with_releases) else match[0]

    return _CHAIN.sub(plain, _DATE_LIKE.sub("", text))


def _is_long(match: re.Match[str], with_releases: bool) -> bool:
    """
    Return whether a chain of numbers has as many digits as a telephone number.

    Decimals and round numbers are sizes, times and b-values.
    """
    chain = match[0]
    if with_releases and _DOTTED.fullmatch(chain):
        return False
    groups = re.findall(r"\d+", _DECIMAL.sub("", chain))
    odd = [group for group in groups if not _ROUND.fullmatch(group)]
    is_before_unit = match["unit"] is not None
    fewest = _FEWEST_BEFORE_A_UNIT if is_before_unit else _FEWEST_CHAINED_DIGITS
    return sum(map(len, odd)) >= fewest
