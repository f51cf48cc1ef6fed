"""A bar on the terminal while a command works; nothing anywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


@contextmanager
def shown_progress(*, is_wanted: bool) -> Iterator[Bars]:
    """
    Give bars on standard error, if that is a terminal and they are wanted.

    Parameters
    ----------
    is_wanted
        Whether anybody may look at them; not where a program reads the output.
    """
    if not is_wanted or not sys.stderr.isatty():
        yield Bars(None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(progress)


class Bars:
    """
    One bar a kind of work; safe to be told from several threads.

    Parameters
    ----------
    progress
        Where they are drawn; None draws nothing.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def add(self, what: str) -> Callable[[int, int], None]:
        """Return what is told the number of things done, and of all."""
        progress = self._progress
        if progress is None:
            return lambda done, total: None
        task = progress.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return tell


class Shares:
    """
    What several parts have done of a whole that is known before.

    Parameters
    ----------
    tell
        Told how much all of them have done, and the whole.
    total
        The whole.
    """

    def __init__(self, tell: Callable[[int, int], None], total: int) -> None:
        self._tell = tell
        self._total = total
        self._done: dict[str, int] = {}
        self._lock = threading.Lock()
        tell(0, total)

    def of(self, part: str) -> Callable[[int, int], None]:
        """Return what is told the number of things that one part has done."""

        def tell(done: int, _: int) -> None:
            # A part may begin anew; then the whole goes back, too.
            with self._lock:
                self._done[part] = done
                self._tell(sum(self._done.values()), self._total)

        return tell
