"""The command, its exit codes, and the one place where errors become text."""

from __future__ import annotations

import json
import sys
import traceback

import click

from imaging_platform import __version__
from imaging_platform.cli.anonymize import anonymize
from imaging_platform.cli.apps import apps
from imaging_platform.cli.attach import attach
from imaging_platform.cli.bids import bids
from imaging_platform.cli.canary import canary
from imaging_platform.cli.decisions import accept, freeze, rate, thaw
from imaging_platform.cli.demo import demo
from imaging_platform.cli.exit_codes import FAILED, HELD, WRONG_USE
from imaging_platform.cli.identity import audit, whois
from imaging_platform.cli.import_bids import import_bids
from imaging_platform.cli.keys import key
from imaging_platform.cli.lineage import impact, trace
from imaging_platform.cli.mapping import mapping
from imaging_platform.cli.orchestrated import ingest, process, status, up, where
from imaging_platform.cli.pages import report
from imaging_platform.cli.planning import plan, why
from imaging_platform.cli.policy import policy
from imaging_platform.cli.provenance import provenance
from imaging_platform.cli.quality import qc
from imaging_platform.cli.rebuild import rebuild_index
from imaging_platform.cli.receive import receive
from imaging_platform.cli.release import release, unrelease
from imaging_platform.cli.reprocessing import reprocess
from imaging_platform.cli.resolving import assign, discard, merge, relabel, split
from imaging_platform.cli.share import share
from imaging_platform.cli.stages import convert
from imaging_platform.cli.studies import study
from imaging_platform.model.errors import BadConfig, Held, MissingKey, PlatformError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """
    From DICOM drop to report, for every session of every study.

    Exit codes: 0 done, 1 something failed, 2 wrong use or settings,
    3 something is held for a person.
    """


for command in (
    study,
    policy,
    bids,
    apps,
    ingest,
    receive,
    import_bids,
    attach,
    process,
    trace,
    impact,
    provenance,
    rebuild_index,
    status,
    plan,
    why,
    canary,
    reprocess,
    where,
    release,
    unrelease,
    discard,
    assign,
    merge,
    split,
    relabel,
    accept,
    rate,
    freeze,
    thaw,
    share,
    demo,
    up,
    anonymize,
    convert,
    qc,
    report,
    key,
    mapping,
    whois,
    audit,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; the entry point of ``imaging-platform``."""
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
        if _is_of_database(error):
            _tell(
                "The database in which Dagster keeps its events does not answer.",
                "Start it again, then call the same command, such as `reprocess` or "
                "`process`: it goes on, and what was published stays.",
            )
            sys.exit(FAILED)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.name}, line {frame.lineno}"
        _tell(
            f"{type(error).__name__} at {place}; this is a fault of the platform.",
            "Report type and place; what was published stays as it is.",
        )
        sys.exit(FAILED)


def _is_of_database(error: BaseException) -> bool:
    """Return whether an error, or its cause, is that the database cannot be reached."""
    module = sys.modules.get("sqlalchemy.exc")
    if module is None:
        # Nothing has asked a database yet.
        return False
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, module.OperationalError | module.InterfaceError):
            return True
        found = found.__cause__ or found.__context__
    return False


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
