"""What people bring to a session, by `attach` or beside its images, in one tree."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from imaging_platform.files.digests import digest_tree, sorted_files
from imaging_platform.model import layout
from imaging_platform.model.errors import Held
from imaging_platform.model.ids import SessionKey
from imaging_platform.provenance.record import ATTACHMENTS, Record
from imaging_platform.resources.zones import EchoGuard, IdentifiedZone, PublishedZone
from imaging_platform.storage.store import Store

ATTACH_VERSION = "attach.2"
BY_HAND = "by_hand"
LEFT_OUT = "left_out"
"""Parts of the record's report: files from `attach`; files of drops by reason."""

ECHOES = "an identifier of the subject was found in it"
TWICE = "another file of its name is attached; `attach` the one that counts"


def bring_attachments(
    study: str,
    key: SessionKey,
    *,
    identified: IdentifiedZone,
    published: PublishedZone,
    echo_guard: EchoGuard,
    by_hand: Path | None = None,
) -> bool:
    """
    Publish what there is to attach to a session; return whether that is news.

    A file that `attach` brought stands before one of the same name from a drop.

    Parameters
    ----------
    study, key
        The session; it is de-identified, so that identifiers can be searched for.
    identified, published, echo_guard
        Where the files came to, where they go, and what they are searched for.
    by_hand
        Folder of what `attach` brings now, received and searched; None: what it
        brought before stays.

    Raises
    ------
    MissingInput
        What must not be found is not known.
    """
    from imaging_platform.intake.companions import gather_companions

    store, place = published.store(), layout.attachments(study, key)
    zone = identified.folder(study)
    sorting = identified.store().stage(layout.companions(study, key))
    with store.stage(place) as tree, sorting as scratch:
        source = scratch / "source"
        source.mkdir()
        n_files = gather_companions(key, zone=zone, target=source)
        if not n_files and by_hand is None:
            return False
        names = _copy_by_hand(store, place, tree, by_hand)
        left_out = _receive(source, tree, study, key, echo_guard) if n_files else {}
        report = {BY_HAND: names, LEFT_OUT: left_out}
        return _publish(store, place, tree, str(key), report)


def bring_late(
    study: str,
    keys: tuple[str, ...],
    *,
    identified: IdentifiedZone,
    published: PublishedZone,
    echo_guard: EchoGuard,
) -> None:
    """
    Publish what a drop brought to sessions that are de-identified already.

    The others, and those that are held now, get it when they are de-identified.
    """
    for key in map(SessionKey.parse, keys):
        if identified.guard_file(study, key).exists():
            with contextlib.suppress(Held):
                bring_attachments(
                    study,
                    key,
                    identified=identified,
                    published=published,
                    echo_guard=echo_guard,
                )


def hand_over(
    study: str, origin: SessionKey, to: SessionKey, *, published: PublishedZone
) -> None:
    """
    Give what `attach` brought to a session to the new one that it is called now.

    It stands nowhere else. Nothing is done when the new one has attachments.
    """
    store, place = published.store(), layout.attachments(study, to)
    source = layout.attachments(study, origin)
    if store.read(place) is not None or store.read(source) is None:
        return
    with store.stage(place) as tree:
        if names := _copy_by_hand(store, source, tree, None):
            _publish(store, place, tree, str(to), {BY_HAND: names, LEFT_OUT: {}})


def left_out_of(record: Record | None) -> Mapping[str, int]:
    """Return how many files of drops could not be attached, by reason."""
    return record.report.get(LEFT_OUT, {}) if record is not None else {}


def _copy_by_hand(
    store: Store, place: str, tree: Path, by_hand: Path | None
) -> list[str]:
    """Copy what `attach` brings, or brought before; return the names of the files."""
    if by_hand is not None:
        return _copy(by_hand, tree, _names(by_hand))
    record = store.read(place)
    if record is None:
        return []
    with store.fetch(place) as before:
        # Records before version 2 tell of no drops: all of it came by hand.
        return _copy(before, tree, record.report.get(BY_HAND, _names(before)))


def _receive(
    source: Path, tree: Path, study: str, key: SessionKey, echo_guard: EchoGuard
) -> dict[str, int]:
    """Add what may pass of files from drops; return why the others may not."""
    reasons: Counter[str] = Counter()
    for folder in sorted(source.iterdir(), key=lambda path: int(path.name)):
        # Each alone: what must stay out stands in nobody's way.
        reasons += _receive_folder(folder, tree, study, key, echo_guard)
    return dict(sorted(reasons.items()))


def _receive_folder(
    source: Path, tree: Path, study: str, key: SessionKey, echo_guard: EchoGuard
) -> Counter[str]:
    from imaging_platform.bids.attachments import receive_attachments

    with tempfile.TemporaryDirectory(dir=source.parent.parent) as folder:
        cleaned = Path(folder)
        received = receive_attachments(source, cleaned, key)
        reasons = Counter(received.left_out.values())
        echoing = {echo.file for echo in echo_guard.search(study, key, cleaned)}
        passing = [] if "" in echoing else _besides(_names(cleaned), echoing)
        reasons[ECHOES] += len(received.files) - len(passing)
        new = [name for name in passing if not (tree / name).exists()]
        reasons[TWICE] += sum(
            not filecmp.cmp(cleaned / name, tree / name, shallow=False)
            for name in set(passing).difference(new)
        )
        _copy(cleaned, tree, new)
    return +reasons


def _besides(names: list[str], echoing: set[str]) -> list[str]:
    """Return the names of files that neither echo nor describe one that does."""
    stems = {name.partition(".")[0] for name in echoing}
    return [name for name in names if name.partition(".")[0] not in stems]


def _publish(
    store: Store,
    place: str,
    tree: Path,
    partition: str,
    report: Mapping[str, object],
) -> bool:
    known, version = store.read(place), digest_tree(tree)
    is_same = known is not None and known.data_version == version
    if not is_same or known is None or known.report != report:
        record = Record(ATTACHMENTS, partition, ATTACH_VERSION, report=report)
        store.publish(tree, place, record)
    return not is_same


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted_files(folder)]


def _copy(source: Path, target: Path, names: list[str]) -> list[str]:
    for name in names:
        shutil.copyfile(source / name, target / name)
    return names
