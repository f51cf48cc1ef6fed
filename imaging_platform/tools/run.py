"""Starting an outside program: argument lists, a time limit, no shell, no orphan."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.model.errors import ToolFailed

TAIL_CHARACTERS = 2000


@dataclass(frozen=True)
class Completed:
    """
    What a program left behind.

    Parameters
    ----------
    exit_code
        0 for success by convention; negative: ended by that signal.
    stdout, stderr
        All that it printed, decoded as UTF-8 with replacement.
    """

    exit_code: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    accepted: Sequence[int] = (0,),
) -> Completed:
    """
    Run a program to its end, or end it and all it started.

    Parameters
    ----------
    argv
        Program and arguments; never passed through a shell.
    timeout_s
        Wall-clock limit in seconds.
    cwd
        Working directory; the caller's when None.
    env
        Variables added to the caller's environment.
    stdin
        Text handed to the program.
    accepted
        Exit codes that are no failure.

    Raises
    ------
    ToolFailed
        The program is missing, took too long, or left with another exit code.
        The message holds the program's name and no argument, since arguments
        may be paths into the identified zone.
    """
    name = Path(argv[0]).name
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(
            f"{name} could not be started ({error.strerror}).",
            fix="Install the platform again with `make demo` or `pip install`.",
        ) from error
    try:
        out, err = process.communicate(stdin.encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        _kill_group(process)
        raise ToolFailed(
            f"{name} did not end within {timeout_s:g} s and was stopped.",
            fix="Look at the size of the input; start the run again.",
        ) from error
    except BaseException:
        _kill_group(process)
        raise
    done = Completed(
        process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
    )
    if done.exit_code not in accepted:
        raise ToolFailed(
            f"{name} left with exit code {done.exit_code}, expected "
            f"{', '.join(map(str, accepted))}.",
            fix="Read the program's own words in the run's log and try again.",
        )
    return done


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.communicate()
