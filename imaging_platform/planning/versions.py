"""What in a code version changed: the code, a setting, a tool, a notebook."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from imaging_platform.planning.reasons import Reason


@functools.lru_cache(maxsize=1024)
def explain_version(
    parts: tuple[str, ...], before: str, after: str
) -> tuple[Reason, ...]:
    """
    Return a reason for each part of a code version that changed.

    Parameters
    ----------
    parts
        What stands between the dots, from the left: a kind, and after a blank the
        name of the setting or tool. The last part may hold dots itself.
    before, after
        The versions; equal ones have no reason.

    Examples
    --------
    >>> parts = ("code", "tool dcm2niix")
    >>> [r.sentence for r in explain_version(parts, "3.v1.0.1", "3.v1.0.2")]
    ['tool changed: dcm2niix v1.0.1 to v1.0.2']
    """
    if before == after:
        return ()
    old, new = split_version(parts, before), split_version(parts, after)
    if len(old) != len(parts) or len(new) != len(parts):
        # Made by a release that composed the version in another way.
        return (_explain_part("code", before, after),)
    return tuple(
        _explain_part(part, one, other)
        for part, one, other in zip(parts, old, new, strict=True)
        if one != other
    )


def split_version(parts: Sequence[str], version: str) -> list[str]:
    """Return the parts of a code version, as many as it has and at most all."""
    return version.split(".", len(parts) - 1)


def _explain_part(part: str, before: str, after: str) -> Reason:
    kind, _, name = part.partition(" ")
    words = {
        "parameter": f"settings changed: {name} in the study file, {before} to {after}",
        "tool": f"tool changed: {name} {before} to {after}",
        "notebook": f"template notebook changed: {before} to {after}",
    }
    sentence = words.get(kind, f"code changed: {before} to {after}")
    return Reason(kind, sentence, before, after)
