"""
The secret key of a study: made once, readable by its owner alone, remembered.

A study remembers the fingerprint of its key in two places, beside its study file and
in its identified zone. Another key is refused by everything that reads it, since it
would give known people new labels, UIDs and dates.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from imaging_platform.deid.key_backup import open_backup, seal_backup
from imaging_platform.deid.pseudonyms import SECRET_BYTES, key_fingerprint
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadConfig, MissingKey
from imaging_platform.model.layout import Home


def create_secret(home: Home, study: str) -> None:
    """
    Write a new 256-bit key for `study`; a key that is there stays.

    The file is created with mode 0600 and is never readable by others, not even
    for a moment.

    Raises
    ------
    MissingKey
        The study had a key, which is absent; a new one would not be the same.
    """
    if home.secret_file(study).exists():
        return
    remembered = remembered_fingerprints(home, study)
    if remembered:
        raise MissingKey(
            f"Study {study} was made with the key {' and '.join(remembered)}, "
            "which is absent; a new one would give everybody another label.",
            fix=_restore(study),
        )
    _write_secret(home, study, secrets.token_bytes(SECRET_BYTES))
    read_secret(home, study)


def read_secret(home: Home, study: str) -> bytes:
    """
    Return the 32 bytes of the study's key.

    A study that remembers no fingerprint, as one from an earlier version,
    remembers that of this key from now on.

    Raises
    ------
    MissingKey
        The file is absent, damaged, or readable by others, or it is not the key
        that the study was made with.
    """
    secret = _read_file(home, study)
    fingerprint = key_fingerprint(secret)
    remembered = remembered_fingerprints(home, study)
    if not remembered:
        remember_key(home, study, fingerprint)
    elif remembered != (fingerprint,):
        raise MissingKey(
            f"The key of study {study} has the fingerprint {fingerprint}; the study "
            f"was made with {' and '.join(remembered)}.",
            fix=f"Move the file away, then: {_restore(study)}",
        )
    return secret


def remembered_fingerprints(home: Home, study: str) -> tuple[str, ...]:
    """Return the different fingerprints that a study remembers: none, one, or two."""
    files = home.fingerprint_files(study)
    return tuple(
        sorted({f.read_bytes().decode("latin-1").strip() for f in files if f.exists()})
    )


def remember_key(home: Home, study: str, fingerprint: str) -> None:
    """
    Write the fingerprint of the key wherever it is not yet remembered.

    Raises
    ------
    BadConfig
        A folder cannot be written.
    """
    for file in home.fingerprint_files(study):
        if file.exists():
            continue
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=_mode_of(home, file))
            write_text(file, fingerprint + "\n")
        except OSError as error:
            raise BadConfig(
                f"Study {study} cannot remember its key: {error.strerror}.",
                fix=f"As the owner of the home: imaging-platform key check {study}",
            ) from None


def back_up_secret(home: Home, study: str, passphrase: str, target: Path) -> None:
    """
    Write the key of `study`, encrypted with a passphrase, into a new file.

    Raises
    ------
    MissingKey
        As `read_secret`.
    BadConfig
        The file exists, or the passphrase is too short.
    """
    sealed = seal_backup(
        read_secret(home, study),
        study=study,
        passphrase=passphrase,
        salt=secrets.token_bytes(16),
        nonce=secrets.token_bytes(12),
    )
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadConfig(
            "The backup is written into a new file; this one exists.",
            fix="Name a file that is not there yet.",
        ) from None
    with os.fdopen(handle, "w") as writer:
        writer.write(sealed)
        writer.flush()
        os.fsync(writer.fileno())


def restore_secret(home: Home, study: str, passphrase: str, source: Path) -> str:
    """
    Put the key of `study` back from a backup, and return its fingerprint.

    Raises
    ------
    MissingKey
        The passphrase does not open the backup, it is another study's, or it
        holds another key than the one that the study was made with.
    BadConfig
        The study has another key now.
    """
    secret = open_backup(source.read_bytes(), study=study, passphrase=passphrase)
    fingerprint = key_fingerprint(secret)
    remembered = remembered_fingerprints(home, study)
    if remembered and remembered != (fingerprint,):
        raise MissingKey(
            f"The backup holds the key {fingerprint}; study {study} was made with "
            f"{' and '.join(remembered)}.",
            fix="Take the backup of this study's own key.",
        )
    if home.secret_file(study).exists():
        if _read_file(home, study) != secret:
            raise BadConfig(
                f"Study {study} has another key than the backup.",
                fix=f"Move keys/{study}.key away if the backup is the right one.",
            )
    else:
        _write_secret(home, study, secret)
    read_secret(home, study)
    return fingerprint


def _write_secret(home: Home, study: str, secret: bytes) -> None:
    file = home.secret_file(study)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as writer:
        writer.write(secret.hex() + "\n")
        writer.flush()
        os.fsync(writer.fileno())


def _read_file(home: Home, study: str) -> bytes:
    file = home.secret_file(study)
    try:
        text = file.read_bytes().decode("latin-1").strip()
    except FileNotFoundError:
        raise MissingKey(
            f"Study {study} has no secret key.",
            fix=f"{_restore(study)} Only for a study without data: "
            f"imaging-platform key create {study}",
        ) from None
    _refuse_readable_by_others(file, study)
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise MissingKey(
            f"The secret key of study {study} is damaged: expected "
            f"{2 * SECRET_BYTES} hexadecimal digits.",
            fix=f"Move the file away, then: {_restore(study)}",
        )
    return secret


def _refuse_readable_by_others(file: Path, study: str) -> None:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise MissingKey(
            f"The secret key of study {study} can be read by others.",
            fix=f"chmod 600 keys/{study}.key in the imaging home.",
        )


def _mode_of(home: Home, file: Path) -> int:
    identified = home.root / "identified"
    return 0o700 if file.is_relative_to(identified) else 0o755


def _restore(study: str) -> str:
    return f"Restore the backup: imaging-platform key restore {study} FILE."
