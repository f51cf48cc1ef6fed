"""
A DICOM storage service (C-STORE, C-ECHO, storage commitment; PS3.4 B, A, J).

Data sets are written to disk as they come, byte for byte as the peer encoded
them: nothing is decoded, so memory is bounded and no value is ever looked at.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import operator
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from imaging_platform.dicom.storing import MAX_PDU_BYTES, StoreReader
from imaging_platform.dicom.waking import install, wake_threads
from imaging_platform.model.errors import BadConfig, Held

PART_PREFIX = ".part-"
"""How the name of a file begins that is not whole."""

_SUCCESS, _OUT_OF_RESOURCES = 0x0000, 0xA700
_PROCESSING_FAILURE, _NO_SUCH_INSTANCE, _INVALID_ARGUMENT = 0x0110, 0x0112, 0x0115
_REFERENCE = frozenset({0x00081150, 0x00081155})
"""ReferencedSOPClassUID and ReferencedSOPInstanceUID, which each reference has."""

_COMMITTED, _FAILURES = 1, 2
_VERIFICATION = "1.2.840.10008.1.1"
_COMMITMENT = "1.2.840.10008.1.20.1"
_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NUMBERS = itertools.count()
_HANDSHAKE_S = 10
_GRACE_S = 2
_MOST_ASSOCIATIONS = 32
_SILENT_S = 60


class Refusal(Enum):
    """Why an association is refused: result, source, diagnostic (PS3.8, 9.3.4)."""

    CALLED = (1, 1, 7)
    CALLING = (1, 1, 3)
    NO_ROOM = (2, 3, 2)


class Storage(Protocol):
    """What the service asks of whoever keeps the files; called by many threads."""

    def refusal(self, called: str, calling: str) -> Refusal | None:
        """Return why an association is refused."""
        ...

    def begin(self, called: str, calling: str) -> Path:
        """Return the folder for the files of a new association."""
        ...

    def keep(self, called: str, calling: str, part: str, sop_uid: str) -> None:
        """Take a file that is whole; raise `Held` or `OSError` to refuse it."""
        ...

    def end(self, called: str, calling: str) -> None:
        """Note that an association is over."""
        ...

    def safe(self, called: str, sop_uids: Iterable[str]) -> frozenset[str]:
        """Return which instances will not be lost."""
        ...


@dataclass(frozen=True)
class Listening:
    """
    Where and how the service listens.

    Parameters
    ----------
    host, port
        Address; port 0 takes a free one.
    tls
        Certificate and key for connections by TLS (PS3.15 section B); None for
        plain ones.
    max_file_bytes
        Largest data set that is taken.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    max_file_bytes: int = 16 << 30


def make_tls(certificate: Path, key: Path, authorities: Path | None) -> ssl.SSLContext:
    """
    Return settings for TLS 1.2 or newer.

    Parameters
    ----------
    certificate, key
        PEM files of the service.
    authorities
        PEM file of those who may sign the certificate of a peer, which then must
        show one; None asks for none.

    Raises
    ------
    BadConfig
        A file cannot be read or does not fit.
    """
    context = _PatientContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if authorities:
            context.load_verify_locations(authorities)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise BadConfig(
            f"The TLS certificate or key cannot be used: {error.strerror or 'no PEM'}.",
            fix="Name PEM files that belong together and that this user may read.",
        ) from None
    return context


@contextlib.contextmanager
def serve_storage(storage: Storage, listening: Listening) -> Iterator[int]:
    """
    Receive in threads until the context ends; yield the port.

    Raises
    ------
    BadConfig
        The address is taken or not ours.
    """
    from pynetdicom import AE, evt

    _configure()
    service = _Service(storage, listening.max_file_bytes)
    ae = AE()
    ae.maximum_pdu_size = MAX_PDU_BYTES
    ae.maximum_associations = _MOST_ASSOCIATIONS
    ae.network_timeout = ae.acse_timeout = ae.dimse_timeout = _SILENT_S
    _support(ae)
    handlers = [
        (evt.EVT_CONN_OPEN, service.open),
        (evt.EVT_REQUESTED, service.request),
        (evt.EVT_C_STORE, service.store),
        (evt.EVT_N_ACTION, service.commit),
        (evt.EVT_RELEASED, service.close),
        (evt.EVT_ABORTED, service.close),
        (evt.EVT_CONN_CLOSE, service.close),
    ]
    try:
        server: Any = ae.start_server(  # None only when it blocks
            (listening.host, listening.port),
            block=False,
            ssl_context=listening.tls,
            evt_handlers=handlers,
        )
    except OSError as error:
        raise BadConfig(
            f"Cannot listen at port {listening.port}: {error.strerror}.",
            fix="Choose another --port, or end the program that has it.",
        ) from None
    try:
        yield server.server_address[1]
    finally:
        _let_end(ae)
        ae.shutdown()


