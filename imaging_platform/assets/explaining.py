"""Turning what went wrong into what Dagster shows, without a word of identity."""

from __future__ import annotations

import contextlib
import logging
import traceback
import warnings
from collections.abc import Iterator

import dagster as dg

from imaging_platform.model.errors import PlatformError


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Show an expected error as one sentence, its fix, and whether to retry."""
    try:
        yield
    except PlatformError as error:
        raise _failure(error) from None


@contextlib.contextmanager
def sealed() -> Iterator[None]:
    """
    Do as `explained`, and let nothing else out of the identified zone.

    An unexpected error keeps its type and place in our code and loses its
    message; libraries that quote values in warnings and logs are silent.
    """
    with warnings.catch_warnings(), _silent_libraries():
        warnings.simplefilter("ignore")
        try:
            yield
        except PlatformError as error:
            raise _failure(error) from None
        except Exception as error:  # noqa: BLE001 - a message may quote a name or a path
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise dg.Failure(
                f"{type(error).__name__} at {frame.name}, line {frame.lineno}; its "
                "message stays in the identified zone.",
                metadata={"fix": "Report it with type, function and line."},
                allow_retries=False,
            ) from None


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _failure(error: PlatformError) -> dg.Failure:
    return dg.Failure(
        f"{error} {error.fix}",
        metadata={"fix": error.fix, "class": type(error).__name__},
        allow_retries=not error.permanent,
    )
