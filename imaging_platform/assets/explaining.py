"""Turning what went wrong into what Dagster shows, without a word of identity."""

from __future__ import annotations

import contextlib
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from imaging_platform.assets.metering import metered
from imaging_platform.assets.scope import read_code_version
from imaging_platform.model.errors import Cancelled, PlatformError
from imaging_platform.pipeline.names import FAILED_CODE_TAG, FAILED_TAG


@contextlib.contextmanager
def explained(
    find_beside: Callable[[], Mapping[str, dg.MetadataValue]] = dict,
) -> Iterator[None]:
    """
    Show an expected error as one sentence, its fix, and whether to retry.

    Parameters
    ----------
    find_beside
        Asked after an error what is shown with it.
    """
    with metered():
        try:
            yield
        except PlatformError as error:
            raise _failure(error, find_beside()) from None
        except Exception as error:
            # A fault of the code: other code may be without it.
            _tag_run(type(error).__name__)
            raise


@contextlib.contextmanager
def cancelled_told(context: dg.AssetExecutionContext) -> Iterator[None]:
    """
    Name a cancelled attempt on its run, so that it is found by its class.

    Other assets count as not tried when their run is ended. What takes hours does
    not: a person who stops it does not want it started again by itself.
    """
    try:
        yield
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        name = context.asset_key.path[-1]
        told = Cancelled(
            f"{name} was stopped, with all that it had started.",
            fix="imaging-platform reprocess --failed Cancelled starts it again.",
        )
        context.log.error(f"{told} {told.fix}")
        _tag_run(type(told).__name__)
        raise


@contextlib.contextmanager
def sealed() -> Iterator[None]:
    """
    Do as `explained`, and let nothing else out of the identified zone.

    An unexpected error keeps its type and place in our code and loses its
    message; libraries that quote values in warnings and logs are silent.
    """
    with warnings.catch_warnings(), _silent_libraries(), metered():
        warnings.simplefilter("ignore")
        try:
            yield
        except PlatformError as error:
            raise _failure(error) from None
        except Exception as error:  # noqa: BLE001 - a message may quote a name or a path
            frame = traceback.extract_tb(error.__traceback__)[-1]
            _tag_run(type(error).__name__)
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


def _failure(
    error: PlatformError, beside: Mapping[str, dg.MetadataValue] | None = None
) -> dg.Failure:
    _tag_run(type(error).__name__)
    return dg.Failure(
        f"{error} {error.fix}",
        metadata={"fix": error.fix, "class": type(error).__name__, **(beside or {})},
        allow_retries=not error.permanent,
    )


def _tag_run(error_class: str) -> None:
    """Name the error on the run: thousands of runs are asked at once, logs are not."""
    try:
        context = dg.AssetExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        # Not inside of an asset: nothing is planned by this failure.
        return
    name = context.asset_key.path[-1]
    tags = {
        f"{FAILED_TAG}{name}": error_class,
        f"{FAILED_CODE_TAG}{name}": read_code_version(context),
    }
    context.instance.add_run_tags(context.run.run_id, tags)
