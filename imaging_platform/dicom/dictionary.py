"""
DICOM's dictionaries (PS3.6) as pydicom has them, without the rest of pydicom.

Importing the package takes longer than de-identifying some hundred files; its
dictionaries are modules of data that need nothing of it.
"""

from __future__ import annotations

import functools
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

PublicEntry = tuple[str, str, str, str, str]
"""Value representation, multiplicity, name, "Retired" or nothing, keyword."""

UidEntry = tuple[str, str, str, str, str]
"""Name, type, information, "Retired" or nothing, keyword."""


def public_entries() -> dict[int, PublicEntry]:
    """Return the entry of each public tag, group << 16 | element."""
    return _load("_dicom_dict").DicomDictionary


def uid_entries() -> dict[str, UidEntry]:
    """Return the entry of each UID of the standard (PS3.6 annex A)."""
    return _load("_uid_dict").UID_dictionary


def find_public_vr(tag: int) -> str:
    """Return the value representation of a public tag, empty if it is in no entry."""
    entry = public_entries().get(tag)
    if entry is None and not tag & 0x10000:
        text = f"{tag:08x}"
        repeating = _load("_dicom_dict").RepeatersDictionary.items()
        fitting = (row for mask, row in repeating if _fits(mask, text))
        entry = next(fitting, None)
    return entry[0] if entry else ""


def find_private_vr(tag: int, creator: str) -> str:
    """Return the value representation of a private tag, empty if it is in no entry."""
    entries = _load("_private_dict").private_dictionaries.get(creator, {})
    group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
    for name in (
        group + element,
        f"{group}xx{element[2:]}",
        f"{group[:2]}xxxx{element[2:]}",
    ):
        if name in entries:
            return entries[name][0]
    return ""


def find_tag(keyword: str) -> int | None:
    """Return the tag of a keyword, None if no entry has it."""
    return _tags().get(keyword)


@functools.cache
def _tags() -> dict[str, int]:
    return {entry[4]: tag for tag, entry in public_entries().items()}


def _fits(mask: str, text: str) -> bool:
    pairs = zip(mask.lower(), text, strict=True)
    return all(sign in ("x", digit) for sign, digit in pairs)


@functools.cache
def _load(name: str) -> ModuleType:
    full_name = f"pydicom.{name}"
    if full_name in sys.modules:
        return sys.modules[full_name]
    # Of a name without a point this imports nothing.
    package = find_spec("pydicom")
    assert package is not None
    assert package.origin is not None
    place = Path(package.origin).with_name(f"{name}.py")
    spec = spec_from_file_location(full_name, place)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
