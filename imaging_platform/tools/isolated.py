"""One Python function in a process of its own, with fixed threads and seeds."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from imaging_platform.model import errors
from imaging_platform.model.errors import PlatformError, ToolFailed
from imaging_platform.tools.run import TAIL_CHARACTERS, run

FIXED_ENVIRONMENT = {
    "ANTS_RANDOM_SEED": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
"""Makes numerical libraries give the same bits twice; must precede their import."""


def call_isolated(
    function: str, arguments: Mapping[str, object], *, timeout_s: float = 1800
) -> dict[str, object]:
    """
    Call ``package.module:function`` with keyword arguments in a new process.

    Parameters
    ----------
    function
        Name of a function of this package that takes and returns plain values.
    arguments
        Keyword arguments; paths are sent as text.
    timeout_s
        Wall-clock limit in seconds.

    Returns
    -------
    dict
        What the function returned, through JSON.

    Raises
    ------
    PlatformError
        The same error that the function raised, with its fix.
    ToolFailed
        The process died, took too long, or raised an error that is not ours.
    """
    request = json.dumps(
        {"function": function, "arguments": dict(arguments)}, default=_plain
    )
    done = run(
        [sys.executable, "-m", "imaging_platform.tools.isolated"],
        timeout_s=timeout_s,
        env=FIXED_ENVIRONMENT,
        stdin=request,
        accepted=range(-64, 256),
    )
    lines = done.stdout.strip().splitlines()
    if done.exit_code != 0 or not lines:
        raise ToolFailed(
            f"{function} ended with exit code {done.exit_code}: "
            f"{done.stderr[-TAIL_CHARACTERS:].strip()}",
            fix="Negative 9 is usually too little memory: run fewer sessions at once.",
        )
    reply = json.loads(lines[-1])
    if "error" in reply:
        kind = getattr(errors, reply["error"], PlatformError)
        raise kind(reply["message"], fix=reply["fix"])
    return reply["result"]


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent to another process")


def _main() -> None:
    request = json.load(sys.stdin)
    module, name = request["function"].split(":")
    try:
        function = getattr(importlib.import_module(module), name)
        reply: dict[str, object] = {"result": function(**request["arguments"])}
    except PlatformError as error:
        reply = {"error": type(error).__name__, "message": str(error), "fix": error.fix}
    print(json.dumps(reply, default=_plain))


if __name__ == "__main__":
    _main()
