"""What a study itself adds to the reviewed lists: elements to keep and to remove."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from pydantic import Field, model_validator

from imaging_platform.deid.decision import NUMERIC_VRS, SET_TAGS, TEXT_VRS
from imaging_platform.deid.elements import PIXEL_TAGS, private_vr, public_vr
from imaging_platform.deid.patterns import check_pattern
from imaging_platform.deid.tables import PROFILE_FILE, load_table
from imaging_platform.dicom.dictionary import find_tag
from imaging_platform.model.config import Section

_PUBLIC = re.compile(r"\(?([0-9a-f]{4}),?\s*([0-9a-f]{4})\)?", re.IGNORECASE)
_PRIVATE = re.compile(
    r"\(([0-9a-f]{4}),\s*(\S|\S.{0,62}\S),\s*xx([0-9a-f]{2})\)", re.IGNORECASE
)
# Without these no image can be read, named or told from another.
_NEEDED = (
    PIXEL_TAGS
    | SET_TAGS
    | {0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00100010, 0x00100020}
    | {0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011}
    | {0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00080060}
)


@dataclass(frozen=True)
class ElementName:
    """
    An element as a study file names it.

    Parameters
    ----------
    group
        Odd for a private element.
    element
        All 16 bits; of a private element the low byte, since the block varies.
    creator
        Private creator in lower case; empty for a public element.
    """

    group: int
    element: int
    creator: str = ""

    @property
    def tag(self) -> int:
        """Group << 16 | element."""
        return self.group << 16 | self.element

    def __str__(self) -> str:
        if self.creator:
            return f"({self.group:04x},{self.creator},xx{self.element:02x})"
        return f"({self.group:04x},{self.element:04x})"


class KeptElement(Section):
    """One element that stays in this study although no reviewed list names it."""

    element: str = Field(
        description="Keyword, (gggg,eeee), or (gggg,CREATOR,xxee) for a private one."
    )
    pattern: str = Field(
        description="Regular expression that a whole value must match to stay; ASCII, "
        "bounded repeats. Binary numbers stay as numbers."
    )
    reason: str = Field(
        min_length=1,
        max_length=200,
        description="Why it is needed, and who looked at its values.",
    )

    @model_validator(mode="after")
    def _can_be_kept(self) -> KeptElement:
        check_pattern(self.pattern)
        refusal = _refuse_to_keep(parse_element(self.element))
        if refusal:
            raise ValueError(f"{self.element} cannot be kept: {refusal}")
        return self


def parse_element(text: str) -> ElementName:
    """
    Return the element that a text names.

    Parameters
    ----------
    text
        A keyword of the dictionary, ``(gggg,eeee)`` or ``(gggg,creator,xxee)``.

    Raises
    ------
    ValueError
        It names none.

    Examples
    --------
    >>> str(parse_element("SeriesDescription"))
    '(0008,103e)'
    >>> str(parse_element("(0019,SIEMENS MR HEADER,xx0C)"))
    '(0019,siemens mr header,xx0c)'
    """
    text = text.strip()
    private = _PRIVATE.fullmatch(text)
    if private and int(private[1], 16) & 1:
        return ElementName(
            int(private[1], 16), int(private[3], 16), private[2].strip().lower()
        )
    public = _PUBLIC.fullmatch(text)
    if public and not int(public[1], 16) & 1:
        return ElementName(int(public[1], 16), int(public[2], 16))
    # Some entries of the dictionary have no keyword.
    tag = find_tag(text) if text else None
    if tag is None:
        raise ValueError(
            f"{text} is no element: give a keyword of the dictionary, (gggg,eeee), or "
            "(gggg,CREATOR,xxee) for a private element"
        )
    return ElementName(tag >> 16, tag & 0xFFFF)


def check_removal(text: str) -> None:
    """
    Refuse the removal of what every file must have.

    Raises
    ------
    ValueError
        It names no element, or one without which no image can be read.
    """
    name = parse_element(text)
    if not name.creator and name.tag in _NEEDED:
        raise ValueError(f"{text} cannot be removed: no image can be read without it")


@functools.lru_cache(maxsize=64)
def index_kept(keep: tuple[KeptElement, ...]) -> dict[ElementName, KeptElement]:
    """Return what a study keeps, by element."""
    return {parse_element(one.element): one for one in keep}


@functools.lru_cache(maxsize=64)
def index_removed(remove: tuple[str, ...]) -> frozenset[ElementName]:
    """Return what a study removes."""
    return frozenset(map(parse_element, remove))


def check_lists(keep: tuple[KeptElement, ...], remove: tuple[str, ...]) -> None:
    """
    Refuse lists that contradict each other.

    Raises
    ------
    ValueError
        An element stands twice under `keep`, or under both.
    """
    for text in remove:
        check_removal(text)
    names = [parse_element(one.element) for one in keep]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} stands twice under keep")
    both = sorted(map(str, index_removed(remove).intersection(names)))
    if both:
        raise ValueError(f"{both[0]} stands under keep and under remove")


def _refuse_to_keep(name: ElementName) -> str:
    if name.creator:
        row = load_table("private_reviewed.json")["elements"].get(
            f"{name.group:04x},{name.creator},{name.element:02x}"
        )
        if row is not None and row[1] == "drop":
            return f"the reviewed list drops it ({row[2]})"
        vr = private_vr(name.group << 16 | 0x1000 | name.element, name.creator)
        return "" if vr != "PN" else "it is a name of a person"
    row = load_table(PROFILE_FILE)["attributes"].get(f"{name.tag:08x}")
    if row is not None:
        return (
            f"PS3.15 E.1-1 says {row['basic']}, it identifies; only an option of the "
            "profile may let it stay"
        )
    return _refuse_public(name)


def _refuse_public(name: ElementName) -> str:
    is_container = name.group & 0xFF00 in (0x5000, 0x6000) or name.element == 0
    if is_container or name.group < 0x0008 or name.group in (0x0400, 0xFFFA, 0xFFFC):
        return "it is a container that may hold anything"
    if name.tag in _NEEDED:
        return "every file has it anyway"
    vr = public_vr(name.tag)
    if vr == "PN":
        return "it is a name of a person"
    if vr not in TEXT_VRS | NUMERIC_VRS | {"CS", "DS", "IS", "UN"}:
        return f"a pattern says nothing about a value of kind {vr}"
    return ""
