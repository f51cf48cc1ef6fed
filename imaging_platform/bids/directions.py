"""Phase-encoding directions in the words of anatomy, from images and from names."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DIRECTION_WORDS = re.compile(
    r"(?:^|[^a-z]|dir|top-?up|rev|pe=?|blip)(ap|pa|lr|rl)(?:[^a-z]|$)"
    r"|(?:dir|pe)[-_=]?(si|is|hf|fh)(?:[^a-z]|$)"
    r"|(?:^|[^a-z])([aplr])(?:-|>+|to|_to_)([aplr])(?:[^a-z]|$)"
)
_PHILIPS_FAT_SHIFT = re.compile(r"(?:^|[^a-z])ap([ap])(?:[^a-z]|$)")
_DIRECTIONS = frozenset({"AP", "PA", "LR", "RL", "SI", "IS"})


def read_named_direction(name: str, *, philips: bool) -> str | None:
    """
    Return the direction that the name of a series claims; None without a claim.

    Parameters
    ----------
    name
        Description and protocol in lower case.
    philips
        True for Philips, whose users write foldover and fat shift as one: APP is AP
        with the fat shifted to P.

    Examples
    --------
    >>> read_named_direction("epi a>>p", philips=False)
    'AP'
    """
    shift = _PHILIPS_FAT_SHIFT.search(name) if philips else None
    if shift:
        return "AP" if shift.group(1) == "p" else "PA"
    found = _DIRECTION_WORDS.search(name)
    if not found:
        return None
    label = "".join(part for part in found.groups() if part).upper()
    label = label.translate(str.maketrans("HF", "SI"))
    return label if label in _DIRECTIONS else None


def read_axes(orientation: object) -> tuple[str, ...]:
    """
    Return to which side the first two axes of a converted image grow.

    Parameters
    ----------
    orientation
        Direction cosines of rows and columns (DICOM, ImageOrientationPatient);
        dcm2niix turns the columns round. Anything else gives no axes.

    Examples
    --------
    >>> read_axes([1, 0, 0, 0, 1, 0])
    ('L', 'A')
    """
    if not isinstance(orientation, list) or len(orientation) != 6:
        return ()
    if not all(isinstance(part, int | float) for part in orientation):
        return ()
    cosines = [float(part) for part in orientation]
    return (_side(cosines[:3]), _side([-part for part in cosines[3:]]))


def _side(cosines: Sequence[float]) -> str:
    axis = max(range(3), key=lambda n: abs(cosines[n]))
    return ("RL", "AP", "IS")[axis][cosines[axis] > 0]


def read_direction(phase_encoding: str, axis_codes: tuple[str, ...]) -> str | None:
    """
    Return the anatomical phase-encoding direction, from start to end.

    Parameters
    ----------
    phase_encoding
        ``i``, ``j`` or ``k``, with ``-`` when the axis runs backwards (BIDS,
        PhaseEncodingDirection).
    axis_codes
        Directions to which the axes grow.

    Examples
    --------
    >>> read_direction("j-", ("L", "A", "S"))
    'AP'
    """
    axis = {"i": 0, "j": 1, "k": 2}.get(phase_encoding[:1])
    if axis is None or len(axis_codes) <= axis:
        return None
    end = axis_codes[axis]
    start = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}.get(end)
    if start is None:
        return None
    return end + start if phase_encoding.endswith("-") else start + end
