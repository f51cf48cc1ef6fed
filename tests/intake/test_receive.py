"""What is sent over the DICOM network becomes drops, whole or not at all."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from imaging_platform.cli.receive import find_routes
from imaging_platform.dicom.network import (
    Listening,
    Refusal,
    make_tls,
    serve_storage,
)
from imaging_platform.intake.receiving import Reception, Route, received_name
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import Home
from tests.intake.drops import Site, mr_bytes, write_files

pytestmark = [
    pytest.mark.slow,
    # Killed peers leave sockets that pynetdicom closes when it is collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STUDY, SCANNER = "MEMORY", "PRISMA"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True)
class Running:
    """A service that listens, and the site it receives for."""

    site: Site
    reception: Reception
    clock: Clock
    port: int

    def send(self, *files: Path, called: str = STUDY, calling: str = SCANNER) -> int:
        """Send files with DCMTK's storescu; return its exit code."""
        return dcmtk(
            "storescu", "-aet", calling, "-aec", called, "127.0.0.1", self.port, *files
        )

    def settle(self, after_s: float = 60) -> dict[str, int]:
        """Let the time pass and the drops move."""
        wait_until(lambda: not any(g.n_open for g in self.reception._growing.values()))
        self.clock.now_s += after_s
        return self.reception.settle()

    def in_inbox(self) -> list[str]:
        """Return the visible entries of the inbox."""
        return sorted(
            path.name
            for path in self.site.inbox.glob("*")
            if not path.name.startswith(".")
        )


def dcmtk(program: str, *arguments: object) -> int:
    if not shutil.which(program):
        pytest.skip(f"DCMTK's {program} is not installed")
    argv = [program, *map(str, arguments)]
    return subprocess.run(
        argv, capture_output=True, timeout=120, check=False
    ).returncode


