"""The scans of one BIDS session folder, and the names of what is derived from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from imaging_platform.model.errors import BadInput, MissingInput
from imaging_platform.model.ids import SessionKey

Item = TypeVar("Item")

_DROPPED_ENTITIES = frozenset({"sub", "ses", "part", "desc", "space", "res"})


@dataclass(frozen=True)
class Scan:
    """
    One image of a BIDS session.

    Parameters
    ----------
    path
        The ``.nii`` or ``.nii.gz`` file.
    datatype
        Folder of the session: ``anat``, ``func`` or ``dwi``.
    suffix
        Last part of the name, such as ``T1w``.
    entities
        ``(key, label)`` pairs in the order of the name.
    """

    path: Path
    datatype: str
    suffix: str
    entities: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """File name without its extension, unique in a session."""
        return _stem(self.path)

    def sibling(self, extension: str) -> Path:
        """Return the path of the file of the same name with another extension."""
        return self.path.with_name(self.name + extension)

    def label(self, key: str) -> str:
        """Return the label of an entity, or an empty text when the name has none."""
        return dict(self.entities).get(key, "")


@dataclass(frozen=True)
class Skipped:
    """
    A scan from which nothing was derived.

    Parameters
    ----------
    scan
        Its name without extension.
    reason
        Why, as a sentence without a full stop.
    """

    scan: str
    reason: str


@dataclass(frozen=True)
class DerivativeReport(Generic[Item]):
    """
    What was derived from the scans of one session.

    Parameters
    ----------
    scans
        One entry a result.
    skipped
        Scans without a result, or with a part of it, with the reason.
    note
        What the session has none of, as ``no T1w``; empty when there are scans.
    """

    scans: tuple[Item, ...]
    skipped: tuple[Skipped, ...]
    note: str


def find_scans(session: Path, datatype: str, suffix: str) -> list[Scan]:
    """
    Return the images of one kind in a session folder, in order of their names.

    Phase images (``part-phase``) are left out: they hold radians, not signal.

    Parameters
    ----------
    session
        ``.../sub-X/ses-Y``.
    datatype
        ``anat``, ``func`` or ``dwi``; a missing folder has no scans.
    suffix
        ``T1w``, ``bold`` or ``dwi``.

    Raises
    ------
    MissingInput
        The session folder is not there.
    """
    if not session.is_dir():
        raise MissingInput(
            "The session has no folder to read scans from.",
            fix="Convert the session to BIDS first.",
        )
    folder = session / datatype
    if not folder.is_dir():
        return []
    paths = sorted(folder.glob(f"*_{suffix}.nii")) + sorted(
        folder.glob(f"*_{suffix}.nii.gz")
    )
    scans = [Scan(path, datatype, suffix, _entities(path)) for path in paths]
    return [scan for scan in scans if scan.label("part") in ("", "mag")]


def derived_path(
    target: Path,
    key: SessionKey,
    scan: Scan,
    desc: str,
    suffix: str,
    extension: str,
    *,
    label: str = "",
) -> Path:
    """
    Return where a derivative of `scan` belongs (BIDS, derivatives, common data types).

    Parameters
    ----------
    target
        Content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    key
        Labels that the new name starts with.
    scan
        Its entities are kept but for ``part-mag``.
    desc
        Label of the ``desc`` entity; no such entity when empty.
    suffix, extension
        End of the new name, such as ``mask`` and ``.nii.gz``.
    label
        Label of the ``label`` entity (a tissue); no such entity when empty.
    """
    kept = [f"{k}-{v}" for k, v in scan.entities if k not in _DROPPED_ENTITIES]
    added = [f"{k}-{v}" for k, v in (("label", label), ("desc", desc)) if v]
    name = "_".join([str(key), *kept, *added, suffix])
    return target / scan.datatype / f"{name}{extension}"


def source_uri(key: SessionKey, scan: Scan) -> str:
    """Return the BIDS URI of the raw scan in the dataset named ``raw`` (BIDS URIs)."""
    folder = f"sub-{key.subject}/ses-{key.session}/{scan.datatype}"
    return f"bids:raw:{folder}/{scan.path.name}"


def read_sidecar(scan: Scan) -> dict[str, object]:
    """
    Return the JSON object beside a scan; empty when there is none.

    Raises
    ------
    BadInput
        The file holds something else than a JSON object.
    """
    path = scan.sibling(".json")
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _bad_sidecar(scan) from error
    if not isinstance(value, dict):
        raise _bad_sidecar(scan)
    return value


def _bad_sidecar(scan: Scan) -> BadInput:
    return BadInput(
        f"The sidecar of {scan.name} is not a JSON object.",
        fix="Convert the session to BIDS again.",
    )


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _entities(path: Path) -> tuple[tuple[str, str], ...]:
    parts = _stem(path).split("_")[:-1]
    pairs = [part.split("-", 1) for part in parts if "-" in part]
    return tuple((key, label) for key, label in pairs)
