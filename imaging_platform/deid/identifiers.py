"""What would give a subject away in a session, gathered from the originals."""

from __future__ import annotations

import functools
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from imaging_platform.deid.elements import Element

WELL_KNOWN_UIDS = "1.2.840.10008."
"""Root of the UIDs that the standard itself gives out (PS3.6 annex A)."""

# Words that name an object or a technique in so many headers that finding them
# says nothing; a phantom may be called like this, a patient is not.
COMMON_WORDS = frozenset(
    [
        "anon",
        "anonymous",
        "anonymized",
        "axial",
        "bold",
        "brain",
        "cor",
        "dicom",
        "dti",
        "dwi",
        "flair",
        "fmri",
        "head",
        "headneck",
        "localizer",
        "mri",
        "mrt",
        "none",
        "null",
        "patient",
        "phantom",
        "research",
        "sag",
        "scan",
        "scout",
        "ses",
        "session",
        "siemens",
        "philips",
        "toshiba",
        "study",
        "sub",
        "subject",
        "test",
        "tra",
        "unknown",
        "volunteer",
        "water",
        "yes",
        "qa",
        "qc",
        "mr",
        "ct",
        "pet",
        "head",
        "body",
        "hfs",
        "hfp",
        "ffs",
        "ffp",
        "primary",
        "original",
        "derived",
        "perfusion",
        "diffusion",
        "breast",
        "prostate",
        "abdomen",
        "pelvis",
        "spine",
        "chest",
        "neck",
        "cardiac",
        "trace",
        "adc",
        "text",
        "department",
        "hospital",
        "removed",
        "deidentified",
        "male",
        "female",
        "normal",
        "function",
        "functional",
        "anat",
        "func",
        "fmap",
        "perf",
    ]
)

# Standing for a whole UID: sessions have tens of thousands, too many for a pattern.
_UID_LIKE = re.compile(r"\d+(?:\.\d+){4,}")

# A key of a vendor's protocol, from a closed list: three letters of it are no name.
_KEYS = re.compile(r"^[A-Za-z][\w.\[\]]*(?=\t = \t)", re.MULTILINE)

_ID_TAGS = frozenset(
    {
        0x00020016,  # SourceApplicationEntityTitle
        0x00080050,  # AccessionNumber
        0x00081010,  # StationName
        0x00100020,  # PatientID
        0x00101000,  # OtherPatientIDs
        0x00101040,  # PatientAddress
        0x00102154,  # PatientTelephoneNumbers
        0x00181000,  # DeviceSerialNumber
        0x00200010,  # StudyID
        0x00380010,  # AdmissionID
        0x00400242,  # PerformedStationName
        0x00400253,  # PerformedProcedureStepID
        0x00401001,  # RequestedProcedureID
    }
)
_PHRASE_TAGS = frozenset(
    {
        0x00080080,  # InstitutionName
        0x00080081,  # InstitutionAddress
        0x00081040,  # InstitutionalDepartmentName
        0x00101040,  # PatientAddress
        0x001021B0,  # AdditionalPatientHistory
        0x00104000,  # PatientComments
    }
)


@dataclass(frozen=True)
class Identifiers:
    """
    Everything that must not be found afterwards.

    Parameters
    ----------
    words
        Name parts, numbers, stations, folded to lower-case ASCII.
    phrases
        Whole values such as an institution's name, folded likewise.
    uids
        Original UIDs but those of the standard itself.
    dates
        Days as ``YYYYMMDD``.
    """

    words: frozenset[str] = frozenset()
    phrases: frozenset[str] = frozenset()
    uids: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()

    def without_dates(self, dates: Iterable[str]) -> Identifiers:
        """Return the same without days that stand in the output for good reason."""
        return Identifiers(
            self.words, self.phrases, self.uids, self.dates - frozenset(dates)
        )

    def echoes_in(self, text: str) -> bool:
        """Return whether a text holds a name, number, phrase, UID or date of these."""
        pattern = _pattern(self)
        if pattern is not None and pattern.search(fold(text)):
            return True
        return any(uid in self.uids for uid in _UID_LIKE.findall(text))

    def echoes_in_technique(self, text: str) -> bool:
        """Return whether the values of protocol lines echo, or a key a name."""
        values = _KEYS.sub("", text)
        return self.echoes_in(values) or self.echoes_in_numbers(text.encode("latin-1"))

    def echoes_in_numbers(self, value: bytes) -> bool:
        """Return whether binary numbers spell a long name (not by chance)."""
        pattern = _long_pattern(self)
        return pattern is not None and pattern.search(value) is not None

    def cut_from(self, text: str) -> str:
        """Return a text without the parts that echo (plain ASCII text only)."""
        text = _UID_LIKE.sub(lambda m: "" if m[0] in self.uids else m[0], text)
        pattern = _pattern(self)
        return text if pattern is None else pattern.sub("", text)


def merge_identifiers(parts: Iterable[Identifiers]) -> Identifiers:
    """Return what all files of a session tell together."""
    known = list(parts)
    return Identifiers(
        frozenset().union(*(one.words for one in known)),
        frozenset().union(*(one.phrases for one in known)),
        frozenset().union(*(one.uids for one in known)),
        frozenset().union(*(one.dates for one in known)),
    )


