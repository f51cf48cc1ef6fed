"""The secret key of a study: made once, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from imaging_platform.model.errors import MissingKey
from imaging_platform.model.layout import Home

KEY_BYTES = 32


def create_secret(home: Home, study: str) -> None:
    """
    Write a new 256-bit key for `study`; a key that is there stays.

    The file is created with mode 0600 and is never readable by others, not even
    for a moment.
    """
    file = home.secret_file(study)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as writer:
        writer.write(secrets.token_hex(KEY_BYTES) + "\n")


def read_secret(home: Home, study: str) -> bytes:
    """
    Return the 32 bytes of the study's key.

    Raises
    ------
    MissingKey
        The file is absent, damaged, or readable by others.
    """
    file = home.secret_file(study)
    try:
        text = file.read_text().strip()
    except FileNotFoundError:
        raise MissingKey(
            f"Study {study} has no secret key.",
            fix="Restore keys/ from your backup. Only for a study without data: "
            f"imaging-platform study new {study}",
        ) from None
    _refuse_readable_by_others(file, study)
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise MissingKey(
            f"The secret key of study {study} is damaged: expected "
            f"{2 * KEY_BYTES} hexadecimal digits.",
            fix="Restore keys/ from your backup.",
        )
    return secret


def _refuse_readable_by_others(file: Path, study: str) -> None:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise MissingKey(
            f"The secret key of study {study} can be read by others.",
            fix=f"chmod 600 keys/{study}.key in the imaging home.",
        )
