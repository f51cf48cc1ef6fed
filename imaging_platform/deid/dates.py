"""Moving dates by whole days (PS3.15 section E.3.6; PS3.5 section 6.2: DA, DT, TM)."""

from __future__ import annotations

import functools
import re
from datetime import date, timedelta

_DATE = re.compile(r"(\d{4})([-.]?)(\d{2})\2(\d{2})")
_MOMENT = re.compile(r"(\d{8})(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)")
_TIME = re.compile(r"\d{2}(:?\d{2}(:?\d{2}(\.\d{1,6})?)?)?")


@functools.lru_cache(maxsize=4096)
def shift_date(text: str, offset_days: int) -> str:
    """
    Return a DA value moved by whole days, empty when it is not a whole date.

    Parameters
    ----------
    text
        ``YYYYMMDD`` (also with points or dashes, as older files write it).
    offset_days
        Days, negative for the past.

    Examples
    --------
    >>> shift_date("20200301", -1)
    '20200229'
    """
    match = _DATE.fullmatch(text.strip("\0 "))
    if not match:
        return ""
    year, mark, month, day = match.groups()
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days=offset_days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04d}{mark}{moved.month:02d}{mark}{moved.day:02d}"


def shift_moment(text: str, offset_days: int) -> str:
    """
    Return a DT value with its date moved and its time kept; empty without a date.

    Examples
    --------
    >>> shift_moment("20200301120000.5+0100", -1)
    '20200229120000.5+0100'
    """
    match = _MOMENT.fullmatch(text.strip("\0 "))
    moved = shift_date(match.group(1), offset_days) if match else ""
    return moved + match.group(2) if match and moved else ""


def keep_time(text: str) -> str:
    """Return a TM value if it is a time of day, else an empty one."""
    text = text.strip("\0 ")
    return text if _TIME.fullmatch(text) else ""
