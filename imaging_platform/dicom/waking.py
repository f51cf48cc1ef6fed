"""
Threads of an association that wait for work instead of looking for it.

The two threads that pynetdicom gives each association look every millisecond
whether the other one, or the peer, has something for them. A file is handed over
three times, so small files come no faster than some hundred a second. Here the
threads sleep on the socket and on each other's queues, and wake at once.
"""

from __future__ import annotations

import os
import queue
import select
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

_LONGEST_S = 0.02
"""Timers and the end of a thread are still looked for, this often."""


class _Clock:
    """The module `time`, but for threads that know what they wait for."""

    def __getattr__(self, name: str) -> Any:  # whatever the module has
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        wait = vars(threading.current_thread()).get("wait_for_work", time.sleep)
        wait(seconds)


class _Waking(queue.Queue[Any]):
    """A queue that wakes who takes from it."""

    def __init__(self, wake: Callable[[], object]) -> None:
        super().__init__()
        self._wake = wake

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._wake()


def install() -> None:
    """Let the threads of pynetdicom ask this module how to sleep."""
    from pynetdicom import association, dul

    association.__dict__["time"] = dul.__dict__["time"] = _Clock()


def wake_threads(assoc: Any) -> None:
    """Let the threads of an association, not yet started, wake each other."""
    has_work = threading.Event()

    def wait(_: float) -> None:
        has_work.wait(_LONGEST_S)
        has_work.clear()

    assoc.wait_for_work = wait
    assoc.dul.to_user_queue = _Waking(has_work.set)
    assoc.dimse.msg_queue = _Waking(has_work.set)
    connection = assoc.dul.socket.socket
    if hasattr(os, "eventfd"):
        _wake_by_descriptor(assoc, connection)


def _wake_by_descriptor(assoc: Any, connection: Any) -> None:
    bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    weakref.finalize(assoc.dul, os.close, bell)

    def wait(seconds: float) -> None:
        try:
            ready, _, _ = select.select([connection, bell], [], [], _LONGEST_S)
        except (OSError, ValueError):
            # The connection is closed; the thread is about to find out.
            time.sleep(seconds)
            return
        if bell in ready:
            os.eventfd_read(bell)

    assoc.dul.wait_for_work = wait
    assoc.dul.to_provider_queue = _Waking(lambda: os.eventfd_write(bell, 1))
