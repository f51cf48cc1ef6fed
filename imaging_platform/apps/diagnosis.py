"""Why an app failed, as an error of one class and what to do."""

from __future__ import annotations

import re
from pathlib import Path

from imaging_platform.apps.settings import App
from imaging_platform.model.errors import (
    Licence,
    OutOfMemory,
    Timeout,
    ToolFailed,
)
from imaging_platform.tools.supervised import Ended

TAIL_LINES = 12
TAIL_CHARACTERS = 1500
KILLED = (137, -9)
"""Exit codes of a program that was killed; 128 + 9 is how a shell says so."""

_LICENCE = re.compile(
    r"licen[cs]e[^\n]{0,80}(not found|missing|expired|invalid|required|could not|"
    r"cannot|unable|need)|(no|missing|invalid|expired|without|unable to find|"
    r"cannot (find|open)|could not (find|open))[^\n]{0,60}licen[cs]e",
    re.IGNORECASE,
)
_MEMORY = re.compile(
    r"MemoryError|std::bad_alloc|out of memory|cannot allocate memory|"
    r"failed to allocate|OOM[- ]?kill|OutOfMemory",
    re.IGNORECASE,
)


def refuse_failure(app: App, ended: Ended, log: Path) -> None:
    """
    Raise the error that says why an app failed; nothing when it ended well.

    Parameters
    ----------
    app
        The app and its limits.
    ended
        How it ended.
    log
        What it printed.

    Raises
    ------
    Timeout, OutOfMemory, Licence
        When that is why.
    ToolFailed
        It left with an exit code that is not 0 for another reason.
    """
    if ended.cause == "exit" and ended.exit_code == 0:
        return
    text = log.read_text("utf-8", errors="replace") if log.exists() else ""
    words = _tell_last_words(text)
    if ended.cause == "timeout":
        raise Timeout(
            f"{app.name} did not end within {app.timeout_min:g} min and was stopped."
            f"{words}",
            fix=f"Raise `timeout_min` of {app.name} in the study file if it was still "
            "at work, then: imaging-platform reprocess --failed Timeout",
        )
    if _is_out_of_memory(ended, text):
        raise OutOfMemory(
            f"{app.name} needed more than {app.memory_gb:g} GB of memory.{words}",
            fix=f"Raise `memory_gb` of {app.name} in the study file, or lower `cpus`, "
            "then: imaging-platform reprocess --failed OutOfMemory",
        )
    if _LICENCE.search(text):
        raise Licence(
            f"{app.name} found no valid licence.{words}",
            fix="Put the licence file into `licences/` of the home and name it as "
            f"`licence` of {app.name}, then: imaging-platform reprocess "
            "--failed Licence",
        )
    raise ToolFailed(
        f"{app.name} left with exit code {ended.exit_code}.{words}",
        fix="Read its log, correct the command or the input, then: "
        "imaging-platform reprocess --failed ToolFailed",
    )


def _is_out_of_memory(ended: Ended, text: str) -> bool:
    if ended.cause == "memory" or ended.exit_code in KILLED:
        return True
    return bool(_MEMORY.search(text))


def _tell_last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]
    last = "\n".join(lines)[-TAIL_CHARACTERS:]
    return f" Its last words:\n{last}\n" if last else " It printed nothing.\n"
