from __future__ import annotations

import json

import pytest
from pydicom import dcmread

from benchmarks import apart, deidentification
from benchmarks.__main__ import main
from benchmarks.deidentification import DEIDENTIFICATION, FLOORS, TOOLS, Originals
from benchmarks.enhanced import N_SLICES, write_enhanced_file
from benchmarks.measuring import Benchmark, Timed, Way, run_benchmark
from benchmarks.originals import MAKERS, vary_csa, write_small_files
from imaging_platform.deid.siemens import parse_csa
from imaging_platform.demo.csa import encode_csa


@pytest.mark.parametrize("maker", MAKERS)
def test_no_two_small_files_are_alike_and_all_are_of_one_patient(tmp_path, maker):
    write_small_files(tmp_path / "files", maker, 12)

    files = [dcmread(path) for path in sorted((tmp_path / "files").iterdir())]
    for keyword in (
        "SOPInstanceUID",
        "InstanceNumber",
        "AcquisitionTime",
        "SliceLocation",
        "PixelData",
    ):
        assert len({str(one[keyword].value) for one in files}) == 12, keyword
    assert len({str(one.ImagePositionPatient) for one in files}) == 12
    assert len({(one.PatientID, one.StudyInstanceUID) for one in files}) == 1
    assert files[0].Manufacturer.upper().startswith(maker.upper())


def test_each_small_file_of_siemens_has_its_own_image_header(tmp_path):
    write_small_files(tmp_path / "files", "Siemens", 12)

    headers = {
        bytes(dcmread(path)[0x0029, 0x1110].value)
        for path in (tmp_path / "files").iterdir()
    }
    assert len(headers) == 12
    assert all(parse_csa(header) for header in headers)


def test_a_varied_image_header_differs_only_where_slices_differ():
    table = encode_csa(
        {
            "SlicePosition_PCS": ("FD", ["-96.27", "12.0000", "3.5"]),
            "EchoColumnPosition": ("IS", ["64"]),
            "UsedChannelMask": ("UL", ["4095"]),
        }
    )

    varied = vary_csa(table, 207)

    before, after = parse_csa(table), parse_csa(varied)
    assert before is not None
    assert after is not None
    assert len(varied) == len(table)
    assert after[0].values[:3] == (b"-96.07\0", b"12.0207\0", b"3.7\0")
    assert after[1] == before[1]
    assert after[2].values[0] == b"0207\0"


def test_every_frame_of_the_enhanced_file_says_something_else(tmp_path):
    write_enhanced_file(tmp_path / "1.dcm", n_volumes=2)

    file = dcmread(tmp_path / "1.dcm")
    frames = file.PerFrameFunctionalGroupsSequence
    content = [frame.FrameContentSequence[0] for frame in frames]
    assert file.NumberOfFrames == len(frames) == 2 * N_SLICES
    assert file.pixel_array.shape[0] == len(frames)
    assert len({one.FrameAcquisitionDateTime for one in content}) == len(frames)
    assert len({str(one.DimensionIndexValues) for one in content}) == len(frames)
    assert len({str(frame) for frame in frames}) == len(frames)
    assert len({str(f.PlanePositionSequence[0]) for f in frames}) == len(frames)


def test_what_works_in_a_process_of_its_own_is_not_measured_twice(tmp_path):
    way = Way("apart", lambda _: Timed(2.0, 3.0, {"files": 1}))

    (measured,) = run_benchmark(Benchmark("b", way), tmp_path, repeats=1).ways

    assert (measured.cpu_s, measured.wall_s) == (2.0, 3.0)
    assert measured.numbers == {"files": 1}


def test_a_large_file_is_measured_with_its_peak_of_memory(tmp_path, capsys):
    main(["deid_enhanced", "--small", "--json", str(tmp_path / "results.json")])

    (found,) = json.loads((tmp_path / "results.json").read_text())["benchmarks"]
    platform, loop, copy = (way["numbers"] for way in found["ways"])
    assert "MB peak" in capsys.readouterr().out
    assert platform["MB"] == loop["MB"] == copy["MB"] > 20
    assert 10 < platform["MB peak"] < 1_000
    assert platform["MB/s"] > 1


def test_a_tool_that_is_not_installed_is_named_and_left_out(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(apart, "PEERS_PYTHON", tmp_path / "none" / "bin" / "python")
    monkeypatch.setattr(apart.shutil, "which", lambda _: None)

    benchmark = DEIDENTIFICATION["deid_peers"](Originals(tmp_path, is_small=True))

    said = capsys.readouterr().err
    assert all(f"{name} is not installed" in said for name in TOOLS)
    names = [way.name for way in benchmark.floors]
    assert names == [deidentification.NAMES[floor] for floor in FLOORS]
