"""
C-STORE read straight from the connection (PS3.7 section 9.3.1, PS3.8 section 9.3).

pynetdicom turns each fragment into objects and hands them from thread to thread,
which costs a small file two milliseconds. Storage requests are told apart here by
their first bytes and written as they come; everything else (association, echo,
commitment, release, abort, what is malformed) goes to pynetdicom as it was.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

MAX_PDU_BYTES = 1 << 20
"""Longest PDU that peers are asked to send (PS3.8 section D.1)."""

_P_DATA = 0x04
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101
_COMMAND, _LAST = 1, 2
_HEAD_BYTES = 6
_BUFFER_BYTES = 2 * MAX_PDU_BYTES
"""Room for more than was asked for: some peers do not count what is around it."""

_MOST_BESIDE_BYTES = 16 << 20
"""Longest command set, or data set that is no instance: they are kept in memory."""

_MOST_AT_ONCE = 256
"""Reads before timers are looked at again."""

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


class Inflow:
    """
    Bytes that a peer sent, cut into PDUs (PS3.8 section 9.3.1).

    Parameters
    ----------
    connection
        The socket, plain or of TLS.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start = self._end = 0
        self.is_over = False
        """The connection ended, or broke."""

    def __len__(self) -> int:
        return self._end - self._start

    def next_pdu(self) -> memoryview | None:
        """
        Return a PDU that is whole, valid until `receive`; None when there is none.

        Raises
        ------
        ValueError
            It is longer than what is taken.
        """
        if len(self) < _HEAD_BYTES:
            return None
        (length,) = struct.unpack_from(">I", self._buffer, self._start + 2)
        if length > _BUFFER_BYTES - _HEAD_BYTES:
            raise ValueError
        end = self._start + _HEAD_BYTES + length
        if end > self._end:
            return None
        pdu = self._buffer[self._start : end]
        self._start = end
        return pdu

    def receive(self) -> bool:
        """Take what has come, without waiting; False when nothing has."""
        if self._start:
            self._make_room()
        try:
            self._connection.settimeout(0)
            try:
                n_new = self._connection.recv_into(self._buffer[self._end :])
            finally:
                self._connection.settimeout(None)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            n_new = 0
        self.is_over = not n_new
        self._end += n_new
        return n_new > 0

    def forget(self) -> None:
        """Drop what is there."""
        self._start = self._end = 0

    def hurry(self) -> None:
        """
        Acknowledge at once what came.

        A peer that sends its next piece only after that (RFC 896) waits 40 ms for
        each file otherwise.
        """
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _make_room(self) -> None:
        n_left = len(self)
        if n_left == 0 or _BUFFER_BYTES - self._start < _BUFFER_BYTES // 2:
            self._buffer[:n_left] = self._buffer[self._start : self._end]
            self._start, self._end = 0, n_left


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
        self._inflow = Inflow(assoc.dul.socket.socket)
        self._open_part = open_part
        self._finish = finish
        self._pending: list[bytes] = []
        self._command = b""
        self._fields: Mapping[int, bytes] = {}
        self._part: Any = None
        self._fragments: list[memoryview] = []
        self._is_others = False
        self._n_waiting = 0
        self._sending = threading.Lock()

    def send_whole(self, send: Callable[[], object]) -> None:
        """
        Let another thread queue a message of several fragments.

        No answer of this one comes between them (PS3.8 annex E).
        """
        with self._sending:
            send()

    def read(self) -> bool:
        """Take the place of the method that looks for what the peer sent."""
        if self._dul.socket.socket is None:
            return False
        if self._dul.state_machine.current_state == "Sta13":
            return self._read_to_the_end()
        has_read = False
        for _ in range(_MOST_AT_ONCE):
            if not self._take_all():
                return True
            self._write()
            if not self._inflow.receive():
                break
            has_read = True
        if self._inflow.is_over:
            return self._tell("Evt17")
        if self._part or self._pending or len(self._inflow):
            self._inflow.hurry()
        return has_read

    def _read_to_the_end(self) -> bool:
        """Pass over what comes after a refusal, then close (PS3.8 section 9.2)."""
        self._inflow.forget()
        if self._inflow.receive():
            return True
        self._dul.socket.close()
        return True

    def _take_all(self) -> bool:
        """Work on the PDUs that are whole; False when pynetdicom has to act first."""
        while True:
            try:
                pdu = self._inflow.next_pdu()
            except ValueError:
                self._inflow.forget()
                return not self._tell("Evt19")
            if pdu is None:
                return True
            if not self._take(pdu):
                return False

    def _take(self, pdu: memoryview) -> bool:
        """Use a PDU up; False when it went to pynetdicom."""
        is_data = self._dul.state_machine.current_state == "Sta6" and pdu[0] == _P_DATA
        try:
            fragments = list(_split(pdu)) if is_data else []
        except ValueError:
            fragments = []
        if not fragments:
            return self._forward([bytes(pdu)])
        if not self._part:
            self._n_waiting += len(pdu)
            if self._n_waiting > _MOST_BESIDE_BYTES:
                return self._tell("Evt19")
            if not self._is_others:
                self._pending.append(bytes(pdu))
        is_ours = True
        for context_id, control, data in fragments:
            if control & _COMMAND and not self._part:
                self._command += data
                if control & _LAST:
                    self._begin(context_id)
                    is_ours = self._part is not None
            elif self._part and not control & _COMMAND:
                self._fragments.append(data)
                if control & _LAST:
                    self._answer(context_id)
            if self._is_others and control & _LAST and not control & _COMMAND:
                self._is_others, is_ours, self._n_waiting = False, False, 0
        if not is_ours or self._is_others:
            pending, self._pending = self._pending or [bytes(pdu)], []
            return self._forward(pending)
        return True

    def _begin(self, context_id: int) -> None:
        """Decide, by a whole command, who goes on."""
        self._fields, self._command = _parse_command(self._command), b""
        self._n_waiting = 0
        context = self._assoc._accepted_cx.get(context_id)
        has_data = _number(self._fields, _DATA_SET) != _NO_DATA_SET
        if _number(self._fields, _FIELD) == _C_STORE_RQ and has_data and context:
            self._part, self._pending = self._open_part(), []
            meta = _file_meta(
                _text(self._fields, _CLASS),
                _text(self._fields, _INSTANCE),
                str(context.transfer_syntax[0]),
            )
            self._fragments = [memoryview(meta)]
        else:
            self._is_others = has_data

    def _write(self) -> None:
        """Write what came of a data set, before its place is used again."""
        if self._part and self._fragments:
            self._part.write(b"".join(self._fragments))
            self._fragments = []

    def _answer(self, context_id: int) -> None:
        self._write()
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
        self._send(context_id, bytes([_COMMAND | _LAST]) + command)

    def _send(self, context_id: int, fragment: bytes) -> None:
        """Send a message of one fragment, after what is queued already."""
        with self._sending:
            if self._dul.to_provider_queue.empty():
                body = struct.pack(">IB", len(fragment) + 1, context_id) + fragment
                self._dul.socket.send(struct.pack(">BBI", _P_DATA, 0, len(body)) + body)
            else:
                self._dul.to_provider_queue.put(_p_data(context_id, fragment))

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


