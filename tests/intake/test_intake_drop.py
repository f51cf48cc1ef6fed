from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging_platform.dicom.headers import Header
from imaging_platform.intake.arrivals import list_arrivals
from imaging_platform.intake.drop import index_drop
from imaging_platform.intake.drop_report import DropReport
from imaging_platform.intake.ledger import read_ledger
from imaging_platform.intake.settings import IntakeSettings
from imaging_platform.intake.zone import ledger_path
from imaging_platform.model.errors import BadInput, Held
from imaging_platform.model.labels import LabelProblem, WantedLabels
from tests.intake.drops import SECRET, Site, label_study, mr_bytes, write_files

ANN = mr_bytes()
ANN_2 = mr_bytes(instance=2)
BOB = mr_bytes(patient_id="Bob^2", study=2)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def verdicts(report: DropReport) -> dict[str, int]:
    return {name: count for name, count in report.verdicts.items() if count}


def refuse_label(header: Header) -> WantedLabels:
    return WantedLabels("A", "A", problem=LabelProblem.SUBJECT_TAKEN)


def test_a_drop_is_claimed_stored_indexed_and_reported(site: Site):
    report = site.take_in("Ann", {"s1/a.dcm": ANN, "s1/b.dcm": ANN_2})

    assert verdicts(report) == {"accepted": 2}
    assert [(s.session_key, s.n_instances) for s in report.sessions] == [
        ("sub-A_ses-1", 2)
    ]
    assert site.stored() == {ANN, ANN_2}
    assert site.left_over() == []
    assert report.n_bytes == len(ANN) + len(ANN_2)


def test_stored_files_are_read_only_and_named_by_content(site: Site):
    site.take_in("Ann", {"a.dcm": ANN})

    (stored,) = site.zone.glob("store/??/*")

    assert stored.stat().st_mode & 0o777 == 0o440
    assert stored.parent.name == stored.name[:2]


def test_two_patients_in_one_drop_are_two_sessions(site: Site):
    report = site.take_in("mixed", {"1.dcm": ANN, "2.dcm": BOB})

    assert [s.session_key for s in report.sessions] == ["sub-A_ses-1", "sub-B_ses-1"]


def test_one_study_uid_for_two_patients_is_two_sessions(site: Site):
    other = mr_bytes(patient_id="Bob^2", instance=2)

    report = site.take_in("mixed", {"1.dcm": ANN, "2.dcm": other})

    assert [s.session_key for s in report.sessions] == ["sub-A_ses-1", "sub-B_ses-1"]


def test_sessions_of_a_subject_are_numbered_as_they_arrive(site: Site):
    late = mr_bytes(study=5, study_date="20260505")
    early = mr_bytes(study=4, study_date="20250101")

    first = site.take_in("first", {"late.dcm": late})
    second = site.take_in("second", {"early.dcm": early})

    assert [s.session_key for s in first.sessions] == ["sub-A_ses-1"]
    assert [s.session_key for s in second.sessions] == ["sub-A_ses-2"]


def test_sessions_that_arrive_together_are_numbered_by_date(site: Site):
    late = mr_bytes(study=1, study_date="20260505")
    early = mr_bytes(study=9, study_date="20250101")

    site.take_in("both", {"1.dcm": late, "2.dcm": early})

    keys = {row.header.study_date: row.session_key for row in site.rows()}
    assert keys == {"20250101": "sub-A_ses-1", "20260505": "sub-A_ses-2"}


def test_a_session_in_two_drops_has_the_members_of_both(site: Site):
    first = site.take_in("one", {"a.dcm": ANN})
    second = site.take_in("two", {"b.dcm": ANN_2})

    (before,), (after,) = first.sessions, second.sessions
    assert before.session_key == after.session_key
    assert (before.n_instances, after.n_instances) == (1, 2)
    assert before.members_digest != after.members_digest


def test_the_same_drop_again_is_all_duplicates_with_the_same_version(site: Site):
    files = {"a.dcm": ANN, "bad.dcm": ANN[:-3], "empty": b""}
    first = site.take_in("Ann", files)

    second = site.take_in("again", files)

    assert second.drop_id == first.drop_id
    assert second.n_arrivals == 2
    assert second.verdicts["duplicate"] == 3
    assert (second.data_version, second.sessions, second.n_waiting) == (
        first.data_version,
        first.sessions,
        first.n_waiting,
    )


