"""What a program prints, of bounded size and without paths of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LONGEST_LINE_BYTES = 1 << 16


class CappedLog:
    """
    The beginning and the end of what is printed.

    The beginning can be read while it is written; the end follows at `close`.

    Parameters
    ----------
    path
        File; an older one is replaced.
    n_bytes
        Most bytes that are kept, half of them from the end.
    hidden
        Text that never gets into the file, and what stands for it.
    """

    def __init__(self, path: Path, n_bytes: int, hidden: Mapping[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._half = n_bytes // 2
        # Longest first: a folder inside another keeps its own name.
        self._hidden = sorted(
            ((k.encode(), v.encode()) for k, v in hidden.items()), key=_by_length
        )
        self._written = 0
        self._line = b""
        self._tail = b""
        self._left_out = 0

    def write(self, data: bytes) -> None:
        """Add what was printed, in pieces of any size."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._keep(line + b"\n")
        if len(self._line) > LONGEST_LINE_BYTES:
            self._keep(self._line)
            self._line = b""

    def close(self) -> None:
        """Write the end."""
        self._keep(self._line)
        if self._left_out:
            self._file.write(b"\n[... %d bytes left out ...]\n\n" % self._left_out)
        self._file.write(self._tail)
        self._file.close()

    def _keep(self, line: bytes) -> None:
        for text, name in self._hidden:
            line = line.replace(text, name)
        if self._written + len(line) <= self._half and not self._tail:
            self._file.write(line)
            self._file.flush()
            self._written += len(line)
            return
        self._tail += line
        excess = len(self._tail) - self._half
        if excess > 0:
            self._tail = self._tail[excess:]
            self._left_out += excess


def _by_length(pair: tuple[bytes, bytes]) -> int:
    return -len(pair[0])
