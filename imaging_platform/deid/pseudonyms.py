"""
Names that stand for a subject, keyed by the study's secret.

Each is HMAC-SHA-256 of the secret over a domain and the original, so that no two
kinds of pseudonym can be compared, no other study shares one, and nobody without
the secret can try out identities (PS3.15 annex E; NIST FIPS 198-1).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

from imaging_platform.deid.settings import DeidSettings
from imaging_platform.model.errors import MissingKey

SECRET_BYTES = 32
LABEL_CHARACTERS = 10
_SHORTEST_ECHO = 4
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def subject_label(secret: bytes, patient_id: str) -> str:
    """
    Return the BIDS subject label of a patient: 10 letters and digits.

    The label holds 50 bits: among 10,000 subjects of a study the chance that any
    two share one is 4e-8. Letters are upper case and without I, L, O and U, so a
    label survives file systems that ignore case and being read aloud.

    Parameters
    ----------
    secret
        The study's secret, 32 bytes.
    patient_id
        PatientID (0010,0020); padding, case and inner runs of spaces do not matter.

    Raises
    ------
    MissingKey
        The secret does not have 32 bytes.

    Examples
    --------
    >>> subject_label(bytes(32), " p 1") == subject_label(bytes(32), "P 1 ")
    True
    """
    normal = normal_patient_id(patient_id)
    bits = int.from_bytes(_keyed(secret, "subject", normal), "big")
    return "".join(_ALPHABET[bits >> 5 * i & 31] for i in range(LABEL_CHARACTERS))


def normal_patient_id(patient_id: str) -> str:
    r"""
    Return a patient identifier in the form in which two are compared.

    Examples
    --------
    >>> normal_patient_id(" P  1\0")
    'p 1'
    """
    return re.sub(r"\s+", " ", patient_id.replace("\0", " ")).strip().casefold()


def new_uid(secret: bytes, uid: str) -> str:
    """
    Return the UID that stands for `uid` in this study: ``2.25.`` and 122 random bits.

    The number has the form of a random UUID (PS3.5 section B.2), at most 44
    characters. The same UID gives the same one in every file, series and session.

    Raises
    ------
    MissingKey
        The secret does not have 32 bytes.
    """
    bits = int.from_bytes(_keyed(secret, "uid", uid.strip("\0 "))[:16], "big")
    version = bits & ~(0xF << 76) | 4 << 76
    return f"2.25.{version & ~(3 << 62) | 2 << 62}"


def date_offset_days(secret: bytes, subject_label: str, settings: DeidSettings) -> int:
    """
    Return by how many whole days the dates of a subject move: always backwards.

    The same for all sessions of the subject, so intervals stay exact (PS3.15
    section E.3.6, Retain Longitudinal Temporal Information With Modified Dates).

    Raises
    ------
    MissingKey
        The secret does not have 32 bytes.
    """
    span = settings.latest_days - settings.earliest_days + 1
    bits = int.from_bytes(_keyed(secret, "dates", subject_label), "big")
    return settings.earliest_days + bits % span


def key_fingerprint(secret: bytes) -> str:
    """
    Return 12 hex digits by which people recognize the secret; they do not reveal it.

    Raises
    ------
    MissingKey
        The secret does not have 32 bytes.
    """
    return _keyed(secret, "fingerprint", "").hex()[:12]


def keyed_digest(secret: bytes, purpose: str, text: str) -> str:
    """
    Return 64 hex digits that change with `text` and say nothing about it.

    Raises
    ------
    MissingKey
        The secret does not have 32 bytes.
    """
    return _keyed(secret, f"digest/{purpose}", text).hex()


def derive_key(secret: bytes, purpose: str) -> bytes:
    """
    Return a key of 32 bytes for one purpose, such as ``mapping`` (HKDF, RFC 5869).

    Whoever learns it learns neither the secret nor the key of another purpose.

    Raises
    ------
    MissingKey
        The secret does not have 32 bytes.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    _refuse_other_length(secret)
    info = f"imaging_platform/{purpose}/1".encode()
    return HKDF(SHA256(), length=32, salt=None, info=info).derive(secret)


def repeats_original(label: str, originals: Iterable[str]) -> bool:
    """
    Return whether a label is one of the originals, or holds one of 4 signs or more.

    Case and everything but letters and digits make no difference.

    Examples
    --------
    >>> repeats_original("P00123", ["p-00123"]), repeats_original("123", ["P-00123"])
    (True, False)
    """
    folded = label.casefold()
    for original in originals:
        plain = "".join(sign for sign in original.casefold() if sign.isalnum())
        if plain == folded or (len(plain) >= _SHORTEST_ECHO and plain in folded):
            return True
    return False


def _keyed(secret: bytes, domain: str, text: str) -> bytes:
    _refuse_other_length(secret)
    message = f"imaging_platform/{domain}/1\0{text}".encode()
    return hmac.digest(secret, message, "sha256")


def _refuse_other_length(secret: bytes) -> None:
    if len(secret) != SECRET_BYTES:
        raise MissingKey(
            f"The study's secret must have {SECRET_BYTES} bytes.",
            fix="Restore the study's key: imaging-platform key restore STUDY FILE",
        )