def test_the_same_names_and_sizes_with_other_content_lose_nothing(site: Site):
    one, two = mr_bytes(note="x"), mr_bytes(note="y", instance=2)
    assert len(one) == len(two)
    first = site.take_in("Ann", {"a.dcm": one})

    second = site.take_in("Ann", {"a.dcm": two})

    assert first.drop_id == second.drop_id
    assert second.verdicts["accepted"] == 2
    assert second.data_version != first.data_version
    assert site.stored() == {one, two}


def test_two_arrivals_of_one_drop_are_taken_in_by_one_call(site: Site):
    site.send("one", {"a.dcm": ANN})
    drop_id = site.send("two", {"a.dcm": ANN})

    report = site.index(drop_id)

    assert verdicts(report) == {"accepted": 1, "duplicate": 1}
    assert site.left_over() == []


BROKEN = {
    "truncated.dcm": (ANN[:-3], "truncated"),
    "zero.dcm": (b"", "empty file"),
    "report.dcm": (b"%PDF-1.7" + bytes(200), "not DICOM"),
    "photo.dcm": (b"\xff\xd8\xff\xe0" + bytes(200), "not DICOM"),
    "trailing.dcm": (ANN + b"MZ\x90", "bytes after the last element"),
    "nobody.dcm": (mr_bytes(patient_id=""), "no patient id"),
    "nowhere.dcm": (mr_bytes(study=0), "no study uid"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_placed_is_kept_and_waits_with_its_reason(site: Site, name: str):
    data, reason = BROKEN[name]

    report = site.take_in("drop", {"good.dcm": ANN, name: data})

    assert verdicts(report) == {"accepted": 1, "quarantined": 1}
    assert report.reasons == {reason: 1}
    assert report.n_waiting == 1
    assert data in site.stored()


def test_a_file_without_preamble_is_accepted(site: Site):
    report = site.take_in("old", {"a": ANN[132:]})

    assert verdicts(report) == {"accepted": 1}


def test_what_operating_systems_leave_behind_is_ignored(site: Site):
    litter = {
        ".DS_Store": b"1",
        "Thumbs.db": b"2",
        "DICOMDIR": b"3",
        "__MACOSX/._a.dcm": b"4",
        "sub/desktop.ini": b"5",
    }

    report = site.take_in("drop", {**litter, "a.dcm": ANN})

    assert verdicts(report) == {"accepted": 1, "ignored": 5}


def test_links_and_pipes_in_a_drop_are_named_and_not_followed(
    site: Site, tmp_path: Path
):
    secret = tmp_path / "secret"
    secret.write_bytes(ANN_2)
    folder = write_files(site.inbox / "drop", {"a.dcm": ANN})
    (folder / "link.dcm").symlink_to(secret)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")

    report = site.index(site.drop_id_of(folder))

    assert verdicts(report) == {"accepted": 1, "quarantined": 3}
    assert report.reasons == {"not a regular file": 3}
    assert site.stored() == {ANN}
    assert secret.read_bytes() == ANN_2


@pytest.mark.parametrize("name", ["drop.zip", "drop/inner.zip"])
def test_an_archive_gives_its_members(site: Site, name: str):
    data = zipped({"../../evil.dcm": ANN, "b/two.dcm": ANN_2, "x/.DS_Store": b"1"})
    write_files(site.inbox, {name: data})
    drop_id = site.drop_id_of(site.inbox / name.split("/")[0])

    report = site.index(drop_id)

    assert verdicts(report) == {"accepted": 2, "ignored": 1}
    assert {path.name for path in site.zone.parent.iterdir()} == {"inbox", "zone"}
    assert {line.name.split("!/")[1] for line in site.receipt(drop_id)} == {
        "../../evil.dcm",
        "b/two.dcm",
        "x/.DS_Store",
    }


def test_a_link_in_an_archive_is_named_and_not_written(site: Site):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)

    report = site.take_in("drop", {"a.tar": buffer.getvalue()})

    assert report.reasons == {"not a regular file": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            zipped({"zeros": bytes(40 << 20)}),
            "archive unpacks to too many times its size",
        ),
        (zipped({"a.dcm": ANN})[:-9], "archive damaged or cut off"),
    ],
)
def test_a_bad_archive_is_kept_whole_in_quarantine(
    site: Site, data: bytes, reason: str
):
    report = site.take_in("drop", {"a.zip": data})

    assert report.reasons == {reason: 1}
    assert site.stored() == {data}


