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
    write_text(path, format_json(value), mode=mode)


def format_json(value: object) -> str:
    """Return `value` as `write_json` writes it."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_staged(path: Path, text: str) -> None:
    """
    Write a file of a tree that is being made, making the folder if it is not there.

    Nobody reads the tree yet, and publishing it flushes all of its files at once: the
    rename and the flush of `write_text` would make a session of many images wait for
    the disk once a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
