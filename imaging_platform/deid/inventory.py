"""Which elements a session held: names of the dictionary and the lists, no values."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from imaging_platform.deid.elements import LONG_VRS, SHORT_VRS
from imaging_platform.deid.tables import PROFILE_FILE, known_creators, load_table
from imaging_platform.dicom.dictionary import public_entries

PrivateName = tuple[int, int, str, str]
"""Group, low byte of the element, creator, value representation in the file."""


@dataclass(frozen=True)
class Inventory:
    """
    The elements that a policy was asked about while it served one session.

    Parameters
    ----------
    public
        Tags of the dictionary or the profile's table, sorted.
    private
        Elements of creators on the reviewed lists or in the study file, sorted.
    has_strangers
        There were other elements. Which is not told: a tag or a creator that no
        list knows could spell anything.
    """

    public: tuple[int, ...] = ()
    private: tuple[PrivateName, ...] = ()
    has_strangers: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no element was met: no file was written."""
        return not (self.public or self.private or self.has_strangers)

    def as_dict(self) -> dict[str, Any]:
        """Return the inventory as plain values, for JSON."""
        return {
            "public": [f"{tag:08x}" for tag in self.public],
            "private": [
                [f"{g:04x}", f"{e:02x}", c, vr] for g, e, c, vr in self.private
            ],
            "has_strangers": self.has_strangers,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Inventory:
        """Return the inventory that `as_dict` gave."""
        return cls(
            tuple(int(tag, 16) for tag in values["public"]),
            tuple((int(g, 16), int(e, 16), c, vr) for g, e, c, vr in values["private"]),
            values["has_strangers"],
        )


def merge_inventories(parts: Iterable[Inventory]) -> Inventory:
    """Return what several processes met together."""
    distinct = set(parts)
    return Inventory(
        tuple(sorted({tag for one in distinct for tag in one.public})),
        tuple(sorted({name for one in distinct for name in one.private})),
        any(one.has_strangers for one in distinct),
    )


@functools.lru_cache(maxsize=256)
def take_inventory(
    public: tuple[int, ...], private: tuple[PrivateName, ...], *, also: frozenset[str]
) -> Inventory:
    """
    Return the inventory of elements as a policy was asked for them.

    Parameters
    ----------
    public
        Tags of even groups.
    private
        Elements of odd groups; the creator as the file has it.
    also
        Creators in lower case that the study file names.
    """
    creators = known_creators() | also
    known = {name for name in private if name[2].strip().lower() in creators}
    tags = {tag for tag in public if is_known_tag(tag)}
    return Inventory(
        tuple(sorted(tags)),
        tuple(sorted({(g, e, c.strip(), _plain(vr)) for g, e, c, vr in known})),
        len(known) < len(set(private)) or len(tags) < len(set(public)),
    )


def is_known_tag(tag: int) -> bool:
    """Return whether a public tag stands in the dictionary or the profile's table."""
    return tag in _known_tags()


@functools.cache
def _known_tags() -> frozenset[int]:
    rows = load_table(PROFILE_FILE)["attributes"]
    return frozenset(public_entries()) | {int(t, 16) for t in rows if "x" not in t}


def _plain(vr: str) -> str:
    return vr if vr in SHORT_VRS | LONG_VRS else "??"