def _split(pdu: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield context, control header and data of each fragment (PS3.8 9.3.5)."""
    position = _HEAD_BYTES
    while position < len(pdu):
        if len(pdu) - position < 6:
            raise ValueError
        length, context_id, control = struct.unpack_from(">IBB", pdu, position)
        end = position + 4 + length
        if length < 2 or end > len(pdu):
            raise ValueError
        yield context_id, control, pdu[position + 6 : end]
        position = end


def _parse_command(data: bytes) -> dict[int, bytes]:
    """Return the elements of a command set, implicit little endian (PS3.7 6.3)."""
    found, position = dict[int, bytes](), 0
    while position + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, position)
        found[group << 16 | element] = data[position + 8 : position + 8 + length]
        position += 8 + length
    return found


def _p_data(context_id: int, fragment: bytes) -> Any:  # a primitive of pynetdicom
    from pynetdicom.pdu_primitives import P_DATA

    primitive = P_DATA()
    primitive.presentation_data_value_list = [(context_id, fragment)]
    return primitive


def _number(fields: Mapping[int, bytes], tag: int) -> int:
    return int.from_bytes(fields.get(tag, b"")[:2], "little")


def _text(fields: Mapping[int, bytes], tag: int) -> str:
    return fields.get(tag, b"").decode("ascii", "replace").strip("\0 ")


def _element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def _file_meta(sop_class: str, sop_uid: str, transfer_syntax: str) -> bytes:
    """Return preamble and file meta information (PS3.10 section 7.1)."""
    rest = b"".join(
        (
            struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1",
            _meta_text(0x02, b"UI", sop_class),
            _meta_text(0x03, b"UI", sop_uid),
            _end_of_meta(transfer_syntax),
        )
    )
    size = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(rest))
    return bytes(128) + b"DICM" + size + rest


@functools.lru_cache(maxsize=64)
def _end_of_meta(transfer_syntax: str) -> bytes:
    from pynetdicom import (
        PYNETDICOM_IMPLEMENTATION_UID,
        PYNETDICOM_IMPLEMENTATION_VERSION,
    )

    return b"".join(
        (
            _meta_text(0x10, b"UI", transfer_syntax),
            _meta_text(0x12, b"UI", str(PYNETDICOM_IMPLEMENTATION_UID)),
            _meta_text(0x13, b"SH", PYNETDICOM_IMPLEMENTATION_VERSION),
        )
    )


def _meta_text(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value
