"""
The site's own table of labels: read from CSV, proved, and sealed with the key.

It links people to labels, so at rest it is encrypted (AES-256-GCM, NIST SP 800-38D)
under a key that HKDF (RFC 5869) derives from the study's secret for this purpose
alone. Messages name lines, never what stands in them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from imaging_platform.deid.pseudonyms import (
    derive_key,
    normal_patient_id,
    repeats_original,
    subject_label,
)
from imaging_platform.dicom.headers import Header
from imaging_platform.model.errors import BadInput, MissingKey
from imaging_platform.model.ids import is_label

COLUMNS = (
    "patient_id",
    "subject",
    "session",
    "study_uid",
    "accession_number",
    "study_date",
)
NONCE_BYTES = 12
_MAGIC = b"imaging_platform mapping 1\n"


@dataclass(frozen=True, order=True, repr=False)
class MappingRow:
    """
    The label of one patient, or of one session of a patient.

    Parameters
    ----------
    patient_id
        (0010,0020); case, padding and inner runs of spaces do not matter.
    subject
        Subject label, without ``sub-``.
    session
        Session label, without ``ses-``; "" when the row is about the patient alone.
    study_uid, accession_number, study_date
        Which study the session is: all that are given must agree with the header.
        The date as YYYYMMDD.
    """

    patient_id: str
    subject: str
    session: str = ""
    study_uid: str = ""
    accession_number: str = ""
    study_date: str = ""

    @property
    def study(self) -> tuple[str, str, str]:
        """What names the study."""
        return self.study_uid, self.accession_number, self.study_date

    @property
    def patient(self) -> str:
        """The patient identifier in the form in which two are compared."""
        return normal_patient_id(self.patient_id)

    def names_study(self, header: Header) -> bool:
        """Return whether the study of a file is the one that the row names."""
        found = (header.study_uid, header.accession_number, header.study_date)
        return any(self.study) and all(
            told in ("", here) for told, here in zip(self.study, found, strict=True)
        )


PlacedRow = tuple[str, MappingRow]
"""Where a row stands, such as ``line 3``, and the row."""


def parse_csv(data: bytes) -> list[PlacedRow]:
    """
    Return the rows of a table with the columns `COLUMNS`, the first two required.

    Raises
    ------
    BadInput
        The text is no UTF-8, a column is missing or unknown, or a row is not whole.
    """
    fix = f"Write a CSV file in UTF-8 whose first line is {','.join(COLUMNS)}."
    try:
        text = data.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(f"line {reader.line_num}", cells) for cells in reader if any(cells)]
    except (UnicodeDecodeError, csv.Error):
        raise BadInput("The mapping table is no CSV file in UTF-8.", fix=fix) from None
    head = [cell.strip().lower() for cell in lines[0][1]] if lines else []
    is_known = set(head) <= set(COLUMNS) and len(set(head)) == len(head)
    if not is_known or not {"patient_id", "subject"} <= set(head):
        # The line is not repeated: without a head it is the first patient.
        raise BadInput("The first line does not name the table's columns.", fix=fix)
    rows = []
    for place, cells in lines[1:]:
        if len(cells) != len(head):
            raise BadInput(
                f"The table has {len(head)} columns, {place} has {len(cells)}.", fix=fix
            )
        told = {name: cell.strip() for name, cell in zip(head, cells, strict=True)}
        rows.append((place, MappingRow(**told)))
    return rows


def merge_rows(
    table: Sequence[MappingRow], rows: Sequence[PlacedRow]
) -> list[PlacedRow]:
    """Return the table with all rows of the patients in `rows` replaced by these."""
    replaced = {row.patient for _, row in rows}
    kept = [("the table", row) for row in table if row.patient not in replaced]
    return [*kept, *rows]


def check_rows(
    rows: Iterable[PlacedRow], *, secret: bytes, subjects: Mapping[str, str]
) -> tuple[MappingRow, ...]:
    """
    Return the rows, sorted, each once, after proving that they can hold together.

    Parameters
    ----------
    rows
        The whole new table, with where each row stands.
    secret
        The study's secret, by which `subjects` names patients.
    subjects
        Subject label of each patient who has sessions, by the patient's pseudonym.

    Raises
    ------
    BadInput
        A row is not whole, a label is none, one label is given to two patients or
        sessions, a patient or study gets two, or a patient with sessions gets
        another than these have.
    """
    known = _Known(
        subject_of={},
        place_of={},
        owner_of={label.casefold(): patient for patient, label in subjects.items()},
        session_of={},
        study_of={},
    )
    checked = set()
    for place, row in rows:
        _refuse_partial(place, row)
        known.add(place, row, subject_label(secret, row.patient_id), subjects)
        checked.add(replace(row, patient_id=row.patient_id.strip()))
    return tuple(sorted(checked))


def seal_table(
    rows: Sequence[MappingRow], *, secret: bytes, study: str, nonce: bytes
) -> bytes:
    """
    Return the encrypted table.

    Parameters
    ----------
    rows
        The table.
    secret
        The study's secret.
    study
        Name of the study; a table opens for no other.
    nonce
        12 bytes that were never used with this secret.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    plain = json.dumps([asdict(row) for row in rows], sort_keys=True).encode()
    sealed = AESGCM(derive_key(secret, "mapping")).encrypt(
        nonce, plain, _MAGIC + study.encode()
    )
    return _MAGIC + nonce + sealed


