"""Writing a single file so that a reader sees the old or the new one, never a part."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """
    Write `text` as UTF-8 with one rename, making the folder if it is not there.

    Parameters
    ----------
    path
        Where the file stands afterwards; an older one is replaced.
    text
        The whole content.
    mode
        Permission bits of the new file; it never had wider ones.
    """
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` as `write_text` writes text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(prefix=".staged-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(staged).chmod(mode)
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object, *, mode: int = 0o644) -> None:
    """Write `value` as JSON with sorted keys and a final newline (`write_text`)."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    write_text(path, text + "\n", mode=mode)