def test_an_archive_inside_an_archive_stays_closed(site: Site):
    inner = zipped({"a.dcm": ANN})

    report = site.take_in("drop", {"outer.zip": zipped({"inner.zip": inner})})

    assert report.reasons == {"archive inside an archive": 1}
    assert site.stored() == {inner}


def test_odd_names_survive_into_the_receipt(site: Site):
    odd = ["new\nline.dcm", "ünï.dcm", "x" * 240, "$(rm -rf)", os.fsdecode(b"\xff\xfe")]
    files = {name: mr_bytes(instance=10 + i) for i, name in enumerate(odd)}

    report = site.take_in("drop", files)

    assert verdicts(report) == {"accepted": 5}
    assert {line.name for line in site.receipt(report.drop_id)} == {
        f"drop/{name}" for name in odd
    }


def test_the_report_holds_nothing_that_identifies(site: Site):
    report = site.take_in("Ann Smith", {"Ann^1.dcm": ANN, "Ann.txt": b"Ann"})

    text = json.dumps(dataclasses.asdict(report))

    for identity in ("Ann", "1.2.3", "20260102", "t1", str(site.zone)):
        assert identity not in text


def test_a_subject_without_a_label_waits_and_the_same_drop_later_places_it(site: Site):
    drop_id = site.send("drop", {"a.dcm": ANN})
    before = index_drop(
        [site.inbox / "drop"],
        drop_id=drop_id,
        zone=site.zone,
        label_study=refuse_label,
        limits=site.settings,
        jobs=1,
    )
    after = site.take_in("drop", {"a.dcm": ANN})

    assert (before.reasons, before.n_waiting) == (
        {"subject label belongs to another patient": 1},
        1,
    )
    assert (after.verdicts["accepted"], after.n_waiting) == (1, 0)


def test_files_that_waited_for_a_label_are_placed_by_the_next_run(site: Site):
    drop_id = site.send("drop", {"a.dcm": ANN, "bad.dcm": b""})
    waiting = index_drop(
        [site.inbox / "drop"],
        drop_id=drop_id,
        zone=site.zone,
        label_study=refuse_label,
        limits=site.settings,
    )

    placed = site.index(drop_id)
    again = site.take_in("drop", {"a.dcm": ANN, "bad.dcm": b""})

    assert (waiting.n_waiting, placed.n_waiting) == (2, 1)
    assert verdicts(placed) == {"accepted": 1, "quarantined": 1}
    assert placed.reasons == {"empty file": 1}
    assert placed.n_arrivals == 1
    assert again.verdicts["duplicate"] == 2
    assert again.data_version == placed.data_version


def test_a_label_that_is_none_stops_the_run_and_loses_nothing(site: Site):
    drop_id = site.send("drop", {"a.dcm": ANN})
    with pytest.raises(BadInput):
        index_drop(
            [site.inbox / "drop"],
            drop_id=drop_id,
            zone=site.zone,
            label_study=lambda _: WantedLabels("A", "not a label!"),
            limits=site.settings,
            jobs=1,
        )

    assert verdicts(site.index(drop_id)) == {"accepted": 1}


def test_a_file_that_somebody_else_can_still_change_is_copied(
    site: Site, tmp_path: Path
):
    original = tmp_path / "original"
    original.write_bytes(ANN)
    (site.inbox / "drop").mkdir(parents=True)
    os.link(original, site.inbox / "drop" / "a.dcm")
    site.index(site.drop_id_of(site.inbox / "drop"))

    original.write_bytes(b"changed")

    assert site.stored() == {ANN}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMLINK])
