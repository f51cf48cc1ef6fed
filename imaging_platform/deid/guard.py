"""
The echo guard: nothing that was known of the subject is in what was written.

Whatever the engine writes is laid down here, each distinct element once. When the
last file told what it knows of the subject, all of it is searched in a few large
pieces; where something is found, the files are read back and searched element by
element, so that the place can be named (`imaging_platform.deid.residue`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.deid.ge import unpack_protocol
from imaging_platform.deid.identifiers import Identifiers, split_text
from imaging_platform.deid.policy import NUMERIC_VRS
from imaging_platform.deid.uids import is_personal

_PIECE_BYTES = 4 << 20
_BYTES_OF_A_PART = 100
_NUMBERS = NUMERIC_VRS | {"OW", "OF", "OD", "OL", "OV"}
# What is not ASCII in bytes that a rewriter made is a number, no letter; and no
# identifier is shorter (`identifiers`).
_TEXTS = re.compile(rb"[\t\n\r -~]{3,}")
# Ends the head of each tag and item of Siemens' own headers, and is in no text.
_MARK_OF_CSA = b"\0M\0\0\0"


@dataclass
class Evidence:
    """
    What was written of some files of a session.

    Parameters
    ----------
    folder
        Existing folder for what does not stay in memory.
    uids, days
        UIDs, and components of numeric texts that look like days.
    """

    folder: Path
    uids: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)
    _waiting: dict[str, list[bytes]] = field(default_factory=dict)
    _waiting_bytes: int = 0
    _n_pieces: int = 0
    _parts: set[bytes] = field(default_factory=set)
    _parts_bytes: int = 0

    def add(self, vr: str, value: bytes) -> None:
        """Lay down the value of an element that is written."""
        if vr == "UI":
            self.uids.update(uid for uid in split_text(value) if is_personal(uid))
        elif vr in ("DS", "IS"):
            self.days.update(
                part for part in split_text(value) if len(part) == 8 and part.isdigit()
            )
        elif vr in _NUMBERS:
            self._lay("numbers", value)
        elif vr in ("OB", "UN"):
            unpacked = unpack_protocol(value)
            if unpacked is None:
                self._lay_new_parts(value)
            else:
                self._lay("text", unpacked.encode("latin-1"))
        else:
            self._lay("text", value)

    def finish(self) -> None:
        """Put what is in memory into the folder, so that another process finds it."""
        for kind, values in self._waiting.items():
            self._n_pieces += 1
            (self.folder / f"{self._n_pieces:06d}.{kind}").write_bytes(
                b"\n".join(values)
            )
        self._waiting.clear()
        self._waiting_bytes = 0

    def is_suspect(self, identifiers: Identifiers) -> bool:
        """Return whether anything of the subject may be in what was written."""
        if self.uids & identifiers.uids or self.days & identifiers.dates:
            return True
        return any(_echoes(piece, identifiers) for piece in self._pieces())

    def _lay_new_parts(self, value: bytes) -> None:
        """Lay down the texts in the parts of a value that were not seen before."""
        new = set(value.split(_MARK_OF_CSA)) - self._parts
        self._parts_bytes += sum(map(len, new)) + _BYTES_OF_A_PART * len(new)
        if self._parts_bytes > _PIECE_BYTES:
            self._parts.clear()
            self._parts_bytes = 0
        self._parts |= new
        texts = set(_TEXTS.findall(b"\0".join(new)))
        self._lay("technique", b"\0".join(sorted(texts)))

    def _lay(self, kind: str, value: bytes) -> None:
        if not value:
            return
        self._waiting.setdefault(kind, []).append(value)
        self._waiting_bytes += len(value)
        if self._waiting_bytes > _PIECE_BYTES:
            self.finish()

    def _pieces(self) -> Iterator[Path]:
        yield from sorted(self.folder.iterdir())


def _echoes(piece: Path, identifiers: Identifiers) -> bool:
    value = piece.read_bytes()
    if piece.suffix == ".numbers":
        return identifiers.echoes_in_numbers(value)
    text = value.decode("latin-1")
    if piece.suffix == ".technique":
        return identifiers.echoes_in_technique(text)
    return identifiers.echoes_in(text)
