"""
C-STORE read straight from the connection (PS3.7 section 9.3.1, PS3.8 section 9.3).

pynetdicom turns each fragment into objects and hands them from thread to thread,
which costs a small file two milliseconds. Storage requests are told apart here by
their first bytes and written as they come; everything else (association, echo,
commitment, release, abort, what is malformed) goes to pynetdicom as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

_P_DATA = 0x04
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101
_COMMAND, _LAST = 1, 2
_MOST_PDU_BYTES = 16 << 20
_MOST_AT_ONCE = 256
"""PDUs that are read before timers are looked at again."""

_CLASS, _FIELD, _MESSAGE, _DATA_SET, _INSTANCE = (
    0x00000002,
    0x00000100,
    0x00000110,
    0x00000800,
    0x00001000,
)


class Part(Protocol):
    """A data set on its way to disk."""

    def write(self, data: bytes) -> int:
        """Add a fragment."""
        ...


Finish = Callable[[Any, str], int]
"""From what `open_part` gave, and the instance's UID: the status for the peer."""


class StoreReader:
    """
    Reads what a peer sends over one association.

    Parameters
    ----------
    assoc
        An association of pynetdicom that has not started.
    open_part
        Makes a place for a data set.
    finish
        Takes a data set that is whole.
    """

    def __init__(self, assoc: Any, open_part: Callable[[], Any], finish: Finish):
        self._assoc = assoc
        self._dul = assoc.dul
        self._read_as_before = assoc.dul._read_pdu_data
        self._open_part = open_part
        self._finish = finish
        self._pending: list[bytes] = []
        self._command = b""
        self._fields: Mapping[int, bytes] = {}
        self._part: Any = None
        self._is_others = False

    def read(self) -> None:
        """Take the place of the method that reads one PDU."""
        for _ in range(_MOST_AT_ONCE):
            if self._dul.state_machine.current_state != "Sta6":
                self._read_as_before()
                return
            if not self._read_one() or not self._dul.socket.ready:
                return

    def _read_one(self) -> bool:
        """Read a PDU; False when pynetdicom has to act on it first."""
        head = self._receive(6)
        length = int.from_bytes(head[2:6], "big") if len(head) == 6 else 0
        if len(head) < 6:
            return self._tell("Evt17")
        if length > _MOST_PDU_BYTES:
            return self._tell("Evt19")
        body = self._receive(length)
        if len(body) < length:
            return self._tell("Evt17")
        if head[0] != _P_DATA:
            return self._forward([head + body])
        try:
            fragments = list(_split(body))
        except ValueError:
            return self._forward([head + body])
        return self._take(head + body, fragments)

    def _take(self, pdu: bytes, fragments: list[tuple[int, int, bytes]]) -> bool:
        if not self._part and not self._is_others:
            self._pending.append(pdu)
        is_ours = True
        for context_id, control, data in fragments:
            if control & _COMMAND and not self._part:
                self._command += data
                if control & _LAST:
                    self._begin(context_id)
                    is_ours = self._part is not None
            elif self._part and not control & _COMMAND:
                self._part.write(data)
                if control & _LAST:
                    self._answer(context_id)
            if self._is_others and control & _LAST and not control & _COMMAND:
                self._is_others, is_ours = False, False
        if not is_ours or self._is_others:
            pending, self._pending = self._pending or [pdu], []
            return self._forward(pending)
        return True

    def _begin(self, context_id: int) -> None:
        """Decide, by a whole command, who goes on."""
        self._fields, self._command = _parse_command(self._command), b""
        context = self._assoc._accepted_cx.get(context_id)
        has_data = _number(self._fields, _DATA_SET) != _NO_DATA_SET
        if _number(self._fields, _FIELD) == _C_STORE_RQ and has_data and context:
            self._part, self._pending = self._open_part(), []
            self._part.write(
                _file_meta(
                    _text(self._fields, _CLASS),
                    _text(self._fields, _INSTANCE),
                    str(context.transfer_syntax[0]),
                )
            )
        else:
            self._is_others = has_data

    def _answer(self, context_id: int) -> None:
        part, self._part = self._part, None
        status = self._finish(part, _text(self._fields, _INSTANCE))
        command = b"".join(
            _element(tag, value)
            for tag, value in (
                (_CLASS, self._fields.get(_CLASS, b"")),
                (_FIELD, struct.pack("<H", _C_STORE_RSP)),
                (0x00000120, self._fields.get(_MESSAGE, b"\0\0")),
                (_DATA_SET, struct.pack("<H", _NO_DATA_SET)),
                (0x00000900, struct.pack("<H", status)),
                (_INSTANCE, self._fields.get(_INSTANCE, b"")),
            )
        )
        command = _element(0, struct.pack("<I", len(command))) + command
        fragment = struct.pack(">IBB", len(command) + 2, context_id, _COMMAND | _LAST)
        body = fragment + command
        self._dul.socket.send(struct.pack(">BBI", _P_DATA, 0, len(body)) + body)

    def _forward(self, pdus: list[bytes]) -> bool:
        """Give PDUs to pynetdicom, as if it had read them."""
        for data in pdus:
            try:
                pdu, event = self._dul._decode_pdu(bytearray(data))
            except Exception:  # noqa: BLE001 - as pynetdicom: the peer is told so
                return self._tell("Evt19")
            self._dul.event_queue.put(event)
            self._dul._recv_pdu.put(pdu)
        return False

    def _tell(self, event: str) -> bool:
        self._dul.event_queue.put(event)
        return False

    def _receive(self, n_bytes: int) -> bytes:
        """Return so many bytes; fewer when the connection ends."""
        found, n_read = bytearray(n_bytes), 0
        view = memoryview(found)
        while n_read < n_bytes:
            try:
                n_new = self._dul.socket.socket.recv_into(view[n_read:])
            except OSError:
                break
            if not n_new:
                break
            n_read += n_new
        return bytes(view[:n_read])


