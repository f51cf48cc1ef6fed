"""Laying a release out: files of sessions, the texts at its top, digest of each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.files.digests import digest_bytes, digest_file
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.ids import SessionKey
from imaging_platform.provenance.ro_crate import METADATA_NAME
from imaging_platform.release.content import (
    Content,
    ReleasedFile,
    link_dataset,
    rewrite_scans,
)

MANIFEST = "manifest-sha256.txt"
DESCRIPTION = "dataset_description.json"
_OF_DATASET = (".bidsignore", "README", "README.md", "README.txt")


@dataclass(frozen=True)
class Titles:
    """
    What a release says of itself.

    Parameters
    ----------
    version
        Such as ``1.0.0``.
    date
        Day of the release, ISO 8601.
    title, description
        Of the study.
    changes
        What is new, one text a line; newest release first.
    """

    version: str
    date: str
    title: str
    description: str
    changes: Sequence[tuple[str, str, Sequence[str]]] = ()


def copy_sessions(
    root: Path, contents: Mapping[SessionKey, Sequence[Content]]
) -> dict[str, str]:
    """
    Copy what leaves of each session into a release.

    Returns
    -------
    dict
        Path below ``defaced_t1w`` of each scan that stands for one with a face, by
        its path in the release.
    """
    for parts in contents.values():
        for part in parts:
            for file in part.files:
                target = root / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.name.endswith("_scans.tsv"):
                    write_text(target, _scans_of(part, file))
                else:
                    shutil.copyfile(file.source, target)
    return {
        file.path: file.defaced
        for parts in contents.values()
        for part in parts
        for file in part.files
        if file.defaced
    }


def write_texts(root: Path, titles: Titles, members: Sequence[SessionKey]) -> None:
    """Write ``README.md``, ``CHANGES`` and ``.bidsignore`` at the top of a release."""
    write_text(root / "README.md", describe_release(titles, members))
    entries = titles.changes
    if all(version != titles.version for version, _, _ in entries):
        own = (titles.version, titles.date, [f"{len(members)} session(s)."])
        entries = [own, *entries]
    write_text(
        root / "CHANGES",
        "\n".join(
            f"{version} {date}\n" + "".join(f"  - {line}\n" for line in lines)
            for version, date, lines in entries
        ),
    )
    write_text(root / ".bidsignore", f"{MANIFEST}\n{METADATA_NAME}\n")


def describe_release(titles: Titles, members: Sequence[SessionKey]) -> str:
    """Return the README of a release."""
    subjects = {key.subject for key in members}
    lines = [
        f"# {titles.title}",
        "",
        *([titles.description, ""] if titles.description else []),
        f"Release {titles.version} of {titles.date}.",
        f"Participants: {len(subjects)}. Sessions: {len(members)}.",
        "",
        "Each T1w, T2w, FLAIR, PDw and PET image is a copy without its face.",
        "Other images of the head from outside are not part of the release.",
        "All dates are shifted by a secret number of days for each participant; "
        "intervals between the sessions of one participant are true.",
        "",
        f"`{MANIFEST}` has the SHA-256 of each file: `sha256sum --check {MANIFEST}`.",
        f"`{METADATA_NAME}` says what was made from what, and by which programs.",
        "",
    ]
    return "\n".join(lines)


def describe_derivatives(root: Path, sources: Mapping[str, Path], version: str) -> None:
    """
    Write the top of each derivative dataset of a release, with links inside it.

    Parameters
    ----------
    root
        The release.
    sources
        The published dataset by its name in the release.
    version
        Of the release.
    """
    present = [name for name in sources if (root / "derivatives" / name).is_dir()]
    names = {"raw": "../..", **{name: f"../{name}" for name in present}}
    for name in present:
        target = root / "derivatives" / name
        for file in _OF_DATASET:
            if (sources[name] / file).is_file():
                shutil.copyfile(sources[name] / file, target / file)
        text = (sources[name] / DESCRIPTION).read_text()
        write_json(target / DESCRIPTION, link_dataset(text, names, version))


def digest_release(root: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its path, but of the manifest, sorted."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    paths = {path.relative_to(root).as_posix(): path for path in files}
    paths.pop(MANIFEST, None)
    return {name: digest_file(path) for name, path in sorted(paths.items())}


def write_manifest(root: Path, digests: Mapping[str, str]) -> str:
    """Write the manifest, as ``sha256sum --check`` reads it; return its own digest."""
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    write_text(root / MANIFEST, text)
    return digest_bytes(text.encode())


def set_read_only(root: Path) -> None:
    """Take the right to write from each file and folder of a release."""
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def set_writable(root: Path) -> None:
    """Give the owner the right to write back, so that a release can be removed."""
    root.chmod(0o755)
    for folder in (path for path in root.rglob("*") if path.is_dir()):
        folder.chmod(0o755)


def _scans_of(content: Content, table: ReleasedFile) -> str:
    top = "/".join(table.path.split("/")[:-1])
    present = {f.path.removeprefix(f"{top}/") for f in content.files}
    text = table.source.read_text(encoding="utf-8")
    return rewrite_scans(text, frozenset(present), content.renamed or {})