def test_a_file_that_may_not_be_linked_is_copied(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    def refuse(*_: object) -> None:
        raise OSError(number, "no link")

    monkeypatch.setattr(os, "link", refuse)

    report = site.take_in("drop", {"a.dcm": ANN})
    gathered = site.gather("sub-A_ses-1", tmp_path / "out")

    assert verdicts(report) == {"accepted": 1}
    assert site.stored() == {ANN}
    assert gathered.n_instances == 1


def test_what_may_identify_does_not_show_itself(site: Site):
    from imaging_platform.intake.assignment import StudyOfPatient
    from imaging_platform.intake.claims import FoundFile

    report = site.take_in("Ann", {"Ann.dcm": ANN})
    (row,), (line,) = site.rows(), site.receipt(report.drop_id)

    shown = repr((row, row.header, line, FoundFile(None, "Ann")))
    shown += repr(StudyOfPatient(WantedLabels("A", "A"), "20260102", "1.2.3.1"))

    for identity in ("Ann", "1.2.3", "20260102"):
        assert identity not in shown


def test_a_drop_that_is_still_written_is_held_and_taken_in_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    from imaging_platform.intake import drop

    drop_id = site.send("drop", {"a.dcm": ANN[:100]})
    real = drop.examine_files

    def examine_then_write(paths: list[Path], **rest: object) -> object:
        examined = real(paths, **rest)  # type: ignore[arg-type]  # passed on
        paths[0].write_bytes(ANN)
        return examined

    monkeypatch.setattr(drop, "examine_files", examine_then_write)
    with pytest.raises(Held) as caught:
        site.index(drop_id)
    monkeypatch.undo()

    assert "upload" in caught.value.fix
    assert verdicts(site.index(drop_id)) == {"accepted": 1}


def test_an_error_of_the_system_does_not_show_a_path(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    drop_id = site.send("Ann", {"a.dcm": ANN})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/inbox/Ann/a.dcm")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(Held) as caught:
        site.index(drop_id)
    monkeypatch.undo()

    assert "No space left" in str(caught.value)
    assert "Ann" not in str(caught.value) + caught.value.fix
    assert verdicts(site.index(drop_id)) == {"accepted": 1}


def from_another_file_system(monkeypatch: pytest.MonkeyPatch, inbox: Path) -> None:
    real = os.rename

    def rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        if inbox in Path(source).parents and inbox not in Path(target).parents:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)


def test_an_inbox_on_another_file_system_is_copied_compared_and_emptied(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    folder = write_files(site.inbox / "drop", {"s/a.dcm": ANN, "b.zip": zipped({})})
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    from_another_file_system(monkeypatch, site.inbox)

    report = site.index(site.drop_id_of(folder))

    assert verdicts(report) == {"accepted": 1, "quarantined": 3}
    assert site.left_over() == []


def test_a_loose_file_on_another_file_system_is_taken_in(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    write_files(site.inbox, {"a.dcm": ANN})
    from_another_file_system(monkeypatch, site.inbox)

    report = site.index(site.drop_id_of(site.inbox / "a.dcm"))

    assert verdicts(report) == {"accepted": 1}
    assert site.left_over() == []


def test_a_marker_goes_with_its_drop(site: Site):
    write_files(site.inbox, {"drop/a.dcm": ANN, "drop.complete": b""})

    report = site.index(site.drop_id_of(site.inbox / "drop"))

    assert verdicts(report) == {"accepted": 1}
    assert site.left_over() == []


def test_many_files_are_read_by_processes_with_the_same_result(site: Site):
    files = {f"{i}.dcm": mr_bytes(instance=i) for i in range(6)}
    files |= {"bad.dcm": ANN[:-3], os.fsdecode(b"\xff"): mr_bytes(patient_id="Ä")}
    parallel = dataclasses.replace(
        site,
        zone=site.zone.with_name("other"),
        settings=IntakeSettings(parallel_from_files=2),
    )

    alone = site.take_in("drop", files)
    together = parallel.index(parallel.send("drop", files), jobs=2)

    assert together == alone


def test_a_file_on_which_the_reader_dies_is_found_and_quarantined(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    from imaging_platform.intake import examination
    from imaging_platform.model.errors import ToolFailed

    def die(function: str, arguments: dict[str, list[str]], **_: object) -> object:
        if any(Path(path).name == "poison.dcm" for path in arguments["paths"]):
            raise ToolFailed("The reader ended with exit code -9.", fix="Look at it.")
        return examination.examine_in_limits(
            arguments["paths"],
            arguments["limits"],  # type: ignore[arg-type]  # a mapping of limits
        )

    monkeypatch.setattr(examination, "call_isolated", die)
    monkeypatch.setattr(examination.resource, "setrlimit", lambda *_: None)
    eager = dataclasses.replace(site, settings=IntakeSettings(parallel_from_files=1))
    files = {f"{i}.dcm": mr_bytes(instance=i) for i in range(5)}

    report = eager.take_in("drop", {**files, "poison.dcm": BOB})

    assert verdicts(report) == {"accepted": 5, "quarantined": 1}
    assert report.reasons == {"unreadable": 1}


def test_two_indexers_at_once_number_sessions_without_clash(site: Site):
    drops = [site.send(f"d{i}", {f"{i}.dcm": mr_bytes(study=10 + i)}) for i in range(6)]
    arrivals = {a.drop_id: a.path for a in list_arrivals(site.inbox, secret=SECRET)}

    def index(drop_id: str) -> None:
        index_drop(
            [arrivals[drop_id]],
            drop_id=drop_id,
            zone=site.zone,
            label_study=label_study,
            limits=site.settings,
        )

    threads = [threading.Thread(target=index, args=[drop]) for drop in drops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(row.session_key for row in site.rows()) == [
        f"sub-A_ses-{number}" for number in range(1, 7)
    ]


def test_a_torn_ledger_line_is_taken_back(site: Site):
    site.take_in("one", {"a.dcm": ANN})
    with ledger_path(site.zone).open("ab") as ledger:
        ledger.write(b'{"session": "sub-A_s')

    assert len(read_ledger(site.zone)) == 1
    site.take_in("two", {"b.dcm": BOB})

    assert {str(key) for key in read_ledger(site.zone).values()} == {
        "sub-A_ses-1",
        "sub-B_ses-1",
    }


class Killed(BaseException):
    """The process is gone; nothing of it runs any more."""


CHANGING = [
    *("rename", "replace", "link", "symlink", "mkdir", "rmdir", "unlink", "chmod"),
    *("write", "fsync", "ftruncate"),
]


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int, *, after: bool) -> None:
    """Let the process die before or after its `step`-th change on disk."""
    left = step

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def change(*arguments: object, **rest: object) -> object:
            nonlocal left
            left -= 1
            if left < 0 or (left == 0 and not after):
                left = -1
                raise Killed
            result = real(*arguments, **rest)
            if left == 0:
                left = -1
                raise Killed
            return result

        return change

    for name in CHANGING:
        monkeypatch.setattr(os, name, dying(getattr(os, name)))


@pytest.mark.usefixtures("in_one_process")
# Before a change the disk is as it was after the one before it.
@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("is_far", [False, True])
def test_killed_at_any_step_and_run_again_everything_is_there_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool, is_far: bool
):
    files = {
        "s/a.dcm": ANN,
        "b.dcm": BOB,
        "c.zip": zipped({"in.dcm": ANN_2, "same.dcm": ANN}),
        "bad.dcm": ANN[:-3],
        ".DS_Store": b"1",
    }
    expected = Site(tmp_path / "0/inbox", tmp_path / "0/zone").take_in("drop", files)
    step, is_finished = 0, False
    while not is_finished:
        step += 1
        site = Site(tmp_path / f"{step}/inbox", tmp_path / f"{step}/zone")
        drop_id = site.send("drop", files)
        with monkeypatch.context() as dying:
            if is_far:
                from_another_file_system(dying, site.inbox)
            kill_at(dying, step, after=after)
            try:
                site.index(drop_id)
                is_finished = True
            except Killed:
                is_finished = False

        report = site.index(drop_id, names=["drop"])

        if report.n_arrivals == 1:
            assert report == expected
        # Killed between copy and removal: the copy was taken in, then the source.
        assert (report.sessions, report.data_version, report.n_waiting) == (
            expected.sessions,
            expected.data_version,
            expected.n_waiting,
        )
        assert report.n_arrivals == 1 or is_far
        assert site.left_over() == []
        assert len(site.rows()) == 3
    assert step > 40


@given(
    sendings=st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c/d", "e"]), st.integers(0, 5), min_size=1
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.usefixtures("in_one_process")
def test_whatever_is_sent_is_stored_and_counted_exactly_once(
    sendings: list[dict[str, int]], tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder / "inbox", folder / "zone")
    contents = [ANN, ANN_2, BOB, ANN[:-3], b"", mr_bytes(study=3)]

    reports = {}
    for sending in sendings:
        files = {name: contents[number] for name, number in sending.items()}
        report = site.take_in("drop", files)
        reports[report.drop_id] = report

    sent = {contents[number] for sending in sendings for number in sending.values()}
    assert site.stored() == sent
    assert sum(r.n_files for r in reports.values()) == sum(map(len, sendings))
    assert all(sum(r.verdicts.values()) == r.n_files for r in reports.values())
    for drop_id in reports:
        accepted = Counter(
            line.sha256 for line in site.receipt(drop_id) if line.verdict == "accepted"
        )
        assert set(accepted.values()) <= {1}
