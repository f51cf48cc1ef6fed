"""The last look before anything leaves: no identifier in any name, header or text."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import IdentityLeak
from imaging_platform.model.ids import SessionKey

MOST_PLACES = 5


class Place(Protocol):
    """Where an identifier was found; never which."""

    @property
    def file(self) -> str:
        """Path below the folder that was searched; empty when itself echoes."""
        ...

    @property
    def place(self) -> str:
        """Where in the file."""
        ...


@dataclass(frozen=True)
class Guards:
    """
    What searches a folder for people.

    Parameters
    ----------
    of_session
        Searches for the subject of a session.
    of_all
        Searches for every subject of the study.
    """

    of_session: Callable[[SessionKey, Path], Sequence[Place]]
    of_all: Callable[[Path], Sequence[Place]]


def refuse_identity(
    root: Path,
    members: Sequence[SessionKey],
    guards: Guards,
    *,
    own_words: frozenset[str],
    passed_over: frozenset[str],
) -> int:
    """
    Search all of a staged release; return how many files were searched.

    The files of a session, and of a subject, are searched for that subject; what
    speaks of all of them is searched for every subject of the study.

    Parameters
    ----------
    root
        The release.
    members
        Its sessions.
    guards
        Search a folder.
    own_words
        Texts of the product itself, which name nobody, such as names of packages.
    passed_over
        Files at the top that hold paths and digests of the others only.

    Raises
    ------
    IdentityLeak
        An identifier was found, or a file belongs to no session of the release.
    """
    files = sorted(path for path in root.rglob("*") if path.is_file())
    groups = _group(root, files)
    found: list[str] = []
    searched: set[Path] = set()
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        scratch = Path(name)
        for key in members:
            for folder in _folders_of(root, key):
                found += _name(root, folder, guards.of_session(key, folder))
                searched.add(folder)
            own = scratch / f"sub-{key.subject}"
            for path in groups[f"sub-{key.subject}"]:
                place = own / path.relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
            if own.exists():
                found += _name(root, root, guards.of_session(key, own))
        top = scratch / "top"
        for path in groups["top"]:
            if path.relative_to(root).as_posix() not in passed_over:
                texts = sorted(set(_texts(path)) - own_words)
                lines = "".join(f"{' '.join(text.split())}\n" for text in texts)
                write_text(top / f"{path.relative_to(root).as_posix()}.txt", lines)
        found += [
            each.removesuffix(".txt") for each in _name(top, top, guards.of_all(top))
        ]
    own_subjects = {f"sub-{key.subject}" for key in members}
    strangers = [
        path
        for kind, paths in groups.items()
        if kind not in own_subjects and kind != "top"
        for path in paths
        if searched.isdisjoint(path.parents)
    ]
    if strangers:
        found.append(f"{len(strangers)} file(s) of no session of the release")
    if found:
        more = len(found) - MOST_PLACES
        raise IdentityLeak(
            "An identifier of a subject may be in the release, in "
            + ", ".join(found[:MOST_PLACES])
            + (f" and {more} more" if more > 0 else "")
            + "; nothing was released.",
            fix="Look at these files, and at title, description and authors in the "
            "study file; rate the session fail to leave it out.",
        )
    return len(files)


def _group(root: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the files of all sessions, of each subject, and of the top."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        parts = path.relative_to(root).parts[:-1]
        subject = next((part for part in parts if part.startswith("sub-")), "")
        of_session = subject and any(part.startswith("ses-") for part in parts)
        groups["sessions" if of_session else subject or "top"].append(path)
    return groups


def _folders_of(root: Path, key: SessionKey) -> list[Path]:
    inside = f"sub-{key.subject}/ses-{key.session}"
    found = [root / inside, *sorted(root.glob(f"derivatives/*/{inside}"))]
    return [folder for folder in found if folder.is_dir()]


def _name(root: Path, folder: Path, places: Sequence[Place]) -> list[str]:
    """Return where something was found, for people."""
    above = folder.relative_to(root).as_posix() if folder != root else ""
    return sorted(
        {
            "/".join(filter(None, (above, each.file))) + f" ({each.place})"
            if each.file
            else f"a name in {above or 'the release'}"
            for each in places
        }
    )


def _texts(path: Path) -> Iterator[str]:
    """Yield each value and key of a JSON file, cell of a table, line of another."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        try:
            yield from strings_of(json.loads(text, parse_float=str, parse_int=str))
        except ValueError:
            yield from text.splitlines()
    elif path.suffix == ".tsv":
        yield from (cell for line in text.splitlines() for cell in line.split("\t"))
    else:
        yield from text.splitlines()


def strings_of(value: object) -> Iterator[str]:
    """
    Yield every key and every text of a JSON value.

    Examples
    --------
    >>> list(strings_of({"a": ["b", {"c": "d"}], "e": True}))
    ['a', 'b', 'c', 'd', 'e']
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings_of(inner)
    elif isinstance(value, str):
        yield value