def _let_end(ae: Any) -> None:
    """Give associations that are about to end the time to; others are aborted."""
    end = time.monotonic() + _GRACE_S
    while ae.active_associations and time.monotonic() < end:
        time.sleep(0.01)


class _PatientContext(ssl.SSLContext):
    """TLS that does not wait for ever for a peer who opens a connection in silence."""

    def wrap_socket(self, sock: Any, *arguments: Any, **rest: Any) -> Any:  # ssl's own
        sock.settimeout(_HANDSHAKE_S)
        wrapped = super().wrap_socket(sock, *arguments, **rest)
        wrapped.settimeout(None)
        return wrapped


class _Part:
    """
    A data set on its way to disk; takes the place of pynetdicom's temporary file.

    A write that fails, or exceeds the limit, is remembered and not raised: the
    peer shall be told by a status, and not by a connection that breaks.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        # The number is new: the folder is made by this process, or emptied at start.
        self.name = f"{folder}/{PART_PREFIX}{next(_NUMBERS)}"
        self._handle = os.open(self.name, _NEW_FILE, 0o600)
        self._lock = threading.Lock()
        self._n_bytes, self._max_bytes = 0, max_bytes
        self.has_failed = False

    @property
    def file(self) -> _Part:
        """Return what pynetdicom flushes after each fragment: nothing is to be done."""
        return self

    def write(self, data: bytes) -> int:
        self._n_bytes += len(data)
        # Another thread that closes would give the handle's number to another file.
        with self._lock:
            if self._n_bytes > self._max_bytes or self._handle < 0:
                self.has_failed = True
            if not self.has_failed:
                try:
                    _write_whole(self._handle, data)
                except OSError:
                    self.has_failed = True
        return len(data)

    def tell(self) -> int:
        return self._n_bytes

    def flush(self) -> None:
        """Nothing waits to be written."""

    def close(self) -> None:
        with self._lock:
            handle, self._handle = self._handle, -1
        if handle >= 0:
            try:
                os.close(handle)
            except OSError:
                self.has_failed = True


def _write_whole(handle: int, data: bytes) -> None:
    n_written = os.write(handle, data)
    while n_written < len(data):
        n_written += os.write(handle, memoryview(data)[n_written:])


class _Transfer:
    """The data sets of one association; at most one of them is on its way."""

    def __init__(self, folder: Path, max_file_bytes: int) -> None:
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._part: _Part | None = None

    def open_part(self) -> _Part:
        self._part = _Part(self._folder, self._max_file_bytes)
        return self._part

    def discard(self) -> None:
        """Remove what is not whole; what was kept has another name by now."""
        if self._part is not None:
            self._part.close()
            Path(self._part.name).unlink(missing_ok=True)


class _Service:
    """The answers to what peers ask; each association has a thread of its own."""

    def __init__(self, storage: Storage, max_file_bytes: int) -> None:
        self.storage = storage
        self.max_file_bytes = max_file_bytes

    def open(self, event: Any) -> None:
        """Read what comes, before pynetdicom does."""
        assoc = event.assoc
        # Small answers shall not wait for more; else each file costs 40 ms.
        assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wake_threads(assoc)
        reader = StoreReader(
            assoc,
            lambda: assoc.transfer.open_part(),
            lambda part, sop_uid: self.keep(assoc, part, sop_uid),
        )
        assoc.dul._is_transport_event = reader.read
        serve = assoc._serve_request

        def serve_and_report(message: Any, context_id: int) -> None:
            if message.is_valid_response:
                return  # The peer heard the event.
            serve(message, context_id)
            wanted = assoc.__dict__.pop("commitment", None)
            if wanted is not None and assoc.is_established:
                report = _report_commitment(assoc, self.storage, context_id, wanted)
                reader.send_whole(lambda: assoc.dimse.send_msg(report, context_id))

        # pynetdicom would send the event while it answers the request, and mix them.
        assoc._serve_request = serve_and_report

    def request(self, event: Any) -> None:
        """Refuse whom the storage does not know; prepare a folder for others."""
        assoc = event.assoc
        refusal = self.storage.refusal(*_titles(assoc))
        if refusal is not None:
            assoc.acse.send_reject(*refusal.value)
            assoc.kill()
            return
        # Not when established: a peer may send before that event is told.
        folder = self.storage.begin(*_titles(assoc))
        assoc.transfer = _Transfer(folder, self.max_file_bytes)

    def store(self, event: Any) -> int:
        """Keep a data set that is whole, or say that there is no room."""
        sop_uid = str(event.request.AffectedSOPInstanceUID)
        return self.keep(event.assoc, event.request._dataset_file, sop_uid)

    def keep(self, assoc: Any, part: _Part, sop_uid: str) -> int:
        """Keep a data set that is whole; return the status for the peer."""
        part.close()
        if part.has_failed:
            return _OUT_OF_RESOURCES
        try:
            self.storage.keep(*_titles(assoc), part.name, sop_uid)
        except (OSError, Held):
            return _OUT_OF_RESOURCES
        return _SUCCESS

    def commit(self, event: Any) -> tuple[int, None]:
        """Take a request for storage commitment; the answer is an event of its own."""
        wanted = event.action_information
        items = wanted.get("ReferencedSOPSequence") or []
        if "TransactionUID" not in wanted or not all(
            i.keys() >= _REFERENCE for i in items
        ):
            return _INVALID_ARGUMENT, None
        event.assoc.commitment = wanted
        return _SUCCESS, None

    def close(self, event: Any) -> None:
        """Note the end of an association, by release, abort or a cut line, once."""
        transfer = event.assoc.__dict__.pop("transfer", None)
        if transfer is not None:
            transfer.discard()
            self.storage.end(*_titles(event.assoc))


def _report_commitment(
    assoc: Any, storage: Storage, context_id: int, wanted: Any
) -> Any:
    """Return the event that says which instances are safe (PS3.4 section J.3.3)."""
    from pydicom.dataset import Dataset
    from pynetdicom.dimse_primitives import N_EVENT_REPORT
    from pynetdicom.dsutils import encode

    asked = list(wanted.get("ReferencedSOPSequence") or [])
    called, _ = _titles(assoc)
    try:
        uids = [str(item.ReferencedSOPInstanceUID) for item in asked]
        safe, reason = storage.safe(called, uids), _NO_SUCH_INSTANCE
    except OSError:
        safe, reason = frozenset(), _PROCESSING_FAILURE
    said = Dataset()
    said.TransactionUID = wanted.TransactionUID
    parts = [item.ReferencedSOPInstanceUID in safe for item in asked]
    failed = list(itertools.compress(asked, map(operator.not_, parts)))
    said.ReferencedSOPSequence = list(itertools.compress(asked, parts))
    if failed:
        for item in failed:
            item.FailureReason = reason
        said.FailedSOPSequence = failed
    syntax = assoc._accepted_cx[context_id].transfer_syntax[0]
    report = N_EVENT_REPORT()
    report.MessageID = 1
    report.AffectedSOPClassUID = _COMMITMENT
    report.AffectedSOPInstanceUID = _COMMITMENT_INSTANCE
    report.EventTypeID = _FAILURES if failed else _COMMITTED
    report.EventInformation = io.BytesIO(
        encode(said, syntax.is_implicit_VR, syntax.is_little_endian) or b""
    )
    return report


def _titles(assoc: Any) -> tuple[str, str]:
    """Return called and calling AE title of an association."""
    asked = assoc.requestor.primitive
    return asked.called_ae_title.strip(), asked.calling_ae_title.strip()


def _support(ae: Any) -> None:
    """Offer what is no storage; that is taken of every class (`_configure`)."""
    ae.add_supported_context(_VERIFICATION)
    ae.add_supported_context(_COMMITMENT)


def _configure() -> None:
    """Make pynetdicom write as it receives, into our folders, and log no value."""
    from pynetdicom import _config, dimse_messages

    _config.STORE_RECV_CHUNKED_DATASET = True
    _config.UNRESTRICTED_STORAGE_SERVICE = True
    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "pydicom"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    install()
    # Its own would lie in the folder for temporary files, which is everybody's.
    dimse_messages.__dict__["NamedTemporaryFile"] = _open_part


def _open_part(**_: Any) -> _Part:
    """Open a file of the association whose thread of the upper layer this is."""
    thread: Any = threading.current_thread()
    return thread.assoc.transfer.open_part()