def open_table(data: bytes, *, secret: bytes, study: str) -> tuple[MappingRow, ...]:
    """
    Return the rows of an encrypted table.

    Raises
    ------
    MissingKey
        It was sealed with another key or for another study, or is damaged.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    start, body = data[: len(_MAGIC)], data[len(_MAGIC) :]
    nonce, sealed = body[:NONCE_BYTES], body[NONCE_BYTES:]
    try:
        if start != _MAGIC:
            raise InvalidTag
        plain = AESGCM(derive_key(secret, "mapping")).decrypt(
            nonce, sealed, _MAGIC + study.encode()
        )
    except (InvalidTag, ValueError):
        raise MissingKey(
            f"The mapping table of study {study} does not open with the study's key: "
            "it is another study's, was sealed with another key, or is damaged.",
            fix=f"Restore keys/{study}.mapping and the key from one backup.",
        ) from None
    return tuple(MappingRow(**row) for row in json.loads(plain))


@dataclass(frozen=True, repr=False)
class _Known:
    """What the rows so far have given away."""

    subject_of: dict[str, str]
    place_of: dict[str, str]
    owner_of: dict[str, str]
    session_of: dict[tuple[str, tuple[str, str, str]], str]
    study_of: dict[tuple[str, str], tuple[str, str, str]]

    def add(
        self, place: str, row: MappingRow, patient: str, subjects: Mapping[str, str]
    ) -> None:
        earlier = self.place_of.setdefault(patient, place)
        if self.subject_of.setdefault(patient, row.subject) != row.subject:
            raise BadInput(
                f"One patient gets two subject labels, in {earlier} and {place}.",
                fix="Give each patient one subject label.",
            )
        present = subjects.get(patient, row.subject)
        if present != row.subject:
            raise BadInput(
                f"The patient of {place} has sessions under the subject label "
                f"{present}, which stays.",
                fix=f"Write {present} in the table, or give its sessions another label "
                "first: imaging-platform relabel STUDY SESSION NEW",
            )
        if self.owner_of.setdefault(row.subject.casefold(), patient) != patient:
            raise BadInput(
                f"The subject label in {place} belongs to another patient.",
                fix="Give it another label; case makes no difference.",
            )
        if row.session:
            self._add_session(place, row, patient)

    def _add_session(self, place: str, row: MappingRow, patient: str) -> None:
        session = row.session.casefold()
        is_same_session = (
            self.session_of.setdefault((patient, row.study), session) == session
        )
        is_same_study = (
            self.study_of.setdefault((patient, session), row.study) == row.study
        )
        if not is_same_session or not is_same_study:
            raise BadInput(
                f"The session in {place} clashes with another row of the patient.",
                fix="Give each study of a patient one session label of its own.",
            )


def _refuse_partial(place: str, row: MappingRow) -> None:
    problem = ""
    if not any(sign.isalnum() for sign in row.patient_id):
        problem = "has no patient_id"
    elif not is_label(row.subject):
        problem = "has a subject that is not 1 to 32 letters and digits"
    elif row.session and not is_label(row.session):
        problem = "has a session that is not 1 to 32 letters and digits"
    elif repeats_original(row.subject, [row.patient_id]):
        problem = "has a subject that repeats the patient_id"
    elif bool(row.session) != any(row.study):
        problem = "names a session without its study, or a study without its session"
    elif row.study_date and not (
        len(row.study_date) == 8 and row.study_date.isdecimal()
    ):
        problem = "has a study_date that is not YYYYMMDD"
    if problem:
        raise BadInput(
            f"The mapping table cannot be used: {place} {problem}.",
            fix="A row is patient_id and subject, and for a session its label "
            "with study_uid, accession_number or study_date.",
        )
