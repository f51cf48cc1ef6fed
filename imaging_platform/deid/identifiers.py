"""What would give a subject away in a session, gathered from the originals."""

from __future__ import annotations

import functools
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from imaging_platform.deid.elements import Element
from imaging_platform.deid.uids import UID_LIKE, is_personal, uids_in

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

DATE_MARKS = ("", "-", ".", "/", "_", " ")
"""What stands between year, month and day where people write a date."""

# A key of a vendor's protocol, from a closed list: three letters of it are no name.
_KEYS = re.compile(r"^[A-Za-z][\w.\[\]]*(?=\t = \t)", re.MULTILINE)

FEWEST_DIGITS = 8
"""Of a number: as many do not agree with another by chance."""

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

    own_words: ClassVar[frozenset[str]] = frozenset()

    def without(self, *, dates: Iterable[str] = (), uids: bool = False) -> Identifiers:
        """Return the same without days, or UIDs, that stand for good reason."""
        return Identifiers(
            self.words,
            self.phrases,
            frozenset() if uids else self.uids,
            self.dates - frozenset(dates),
        )

    def echoes_in(self, text: str) -> bool:
        """Return whether a text holds a name, number, phrase, UID or date of these."""
        if _search_of(self).is_in(fold(text)):
            return True
        return any(uid in self.uids for uid in uids_in(text))

    def echoes_in_technique(self, text: str) -> bool:
        """Return whether the values of protocol lines echo, or a key a name."""
        values = _KEYS.sub("", text)
        return self.echoes_in(values) or self.echoes_in_numbers(text.encode("latin-1"))

    def echoes_in_numbers(self, value: bytes) -> bool:
        """Return whether binary numbers spell a long name (not by chance)."""
        return _search_of(self).is_spelled_in(value)

    def cut_from(self, text: str) -> str:
        """Return a text without the parts that echo (plain ASCII text only)."""
        text = UID_LIKE.sub(lambda m: "" if m[0] in self.uids else m[0], text)
        return _search_of(self).cut_from(text)

    def shorten(self, number: str) -> str:
        """
        Return a number without the digits from where they spell one of these.

        A day or a long number behind a decimal point looks like a measurement; as
        many digits do not agree by chance.

        Examples
        --------
        >>> Identifiers(dates=frozenset({"19370214"})).shorten("7.519370214")
        '7.5'
        """
        starts = [number.find(digits) for digits in _search_of(self).digits]
        start = min((start for start in starts if start >= 0), default=len(number))
        return number[:start].rstrip("+-.")


@dataclass
class Gathering:
    """
    What the elements of a session tell of their subject, as they come.

    Parameters
    ----------
    spares
        Says by tag and value representation what the study decided to retain
        (`Policy.spares`); it tells nothing.
    """

    spares: Callable[[int, str], bool] | None = None
    words: set[str] = field(default_factory=set)
    phrases: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    _days: set[bytes] = field(default_factory=set)

    def add(self, tag: int, vr: str, value: bytes, charset: str) -> None:
        """Note what an element tells; charset is SpecificCharacterSet (0008,0005)."""
        if self.spares is not None and self.spares(tag, vr):
            return
        if vr == "UI":
            self.uids.update(uid for uid in split_text(value) if is_personal(uid))
        elif vr in ("DA", "DT"):
            # Moments of one day are many; the day is what tells.
            known = value[:8]
            if known not in self._days or b"\\" in value:
                self._days.add(known)
                days = (_day(text) for text in split_text(value))
                self.dates.update(day for day in days if day)
        elif vr == "PN" or tag in _ID_TAGS:
            self.words |= _words_of(decode(value, charset), vr == "PN")
        if tag in _PHRASE_TAGS:
            self.phrases |= _phrases_of(decode(value, charset))

    def freeze(self) -> Identifiers:
        """Return what was told so far."""
        return Identifiers(
            frozenset(self.words),
            frozenset(self.phrases),
            frozenset(self.uids),
            frozenset(self.dates),
        )


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


def identifiers_of(elements: Iterable[Element], charset: str = "") -> Identifiers:
    """
    Return what the elements at all depths tell of their subject.

    Parameters
    ----------
    elements
        A data set and its file meta group.
    charset
        SpecificCharacterSet (0008,0005) of the data set.
    """
    told = Gathering()
    for element in walk(elements):
        if element.items is None:
            told.add(element.tag, element.vr, element.value, charset)
    return told.freeze()


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


class _Search:
    """
    The needles of one set of identifiers.

    Each is sought with `in` first, which is a hundred times as fast as one pattern
    of all; where it is found, its own pattern decides about the borders.
    """

    def __init__(self, identifiers: Identifiers) -> None:
        needles = {word: _bounded(word) for word in identifiers.words}
        needles |= {phrase: re.escape(phrase) for phrase in identifiers.phrases}
        for day in identifiers.dates:
            for mark in DATE_MARKS:
                text = mark.join((day[:4], day[4:6], day[6:]))
                needles[text] = rf"(?<!\d){re.escape(text)}(?!\d{{2}}\.)"
        # The longest first, so that cutting leaves no tail behind.
        ordered = sorted(needles, key=lambda needle: (-len(needle), needle))
        self.needles = [(needle, re.compile(needles[needle])) for needle in ordered]
        self.patterns = [re.compile(needles[n], re.IGNORECASE) for n in ordered]
        self.digits = _long_numbers(identifiers)
        self.spelled = [
            word.encode()
            for word in identifiers.words
            if len(word) >= 6 and word.isascii() and not word.isdigit()
        ]

    def is_in(self, folded: str) -> bool:
        return any(
            needle in folded and pattern.search(folded) is not None
            for needle, pattern in self.needles
        )

    def is_spelled_in(self, value: bytes) -> bool:
        if not self.spelled:
            return False
        folded = value.lower()
        return any(word in folded for word in self.spelled)

    def cut_from(self, text: str) -> str:
        for (needle, _), pattern in zip(self.needles, self.patterns, strict=True):
            if needle in text.lower():
                text = pattern.sub("", text)
        return text


def _long_numbers(identifiers: Identifiers) -> list[str]:
    """Return days as people write them, and numbers of as many digits."""
    days = [(day[:4], day[4:6], day[6:]) for day in identifiers.dates]
    spelled = {form for y, m, d in days for form in (y + m + d, d + m + y, m + d + y)}
    digits = {re.sub(r"\D", "", word) for word in identifiers.words}
    return sorted(spelled | {one for one in digits if len(one) >= FEWEST_DIGITS})


_search_of = functools.lru_cache(maxsize=16)(_Search)


def _bounded(word: str) -> str:
    escaped = re.escape(word)
    if re.fullmatch(r"[\d.\-]+", word):
        return rf"(?<![\d.]){escaped}(?![\d.])"
    if len(word) >= 6:
        return escaped
    return rf"(?<![a-z0-9]){escaped}(?![a-z0-9])"
