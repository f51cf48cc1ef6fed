"""``imaging-platform accept``, ``rate``, ``freeze``, ``thaw``: what people decide."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click

from imaging_platform.cli.planning import choose_study
from imaging_platform.cli.terminal import find_user
from imaging_platform.files.audit import append_audit
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadConfig, IdentityLeak
from imaging_platform.model.ids import SessionKey, parse_version
from imaging_platform.model.layout import RELEASE, Home
from imaging_platform.planning.cells import WHOLE_STUDY
from imaging_platform.planning.decisions import (
    Action,
    Decision,
    append_decision,
    digest_inputs,
    read_decisions,
)
from imaging_platform.planning.ratings import RATED_ASSET, Verdict
from imaging_platform.planning.releases import refuse_absent_release
from imaging_platform.settings import enter_home, find_home, load_study

WITHDRAW = "withdraw"

REASON = click.option(
    "--reason", required=True, help="Why; shown to everybody, so without a name."
)
RELEASE_OPTION = click.option(
    "--release", "version", metavar="VERSION", help="This release, not the study."
)
AUTHOR = click.option(
    "--author", help="Who decides it; the user of this computer when left out."
)


@click.command()
@click.argument("asset")
@click.argument("session")
@click.option("--study", "name", help="The study; needed when there are several.")
@AUTHOR
@REASON
@click.option("--withdraw", is_flag=True, help="Take an acceptance back instead.")
def accept(
    asset: str,
    session: str,
    name: str | None,
    author: str | None,
    reason: str,
    withdraw: bool,
) -> None:
    """
    Let ASSET of SESSION count as current, though code or inputs have changed.

    It holds for this result and for the code and inputs of now: when one of them
    changes again, the result is out of date again. SESSION is `all` for what spans
    all sessions.
    """
    home = find_home()
    partition = "" if session == WHOLE_STUDY else str(SessionKey.parse(session))
    study = load_study(home, choose_study(home, name)).name
    bound = {} if withdraw else _read_bound(home, study, asset, partition)
    decision = Decision(
        action="withdraw" if withdraw else "accept",
        author=author or find_user(),
        reason=reason,
        when=_now(),
        asset=asset,
        partition=partition,
        **bound,
    )
    record_decision(home, study, decision)
    done = "is decided by the plan again" if withdraw else "counts as current"
    click.echo(f"{asset} of {partition or 'the whole study'} {done}.")


@click.command()
@click.argument("session")
@click.argument("verdict", type=click.Choice([*get_args(Verdict), WITHDRAW]))
@click.option("--study", "name", help="The study; needed when there are several.")
@AUTHOR
@REASON
def rate(
    session: str, verdict: str, name: str | None, author: str | None, reason: str
) -> None:
    """
    Say that the scans of SESSION pass or fail, whatever their metrics say.

    The verdict is on the BIDS session as it is now and expires when that changes.
    A failed session stands on the list of exclusions, and what the study file names
    under ratings.gates is not made for it. "withdraw" takes a verdict back.
    """
    home, key = find_home(), SessionKey.parse(session)
    study = load_study(home, choose_study(home, name)).name
    bound = _read_bound(home, study, RATED_ASSET, str(key))
    decision = Decision(
        action="unrate" if verdict == WITHDRAW else "rate",
        author=author or find_user(),
        reason=reason,
        when=_now(),
        asset=RATED_ASSET,
        partition=str(key),
        data_version=bound["data_version"],
        verdict="" if verdict == WITHDRAW else verdict,
    )
    record_decision(home, study, decision)
    done = f"is {verdict}, until the session changes"
    if verdict == WITHDRAW:
        done = "is withdrawn"
    click.echo(f"The verdict on {key} {done}.")
    click.echo(f"Bring the lists up to date: imaging-platform process --study {study}")


@click.command()
@click.argument("name", metavar="STUDY")
@RELEASE_OPTION
@AUTHOR
@REASON
def freeze(name: str, version: str | None, author: str | None, reason: str) -> None:
    """
    Touch nothing of STUDY any more: no run, no import, no new drop.

    A release is frozen when it is made; --release freezes one again that was thawed.
    """
    if version is not None:
        _decide_release(name, version, "freeze", author, reason)
        return
    _decide(name, "freeze", author, reason)
    click.echo(f"Study {name} is frozen; `imaging-platform thaw {name}` ends it.")


@click.command()
@click.argument("name", metavar="STUDY")
@RELEASE_OPTION
@AUTHOR
@REASON
def thaw(name: str, version: str | None, author: str | None, reason: str) -> None:
    """
    End the freeze of STUDY; what has waited goes on.

    A thawed release is not changed either, but it can be withdrawn.
    """
    if version is not None:
        _decide_release(name, version, "thaw", author, reason)
        return
    if read_decisions(find_home().root, load_study(find_home(), name).name).frozen:
        _decide(name, "thaw", author, reason)
        click.echo(f"Go on with: imaging-platform process --study {name}")
    else:
        raise BadConfig(f"Study {name} is not frozen.", fix="There is nothing to thaw.")


def _decide_release(
    study: str, version: str, action: Action, author: str | None, reason: str
) -> None:
    home = find_home()
    load_study(home, study)
    refuse_absent_release(home.root, study, parse_version(version))
    is_thawed = version in read_decisions(home.root, study).releases_in("thaw")
    state = "frozen" if action == "freeze" else "thawed"
    if is_thawed == (action == "thaw"):
        raise BadConfig(
            f"Release {version} of {study} is {state} already.",
            fix="There is nothing to do.",
        )
    fields = {"asset": RELEASE, "partition": version}
    decision = Decision(action, author or find_user(), reason, _now(), **fields)
    record_decision(home, study, decision)
    click.echo(f"Release {version} of {study} is {state}.")


def _decide(study: str, action: Action, author: str | None, reason: str) -> None:
    home = find_home()
    load_study(home, study)
    record_decision(
        home, study, Decision(action, author or find_user(), reason, _now())
    )


def record_decision(home: Home, study: str, decision: Decision) -> None:
    """Write the audit trail and then the list, so that nothing is decided unseen."""
    _refuse_identity(home, study, decision)
    subject = f"{decision.asset} of {decision.partition or 'the whole study'}"
    append_audit(
        home.zone("identified", study),
        action=decision.action,
        subject=subject if decision.asset else f"study {study}",
        author=decision.author,
        reason=decision.reason,
        now=datetime.fromisoformat(decision.when),
    )
    append_decision(home.root, study, decision)


def _refuse_identity(home: Home, study: str, decision: Decision) -> None:
    """Refuse words that name a subject of the study: everybody reads them."""
    from imaging_platform.deid.echo import find_echoes
    from imaging_platform.deid.guard_store import load_identifiers

    with tempfile.TemporaryDirectory(prefix="decision-") as scratch:
        words = f"{decision.author}\n{decision.reason}\n"
        write_text(Path(scratch) / "words", words)
        of_release = decision.asset == RELEASE
        subject = "" if of_release else decision.partition
        for file in home.guard_files(study, subject):
            if find_echoes(Path(scratch), load_identifiers(file)):
                raise IdentityLeak(
                    "Author or reason hold an identifier of a subject of the study; "
                    "nothing was decided.",
                    fix="Say it without names, numbers and dates of subjects.",
                )


def _read_bound(home: Home, study: str, asset: str, session: str) -> dict[str, str]:
    """Return the fields of a decision that bind it to a result and to now."""
    enter_home(home)
    from imaging_platform.processing.acceptance import read_present
    from imaging_platform.processing.plans import open_site

    with open_site(home, study) as site:
        present = read_present(site, asset=asset, session=session)
    return {
        "data_version": present.made.data_version,
        "code_version": present.code_version,
        "inputs_digest": digest_inputs(present.inputs),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
