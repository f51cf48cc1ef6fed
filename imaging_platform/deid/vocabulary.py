"""
Telling words of technique from names: a closed vocabulary, and what may stand beside.

No header says which word is a name. So a word stays only if the reviewed list
(`data/words.json`) has it, whole or as parts written together; of letters that no
list explains a word may have one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

from imaging_platform.deid.tables import load_table

MAX_UNKNOWN_LETTERS = 1
"""Of a word: as many letters as it may have that no list knows."""

MAX_DIGITS = 4
"""Of a run: more are a number of a person, an order or a day."""

_ABBREVIATIONS = "abbreviations"
_ABBREVIATION_LETTERS = 3
_FEW_DIGITS = 3
_WORD = re.compile(r"[A-Za-z0-9]+")
_RUN = re.compile(r"[A-Za-z]+|\d+")
# PS3.16 annex D.
_DICOM_CODE = re.compile(r"1[0-3]\d{4}")
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def is_technical(text: str) -> bool:
    """
    Return whether each word of a text is technique, numbers included.

    Examples
    --------
    >>> is_technical("HeadNeck_64"), is_technical("T1w 3D 0.8mm")
    (True, True)
    >>> is_technical("DOEJANE"), is_technical("John Doe"), is_technical("MRN12345")
    (False, False, False)
    """
    return not any(
        unknown_letters(word) > MAX_UNKNOWN_LETTERS or is_common_name(word)
        for word in _WORD.findall(text)
    )


@functools.lru_cache(maxsize=1 << 16)
def unknown_letters(word: str) -> int:
    """
    Return how many letters of a word of letters and digits no list explains.

    More than `MAX_UNKNOWN_LETTERS` also for a word with too many digits.

    Examples
    --------
    >>> unknown_letters("ep2d"), unknown_letters("MB3"), unknown_letters("Smith")
    (0, 0, 5)
    >>> unknown_letters("A1234567") > MAX_UNKNOWN_LETTERS
    True
    """
    if word.lower() in known_words():
        return 0
    runs = _RUN.findall(word)
    digits = [run for run in runs if run.isdigit()]
    if any(len(run) > MAX_DIGITS for run in digits):
        return MAX_UNKNOWN_LETTERS + 1
    n_digits = sum(map(len, digits))
    open_runs = [run for run in runs if not run.isdigit() and not is_known(run)]
    if 0 < n_digits <= _FEW_DIGITS:
        # As d is of ep2d1, and V of V4.3.
        open_runs = [run for run in open_runs if len(run) > 1]
    return sum(map(len, open_runs))


@functools.lru_cache(maxsize=1 << 16)
def is_known(run: str) -> bool:
    """
    Return whether a run of letters is a word of the list, or several of them.

    Examples
    --------
    >>> is_known("SocialDoors"), is_known("FIELDMAPSE"), is_known("Oldewelt")
    (True, True, False)
    """
    lower, words = run.lower(), _joinable_words()
    if lower in known_words():
        return True
    # A plural, and a letter typed twice.
    if len(lower) > MAX_DIGITS and lower[-1] in "s" + lower[-2] and lower[:-1] in words:
        return True
    parts = _CAMEL.findall(run)
    if len(parts) > 1 and all(_is_part(part, words) for part in parts):
        return any(len(part) >= _ABBREVIATION_LETTERS for part in parts)
    return len(lower) <= 24 and _is_joined(lower)


def is_known_word(word: str) -> bool:
    """Return whether a word of letters and digits has letters, all of a list."""
    return not word.isdigit() and unknown_letters(word) == 0


def is_known_code(value: str) -> bool:
    """
    Return whether a coded value is one of PS3.16's, a unit, or too short to tell.

    Examples
    --------
    >>> is_known_code("113100"), is_known_code("88412345"), is_known_code("mm")
    (True, False, True)
    """
    if value in _known_codes() or _DICOM_CODE.fullmatch(value):
        return True
    return len(value) <= MAX_DIGITS + 1 and is_technical(value)


@functools.lru_cache(maxsize=1 << 16)
def is_common_name(word: str) -> bool:
    """
    Return whether a word of an abbreviation's length is a common name.

    Also one that a number stands before or behind.

    Examples
    --------
    >>> is_common_name("Ng"), is_common_name("T2Ng"), is_common_name("ng2d")
    (True, True, True)
    >>> is_common_name("Angio")
    False
    """
    runs = _RUN.findall(word.lower())
    return not _names().isdisjoint(runs)


@functools.cache
def known_words() -> frozenset[str]:
    """Return the reviewed words of technique, lower case."""
    return _joinable_words() | frozenset(_groups()[_ABBREVIATIONS])


@functools.cache
def _joinable_words() -> frozenset[str]:
    """Return the words that also stand as parts: of abbreviations all is made."""
    groups = _groups().items()
    return frozenset(
        word for name, group in groups if name != _ABBREVIATIONS for word in group
    )


def _groups() -> Mapping[str, Sequence[str]]:
    return load_table("words.json")["words"]


@functools.cache
def _known_codes() -> frozenset[str]:
    meanings = load_table("code_meanings.json")["meanings"]
    return frozenset(name.split(",", 1)[1] for name in meanings) | {"UNKNOWN"}


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(load_table("words.json")["names"])


def _is_part(part: str, words: frozenset[str]) -> bool:
    return part.lower() in words or len(part) == 1


def _is_joined(text: str) -> bool:
    """Return whether a text is a long word of the list and others, of 3 letters."""
    words = _joinable_words()
    # Where a word may end, and whether one of those before it was long.
    reached = {(0, False)}
    for start in range(len(text)):
        for was_long in (False, True):
            if (start, was_long) not in reached:
                continue
            for end in range(start + 3, len(text) + 1):
                if text[start:end] in words:
                    is_long = was_long or end - start > _ABBREVIATION_LETTERS
                    reached.add((end, is_long))
    return (len(text), True) in reached