def _split(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield context, control header and data of each fragment (PS3.8 9.3.5)."""
    position = 0
    while position < len(body):
        if len(body) - position < 6:
            raise ValueError
        length, context_id, control = struct.unpack_from(">IBB", body, position)
        end = position + 4 + length
        if length < 2 or end > len(body):
            raise ValueError
        yield context_id, control, body[position + 6 : end]
        position = end


def _parse_command(data: bytes) -> dict[int, bytes]:
    """Return the elements of a command set, implicit little endian (PS3.7 6.3)."""
    found, position = dict[int, bytes](), 0
    while position + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, position)
        found[group << 16 | element] = data[position + 8 : position + 8 + length]
        position += 8 + length
    return found


def _number(fields: Mapping[int, bytes], tag: int) -> int:
    return int.from_bytes(fields.get(tag, b"")[:2], "little")


def _text(fields: Mapping[int, bytes], tag: int) -> str:
    return fields.get(tag, b"").decode("ascii", "replace").strip("\0 ")


def _element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def _file_meta(sop_class: str, sop_uid: str, transfer_syntax: str) -> bytes:
    """Return preamble and file meta information (PS3.10 section 7.1)."""
    from pynetdicom import (
        PYNETDICOM_IMPLEMENTATION_UID,
        PYNETDICOM_IMPLEMENTATION_VERSION,
    )

    texts = (
        (0x02, b"UI", sop_class),
        (0x03, b"UI", sop_uid),
        (0x10, b"UI", transfer_syntax),
        (0x12, b"UI", str(PYNETDICOM_IMPLEMENTATION_UID)),
        (0x13, b"SH", PYNETDICOM_IMPLEMENTATION_VERSION),
    )
    rest = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"
    for element, vr, text in texts:
        value = text.encode("ascii", "replace")
        value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
        rest += struct.pack("<HH2sH", 2, element, vr, len(value)) + value
    size = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(rest))
    return bytes(128) + b"DICM" + size + rest
