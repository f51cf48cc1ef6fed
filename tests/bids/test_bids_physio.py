"""Recordings of pulse and breathing: right times, right gaps, nobody's clock."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.physio import (
    read_physio,
    read_physio_dicom,
    split_logs,
    write_physio,
)
from imaging_platform.model.errors import BadInput
from tests.bids.physio_logs import info_log, pack_logs, signal_log
from tests.intake.drops import mr_bytes

START = 21_086_319
PULSE = [(START - 10 + 2 * n, 1000 + n) for n in range(500)]
BREATH = [(START - 8 + 8 * n, 2000 + n) for n in range(125)]
LOGS = {
    "Physio_Info.log": info_log(START),
    "Physio_PULS.log": signal_log("PULS", PULSE, tics=2),
    "Physio_RESP.log": signal_log("RESP", BREATH, tics=8),
}


def test_rate_and_start_follow_from_tics_of_two_and_a_half_milliseconds():
    cardiac, respiratory = read_physio(LOGS.values()).recordings

    assert (cardiac.label, cardiac.sampling_hz) == ("cardiac", 200.0)
    assert (respiratory.label, respiratory.sampling_hz) == ("respiratory", 50.0)
    assert cardiac.start_s == pytest.approx(-0.025)
    assert respiratory.start_s == pytest.approx(-0.02)


def test_each_volume_that_was_acquired_is_one_trigger():
    physio = read_physio(LOGS.values())

    assert physio.volumes == 3
    assert physio.clock_s == pytest.approx(START * 0.0025)
    for one in physio.recordings:
        at = np.flatnonzero(one.values[:, -1]) / one.sampling_hz + one.start_s
        assert at == pytest.approx([0.0, 1.0, 2.0], abs=0.5 / one.sampling_hz)


def test_samples_that_jitter_by_a_tic_keep_their_values():
    jittered = [(t - (n % 7 == 3), v) for n, (t, v) in enumerate(PULSE)]
    text = signal_log("PULS", jittered, tics=2)

    (cardiac,) = read_physio([info_log(START), text]).recordings

    assert not np.isnan(cardiac.values).any()
    assert np.abs(cardiac.values[:, 0] - [v for _, v in PULSE]).max() <= 1


def test_a_gap_of_the_recording_is_no_value():
    text = signal_log("PULS", PULSE[:100] + PULSE[150:], tics=2)

    (cardiac,) = read_physio([info_log(START), text]).recordings

    gone = np.isnan(cardiac.values[:, 0])
    assert np.flatnonzero(gone).tolist() == list(range(100, 150))
    assert cardiac.values.shape == (500, 2)


def test_the_raw_data_of_a_dicom_file_holds_the_same(tmp_path):
    ds = pydicom.dcmread(io.BytesIO(mr_bytes(is_image=False)))
    block = ds.private_block(0x7FE1, "SIEMENS CSA NON-IMAGE", create=True)
    block.add_new(0x10, "OB", pack_logs(LOGS))
    ds.save_as(tmp_path / "physio.dcm")

    found = read_physio_dicom(tmp_path / "physio.dcm")

    expected = read_physio(LOGS.values())
    assert found.volumes == expected.volumes
    for one, other in zip(found.recordings, expected.recordings, strict=True):
        assert one.columns == other.columns
        assert np.array_equal(one.values, other.values, equal_nan=True)


def test_what_is_written_is_bids_and_holds_no_date_or_identifier(tmp_path):
    files = write_physio(read_physio(LOGS.values()), tmp_path, "task-rest")

    assert files == (
        "task-rest_recording-cardiac_physio.json",
        "task-rest_recording-cardiac_physio.tsv.gz",
        "task-rest_recording-respiratory_physio.json",
        "task-rest_recording-respiratory_physio.tsv.gz",
    )
    sidecar = json.loads((tmp_path / files[0]).read_text())
    assert sidecar == {
        "Columns": ["cardiac", "trigger"],
        "SamplingFrequency": 200.0,
        "StartTime": -0.025,
    }
    lines = gzip.decompress((tmp_path / files[1]).read_bytes()).decode().splitlines()
    assert lines[0] == "1000\t0"
    assert lines[5] == "1005\t1"
    assert not any("2019" in line or "kestrel" in line for line in lines)


@pytest.mark.parametrize(
    "logs",
    [
        [],
        [LOGS["Physio_Info.log"]],
        [LOGS["Physio_PULS.log"]],
        [info_log(START), LOGS["Physio_PULS.log"].replace("EJA_1", "EJA_9")],
        [info_log(START), signal_log("PULS", PULSE, tics=0)],
        [info_log(START), signal_log("PULS", [], tics=2)],
    ],
)
def test_logs_that_do_not_suffice_are_refused(logs):
    with pytest.raises(BadInput) as caught:
        read_physio(logs)

    assert "all logs of the run" in caught.value.fix


@given(cut=st.integers(0, 8000))
def test_raw_data_that_is_cut_off_is_refused_or_short_but_never_wrong(cut):
    data = pack_logs(LOGS)[:cut]

    try:
        found = split_logs(data)
    except BadInput:
        return

    assert found == list(LOGS.values())[: len(found)]