def wait_until(is_so: Callable[[], bool], timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


@pytest.fixture
def running(site: Site) -> Iterator[Running]:
    with serving(site) as service:
        yield service


@contextlib.contextmanager
def serving(
    site: Site, *, min_free_bytes: int = 0, **listening: Any
) -> Iterator[Running]:
    route = Route(
        study="memory",
        inbox=site.inbox,
        zone=site.zone,
        calling_titles=frozenset({SCANNER, "ARCHIVE"}),
        idle_s=30,
        min_free_bytes=min_free_bytes,
    )
    clock = Clock()
    reception = Reception({STUDY: route}, clock)
    with serve_storage(reception, Listening("127.0.0.1", 0, **listening)) as port:
        yield Running(site, reception, clock, port)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = write_files(
        tmp_path / "scanner",
        {f"{n}.dcm": mr_bytes(instance=n) for n in range(1, 4)},
    )
    return sorted(folder.iterdir())


def test_what_is_sent_becomes_one_drop_when_the_sender_is_idle(
    running: Running, files: list[Path]
):
    assert running.send(files[0]) == 0
    assert running.send(*files[1:]) == 0
    assert running.settle(after_s=29) == {}
    assert running.in_inbox() == []

    moved = running.settle(after_s=2)

    assert moved == {"memory": 3}
    assert running.in_inbox() == ["received"]
    drop_id = running.site.drop_id_of(running.site.inbox / "received")
    assert running.site.index(drop_id).verdicts["accepted"] == 3


def test_a_drop_that_was_received_is_marked_as_whole(
    running: Running, files: list[Path]
):
    running.send(*files)

    running.settle()

    assert (running.site.inbox / "received/.complete").exists()


def test_names_come_from_a_digest_and_never_from_content(
    running: Running, files: list[Path]
):
    running.send(*files)

    running.settle()

    names = {path.stem for path in (running.site.inbox / "received").glob("*.dcm")}
    assert names == {received_name(f"1.2.3.1.1.{n}") for n in range(1, 4)}
    assert all(len(name) == 32 and name.isalnum() for name in names)


def test_the_same_files_sent_again_are_the_same_drop(
    running: Running, files: list[Path]
):
    running.send(*files)
    running.settle()
    first = running.site.drop_id_of(running.site.inbox / "received")

    running.send(*reversed(files))
    running.settle()

    assert running.site.drop_id_of(running.site.inbox / "received-2") == first


def test_an_instance_sent_twice_with_other_content_is_kept_twice(
    running: Running, tmp_path: Path
):
    sent = write_files(tmp_path / "s", {"a": mr_bytes(), "b": mr_bytes(note="other")})

    running.send(*sent.iterdir())
    running.settle()

    assert len(list((running.site.inbox / "received").glob("*.dcm"))) == 2


def test_two_senders_make_two_drops(running: Running, files: list[Path]):
    running.send(files[0])
    running.send(files[1], calling="ARCHIVE")

    running.settle()

    assert running.in_inbox() == ["received", "received-2"]


@pytest.mark.parametrize(
    ("called", "calling"), [("OTHER", SCANNER), (STUDY, "STRANGER"), ("", "")]
)
def test_who_is_not_listed_is_refused_and_leaves_nothing(
    running: Running, files: list[Path], called: str, calling: str
):
    assert running.send(files[0], called=called or "X", calling=calling or "Y") != 0

    running.settle()
    assert not running.site.inbox.exists() or not list(running.site.inbox.iterdir())


def test_an_echo_is_answered_and_makes_no_drop(running: Running):
    code = dcmtk("echoscu", "-aet", SCANNER, "-aec", STUDY, "127.0.0.1", running.port)

    assert code == 0
    assert running.settle() == {}
    assert list(running.site.inbox.iterdir()) == []


def test_a_full_disk_refuses_the_association(site: Site, files: list[Path]):
    with serving(site, min_free_bytes=1 << 60) as running:
        assert running.reception.refusal(STUDY, SCANNER) is Refusal.NO_ROOM
        assert running.send(files[0]) != 0


def test_a_file_beyond_the_limit_is_refused_and_the_next_is_taken(
    site: Site, tmp_path: Path
):
    large = write_files(tmp_path / "s", {"1": mr_bytes(note="x" * 9000, instance=9)})
    small = write_files(tmp_path / "t", {"2": mr_bytes()})
    with serving(site, max_file_bytes=5000) as running:
        assert running.send(large / "1") != 0
        assert running.send(small / "2") == 0

        assert running.settle() == {"memory": 1}

    (received,) = (site.inbox / "received").glob("*.dcm")
    assert received.stem == received_name("1.2.3.1.1.1")


def associate(port: int, *contexts: str, handlers: Any = ()) -> Any:
    from pynetdicom import AE

    ae = AE(ae_title=SCANNER)
    for context in contexts:
        ae.add_requested_context(context)
    return ae.associate("127.0.0.1", port, ae_title=STUDY, evt_handlers=list(handlers))


MR = "1.2.840.10008.5.1.4.1.1.4"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"


def dataset(*, instance: int, n_bytes: int = 32) -> Any:
    import pydicom

    found = pydicom.dcmread(io.BytesIO(mr_bytes(instance=instance)))
    found.PixelData = bytes(n_bytes)
    return found


def test_a_connection_that_is_cut_leaves_no_half_file(running: Running):
    assoc = associate(running.port, MR)
    assert assoc.send_c_store(dataset(instance=1)).Status == 0
    message = b"\x04\x00\x00\x00\x40\x00" + bytes(100)
    assoc.dul.socket.socket.sendall(message)
    assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    assoc.kill()

    assert running.settle() == {"memory": 1}

    names = [path.name for path in (running.site.inbox / "received").iterdir()]
    assert sorted(names) == sorted([".complete", received_name("1.2.3.1.1.1") + ".dcm"])


# pynetdicom leaves the socket of a peer that is gone to the garbage collector.
def test_a_sender_that_dies_in_the_middle_of_a_file_leaves_what_was_whole(
    running: Running, tmp_path: Path
):
    whole = write_files(tmp_path / "s", {"a": mr_bytes()})
    with io.BytesIO() as buffer:
        dataset(instance=2, n_bytes=64 << 20).save_as(buffer)
        (tmp_path / "large").write_bytes(buffer.getvalue())
    running.send(whole / "a")
    for _ in range(5):
        sender = subprocess.Popen(
            ["storescu", "-aet", SCANNER, "-aec", STUDY, "127.0.0.1",
             str(running.port), str(tmp_path / "large")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(
            lambda ended=sender.poll: (
                ended() is not None
                or any(running.site.inbox.glob(".receiving-*/.part-*"))
            )
        )
        sender.kill()
        sender.wait()

    running.settle()

    received = running.site.inbox / "received"
    assert not list(received.glob(".part-*"))
    assert (received / (received_name("1.2.3.1.1.1") + ".dcm")).exists()
    report = running.site.index(running.site.drop_id_of(received))
    assert report.reasons.keys() <= {"same content as an earlier file"}


def test_what_a_killed_service_had_acknowledged_reaches_the_inbox(
    running: Running, files: list[Path]
):
    running.send(*files)
    (growing,) = running.site.inbox.glob(".receiving-*")
    (growing / ".part-half").write_bytes(b"half")

    again = Reception(running.reception.routes, Clock())
    again.recover()

    assert running.in_inbox() == ["received"]
    assert len(list((running.site.inbox / "received").glob("*.dcm"))) == 3
    assert not list((running.site.inbox / "received").glob(".part-*"))


def commitment_request(*uids: str) -> Any:
    from pydicom.dataset import Dataset

    request = Dataset()
    request.TransactionUID = "1.2.3.99"
    request.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MR, uid
        request.ReferencedSOPSequence.append(item)
    return request


def ask_for_commitment(
    port: int, *uids: str, n_times: int = 1
) -> list[tuple[int, Any]]:
    from pynetdicom import evt

    answers: list[tuple[int, Any]] = []

    def hear(event: Any) -> tuple[int, None]:
        answers.append((event.event_type, event.event_information))
        return 0, None

    assoc = associate(port, COMMITMENT, handlers=[(evt.EVT_N_EVENT_REPORT, hear)])
    for n_before in range(n_times):
        status, _ = assoc.send_n_action(
            commitment_request(*uids), 1, COMMITMENT, COMMITMENT_INSTANCE
        )
        assert status.Status == 0
        wait_until(lambda known=n_before: len(answers) > known)
    assoc.release()
    return answers


def uids_of(sequence: Any) -> set[str]:
    return {str(item.ReferencedSOPInstanceUID) for item in sequence}


def test_commitment_is_given_for_what_is_safe_at_every_step_of_its_way(
    running: Running, files: list[Path]
):
    uids = [f"1.2.3.1.1.{n}" for n in range(1, 4)]
    running.send(*files)
    (growing,) = ask_for_commitment(running.port, *uids)
    running.settle()
    (waiting,) = ask_for_commitment(running.port, *uids)
    running.site.index(running.site.drop_id_of(running.site.inbox / "received"))
    (indexed,) = ask_for_commitment(running.port, *uids)

    for event_type, answer in (growing, waiting, indexed):
        assert event_type == 1
        assert answer.TransactionUID == "1.2.3.99"
        assert uids_of(answer.ReferencedSOPSequence) == set(uids)
        assert "FailedSOPSequence" not in answer


def test_commitment_is_refused_for_what_never_arrived(
    running: Running, files: list[Path]
):
    running.send(files[0])

    ((event_type, answer),) = ask_for_commitment(running.port, "1.2.3.1.1.1", "1.2.3.9")

    assert event_type == 2
    assert uids_of(answer.ReferencedSOPSequence) == {"1.2.3.1.1.1"}
    assert uids_of(answer.FailedSOPSequence) == {"1.2.3.9"}
    assert answer.FailedSOPSequence[0].FailureReason == 0x0112


def test_a_commitment_comes_whole_and_after_its_request_is_answered(running: Running):
    uids = [f"1.2.3.{n}" for n in range(400)]  # several fragments of 16 KiB

    answers = ask_for_commitment(running.port, *uids, n_times=20)

    assert {event_type for event_type, _ in answers} == {2}
    assert all(uids_of(said.FailedSOPSequence) == set(uids) for _, said in answers)


def test_a_commitment_that_names_nothing_is_no_commitment(running: Running):
    assoc = associate(running.port, COMMITMENT)
    without_transaction = commitment_request("1.2.3")
    del without_transaction.TransactionUID
    without_uid = commitment_request("1.2.3")
    del without_uid.ReferencedSOPSequence[0].ReferencedSOPInstanceUID

    statuses = [
        assoc.send_n_action(request, 1, COMMITMENT, COMMITMENT_INSTANCE)[0].Status
        for request in (without_transaction, without_uid)
    ]
    echoed = assoc.is_established
    assoc.release()

    assert statuses == [0x0115, 0x0115]
    assert echoed


def test_a_large_file_is_never_held_in_memory(site: Site, tmp_path: Path):
    with io.BytesIO() as buffer:
        dataset(instance=1, n_bytes=256 << 20).save_as(buffer)
        (tmp_path / "large").write_bytes(buffer.getbuffer())
    study_files(
        Home(tmp_path / "home"),
        memory="{called_titles: [MEMORY], calling_titles: [PRISMA]}",
    )
    with commanded(tmp_path / "home") as (command, port):
        before = psutil.Process(command.pid).memory_info().rss
        sent = dcmtk(
            "storescu", "-aet", SCANNER, "-aec", STUDY, "127.0.0.1", port,
            tmp_path / "large",
        )  # fmt: skip
        status = Path(f"/proc/{command.pid}/status").read_text()

    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert sent == 0
    assert int(peak_kib) * 1024 - before < 64 << 20


def test_nothing_of_what_is_sent_is_logged(
    running: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
):
    caplog.set_level(logging.DEBUG)
    sent = write_files(tmp_path / "s", {"a": mr_bytes(patient_id="Smith^Jane")})

    running.send(sent / "a")
    running.settle()

    heard = caplog.text + "".join(capfd.readouterr())
    for identity in ("Smith", "1.2.3.1", "20260102", "t1 of"):
        assert identity not in heard


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_over_tls_only_who_shows_a_known_certificate_may_send(
    site: Site, files: list[Path], tmp_path: Path
):
    own, own_key = make_certificate(tmp_path, "platform")
    peer, peer_key = make_certificate(tmp_path, "scanner")
    other, other_key = make_certificate(tmp_path, "stranger")
    tls = make_tls(own, own_key, peer)
    with serving(site, tls=tls) as running:
        plain = running.send(files[0])
        codes = [
            dcmtk("storescu", "+tls", key, certificate, "+cf", own, "-aet", SCANNER,
                  "-aec", STUDY, "127.0.0.1", running.port, files[0])
            for certificate, key in ((other, other_key), (peer, peer_key))
        ]  # fmt: skip

        assert plain != 0
        assert codes[0] != 0
        assert codes[1] == 0
        assert running.settle() == {"memory": 1}


def test_a_peer_that_is_silent_in_its_handshake_keeps_nobody_waiting_for_ever(
    tmp_path: Path,
):
    context = make_tls(*make_certificate(tmp_path, "platform"), None)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.MonkeyPatch.context() as patch:
        patch.setattr("imaging_platform.dicom.network._HANDSHAKE_S", 0.1)
        with pytest.raises(TimeoutError):
            context.wrap_socket(ours, server_side=True)


def test_a_certificate_that_is_none_is_refused(tmp_path: Path):
    write_files(tmp_path, {"a.pem": b"no certificate"})

    with pytest.raises(BadConfig) as caught:
        make_tls(tmp_path / "a.pem", tmp_path / "a.pem", None)

    assert "PEM" in caught.value.fix
    assert ssl.OPENSSL_VERSION


def test_a_port_that_is_taken_is_told(running: Running):
    with (
        pytest.raises(BadConfig) as caught,
        serve_storage(running.reception, Listening("127.0.0.1", running.port)),
    ):
        pytest.fail("two programs cannot listen at one port")

    assert "--port" in caught.value.fix


def study_files(home: Home, **studies: str) -> Home:
    for name, receive in studies.items():
        write_files(
            home.study_file(name).parent,
            {"study.yaml": f"name: {name}\nreceive: {receive}\n".encode()},
        )
    return home


def test_titles_lead_to_their_studies(tmp_path: Path):
    home = study_files(
        Home(tmp_path),
        memory="{called_titles: [MEMORY, MEM2], calling_titles: [PRISMA]}",
        other="{called_titles: [OTHER], calling_titles: [VIDA]}",
        silent="{}",
    )

    routes = find_routes(home)

    assert {title: route.study for title, route in routes.items()} == {
        "MEMORY": "memory",
        "MEM2": "memory",
        "OTHER": "other",
    }


@pytest.mark.parametrize(
    ("studies", "problem"),
    [
        ({"a": "{}"}, "No study"),
        ({"a": "{called_titles: [A]}"}, "nobody may send"),
        (
            {
                "a": "{called_titles: [A], calling_titles: [S]}",
                "b": "{called_titles: [A], calling_titles: [S]}",
            },
            "share AE title A",
        ),
        ({"a": "{called_titles: ['A/../B'], calling_titles: [S]}"}, "problem"),
    ],
)
def test_titles_that_lead_nowhere_are_refused(
    tmp_path: Path, studies: dict[str, str], problem: str
):
    home = study_files(Home(tmp_path), **studies)

    with pytest.raises(BadConfig) as caught:
        find_routes(home)

    assert problem in str(caught.value)
    assert caught.value.fix


@contextlib.contextmanager
def commanded(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the command; end it as an operating system does."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "imaging_platform.cli.main", "receive",
         "--port", "0"],
        env={**os.environ, "IMAGING_HOME": str(home)},
        stdout=subprocess.PIPE, text=True,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        said = command.stdout.readline()
        try:
            yield command, int(said.rstrip(".\n").split()[-1])
        finally:
            command.send_signal(signal.SIGTERM)


def test_the_command_receives_until_it_is_ended(tmp_path: Path, files: list[Path]):
    study_files(
        Home(tmp_path / "home"),
        memory="{called_titles: [MEMORY], calling_titles: [PRISMA], idle_s: 600}",
    )
    with commanded(tmp_path / "home") as (command, port):
        sent = dcmtk(
            "storescu", "-aet", SCANNER, "-aec", STUDY, "127.0.0.1", port, *files
        )

    assert command.returncode == 0
    assert sent == 0
    inbox = tmp_path / "home/inbox/memory"
    assert len(list(inbox.glob("received/*.dcm"))) == 3


def test_the_command_that_is_killed_loses_nothing_that_it_acknowledged(
    tmp_path: Path, files: list[Path]
):
    home = tmp_path / "home"
    study_files(
        Home(home), memory="{called_titles: [MEMORY], calling_titles: [PRISMA]}"
    )
    with commanded(home) as (command, port):
        sent = dcmtk(
            "storescu", "-aet", SCANNER, "-aec", STUDY, "127.0.0.1", port, *files
        )
        command.kill()
        command.wait()
    before = list((home / "inbox/memory").glob("received*"))

    with commanded(home):
        after = list((home / "inbox/memory").glob("received/*.dcm"))

    assert sent == 0
    assert before == []
    assert len(after) == 3


def test_what_is_received_is_what_was_sent_in_one_piece_or_many(
    running: Running, tmp_path: Path
):
    import pydicom

    sent = write_files(
        tmp_path / "s",
        {f"{n}": mr_bytes(instance=n, note="x" * 2000 * n) for n in range(1, 5)},
    )

    code = dcmtk(
        *("storescu", "-aet", SCANNER, "-aec", STUDY, "-pdu", "4096"),
        *("127.0.0.1", running.port, *sent.iterdir()),
    )
    running.settle()

    assert code == 0
    received = {
        ds.SOPInstanceUID: ds
        for path in (running.site.inbox / "received").glob("*.dcm")
        for ds in [pydicom.dcmread(path)]
    }
    originals = [pydicom.dcmread(path) for path in sent.iterdir()]
    assert len(received) == len(originals) == 4
    for original in originals:
        ds = received[original.SOPInstanceUID]
        assert ds == original
        assert ds.file_meta.MediaStorageSOPInstanceUID == original.SOPInstanceUID
        assert ds.file_meta.MediaStorageSOPClassUID == original.SOPClassUID


def test_an_echo_between_two_files_is_answered_on_the_same_association(
    running: Running, files: list[Path]
):
    import pydicom
    from pynetdicom.sop_class import MRImageStorage, Verification

    assoc = associate(running.port, MRImageStorage, Verification)
    statuses = [
        assoc.send_c_store(pydicom.dcmread(files[0])).Status,
        assoc.send_c_echo().Status,
        assoc.send_c_store(pydicom.dcmread(files[1])).Status,
    ]
    assoc.release()

    assert statuses == [0, 0, 0]
    assert running.settle() == {"memory": 2}


def test_a_peer_that_announces_gigabytes_in_one_piece_is_cut_off(
    running: Running, files: list[Path]
):
    from pynetdicom.sop_class import Verification

    assoc = associate(running.port, Verification)
    before = psutil.Process().memory_info().rss
    assoc.dul.socket.socket.sendall(b"\x04\x00\xff\xff\xff\xf0" + bytes(100))

    wait_until(lambda: not assoc.is_established)

    assert psutil.Process().memory_info().rss - before < 100 << 20
    assert running.send(files[0]) == 0


def test_a_stranger_who_announces_gigabytes_is_cut_off(running: Running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as peer:
        peer.sendall(b"\x01\x00\xff\xff\xff\xf0" + bytes(100))

        # An abort (PS3.8 section 9.3.8), then the end.
        assert peer.recv(1) == b"\x07"
        while peer.recv(4096):
            continue


def test_a_command_that_never_ends_is_cut_off(running: Running, files: list[Path]):
    assoc = associate(running.port, MR)
    fragment = struct.pack(">IBB", 1_000_002, 1, 0x01) + bytes(1_000_000)
    pdu = struct.pack(">BBI", 4, 0, len(fragment)) + fragment
    connection = assoc.dul.socket.socket

    with contextlib.suppress(OSError):
        for _ in range(40):
            connection.sendall(pdu)

    wait_until(lambda: not assoc.is_established)
    assert running.send(files[0]) == 0


def test_a_sender_whose_pieces_are_as_long_as_it_may_is_served(running: Running):
    assoc = associate(running.port, MR)
    status = assoc.send_c_store(dataset(instance=1, n_bytes=20 << 20)).Status
    assoc.release()

    assert status == 0
    assert running.settle() == {"memory": 1}


def test_a_sender_that_waits_for_acknowledgements_need_not_wait_long(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TCP_NODELAY", raising=False)
    files = {f"{n}": mr_bytes(instance=n, note="x" * 5000) for n in range(100)}
    sent = write_files(tmp_path / "many", files)

    before = time.monotonic()
    code = running.send(*sent.iterdir())

    assert code == 0
    # A delayed acknowledgement takes 40 ms.
    assert time.monotonic() - before < 100 * 0.04


def test_many_files_by_tls_arrive_as_they_were_sent(site: Site, tmp_path: Path):
    import pydicom

    own, own_key = make_certificate(tmp_path, "platform")
    contents = [mr_bytes(instance=n, note="x" * 9_000) for n in range(1, 30)]
    sent = write_files(
        tmp_path / "s", {str(n): content for n, content in enumerate(contents)}
    )
    with serving(site, tls=make_tls(own, own_key, None)) as running:
        code = dcmtk("storescu", "+tla", "+cf", own, "-aet", SCANNER, "-aec", STUDY,
                     "127.0.0.1", running.port, *sent.iterdir())  # fmt: skip
        running.settle()

    assert code == 0
    received = [pydicom.dcmread(path) for path in site.inbox.glob("received/*.dcm")]
    by_uid = {str(found.SOPInstanceUID): found for found in received}
    originals = [pydicom.dcmread(path) for path in sent.iterdir()]
    assert len(received) == len(originals) == 29
    assert all(by_uid[str(each.SOPInstanceUID)] == each for each in originals)
