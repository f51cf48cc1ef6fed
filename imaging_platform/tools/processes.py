"""A program with all processes that it starts, however they hide."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from imaging_platform.tools.supervised import Program, Refused

POLL_S = 0.2
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")


class RunningProgram:
    """
    A program that runs; its orphans become children of this process.

    Parameters
    ----------
    program
        What to start.
    write
        Told what it prints, from a thread.

    Raises
    ------
    Refused
        It cannot be started.
    """

    poll_s = POLL_S

    def __init__(self, program: Program, write: Callable[[bytes], None]) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            self._process = subprocess.Popen(
                list(program.argv),
                cwd=program.cwd,
                env=dict(program.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise Refused("program", error.strerror or "not found") from None
        self._reader = threading.Thread(target=self._read, args=(write,), daemon=True)
        self._reader.start()

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.poll()

    @property
    def is_out_of_memory(self) -> bool:
        """Whether the system ended it for lack of memory; not known of a program."""
        return False

    def memory_bytes(self) -> int:
        """Return the memory of all its processes; shared pages count once."""
        return sum(map(_read_pss, _descendants(os.getpid())))

    def end(self) -> None:
        """Kill all that is left of it, and wait until it is gone."""
        while pids := list(_descendants(os.getpid())):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.01)
        self._reap()
        self._reader.join(timeout=5)

    def _reap(self) -> None:
        # First: nobody else may take the exit code of the program itself.
        self._process.poll()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue

    def _read(self, write: Callable[[bytes], None]) -> None:
        stream = self._process.stdout
        while stream and (data := os.read(stream.fileno(), 1 << 16)):
            write(data)


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes below one that are not dead yet."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            # The name in brackets may hold blanks and brackets.
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if after_name[0] != "Z":
            children.setdefault(int(after_name[1]), []).append(int(folder.name))
    waiting = children.get(pid, [])
    while waiting:
        found = waiting.pop()
        waiting += children.get(found, [])
        yield found


def _read_pss(pid: int) -> int:
    """Return the memory of a process in bytes, 0 when it is gone."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    sizes = (line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))
    return int(next(sizes, "0")) * 1024
