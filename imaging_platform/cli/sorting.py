"""Which files of a folder belong to which session, without the platform's store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.deid.labels import Labels
from imaging_platform.dicom.headers import Header, read_owner
from imaging_platform.intake.assignment import assign_sessions
from imaging_platform.intake.claims import is_litter
from imaging_platform.intake.placing import studies_of
from imaging_platform.intake.visits import Identity
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey

NO_PLACE = "no patient id, or no study uid"
NOT_OPENED = "cannot be opened"

_FILES_AT_A_TIME = 128


@dataclass(frozen=True)
class Sorted:
    """
    The files of a folder.

    Parameters
    ----------
    sessions
        Files of each session, in the order of their keys.
    unreadable
        How many files have no place, by reason.
    n_ignored
        What operating systems and media leave beside images.
    """

    sessions: Mapping[SessionKey, tuple[Path, ...]]
    unreadable: Mapping[str, int]
    n_ignored: int

    @property
    def n_files(self) -> int:
        """All files that were found."""
        placed = sum(map(len, self.sessions.values()))
        return placed + sum(self.unreadable.values()) + self.n_ignored


def sort_sessions(
    source: Path,
    labels: Labels,
    known: Mapping[Identity, SessionKey],
    *,
    pool: Executor | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sorted:
    """
    Find the session of each file below a folder; nothing is written.

    Parameters
    ----------
    source
        A folder, or one file.
    labels
        Labels that the study gives.
    known
        Sessions that the platform knows; they keep their keys.
    pool
        Processes that read headers; None reads them in this one.
    progress
        Told how many headers of how many were read.

    Raises
    ------
    BadInput
        There is no file.
    """
    paths, n_ignored = _find_files(source)
    if not paths:
        raise BadInput(
            "The source holds no file that could be an image.",
            fix="Give a folder with DICOM files; archives are unpacked before.",
        )
    headers: dict[Path, Header] = {}
    left_out: Counter[str] = Counter()
    owners = zip(paths, _owners(paths, pool), strict=True)
    for number, (path, found) in enumerate(owners):
        if isinstance(found, Header):
            headers[path] = found
        else:
            left_out[found] += 1
        progress(number + 1, len(paths))
    sessions = _place(headers, labels, known, left_out)
    return Sorted(sessions, dict(sorted(left_out.items())), n_ignored)


def _find_files(source: Path) -> tuple[list[Path], int]:
    if source.is_file():
        return [source], 0
    found = sorted(path for path in source.rglob("*") if path.is_file())
    wanted = [p for p in found if not is_litter(p.relative_to(source).as_posix())]
    return wanted, len(found) - len(wanted)


def _owners(paths: list[Path], pool: Executor | None) -> Iterable[Header | str]:
    if pool is None:
        return map(_owner_or_reason, paths)
    return pool.map(_owner_or_reason, paths, chunksize=_FILES_AT_A_TIME)


def _owner_or_reason(path: Path) -> Header | str:
    try:
        return read_owner(path)
    except BadInput as error:
        return str(error)
    except OSError:
        # The message of the system names the file.
        return NOT_OPENED


def _place(
    headers: Mapping[Path, Header],
    labels: Labels,
    known: Mapping[Identity, SessionKey],
    left_out: Counter[str],
) -> dict[SessionKey, tuple[Path, ...]]:
    studies = studies_of(headers.values(), labels.of_study)
    placed = assign_sessions(known, studies.values())
    members: dict[SessionKey, list[Path]] = defaultdict(list)
    for path, header in headers.items():
        study = studies.get((header.patient_id, header.study_uid))
        place = placed[study.identity] if study else NO_PLACE
        if isinstance(place, SessionKey):
            members[place].append(path)
        else:
            left_out[str(place)] += 1
    return {key: tuple(members[key]) for key in sorted(members)}
