"""The backup of a study's key: a small text that a passphrase opens."""

from __future__ import annotations

import hashlib
import json

from imaging_platform.deid.pseudonyms import SECRET_BYTES, key_fingerprint
from imaging_platform.model.errors import BadConfig, MissingKey

SHORTEST_PASSPHRASE = 12
FORMAT = "imaging_platform key backup 1"
_COST, _BLOCK, _LANES = 1 << 17, 8, 1
"""scrypt (RFC 7914): 128 MiB and about half a second for each guess."""
_MOST_COST = 1 << 18
_MEMORY_BYTES = 128 * _BLOCK * _MOST_COST + (1 << 20)


def seal_backup(
    secret: bytes, *, study: str, passphrase: str, salt: bytes, nonce: bytes
) -> str:
    """
    Return the text of a backup: JSON, with the key encrypted by the passphrase.

    Parameters
    ----------
    secret
        The study's secret, 32 bytes.
    study
        Name of the study; the backup opens for no other.
    passphrase
        12 characters or more.
    salt, nonce
        16 and 12 bytes of chance.

    Raises
    ------
    BadConfig
        The passphrase is too short.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise BadConfig(
            f"A passphrase has {SHORTEST_PASSPHRASE} characters or more.",
            fix="Take five random words, and keep them apart from the backup.",
        )
    head = {
        "format": FORMAT,
        "study": study,
        "fingerprint": key_fingerprint(secret),
        "cost": _COST,
        "salt": salt.hex(),
        "nonce": nonce.hex(),
    }
    key = _stretch(passphrase, salt, _COST)
    sealed = AESGCM(key).encrypt(nonce, secret, _text(head).encode())
    return _text({**head, "key": sealed.hex()})


def open_backup(data: bytes, *, study: str, passphrase: str) -> bytes:
    """
    Return the key in a backup.

    Raises
    ------
    MissingKey
        It is no backup, of another study, was changed, or the passphrase is wrong.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        head = json.loads(data)
        sealed = bytes.fromhex(head.pop("key"))
        salt, nonce = bytes.fromhex(head["salt"]), bytes.fromhex(head["nonce"])
        named, cost = str(head["study"]), int(head["cost"])
        if head["format"] != FORMAT or not 2 <= cost <= _MOST_COST:
            raise ValueError(FORMAT)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise MissingKey(
            "The file is no backup of a key, or is damaged.",
            fix="Take the file that `imaging-platform key backup` wrote.",
        ) from None
    if named != study:
        raise MissingKey(
            f"The backup is of study {named}, not of {study}.",
            fix="Take the backup of this study's own key.",
        )
    try:
        key = _stretch(passphrase, salt, cost)
        secret = AESGCM(key).decrypt(nonce, sealed, _text(head).encode())
    except (InvalidTag, ValueError):
        raise MissingKey(
            "The passphrase does not open the backup, or the file was changed.",
            fix="Type the passphrase again; without it the backup is of no use.",
        ) from None
    if len(secret) != SECRET_BYTES:
        raise MissingKey(
            "The backup holds no key of this platform.",
            fix="Take the file that `imaging-platform key backup` wrote.",
        )
    return secret


def _stretch(passphrase: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(
        passphrase.encode(),
        salt=salt,
        n=cost,
        r=_BLOCK,
        p=_LANES,
        maxmem=_MEMORY_BYTES,
        dklen=32,
    )


def _text(value: dict[str, object]) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
