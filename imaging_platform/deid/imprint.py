"""The elements in which a file says what was done to it (PS3.15 section E.1.1)."""

from __future__ import annotations

import functools

from imaging_platform.deid.actions import Subject, padded
from imaging_platform.deid.codes import (
    deid_codes,
    method_text,
    temporal_information,
)
from imaging_platform.deid.encoding import Encoding, join_elements
from imaging_platform.deid.policy import Policy


def imprint(
    subject: Subject, encoding: Encoding, *, is_masked: bool
) -> dict[int, bytes]:
    """
    Return the elements that every written file has, by tag.

    PatientName and PatientID are for files that have none; in all others they stand
    already. A file whose pixels are masked says that no text is burned into them.
    """
    elements = dict(_of_policy(subject.policy, encoding, is_masked))
    for tag, vr in ((0x00100010, "PN"), (0x00100020, "LO")):
        elements[tag] = encoding.element(tag, vr, padded(subject.name, vr))
    return elements


@functools.lru_cache(maxsize=16)
def _of_policy(policy: Policy, encoding: Encoding, is_masked: bool) -> dict[int, bytes]:
    texts = {
        0x00080005: ("CS", "ISO_IR 100"),
        0x00120062: ("CS", "YES"),
        0x00120063: ("LO", method_text()),
        0x00280303: ("CS", temporal_information(policy.settings)),
    }
    if is_masked:
        texts[0x00280301] = ("CS", "NO")
    elements = {
        tag: encoding.element(tag, vr, padded(text, vr))
        for tag, (vr, text) in texts.items()
    }
    said = deid_codes(policy.settings, is_masked=is_masked)
    codes = [_code(value, meaning, encoding) for value, meaning in said]
    elements[0x00120064] = encoding.sequence(0x00120064, codes, encoding, is_open=False)
    return elements


def _code(value: str, meaning: str, encoding: Encoding) -> bytes:
    texts = {
        0x00080100: ("SH", value),
        0x00080102: ("SH", "DCM"),
        0x00080104: ("LO", meaning),
    }
    return join_elements(
        {
            tag: encoding.element(tag, vr, padded(text, vr))
            for tag, (vr, text) in texts.items()
        }
    )
