"""The elements in which a file says what was done to it (PS3.15 section E.1.1)."""

from __future__ import annotations

import functools

from imaging_platform.deid.actions import Subject, padded
from imaging_platform.deid.encoding import Encoding, join_elements
from imaging_platform.deid.policy import Policy, deid_codes


def statements(subject: Subject, encoding: Encoding) -> dict[int, bytes]:
    """
    Return the elements that every written file has, by tag.

    PatientName and PatientID are for files that have none; in all others they stand
    already.
    """
    elements = dict(_of_policy(subject.policy, encoding))
    for tag, vr in ((0x00100010, "PN"), (0x00100020, "LO")):
        elements[tag] = encoding.element(tag, vr, padded(subject.name, vr))
    return elements


@functools.lru_cache(maxsize=16)
def _of_policy(policy: Policy, encoding: Encoding) -> dict[int, bytes]:
    texts = {
        0x00080005: ("CS", "ISO_IR 100"),
        0x00120062: ("CS", "YES"),
        0x00120063: ("LO", f"imaging_platform {policy.digest[:16]}"),
        0x00280303: ("CS", "MODIFIED"),
    }
    elements = {
        tag: encoding.element(tag, vr, padded(text, vr))
        for tag, (vr, text) in texts.items()
    }
    codes = [_code(*code, encoding) for code in deid_codes(policy.settings)]
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
