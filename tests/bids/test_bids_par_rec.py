"""PAR/REC converts as DICOM does, and its header's names stay outside."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from imaging_platform.bids.par_rec import CUT_OFF, OTHER_VERSION, read_pairs
from imaging_platform.bids.session import convert_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.validation import validate_session
from imaging_platform.files.digests import digest_file, sorted_files
from imaging_platform.model.ids import SessionKey

KEY = SessionKey("01", "a")
SIZE, SLICES = 8, 3

GENERAL = """\
# === DATA DESCRIPTION FILE ===
# Dataset name: E:\\Export\\QUILLFEATHER_2_1
#
# CLINICAL TRYOUT             Research image export tool     V4.2
#
# === GENERAL INFORMATION ===
#
.    Patient name                       :   QUILLFEATHER
.    Examination name                   :   Dr Marrowby
.    Protocol name                      :   fmri rest
.    Examination date/time              :   2014.02.14 / 09:00:57
.    Series Type                        :   Image   MRSERIES
.    Acquisition nr                     :   {number}
.    Reconstruction nr                  :   1
.    Scan Duration [sec]                :   14
.    Max. number of cardiac phases      :   1
.    Max. number of echoes              :   1
.    Max. number of slices/locations    :   3
.    Max. number of dynamics            :   {volumes}
.    Max. number of mixes               :   1
.    Patient position                   :   Head First Supine
.    Preparation direction              :   Anterior-Posterior
.    Technique                          :   FEEPI
.    Scan resolution  (x, y)            :   8  8
.    Scan mode                          :   MS
.    Repetition time [ms]               :   2000.000
.    FOV (ap,fh,rl) [mm]                :   24.000  9.000  24.000
.    Water Fat shift [pixels]           :   11.050
.    Angulation midslice(ap,fh,rl)[degr]:   0.000  0.000  0.000
.    Off Centre midslice(ap,fh,rl) [mm] :   0.000  0.000  0.000
.    Flow compensation <0=no 1=yes> ?   :   0
.    Presaturation     <0=no 1=yes> ?   :   0
.    Phase encoding velocity [cm/sec]   :   0.000000  0.000000  0.000000
.    MTC               <0=no 1=yes> ?   :   0
.    SPIR              <0=no 1=yes> ?   :   1
.    EPI factor        <0,1=no EPI>     :   39
.    Dynamic scan      <0=no 1=yes> ?   :   1
.    Diffusion         <0=no 1=yes> ?   :   0
.    Diffusion echo time [ms]           :   0.0000
.    Max. number of diffusion values    :   1
.    Max. number of gradient orients    :   1
.    Number of label types   <0=no ASL> :   0
#
# === IMAGE INFORMATION DEFINITION ===
#  slice number                             (integer)
#  echo number                              (integer)
#  dynamic scan number                      (integer)
#  cardiac phase number                     (integer)
#  image_type_mr                            (integer)
#  scanning sequence                        (integer)
#  index in REC file (in images)            (integer)
#  image pixel size (in bits)               (integer)
#  scan percentage                          (integer)
#  recon resolution (x y)                   (2*integer)
#  rescale intercept                        (float)
#  rescale slope                            (float)
#  scale slope                              (float)
#  window center                            (integer)
#  window width                             (integer)
#  image angulation (ap,fh,rl in degrees )  (3*float)
#  image offcentre (ap,fh,rl in mm )        (3*float)
#  slice thickness (in mm )                 (float)
#  slice gap (in mm )                       (float)
#  image_display_orientation                (integer)
#  slice orientation ( TRA/SAG/COR )        (integer)
#  fmri_status_indication                   (integer)
#  image_type_ed_es  (end diast/end syst)   (integer)
#  pixel spacing (x,y) (in mm)              (2*float)
#  echo_time                                (float)
#  dyn_scan_begin_time                      (float)
#  trigger_time                             (float)
#  diffusion_b_factor                       (float)
#  number of averages                       (integer)
#  image_flip_angle (in degrees)            (float)
#  cardiac frequency   (bpm)                (integer)
#  minimum RR-interval (in ms)              (integer)
#  maximum RR-interval (in ms)              (integer)
#  TURBO factor  <0=no turbo>               (integer)
#  Inversion delay (in ms)                  (float)
#  diffusion b value number    (imagekey!)  (integer)
#  gradient orientation number (imagekey!)  (integer)
#  contrast type                            (string)
#  diffusion anisotropy type                (string)
#  diffusion (ap, fh, rl)                   (3*float)
#  label type (ASL)            (imagekey!)  (integer)
#
# === IMAGE INFORMATION ===
#  sl ec  dyn ph ty    idx pix scan% rec size                (re)scale
"""


def write_phantom(
    folder: Path, name: str, *, volumes: int = 4, number: int = 2
) -> None:
    """Write a pair whose voxels count up, a file of each kind."""
    folder.mkdir(exist_ok=True)
    rows = [
        f"{s + 1} 1 {v + 1} 1 0 2 {v * SLICES + s} 16 100 8 8 0.0 1.0 1.0 100 200 "
        f"0 0 0 0 {3 * (s - 1)} 0 3.0 0.0 0 1 0 2 3.0 3.0 30.0 {2 * v} 0 0 1 90.0 "
        "0 0 0 39 0.0 1 1 7 0 0 0 0 1"
        for v in range(volumes)
        for s in range(SLICES)
    ]
    text = GENERAL.format(number=number, volumes=volumes) + "\n".join(rows) + "\n"
    (folder / f"{name}.PAR").write_text(text)
    voxels = np.arange(volumes * SLICES * SIZE * SIZE, dtype="<u2") + number
    (folder / f"{name}.REC").write_bytes(voxels.tobytes())


def convert(source: Path, target: Path):
    target.mkdir()
    return convert_session(source, target, key=KEY, settings=BidsSettings())


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): digest_file(p) for p in sorted_files(folder)}


def test_a_pair_becomes_a_valid_run_with_all_its_voxels(tmp_path: Path):
    write_phantom(tmp_path / "in", "scan")

    report = convert(tmp_path / "in", tmp_path / "out")

    (row,) = report.series
    assert (row.outcome, row.instances) == ("converted", 1)
    assert [len(fate.instances) for fate in row.fates] == [1]
    (image,) = (tmp_path / "out/func").glob("*_task-rest_bold.nii.gz")
    data = np.asarray(nibabel.Nifti1Image.from_filename(image).dataobj)
    assert data.shape == (SIZE, SIZE, SLICES, 4)
    assert len(np.unique(data)) == data.size
    found = validate_session(tmp_path / "out", key=KEY, settings=BidsSettings())
    assert found.errors == ()


def test_no_name_and_no_date_of_the_header_leaves_with_the_image(tmp_path: Path):
    import gzip

    write_phantom(tmp_path / "in", "QUILLFEATHER")

    convert(tmp_path / "in", tmp_path / "out")

    for path in sorted_files(tmp_path / "out"):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        for word in (b"QUILLFEATHER", b"Marrowby", b"2014"):
            assert word not in content
            assert word.decode() not in path.name


def test_pairs_of_one_number_do_not_overwrite_each_other(tmp_path: Path):
    write_phantom(tmp_path / "in", "a", volumes=4)
    write_phantom(tmp_path / "in", "b", volumes=5)

    report = convert(tmp_path / "in", tmp_path / "out")

    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 2
    assert report.outcomes == {"converted": 2}


def test_names_of_pairs_do_not_matter(tmp_path: Path):
    write_phantom(tmp_path / "in", "a", number=2)
    write_phantom(tmp_path / "in", "b", number=3)
    write_phantom(tmp_path / "other", "z", number=2)
    write_phantom(tmp_path / "other", "c", number=3)

    first = convert(tmp_path / "in", tmp_path / "out")
    second = convert(tmp_path / "other", tmp_path / "out2")

    assert digests(tmp_path / "out") == digests(tmp_path / "out2")
    assert first == second


@pytest.mark.parametrize("lost", [1, 130])
def test_a_pair_cut_short_is_kept_back(tmp_path: Path, lost: int):
    write_phantom(tmp_path / "in", "scan")
    rec = tmp_path / "in/scan.REC"
    rec.write_bytes(rec.read_bytes()[:-lost])

    report = convert(tmp_path / "in", tmp_path / "out")

    assert report.outcomes == {"incomplete": 1}
    assert CUT_OFF in report.series[0].why
    assert not list((tmp_path / "out").rglob("*.nii.gz"))


def test_a_pair_whose_last_volume_lacks_slices_is_kept_back(tmp_path: Path):
    write_phantom(tmp_path / "in", "scan")
    par = tmp_path / "in/scan.PAR"
    par.write_text("\n".join(par.read_text().splitlines()[:-1]) + "\n")

    report = convert(tmp_path / "in", tmp_path / "out")

    assert report.outcomes == {"incomplete": 1}


def test_half_a_pair_and_old_versions_are_counted(tmp_path: Path):
    write_phantom(tmp_path / "in", "old")
    write_phantom(tmp_path / "in", "half")
    (tmp_path / "in/half.REC").unlink()
    par = tmp_path / "in/old.PAR"
    par.write_text(par.read_text().replace("V4.2", "V3"))

    found = read_pairs([str(path) for path in sorted_files(tmp_path / "in")])

    assert found.pairs == ()
    assert found.unreadable[OTHER_VERSION] == 1
    assert sum(found.unreadable.values()) == 2


def test_a_copy_of_a_pair_is_counted_and_not_converted(tmp_path: Path):
    write_phantom(tmp_path / "in", "one")
    write_phantom(tmp_path / "in/again", "another")

    report = convert(tmp_path / "in", tmp_path / "out")

    assert (report.instances, report.duplicates) == (1, 1)


def test_pairs_and_dicom_of_one_session_are_both_converted(
    tmp_path: Path, shared_data: Path
):
    run = shared_data / "dicom/dcm_qa_nih/In/20180918GE/mr_0004"
    shutil.copytree(run, tmp_path / "in")
    write_phantom(tmp_path / "in", "scan")

    report = convert(tmp_path / "in", tmp_path / "out")

    assert report.outcomes == {"converted": 2}
    assert (
        report.instances,
        sum(len(f.instances) for r in report.series for f in r.fates),
    ) == (151, 151)
