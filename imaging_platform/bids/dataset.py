"""Dataset-level files: rebuilt whole, the same bytes for the same members."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.bids.defaults import Conventions
from imaging_platform.bids.participants import COLUMNS, gather_participants
from imaging_platform.bids.session import UNCLASSIFIED
from imaging_platform.files.staging import locked
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.errors import BadInput, MissingInput
from imaging_platform.model.ids import SessionKey


@dataclass(frozen=True)
class DatasetFacts:
    """
    What a dataset says beside the study's settings.

    Parameters
    ----------
    versions
        Name of each program that made the dataset -> its version.
    source
        URL or name of what the dataset was made from; empty when not said.
    participants
        Subject label -> column -> value, such as ``{"01": {"sex": "F"}}``.
    genetics
        Content of ``Genetics`` in the description; empty when there is none.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    participants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    genetics: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def rebuilding(root: Path) -> Iterator[tuple[SessionKey, ...]]:
    """
    Give the sessions that a dataset has, while no other process rebuilds its top.

    The sessions are listed after the lock is held: whoever comes last has seen at
    least what the others saw, so no row of a table is ever lost to a race.

    Parameters
    ----------
    root
        Folder of the dataset; made if absent.
    """
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / ".lock"):
        yield list_members(root)


def list_members(root: Path) -> tuple[SessionKey, ...]:
    """Return the sessions whose folder stands in a dataset, in their order."""
    folders = (path for path in root.glob("sub-*/ses-*") if path.is_dir())
    return tuple(sorted(SessionKey.parse(f"{f.parent.name}_{f.name}") for f in folders))


def write_dataset_files(
    root: Path,
    *,
    name: str,
    settings: Conventions,
    members: Sequence[SessionKey],
    facts: DatasetFacts | None = None,
) -> tuple[str, ...]:
    """
    Write every file of a dataset that belongs to no single session.

    Parameters
    ----------
    root
        Folder of the dataset; the sessions' folders are in it already.
    name
        Name of the study, used when the settings give no dataset name.
    settings
        Authors, licence, BIDS version and the like.
    members
        All sessions of the dataset, in any order.
    facts
        Versions and participants' columns. Columns that the sessions'
        own fragments have are added (`imaging_platform.bids.participants`).

    Returns
    -------
    tuple of str
        Paths written, below `root`, sorted.

    Raises
    ------
    MissingInput
        A member has no folder under `root`.
    """
    facts = facts or DatasetFacts()
    for key in members:
        if not (root / f"sub-{key.subject}" / f"ses-{key.session}").is_dir():
            raise MissingInput(
                f"The dataset lists {key}, which has no folder in it.",
                fix="Convert the session first, or build the dataset without it.",
            )
    by_subject: dict[str, list[SessionKey]] = defaultdict(list)
    for key in sorted(set(members)):
        by_subject[key.subject].append(key)
    gathered = gather_participants(root, members)
    for subject, row in facts.participants.items():
        gathered[subject] = gathered.get(subject, {}) | dict(row)
    facts = dataclasses.replace(facts, participants=gathered)
    _remove_left(root, by_subject)
    written = [_write_description(root, name, settings, facts)]
    written += _write_readme(root, name, settings, by_subject)
    written += _write_changes(root, settings)
    written += _write_participants(root, sorted(by_subject), facts)
    for subject, keys in by_subject.items():
        written += _write_sessions(root, subject, keys)
    return tuple(sorted(written))


def _remove_left(root: Path, by_subject: Mapping[str, Sequence[SessionKey]]) -> None:
    """Remove the tables of subjects whose last session is gone."""
    for folder in root.glob("sub-*"):
        if folder.name.removeprefix("sub-") in by_subject or not folder.is_dir():
            continue
        for ending in ("tsv", "json"):
            (folder / f"{folder.name}_sessions.{ending}").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            # What else stands there is not this function's to remove.
            folder.rmdir()


def _write_description(
    root: Path, name: str, settings: Conventions, facts: DatasetFacts
) -> str:
    description: dict[str, object] = {
        "Name": settings.dataset_name or name,
        "BIDSVersion": settings.bids_version,
        "DatasetType": "raw",
        "License": settings.license,
        "Authors": list(settings.authors),
        "Acknowledgements": settings.acknowledgements,
        "Funding": list(settings.funding),
        "EthicsApprovals": list(settings.ethics_approvals),
        "GeneratedBy": _generated_by(facts.versions),
        "SourceDatasets": [{"URL": facts.source}] if facts.source else [],
        "Genetics": dict(facts.genetics),
    }
    kept = {key: value for key, value in description.items() if value}
    write_json(root / "dataset_description.json", kept)
    return "dataset_description.json"


