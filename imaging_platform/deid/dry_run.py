"""What a policy does to one real file, element by element, for one person's eyes."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import BaseTag

from imaging_platform.deid.additions import ElementName
from imaging_platform.deid.explaining import explain_element
from imaging_platform.deid.pseudonyms import subject_label
from imaging_platform.deid.session import anonymize_session
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey

MAX_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Row:
    """
    One element before and after.

    Parameters
    ----------
    path
        Keywords from the top, ``Sequence[0].Keyword``.
    before, after
        Values as text, cut and without control characters; None: absent.
    action, reason
        As `explaining.Explanation`.
    """

    path: str
    before: str | None = field(repr=False)
    after: str | None = field(repr=False)
    action: str
    reason: str

    @property
    def is_changed(self) -> bool:
        """Whether the value after is another one."""
        return self.before != self.after


@dataclass(frozen=True)
class DryRun:
    """
    A file before and after.

    Parameters
    ----------
    rows
        Elements in the order of the file; empty when it was quarantined.
    quarantined
        Why the file would not be written; empty when it would.
    """

    rows: tuple[Row, ...] = field(repr=False)
    quarantined: str


def try_policy(
    file: Path, workspace: Path, *, settings: DeidSettings, secret: bytes
) -> DryRun:
    """
    De-identify a copy of one file and compare it with the original.

    Parameters
    ----------
    file
        A DICOM file; it is only read.
    workspace
        Existing folder inside the identified zone. A folder that only its owner
        can read is made in it and removed again, whatever happens.
    settings
        The study's options.
    secret
        The study's secret, 32 bytes.

    Raises
    ------
    BadInput
        The file is no DICOM.
    IdentityLeak, MissingKey
        As `session.anonymize_session`.
    """
    folder = Path(tempfile.mkdtemp(prefix=".dry-run-", dir=workspace))
    try:
        with _silent_pydicom():
            return _try_in(folder, file, settings, secret)
    finally:
        shutil.rmtree(folder)


def _try_in(folder: Path, file: Path, settings: DeidSettings, secret: bytes) -> DryRun:
    source, target = folder / "source", folder / "target"
    source.mkdir()
    target.mkdir()
    shutil.copyfile(file, source / "original")
    original = _read(source / "original")
    label = subject_label(secret, str(original.get("PatientID", "")))
    report = anonymize_session(
        source,
        target,
        key=SessionKey(label, "1"),
        settings=settings,
        secret=secret,
    )
    if report.quarantined:
        return DryRun((), report.quarantined[0].reason)
    (written,) = target.rglob("*.dcm")
    return DryRun(tuple(_compare(original, _read(written), settings)), "")


@contextlib.contextmanager
def _silent_pydicom() -> Iterator[None]:
    """Keep the library from quoting values in warnings and logs."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _read(path: Path) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError, EOFError):
        raise BadInput(
            "The file cannot be read as DICOM.",
            fix="Give one file of a scanner or archive, not a folder or an archive.",
        ) from None


def _compare(
    original: Dataset, written: Dataset, settings: DeidSettings, above: str = ""
) -> Iterator[Row]:
    for tag in sorted(set(original.keys()) | set(written.keys())):
        if tag.is_private_creator or tag.element == 0:
            continue
        before, after = _get(original, tag), _get(written, tag)
        known = before if before is not None else after
        assert known is not None
        path = f"{above}{_label(known)}"
        yield _row(path, before, after, settings)
        yield from _compare_items(path, before, after, settings)


def _get(dataset: Dataset, tag: BaseTag) -> DataElement | None:
    """Return an element, as bytes when its value is not what it claims to be."""
    if tag not in dataset:
        return None
    try:
        return dataset[tag]
    except (BytesLengthException, ValueError, TypeError, NotImplementedError):
        value = dataset.get_item(tag).value
        return DataElement(tag, "UN", value if isinstance(value, bytes) else b"")


def _compare_items(
    path: str,
    before: DataElement | None,
    after: DataElement | None,
    settings: DeidSettings,
) -> Iterator[Row]:
    old, new = (_items(one) for one in (before, after))
    for number in range(max(len(old), len(new))):
        yield from _compare(
            old[number] if number < len(old) else Dataset(),
            new[number] if number < len(new) else Dataset(),
            settings,
            f"{path}[{number}].",
        )


def _row(
    path: str,
    before: DataElement | None,
    after: DataElement | None,
    settings: DeidSettings,
) -> Row:
    known = before if before is not None else after
    assert known is not None
    name = _name(known)
    if name is None:
        action, reason = "remove", "private element without a creator"
    else:
        told = explain_element(name, settings)
        action, reason = told.action, told.reason
    return Row(path, _shown(before), _shown(after), action, reason)


def _items(element: DataElement | None) -> list[Dataset]:
    if element is None or element.VR != "SQ":
        return []
    return list(element.value or [])


def _name(element: DataElement) -> ElementName | None:
    tag = element.tag
    if not tag.is_private:
        return ElementName(tag.group, tag.element)
    creator = element.private_creator
    if not creator:
        return None
    return ElementName(tag.group, tag.element & 0xFF, creator.strip().lower())


def _label(element: DataElement) -> str:
    tag = element.tag
    return element.keyword or f"({tag.group:04x},{tag.element:04x})"


def _shown(element: DataElement | None) -> str | None:
    """Return a value as one short line that no terminal can take for a command."""
    if element is None:
        return None
    if element.VR == "SQ":
        return f"{len(element.value or [])} item(s)"
    value = element.value
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = "" if value is None else str(value)
    plain = "".join(c if c.isprintable() else "?" for c in text)
    if len(plain) > MAX_SHOWN_CHARACTERS:
        return f"{plain[:MAX_SHOWN_CHARACTERS]} ... ({len(plain)} characters)"
    return plain
