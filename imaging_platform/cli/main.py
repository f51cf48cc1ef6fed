"""The command, its exit codes, and the one place where errors become text."""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import sys
import traceback
from collections import UserDict
from typing import Any

import click

from imaging_platform import __version__
from imaging_platform.cli.exit_codes import FAILED, HELD, WRONG_USE
from imaging_platform.model.errors import BadConfig, Held, MissingKey, PlatformError
from imaging_platform.processing.database import explain_loss, is_database_loss

MODULES = {
    "study": "studies",
    "policy": "policy",
    "bids": "bids",
    "apps": "apps",
    "ingest": "orchestrated",
    "receive": "receive",
    "import-bids": "import_bids",
    "attach": "attach",
    "process": "orchestrated",
    "trace": "lineage",
    "impact": "lineage",
    "provenance": "provenance",
    "rebuild-index": "rebuild",
    "status": "orchestrated",
    "plan": "planning",
    "why": "planning",
    "canary": "canary",
    "reprocess": "reprocessing",
    "where": "orchestrated",
    "release": "release",
    "unrelease": "release",
    "discard": "resolving",
    "assign": "resolving",
    "merge": "resolving",
    "split": "resolving",
    "relabel": "resolving",
    "accept": "decisions",
    "rate": "decisions",
    "freeze": "decisions",
    "thaw": "decisions",
    "share": "share",
    "demo": "demo",
    "up": "orchestrated",
    "anonymize": "anonymize",
    "convert": "stages",
    "qc": "quality",
    "report": "pages",
    "key": "keys",
    "mapping": "mapping",
    "whois": "identity",
    "audit": "identity",
}
"""Module of each command, by its name."""


class Commands(UserDict[str, Any]):  # holds modules, gives commands
    """The commands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        """Return a command; only its own module is imported."""
        module = importlib.import_module(f"imaging_platform.cli.{self.data[name]}")
        return getattr(module, name.replace("-", "_"))


@click.group(
    commands=Commands(MODULES),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__)
def cli() -> None:
    """
    From DICOM drop to report, for every session of every study.

    Exit codes: 0 done, 1 something failed, 2 wrong use or settings,
    3 something is held for a person.
    """


def main() -> None:
    """Run the command line; the entry point of ``imaging-platform``."""
    _save_processor(sys.argv[1:2])
    try:
        sys.exit(cli(standalone_mode=False) or 0)
    except PlatformError as error:
        _tell(str(error), error.fix)
        sys.exit(_exit_code(error))
    except click.exceptions.Abort:
        _tell("Interrupted.", "Start it again: what was published stays.")
        sys.exit(FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG_USE)
    except Exception as error:  # noqa: BLE001 - the last door: no traceback, no names
        if is_database_loss(error):
            _tell(*explain_loss(error))
            sys.exit(FAILED)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.name}, line {frame.lineno}"
        _tell(
            f"{type(error).__name__} at {place}; this is a fault of the platform.",
            "Report type and place; what was published stays as it is.",
        )
        sys.exit(FAILED)


def _save_processor(command: list[str]) -> None:
    """Do without what costs a short command more than it is worth."""
    # What ends with the process is not searched for cycles once more.
    atexit.register(gc.freeze)
    if command in (["plan"], ["why"]):
        # They end soon: no search for cycles gives back what it costs, a fifth.
        gc.disable()
    if command == ["convert"]:
        # Of thousands of headers none is in a cycle.
        gc.set_threshold(100_000)
        # Numpy starts threads for linear algebra, at the cost of its whole import.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _exit_code(error: PlatformError) -> int:
    if isinstance(error, BadConfig | MissingKey):
        return WRONG_USE
    return HELD if isinstance(error, Held) else FAILED


def _tell(message: str, fix: str) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": message, "fix": fix}))
    else:
        click.echo(f"Error: {message}\n  What to do: {fix}", err=True)


if __name__ == "__main__":
    main()
