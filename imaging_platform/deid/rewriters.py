"""The makers' own formats that are parsed and written anew, by name."""

from __future__ import annotations

from collections.abc import Callable

from imaging_platform.deid import ge, siemens

Rewriter = Callable[..., bytes | None]

REWRITERS: dict[str, Rewriter] = {
    "siemens_csa": siemens.rewrite_csa,
    "siemens_protocol": siemens.rewrite_protocol,
    "ge_protocol": lambda data, identifiers, keep_names: ge.rewrite_protocol(
        data, identifiers
    ),
    "ge_user_data": lambda data, identifiers, keep_names: ge.rewrite_user_data(data),
}


def rewrite(
    name: str, value: bytes, identifiers: object, *, keep_names: bool
) -> bytes | None:
    """Return what stays of a value; None when nothing may."""
    return REWRITERS[name](value, identifiers, keep_names=keep_names)
