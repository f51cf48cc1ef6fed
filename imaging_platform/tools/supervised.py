"""An outside program or container that ends when its caller does, whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from imaging_platform.model.errors import BadConfig, MissingInput, ToolFailed

CLEANING_S = 90
"""How long a cancelled supervisor may take to end what it started."""

Cause = Literal["exit", "timeout", "memory"]


@dataclass(frozen=True)
class Program:
    """
    A program of this machine.

    Parameters
    ----------
    argv
        Program and arguments; never passed through a shell.
    cwd
        Working directory.
    env
        Its whole environment: nothing of the caller's is inherited.
    """

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]


@dataclass(frozen=True)
class Bind:
    """
    A folder or file of the host inside a container.

    Parameters
    ----------
    host
        Path as the container engine sees it.
    inside
        Path in the container.
    is_writable
        Whether the container may change it.
    """

    host: str
    inside: str
    is_writable: bool = False


@dataclass(frozen=True)
class Container:
    """
    A container of the Docker engine of this machine.

    Parameters
    ----------
    name
        What it is called while it runs; one of the same name is removed first.
    image
        Reference with a digest; it must be there, nothing is pulled.
    command
        Arguments after the entry point.
    entrypoint
        In place of the image's own; that one when empty.
    binds
        What it sees of the host.
    env
        Variables added to those of the image.
    user
        Number of user and group, such as ``1000:1000``.
    network
        ``none`` or the name of a network of the engine.
    cpus
        Most processors that it may use.
    cwd
        Working directory inside.
    """

    name: str
    image: str
    command: Sequence[str]
    entrypoint: Sequence[str]
    binds: Sequence[Bind]
    env: Mapping[str, str]
    user: str
    network: str
    cpus: int
    cwd: str


@dataclass(frozen=True)
class Limits:
    """
    What it may use.

    Parameters
    ----------
    memory_bytes
        Memory of all its processes together.
    timeout_s
        Wall-clock time in seconds.
    log_bytes
        Of what it prints, the first and the last half of this are kept.
    """

    memory_bytes: int
    timeout_s: float
    log_bytes: int = 1 << 20


@dataclass(frozen=True)
class Ended:
    """
    How it ended.

    Parameters
    ----------
    exit_code
        As the program left; negative: ended by that signal.
    cause
        ``exit`` by itself, or stopped for ``timeout`` or ``memory``.
    """

    exit_code: int
    cause: Cause


class Refused(Exception):
    """
    It could not be started.

    Parameters
    ----------
    what
        ``program``, ``image`` or ``engine``.
    why
        In words, without a path of this machine.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what, self.why = what, why


@dataclass(frozen=True)
class Request:
    """What the supervisor is told, as JSON."""

    limits: Limits
    log: str
    program: Program | None = None
    container: Container | None = None
    hidden: Mapping[str, str] = field(default_factory=dict)


def supervise(
    job: Program | Container,
    limits: Limits,
    *,
    log: Path,
    hidden: Mapping[str, str],
) -> Ended:
    """
    Run a program or container to its end, within limits.

    A process of its own watches over it, and ends it with all that it started when
    a limit is reached, when this call is interrupted, and when the calling process
    is killed.

    Parameters
    ----------
    job
        What to run.
    limits
        What it may use.
    log
        File for what it prints; written while it runs.
    hidden
        Paths of this machine, and what stands for each in the log.

    Raises
    ------
    BadConfig
        The program cannot be started.
    MissingInput
        The image is not on this machine.
    ToolFailed
        The container engine does not answer, or refuses.
    """
    request = Request(
        limits,
        str(log),
        program=job if isinstance(job, Program) else None,
        container=job if isinstance(job, Container) else None,
        hidden=hidden,
    )
    reply = _ask(json.dumps(asdict(request)))
    if "refused" in reply:
        raise _explain(reply["refused"], reply["why"])
    return Ended(reply["exit_code"], reply["cause"])


def _ask(request: str) -> dict:  # type: ignore[type-arg]  # what the supervisor replies
    process = subprocess.Popen(
        [sys.executable, "-m", "imaging_platform.tools.supervisor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A signal to the caller's group must not end the one that cleans up.
        start_new_session=True,
    )
    assert process.stdin and process.stdout and process.stderr
    try:
        process.stdin.write(request + "\n")
        process.stdin.flush()
        reply, trouble = process.stdout.read(), process.stderr.read()
        process.wait()
    except BaseException:
        _dismiss(process)
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
    if process.returncode != 0 or not reply:
        last = (trouble.strip().splitlines() or ["no word"])[-1]
        raise ToolFailed(
            f"What watches over a program ended unexpectedly: {last}",
            fix="Start the run again.",
        )
    return json.loads(reply)


def _dismiss(process: subprocess.Popen[str]) -> None:
    """Tell the supervisor to end what it started, and wait until it has."""
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(CLEANING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _explain(what: str, why: str) -> BadConfig | MissingInput | ToolFailed:
    if what == "program":
        return BadConfig(
            f"The program cannot be started ({why}).",
            fix="Install it on this machine, or correct `executable` of the app.",
        )
    if what == "image":
        return MissingInput(
            f"The image {why} is not on this machine; nothing is pulled by a run.",
            fix=f"Pull it once: docker pull {why}",
        )
    return ToolFailed(
        f"The container engine refused: {why}",
        fix="See that the engine runs and that this process may reach its socket "
        "(DOCKER_HOST), then start the run again.",
    )