def fold(text: str) -> str:
    """Return a text in lower-case ASCII as far as letters have an ASCII base."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).lower()


def identifiers_of(
    elements: Iterable[Element],
    charset: str = "",
    *,
    spares: Callable[[int, str], bool] | None = None,
) -> Identifiers:
    """
    Return what the elements at all depths tell of their subject.

    Parameters
    ----------
    elements
        A data set and its file meta group.
    charset
        SpecificCharacterSet (0008,0005) of the data set.
    spares
        Says by tag and value representation what the study decided to retain
        (`Policy.spares`); it tells nothing.
    """
    words: set[str] = set()
    phrases: set[str] = set()
    uids: set[str] = set()
    dates: set[str] = set()
    for element in walk(elements):
        if spares is not None and spares(element.tag, element.vr):
            continue
        if element.vr == "PN" or element.tag in _ID_TAGS:
            words |= _words_of(decode(element.value, charset), element.vr == "PN")
        if element.tag in _PHRASE_TAGS:
            phrases |= _phrases_of(decode(element.value, charset))
        if element.vr == "UI":
            uids |= {uid for uid in split_text(element.value) if is_personal(uid)}
        if element.vr in ("DA", "DT"):
            dates |= {
                day for value in split_text(element.value) if (day := _day(value))
            }
    return Identifiers(
        frozenset(words), frozenset(phrases), frozenset(uids), frozenset(dates)
    )


def walk(elements: Iterable[Element]) -> Iterator[Element]:
    """Yield each element at every depth, a sequence before its items."""
    for element in elements:
        yield element
        for item in element.items or []:
            yield from walk(item)


def split_text(value: bytes) -> list[str]:
    """Return the components of an ASCII value, stripped."""
    text = value.decode("latin-1")
    return [part.strip("\0 ") for part in text.split("\\")]


def is_personal(uid: str) -> bool:
    """Return whether a UID is not one of the standard's own."""
    return bool(uid) and not uid.startswith(WELL_KNOWN_UIDS)


def decode(value: bytes, charset: str) -> str:
    """Return text in its character set; what cannot be read becomes U+FFFD."""
    try:
        return value.decode("ascii").strip("\0 ")
    except UnicodeDecodeError:
        return _decode_with(value, charset).strip("\0 ")


def _decode_with(value: bytes, charset: str) -> str:
    from pydicom.charset import convert_encodings, decode_bytes

    names = [name.strip() for name in charset.split("\\")] if charset else "ISO_IR 100"
    try:
        with warnings.catch_warnings():
            # A wrong character set is everyday; what cannot be read does not stay.
            warnings.simplefilter("ignore")
            encodings = convert_encodings(names)
            return decode_bytes(value, encodings, {0x5C, 0x5E, 0x3D})
    except (LookupError, ValueError):
        return value.decode("latin-1")


def _words_of(text: str, is_name: bool) -> set[str]:
    folded = fold(text)
    words = {part for part in re.split(r"[\W_]+", folded) if _is_telling(part)}
    if not is_name:
        words |= {whole for whole in re.split(r"[\\\s]+", folded) if _is_telling(whole)}
    return words


def _is_telling(word: str) -> bool:
    if word in COMMON_WORDS:
        return False
    if re.fullmatch(r"[\d.\-]+", word):
        # Shorter numbers are everywhere: voxels, times, counts.
        return len(word) >= 5
    return len(word) >= 3 and re.search(r"\w", word) is not None


def _phrases_of(text: str) -> set[str]:
    parts = (" ".join(fold(part).split()) for part in text.split("\\"))
    return {part for part in parts if len(part) >= 6 and part not in COMMON_WORDS}


def _day(text: str) -> str:
    match = re.match(r"(\d{4})[-.]?(\d{2})[-.]?(\d{2})", text)
    day = "".join(match.groups()) if match else ""
    return "" if day in ("19000101", "00010101", "00000000") else day


@functools.lru_cache(maxsize=64)
def _pattern(identifiers: Identifiers) -> re.Pattern[str] | None:
    parts = [_bounded(word) for word in identifiers.words]
    parts += [re.escape(phrase) for phrase in identifiers.phrases]
    for day in identifiers.dates:
        year, month, date = day[:4], day[4:6], day[6:]
        parts.append(rf"(?<!\d){year}([-./]?){month}[-./]?{date}(?!\d{{2}}\.)")
    # The longest first, so that cutting leaves no tail behind.
    ordered = sorted(parts, key=lambda part: (-len(part), part))
    return re.compile("|".join(ordered), re.IGNORECASE) if ordered else None


@functools.lru_cache(maxsize=64)
def _long_pattern(identifiers: Identifiers) -> re.Pattern[bytes] | None:
    words = sorted(w for w in identifiers.words if len(w) >= 6 and not w.isdigit())
    parts = [re.escape(word.encode()) for word in words]
    return re.compile(b"|".join(parts), re.IGNORECASE) if parts else None


def _bounded(word: str) -> str:
    escaped = re.escape(word)
    if re.fullmatch(r"[\d.\-]+", word):
        return rf"(?<![\d.]){escaped}(?![\d.])"
    if len(word) >= 6:
        return escaped
    return rf"(?<![a-z0-9]){escaped}(?![a-z0-9])"
