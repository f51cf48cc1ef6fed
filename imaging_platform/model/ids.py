"""Identifiers that may be shown to anyone: pseudonymous by construction."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imaging_platform.model.errors import BadInput

_LABEL = re.compile(r"[A-Za-z0-9]{1,32}")
_SESSION_KEY = re.compile(r"sub-([A-Za-z0-9]{1,32})_ses-([A-Za-z0-9]{1,32})")
_DROP_ID = re.compile(r"drop-[0-9a-f]{16}")
_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){0,3}")
_STUDY_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, order=True)
class SessionKey:
    """
    One subject on one visit, as a partition key and as BIDS labels.

    Parameters
    ----------
    subject
        BIDS subject label, letters and digits only, without ``sub-``.
    session
        BIDS session label, letters and digits only, without ``ses-``.

    Raises
    ------
    BadInput
        A label holds anything but 1 to 32 letters and digits.

    Examples
    --------
    >>> str(SessionKey("01", "2"))
    'sub-01_ses-2'
    >>> SessionKey.parse("sub-01_ses-2").subject
    '01'
    """

    subject: str
    session: str

    def __post_init__(self) -> None:
        for kind, label in (("subject", self.subject), ("session", self.session)):
            if not _LABEL.fullmatch(label):
                raise BadInput(
                    f"A {kind} label is 1 to 32 letters and digits (BIDS, entities).",
                    fix=f"Give the {kind} another label in the study's mapping.",
                )

    @classmethod
    def parse(cls, text: str) -> SessionKey:
        """
        Read a partition key ``sub-<label>_ses-<label>``.

        Raises
        ------
        BadInput
            The text has another form.
        """
        match = _SESSION_KEY.fullmatch(text)
        if not match:
            raise BadInput(
                "A session key reads sub-<label>_ses-<label>.",
                fix="Take the key from the partitions shown by Dagster or `status`.",
            )
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"sub-{self.subject}_ses-{self.session}"


def is_label(text: str) -> bool:
    """
    Return whether `text` is a BIDS label: 1 to 32 letters and digits.

    Examples
    --------
    >>> is_label("01"), is_label("a-b"), is_label("")
    (True, False, False)
    """
    return bool(_LABEL.fullmatch(text))


def parse_drop_id(text: str) -> str:
    """
    Return `text` if it is the identifier of a drop: ``drop-`` and 16 hex digits.

    Raises
    ------
    BadInput
        The text has another form.
    """
    if not _DROP_ID.fullmatch(text):
        raise BadInput(
            "A drop is named drop- and 16 hexadecimal digits.",
            fix="Take the name from the partitions shown by Dagster or `status`.",
        )
    return text


def parse_study_name(text: str) -> str:
    """
    Return `text` if it can name a study: a lower-case letter, then letters, digits, _.

    Raises
    ------
    BadInput
        The text has another form or more than 32 characters.
    """
    if not _STUDY_NAME.fullmatch(text):
        raise BadInput(
            "A study name is a lower-case letter followed by at most 31 lower-case "
            "letters, digits or underscores.",
            fix="Choose a name such as `memory_2026`.",
        )
    return text


def parse_version(text: str) -> str:
    """
    Return `text` if it can name a release: one to four numbers with dots between.

    Raises
    ------
    BadInput
        The text has another form.
    """
    if not _VERSION.fullmatch(text):
        raise BadInput(
            "A version of a release is one to four numbers with dots between.",
            fix="Write for example 1.0.0.",
        )
    return text
