"""Words of a command in which placeholders stand for folders, labels and settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from imaging_platform.model.errors import BadConfig

Value = str | int | float | bool | None | Sequence[str | int | float]

PLACEHOLDERS: Mapping[str, str] = {
    "bids_dir": "the BIDS dataset with what the app may read",
    "out_dir": "the folder into which the app writes",
    "work_dir": "a folder for intermediate files; gone afterwards",
    "subject": "label of the subject, without `sub-`",
    "session": "label of the session, without `ses-`",
    "cpus": "processors that the app may use",
    "memory_gb": "memory that it may use, in whole GB",
    "licence": "the licence file",
}
"""What may stand in braces, beside ``params.<name>``."""

PARAMS = "params."
_BRACES = re.compile(r"\{([A-Za-z_][\w.]*)\}")


def find_placeholders(words: Iterable[str]) -> Iterator[str]:
    """
    Yield the names of the placeholders of some words.

    Examples
    --------
    >>> list(find_placeholders(["{bids_dir}", "--cpus={cpus}", "{}"]))
    ['bids_dir', 'cpus']
    """
    for word in words:
        yield from _BRACES.findall(word)


def fill_words(words: Sequence[str], values: Mapping[str, Value]) -> list[str]:
    """
    Return the words of a command with values in place of placeholders.

    A value stays one word, whatever is in it. A word that is nothing but a
    placeholder becomes as many words as a list has items, and none when the value
    is empty, false or absent (None).

    Parameters
    ----------
    words
        The template.
    values
        By name of placeholder.

    Raises
    ------
    BadConfig
        There is no value of that name.

    Examples
    --------
    >>> fill_words(["{params.x}", "-n{cpus}"], {"params.x": ["a b", 1], "cpus": 2})
    ['a b', '1', '-n2']
    >>> fill_words(["run", "{params.flag}"], {"params.flag": ""})
    ['run']
    """
    filled: list[str] = []
    for word in words:
        whole = _BRACES.fullmatch(word)
        if whole:
            filled += _as_words(_look_up(whole.group(1), values))
        else:
            filled.append(fill_text(word, values))
    return filled


def fill_text(text: str, values: Mapping[str, Value]) -> str:
    """
    Return one text with values in place of placeholders.

    Raises
    ------
    BadConfig
        There is no value of that name.
    """
    return _BRACES.sub(
        lambda found: " ".join(_as_words(_look_up(found.group(1), values))), text
    )


def _look_up(name: str, values: Mapping[str, Value]) -> Value:
    if name not in values:
        raise BadConfig(
            f"The command holds {{{name}}}, for which there is no value.",
            fix=f"Write one of: {', '.join(values)}.",
        )
    return values[name]


def _as_words(value: Value) -> list[str]:
    if value is None or value is False or value == "":
        return []
    if value is True:
        return ["true"]
    if isinstance(value, str | int | float):
        return [str(value)]
    return [str(item) for item in value]
