"""What people bring finds its run by name, number or clock, or waits with a reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.attachments import attach_files, receive_attachments
from imaging_platform.bids.tables import clean_table
from imaging_platform.files.digests import digest_tree
from imaging_platform.files.writing import write_json
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey
from tests.bids.physio_logs import info_log, signal_log

KEY = SessionKey("01", "1")
EVENTS = "onset\tduration\ttrial_type\n1.5\t2\tface\n"
TEN_O_CLOCK_TICS = 10 * 3600 * 400


@pytest.fixture
def session(tmp_path) -> Path:
    """Two runs of one task, the second with two echoes."""
    tree = tmp_path / "session"
    for name, number, time in (
        ("task-rest_run-1", 5, "10:00:01.0"),
        ("task-rest_run-2_echo-1", 7, "10:10:00.0"),
        ("task-rest_run-2_echo-2", 7, "10:10:00.0"),
    ):
        facts = {"SeriesNumber": number, "AcquisitionTime": time}
        write_json(tree / f"func/{KEY}_{name}_bold.json", facts)
    return tree


def bring(tmp_path: Path, files: dict[str, str | bytes]):
    """Return what was received and its folder."""
    source, target = tmp_path / "brought", tmp_path / "received"
    target.mkdir()
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        (source / name).write_bytes(data)
    return receive_attachments(source, target, KEY), target


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("task-rest_run-1_events.tsv", "task-rest_run-1"),
        ("run-2_events.tsv", "task-rest_run-2"),
        ("series-7_events.tsv", "task-rest_run-2"),
    ],
)
def test_events_find_their_run_by_entities_or_number(name, run, session, tmp_path):
    _, received = bring(tmp_path, {name: EVENTS})

    attached = attach_files(received, session, KEY)

    assert attached.files == (f"func/{KEY}_{run}_events.tsv",)
    assert (session / attached.files[0]).read_text() == EVENTS
    assert attached.waiting == {}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("task-rest_events.tsv", "2 runs fit"),
        ("series-9_events.tsv", "no run"),
        ("task-nback_events.tsv", "no run"),
    ],
)
def test_what_fits_no_run_or_several_waits(name, why, session, tmp_path):
    _, received = bring(tmp_path, {name: EVENTS})
    before = digest_tree(session)

    attached = attach_files(received, session, KEY)

    assert attached.files == ()
    assert why in attached.waiting[name]
    assert digest_tree(session) == before


def test_a_recording_finds_its_run_by_the_clock(session, tmp_path):
    samples = [(TEN_O_CLOCK_TICS + 2 * n, n) for n in range(50)]
    uuid = "Physio_20260101_100000_a6df"
    received, folder = bring(
        tmp_path,
        {
            f"{uuid}_Info.log": info_log(TEN_O_CLOCK_TICS),
            f"{uuid}_PULS.log": signal_log("PULS", samples, tics=2),
        },
    )

    attached = attach_files(folder, session, KEY)

    name = f"func/{KEY}_task-rest_run-1_recording-cardiac_physio"
    assert attached.files == (f"{name}.json", f"{name}.tsv.gz")
    assert not any("2026" in file or "a6df" in file for file in received.files)


def test_answers_need_no_image(session, tmp_path):
    _, received = bring(tmp_path, {"task-recall_beh.tsv": "trial\tscore\na\t1\n"})

    attached = attach_files(received, session, KEY)

    assert attached.files == (f"beh/{KEY}_task-recall_beh.tsv",)


SAMPLES = gzip.compress(b"12\t0\n13\t1\n", mtime=0)
SIDECAR = {
    "Columns": ["cardiac", "trigger"],
    "SamplingFrequency": 50.0,
    "StartTime": -1.5,
    "Manufacturer": "ours",
}


def test_a_recording_that_is_bids_already_keeps_its_samples_and_time(session, tmp_path):
    name = "sub-01_ses-1_run-1_recording-pulse_physio"
    brought = {f"{name}.tsv.gz": SAMPLES, f"{name}.json": json.dumps(SIDECAR)}

    report, received = bring(tmp_path, brought)
    attached = attach_files(received, session, KEY)

    place = f"func/{KEY}_task-rest_run-1_recording-pulse_physio"
    assert report.left_out == {}
    assert attached.files == (f"{place}.json", f"{place}.tsv.gz")
    assert gzip.decompress((session / f"{place}.tsv.gz").read_bytes()) == (
        gzip.decompress(SAMPLES)
    )
    sidecar = json.loads((session / f"{place}.json").read_text())
    assert sidecar == {k: v for k, v in SIDECAR.items() if k != "Manufacturer"}


def test_of_samples_a_column_that_may_tell_of_a_person_stays_out(tmp_path):
    text = "12\t20260302\n13\t20260303\n"
    sidecar = SIDECAR | {"Columns": ["cardiac", "clock"]}

    report, received = bring(
        tmp_path,
        {
            "run-1_physio.tsv.gz": gzip.compress(text.encode()),
            "run-1_physio.json": json.dumps(sidecar),
        },
    )

    assert gzip.decompress((received / "run-1_physio.tsv.gz").read_bytes()) == (
        b"12\n13\n"
    )
    assert json.loads((received / "run-1_physio.json").read_text())["Columns"] == [
        "cardiac"
    ]
    assert list(report.thinned) == ["run-1_physio.tsv.gz, 1 column(s)"]


@pytest.mark.parametrize(
    ("samples", "sidecar", "why"),
    [
        (SAMPLES, None, "beside it is no JSON"),
        (SAMPLES, SIDECAR | {"SamplingFrequency": "often"}, "beside it is no JSON"),
        (SAMPLES, SIDECAR | {"SamplingFrequency": 0}, "no number of Hz"),
        (SAMPLES[:-5], SIDECAR, "no complete gzip"),
        (b"12\t0\n", SIDECAR, "no complete gzip"),
        (gzip.compress(b"Ann\tx\n", mtime=0), SIDECAR, "no column"),
    ],
)
def test_samples_that_cannot_be_read_stay_out(samples, sidecar, why, tmp_path):
    brought = {"run-1_physio.tsv.gz": samples}
    if sidecar is not None:
        brought["run-1_physio.json"] = json.dumps(sidecar)

    report, _ = bring(tmp_path, brought)

    assert report.files == ()
    assert why in report.left_out["run-1_physio.tsv.gz"]


def test_labels_of_the_session_may_stand_in_names_but_not_those_of_another(tmp_path):
    received, _ = bring(
        tmp_path,
        {
            "sub-01_ses-1_run-1_events.tsv": EVENTS,
            "sub-02/run-2_events.tsv": EVENTS,
            "sub-01_ses-2_run-3_events.tsv": EVENTS,
        },
    )

    assert received.files == ("run-1_events.tsv",)
    reasons = {"its name says another subject or session"}
    assert set(received.left_out.values()) == reasons
    assert len(received.left_out) == 2


def test_two_attachments_of_one_run_do_not_replace_each_other(session, tmp_path):
    _, received = bring(
        tmp_path,
        {"run-1_events.tsv": EVENTS, "series-5_events.tsv": EVENTS + "2\t2\ta\n"},
    )

    attached = attach_files(received, session, KEY)

    assert attached.files == (f"func/{KEY}_task-rest_run-1_events.tsv",)
    assert (session / attached.files[0]).read_text() == EVENTS
    assert "another file" in attached.waiting["series-5_events.tsv"]


def test_what_cannot_be_attached_is_listed_with_its_reason(tmp_path):
    received, _ = bring(
        tmp_path,
        {
            "notes.txt": "Ann",
            "answers.tsv": EVENTS,
            "run-1_events.tsv": "begin\n1\n",
            "a/run-2_events.tsv": EVENTS + "1\t2\n",
            "x_PULS.log": "nonsense",
        },
    )

    assert received.files == ()
    assert set(received.left_out) == {
        "notes.txt",
        "answers.tsv",
        "run-1_events.tsv",
        "a/run-2_events.tsv",
        "x_*.log",
    }
    assert "onset" in received.left_out["run-1_events.tsv"]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("name", ["Doe"]),
        ("trial_type", ["2026-01-02"]),
        ("trial_type", ["12345678"]),
        ("participant", ["20260102"]),
        ("trial_type", ["a sentence about Ann, who was tired"]),
        ("bad name!", ["1"]),
        ("trial_type", [f"word{n}" for n in range(70)]),
    ],
)
def test_a_column_that_might_tell_of_a_person_is_left_out(column, cells):
    rows = "".join(f"1\t2\t{cell}\n" for cell in cells)

    cleaned = clean_table(f"onset\tduration\t{column}\n{rows}")

    assert cleaned.columns == ("onset", "duration")
    assert sum(cleaned.left_out.values()) == 1


def test_required_columns_come_first():
    cleaned = clean_table(
        "value\tduration\tonset\n7\t\t1\n", required=("onset", "duration")
    )

    assert cleaned.text == "onset\tduration\tvalue\n1\tn/a\t7\n"


@pytest.mark.parametrize("text", ["", "a\tb\n1\n", "a\ta\n1\t2\n"])
def test_what_is_no_table_is_refused(text):
    with pytest.raises(BadInput):
        clean_table(text)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), max_size=12)


@given(
    rows=st.lists(st.tuples(st.floats(0, 1e5), cells, cells), min_size=1, max_size=5)
)
def test_cleaning_a_clean_table_changes_nothing(rows):
    body = "".join(f"{a:.3f}\t{b.strip()}\t{c.strip()}\n" for a, b, c in rows)
    text = f"onset\ttrial_type\tanything\n{body}"
    try:
        once = clean_table(text)
    except BadInput:
        return

    assert clean_table(once.text).text == once.text
    assert json.dumps(once.left_out)
