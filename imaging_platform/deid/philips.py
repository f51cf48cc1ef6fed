"""
Philips' diffusion numbers, which are one unit: all of them stay, or none.

Conversion takes b-value and direction from several private elements; with some of
them gone it pairs the numbers of one frame with those of another.
"""

from __future__ import annotations

Name = tuple[int, str, int]
"""Group, private creator in lower case, and low byte of the element."""

_IMAGING = "philips imaging dd 001"
_MR = "philips mr imaging dd 001"

DIFFUSION: frozenset[Name] = frozenset(
    [
        (0x2001, _IMAGING, 0x03),  # b-value
        *((0x2005, _MR, low) for low in range(0x10, 0x15)),
        (0x2005, _MR, 0xB0),  # direction, right to left
        (0x2005, _MR, 0xB1),  # anterior to posterior
        (0x2005, _MR, 0xB2),  # feet to head
    ]
)
"""The elements of the unit."""


def incomplete(present: frozenset[Name], kept: frozenset[Name]) -> frozenset[Name]:
    """
    Return what must go too, since a part of its unit has gone.

    Parameters
    ----------
    present
        Private elements of a data set or item.
    kept
        Those of them that are to stay.

    Returns
    -------
    frozenset
        A part of `kept`; empty when each unit is whole or absent.

    Examples
    --------
    >>> bvalue, right = (0x2001, _IMAGING, 0x03), (0x2005, _MR, 0xB0)
    >>> incomplete(frozenset([bvalue, right]), frozenset([bvalue])) == {bvalue}
    True
    >>> incomplete(frozenset([bvalue, right]), frozenset([bvalue, right]))
    frozenset()
    """
    lost = (present & DIFFUSION) - kept
    return kept & DIFFUSION if lost else frozenset()