def _generated_by(versions: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": n, "Version": v} for n, v in sorted(versions.items())]


def _write_readme(
    root: Path,
    name: str,
    settings: Conventions,
    by_subject: Mapping[str, Sequence[SessionKey]],
) -> list[str]:
    n_sessions = sum(len(keys) for keys in by_subject.values())
    title = settings.dataset_name or name
    text = settings.description or (
        "Magnetic resonance images of the study, converted from de-identified DICOM."
    )
    lines = [
        f"# {title}",
        "",
        text,
        "",
        f"Participants: {len(by_subject)}. Sessions: {n_sessions}.",
        "",
        "All dates are shifted by a secret number of days for each participant; "
        "intervals between the sessions of one participant are true.",
        "",
        f"Folders named `{UNCLASSIFIED}` hold images that have no valid BIDS name yet. "
        "The conversion report of each session says why.",
        "",
    ]
    write_text(root / "README.md", "\n".join(lines))
    write_text(root / ".bidsignore", f"**/{UNCLASSIFIED}\n")
    return ["README.md", ".bidsignore"]


def _write_changes(root: Path, settings: Conventions) -> list[str]:
    """Write the history; no releases, no history."""
    if not settings.releases:
        (root / "CHANGES").unlink(missing_ok=True)
        return []
    entries = [
        f"{one.version} {one.date}\n" + "".join(f"  - {c}\n" for c in one.changes)
        for one in settings.releases
    ]
    write_text(root / "CHANGES", "\n".join(entries))
    return ["CHANGES"]


def _write_participants(
    root: Path, subjects: Sequence[str], facts: DatasetFacts
) -> list[str]:
    present = {c for row in facts.participants.values() for c in row}
    columns = [c for c in COLUMNS if c in present] + sorted(present - COLUMNS.keys())
    lines = ["\t".join(["participant_id", *columns])]
    for subject in subjects:
        row = facts.participants.get(subject, {})
        cells = [_cell(row.get(column, "")) for column in columns]
        lines.append("\t".join([f"sub-{subject}", *cells]))
    write_text(root / "participants.tsv", "\n".join(lines) + "\n")
    described: dict[str, object] = {
        "participant_id": {"Description": "Pseudonym of the participant"}
    }
    for column in columns:
        described[column] = COLUMNS.get(
            column, {"Description": f"{column}, as the study gives it"}
        )
    write_json(root / "participants.json", described)
    return ["participants.tsv", "participants.json"]


def _cell(value: str) -> str:
    if "\t" in value or "\n" in value:
        raise BadInput(
            "A value of a participant's column holds a tab or a line break.",
            fix="Correct the table of participants.",
        )
    return value or "n/a"


def _write_sessions(root: Path, subject: str, keys: Sequence[SessionKey]) -> list[str]:
    folder = root / f"sub-{subject}"
    lines = ["session_id\tacq_time"]
    for key in keys:
        scans = folder / f"ses-{key.session}" / f"{key}_scans.tsv"
        lines.append(f"ses-{key.session}\t{_first_time(scans)}")
    table = f"sub-{subject}_sessions"
    write_text(folder / f"{table}.tsv", "\n".join(lines) + "\n")
    described = {
        "session_id": {"Description": "Session of the participant"},
        "acq_time": {
            "Description": "Start of the first scan; the date is shifted",
        },
    }
    write_json(folder / f"{table}.json", described)
    return [f"sub-{subject}/{table}.tsv", f"sub-{subject}/{table}.json"]


def _first_time(scans: Path) -> str:
    if not scans.exists():
        return "n/a"
    with scans.open(encoding="utf-8", newline="") as file:
        times = [row["acq_time"] for row in csv.DictReader(file, delimiter="\t")]
    return min((time for time in times if time != "n/a"), default="n/a")


def write_derivative_description(
    root: Path,
    *,
    name: str,
    pipeline: str,
    version: str,
    bids_version: str,
    links: Mapping[str, str] | None = None,
    ignored: Sequence[str] = (),
) -> None:
    """
    Write ``dataset_description.json`` and ``.bidsignore`` of a derivative.

    Parameters
    ----------
    root
        Folder of the derivative dataset.
    name
        Name of the dataset.
    pipeline, version
        What made it (BIDS, derived dataset and pipeline description).
    bids_version
        Such as ``1.11.1``.
    links
        Name of each other dataset that ``bids:<name>:`` URIs lead to -> its path,
        relative to `root` (BIDS, BIDS URIs).
    ignored
        Patterns of files that the standard has no name for yet.
    """
    links = links or {}
    write_json(
        root / "dataset_description.json",
        {
            "Name": name,
            "BIDSVersion": bids_version,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": pipeline, "Version": version}],
            "SourceDatasets": [{"URL": path} for path in links.values()],
            "DatasetLinks": dict(links),
        },
    )
    write_text(root / ".bidsignore", "".join(f"{line}\n" for line in ignored))
