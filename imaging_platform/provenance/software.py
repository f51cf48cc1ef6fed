"""The installation that makes results: code, packages, Python; no host, no time."""

from __future__ import annotations

import functools
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from imaging_platform.files.digests import digest_file, digest_json

PACKAGE = "imaging_platform"
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Software:
    """
    What a result was made with; equal on one installation for every result.

    Parameters
    ----------
    name, version
        The product and its version.
    revision
        SHA-256 over each file of the installed package; another one is other code,
        whether or not the version moved.
    packages
        Version of each package that the product requires, by name.
    python, system, machine
        Python's version, such as ``3.11.9``; ``Linux``; ``x86_64``.
    """

    name: str
    version: str
    revision: str
    packages: Mapping[str, str]
    python: str
    system: str
    machine: str


@functools.cache
def read_software() -> Software:
    """Return what makes results in this process."""
    return Software(
        name=PACKAGE,
        version=metadata.version(PACKAGE),
        revision=digest_code(Path(__file__).resolve().parents[1]),
        packages=_list_packages(),
        python=platform.python_version(),
        system=platform.system(),
        machine=platform.machine(),
    )


def digest_code(package: Path) -> str:
    """Return the SHA-256 over path and bytes of each file of a package."""
    files = sorted(
        path
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return digest_json(
        [[f.relative_to(package).as_posix(), digest_file(f)] for f in files]
    )


def _list_packages() -> dict[str, str]:
    """Return the version of each requirement; extras are for those who develop."""
    required = [
        match.group().lower()
        for line in metadata.requires(PACKAGE) or ()
        if "extra ==" not in line and (match := _REQUIREMENT.match(line))
    ]
    return {name: metadata.version(name) for name in sorted(required)}
