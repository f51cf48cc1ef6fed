"""
The slow way: the same policy applied to what pydicom reads, element by element.

It shares with `imaging_platform.deid.engine` the decisions and what an action does
to a value, and nothing of how a file is read, remembered and written. The tests
hold both to the same result.
"""

from __future__ import annotations

import struct
from pathlib import Path

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from imaging_platform.deid import philips
from imaging_platform.deid.actions import Actions, padded
from imaging_platform.deid.elements import PIXEL_TAGS, ascii_text, private_vr, public_vr
from imaging_platform.deid.policy import Action, Decision
from imaging_platform.deid.tables import code_meaning

_CHARSET, _MEANING = 0x00080005, 0x00080104

Element = tuple[str, bytes | list["Tree"]]
Tree = dict[int, Element]
"""A data set: representation, and bytes or items, by tag."""


def reference_tree(path: Path, actions: Actions) -> Tree:
    """
    Return what is written of a file's data set before its pixel data.

    Parameters
    ----------
    path
        A file that pydicom can read.
    actions
        Of the session.

    Returns
    -------
    Tree
        Without the elements that say what was done (`statements`).
    """
    dataset = dcmread(path, force=True, stop_before_pixels=True)
    tree = _rewrite(dataset, actions, "")
    return {tag: element for tag, element in tree.items() if tag not in PIXEL_TAGS}


def tree_of(dataset: Dataset) -> Tree:
    """Return the elements of a data set as pydicom reads them, without pixel data."""
    tree: Tree = {}
    for tag in sorted(dataset.keys()):
        if int(tag) in PIXEL_TAGS:
            continue
        vr, value = _read(dataset, tag)
        is_items = isinstance(value, Sequence)
        tree[int(tag)] = (vr, [tree_of(item) for item in value] if is_items else value)
    return tree


def _rewrite(dataset: Dataset, actions: Actions, charset: str) -> Tree:
    if _CHARSET in dataset:
        charset = ascii_text(_bytes_of(dataset, _CHARSET))
    tree: Tree = {}
    creators: dict[int, Element] = {}
    for tag in sorted(dataset.keys()):
        vr, value = _read(dataset, tag)
        if tag.is_private_creator:
            assert isinstance(value, bytes)
            creators[int(tag)] = ("LO", padded(ascii_text(value), "LO"))
            continue
        decision = _decide(dataset, tag, vr, actions)
        if int(tag) in PIXEL_TAGS:
            # At the top they are not read; in an item no gate has seen them.
            continue
        changed = _change(decision, int(tag), vr, value, actions, charset)
        if changed is not None:
            tree[int(tag)] = ("SQ" if isinstance(changed, list) else vr, changed)
    for tag in _parts_of_broken_units(dataset, tree):
        del tree[tag]
    blocks = {t & 0xFFFF0000 | (t & 0xFFFF) >> 8 for t in tree if t & 0x10000}
    tree |= {tag: creator for tag, creator in creators.items() if tag in blocks}
    if _MEANING in tree:
        tree[_MEANING] = ("LO", padded(code_meaning(*_code_of(tree)), "LO"))
    return dict(sorted(tree.items()))


def _parts_of_broken_units(dataset: Dataset, tree: Tree) -> list[int]:
    names = {
        int(tag): (tag.group, _creator_of(dataset, tag).lower(), tag.element & 0xFF)
        for tag in dataset.keys()  # noqa: SIM118 - pydicom's own iteration decodes
        if tag.is_private and not tag.is_private_creator
    }
    kept = frozenset(name for tag, name in names.items() if tag in tree)
    broken = philips.incomplete(frozenset(names.values()), kept)
    return [tag for tag, name in names.items() if name in broken and tag in tree]


def _change(
    decision: Decision,
    tag: int,
    vr: str,
    value: bytes | Sequence,
    actions: Actions,
    charset: str,
) -> bytes | list[Tree] | None:
    if not isinstance(value, Sequence):
        if decision.action is Action.RECURSE and not value:
            return []
        return actions.apply(decision, tag, vr, value, charset)
    if decision.action in (Action.RECURSE, Action.RETAIN):
        return [_rewrite(item, actions, charset) for item in value]
    return [] if decision.action in (Action.EMPTY, Action.DUMMY) else None


def _decide(dataset: Dataset, tag: BaseTag, vr: str, actions: Actions) -> Decision:
    policy = actions.subject.policy
    if not tag.is_private:
        return policy.public(int(tag))
    creator = _creator_of(dataset, tag)
    if tag.element < 0x1000 or not creator:
        return Decision(Action.REMOVE, "private element without a creator")
    return policy.private(tag.group, tag.element, creator, vr)


def _creator_of(dataset: Dataset, tag: BaseTag) -> str:
    block = tag.group << 16 | tag.element >> 8
    if tag.element < 0x1000 or block not in dataset:
        return ""
    return ascii_text(_bytes_of(dataset, block))


def _bytes_of(dataset: Dataset, tag: int) -> bytes:
    value = _raw(dataset, BaseTag(tag))
    return value if isinstance(value, bytes) else b""


def _read(dataset: Dataset, tag: BaseTag) -> tuple[str, bytes | Sequence]:
    """Return representation and value of an element; the value undecoded."""
    item = dataset.get_item(tag)
    vr = str(item.VR) if item is not None and item.VR else ""
    if not vr and not tag.is_private:
        vr = public_vr(int(tag))
    elif not vr:
        owner = _creator_of(dataset, tag)
        vr = private_vr(int(tag), owner) if owner else "UN"
        vr = "LO" if tag.is_private_creator else vr
    value = _raw(dataset, tag)
    if isinstance(value, Sequence):
        return "SQ", value
    if vr == "SQ" or (vr == "UN" and len(value) >= 8 and _is_sequence(dataset, tag)):
        decoded = _as_sequence(dataset, tag)
        if decoded is not None:
            return "SQ", decoded
    return vr, value


def _is_sequence(dataset: Dataset, tag: BaseTag) -> bool:
    if not tag.is_private:
        return public_vr(int(tag)) == "SQ"
    return private_vr(int(tag), _creator_of(dataset, tag)) == "SQ"


def _as_sequence(dataset: Dataset, tag: BaseTag) -> Sequence | None:
    try:
        value = dataset[tag].value
    except (NotImplementedError, ValueError, OSError, struct.error, KeyError):
        return None
    return value if isinstance(value, Sequence) else None


def _raw(dataset: Dataset, tag: BaseTag) -> bytes | Sequence:
    item = dataset.get_item(tag)
    value = None if item is None else item.value
    if isinstance(value, Sequence | bytes):
        return value
    return b"" if item is None or value is None else _encoded(item, dataset)


def _encoded(element: DataElement, dataset: Dataset) -> bytes:
    """Return the bytes of one of the few elements that pydicom decodes by itself."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = True
    _, is_little_endian = dataset.original_encoding
    buffer.is_little_endian = is_little_endian is not False
    write_data_element(buffer, element)
    return buffer.getvalue()[8:]


def _code_of(tree: Tree) -> tuple[str, str]:
    texts = [tree.get(tag, ("", b""))[1] for tag in (0x00080102, 0x00080100)]
    scheme, value = (ascii_text(t) if isinstance(t, bytes) else "" for t in texts)
    return scheme, value
