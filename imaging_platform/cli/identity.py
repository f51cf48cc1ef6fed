"""``imaging-platform whois`` and ``audit``: who is behind a pseudonym, who asked."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.cli.terminal import find_user, require_terminal, show
from imaging_platform.files.audit import append_audit, read_audit
from imaging_platform.model.errors import BadConfig, MissingInput
from imaging_platform.resources.keys import read_secret
from imaging_platform.settings import find_home, load_study

REASON = click.option(
    "--reason", required=True, help="Why; written into the study's audit trail."
)


@click.command()
@click.argument("label", required=False)
@click.option("--study", "name", required=True, help="Name of the study.")
@REASON
@click.option(
    "--find",
    "is_search",
    is_flag=True,
    help="Ask for a PatientID and show its label instead.",
)
def whois(label: str | None, name: str, reason: str, is_search: bool) -> None:
    """
    Show who is behind LABEL (sub-...): PatientID, name, sessions and their dates.

    On a terminal only. Who asked, when, for whom and why is written into the audit
    trail first.
    """
    require_terminal()
    home = find_home()
    load_study(home, name)
    zone = home.zone("identified", name)
    if is_search and label is None:
        _show_label(zone, read_secret(home, name), reason)
    elif label is not None and not is_search:
        _show_person(zone, label.removeprefix("sub-"), reason)
    else:
        raise BadConfig(
            "Expected a label, or --find without a label.",
            fix="imaging-platform whois sub-LABEL --study NAME --reason TEXT",
        )


@click.command()
@click.argument("name", metavar="STUDY")
@json_option
def audit(name: str, as_json: bool) -> None:
    """Prove the audit trail of STUDY and show it: who did what, when, and why."""
    home = find_home()
    load_study(home, name)
    entries = read_audit(home.zone("identified", name))
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    print_table(
        f"Audit trail of {name}: unchanged",
        ["#", "when", "action", "subject", "who", "reason"],
        [(e.number, e.when, e.action, e.subject, e.author, e.reason) for e in entries],
    )
    if entries:
        click.echo(f"Digest of the last entry  {entries[-1].digest}")


def record(zone: Path, action: str, subject: str, reason: str) -> None:
    """Write into the audit trail that the present user does something now."""
    append_audit(
        zone,
        action=action,
        subject=subject,
        author=find_user(),
        reason=reason,
        now=datetime.now(UTC),
    )


def _show_person(zone: Path, subject: str, reason: str) -> None:
    from imaging_platform.intake.whois import read_person

    if not subject.isalnum() or not subject.isascii():
        raise BadConfig(
            "A subject label has letters and digits only.",
            fix="Take the label from `status` or from the dataset.",
        )
    record(zone, "whois", f"sub-{subject}", reason)
    person = read_person(zone, subject)
    show("Subject", f"sub-{subject}")
    for patient_id in person.patient_ids:
        show("PatientID", patient_id)
    for patient_name in person.names:
        show("PatientName", patient_name)
    for key, dates in person.study_dates.items():
        show(key.partition("_")[2], ", ".join(dates))


def _show_label(zone: Path, secret: bytes, reason: str) -> None:
    from imaging_platform.deid.pseudonyms import subject_label
    from imaging_platform.intake.whois import find_subject

    patient = subject_label(secret, click.prompt("PatientID"))
    try:
        subject = find_subject(zone, patient)
    except MissingInput:
        record(zone, "whois --find", "nobody", reason)
        raise
    record(zone, "whois --find", f"sub-{subject}", reason)
    show("Subject", f"sub-{subject}")
