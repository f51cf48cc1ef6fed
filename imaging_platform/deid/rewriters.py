"""Every rewriter of a header by the name that the lists give it."""

from __future__ import annotations

from typing import Protocol

from imaging_platform.deid import ge, siemens
from imaging_platform.deid.color import plain_profile
from imaging_platform.deid.values import Identity


class Rewriter(Protocol):
    """
    Parses a value and writes it anew with its technique only.

    It raises nothing whatever the bytes, and what it wrote it writes again the same.
    """

    def __call__(
        self, data: bytes, identifiers: Identity, *, keep_names: bool
    ) -> bytes | None:
        """Return the new value, None when the layout is not known."""
        ...


def _rewrite_ge_protocol(
    data: bytes, identifiers: Identity, *, keep_names: bool
) -> bytes | None:
    del keep_names  # It keeps no name in any case.
    return ge.rewrite_protocol(data, identifiers)


def _rewrite_ge_user_data(
    data: bytes, identifiers: Identity, *, keep_names: bool
) -> bytes | None:
    del identifiers, keep_names  # Only numbers at known places stay.
    return ge.rewrite_user_data(data)


def _replace_profile(data: bytes, identifiers: Identity, *, keep_names: bool) -> bytes:
    del data, identifiers, keep_names  # The same for every image.
    return plain_profile()


REWRITERS: dict[str, Rewriter] = {
    "ge_protocol": _rewrite_ge_protocol,
    "ge_user_data": _rewrite_ge_user_data,
    "icc_profile": _replace_profile,
    "siemens_csa": siemens.rewrite_csa,
    "siemens_protocol": siemens.rewrite_protocol,
}
"""Name in `data/private_reviewed.json` to what does it."""


def rewrite(
    name: str, value: bytes, identifiers: Identity, *, keep_names: bool
) -> bytes | None:
    """
    Return a vendor's value with its technique only.

    Parameters
    ----------
    name
        A key of `REWRITERS`.
    value
        The element's bytes, in the order of the file.
    identifiers
        Of the session; no text that echoes one stays.
    keep_names
        Whether the protocol's name may stay, cleaned.

    Returns
    -------
    bytes or None
        None when nothing of the value may stay.
    """
    return REWRITERS[name](value, identifiers, keep_names=keep_names)
