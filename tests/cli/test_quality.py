import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from imaging_platform.cli.main import cli
from imaging_platform.model.errors import BadConfig, BadInput, MissingInput
from imaging_platform.tools.validator import validate_dataset


def write_run(path: Path, seed: int) -> None:
    """Write a run of a ball that shines, without sidecar."""
    random = np.random.default_rng(seed)
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in (20, 20, 12)], indexing="ij")
    ball = sum(axis**2 for axis in grid) < 0.6
    series = np.where(ball[..., None], 1000, 20) + random.normal(0, 8, (20, 20, 12, 15))
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(series.astype(np.int16), np.diag([4.0, 4, 4, 1])), path)


@pytest.fixture
def dataset(tmp_path):
    """Two subjects without sessions, BOLD only; the sidecar stands at the top."""
    root = tmp_path / "bids"
    root.mkdir()
    described = {"Name": "Lab", "BIDSVersion": "1.9.0"}
    (root / "dataset_description.json").write_text(json.dumps(described))
    sidecar = {
        "TaskName": "rest",
        "RepetitionTime": 2.5,
        "SliceTiming": [0.0],
        "TotalReadoutTime": 0.05,
        "PhaseEncodingDirection": "j-",
    }
    (root / "task-rest_bold.json").write_text(json.dumps(sidecar))
    for number, subject in enumerate(("01", "02")):
        path = root / f"sub-{subject}/func/sub-{subject}_task-rest_bold.nii.gz"
        write_run(path, number)
    return root


def run(*words: object):
    return CliRunner().invoke(cli, ["qc", *map(str, words)])


@pytest.mark.slow
def test_a_dataset_without_sessions_is_measured_by_its_own_names(dataset, tmp_path):
    target = tmp_path / "quality"

    done = run(dataset, target)

    assert done.exit_code == 0, done.output
    rows = [line.split("\t") for line in _lines(target / "group_bold.tsv")]
    table = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    names = [row["bids_name"] for row in table]
    assert names == ["sub-01_task-rest_bold", "sub-02_task-rest_bold"]
    # The sidecar at the top of the dataset holds of both.
    assert [row["spacing_tr"] for row in table] == ["2.5", "2.5"]
    assert all(float(row["missing_metadata"]) == 0 for row in table)
    base = target / "sub-01/func/sub-01_task-rest"
    assert Path(f"{base}_desc-brain_mask.nii.gz").is_file()
    written = json.loads(Path(f"{base}_desc-quality_bold.json").read_text())
    assert written["tsnr"] == pytest.approx(125, rel=0.1)
    assert _lines(target / "failed.tsv") == ["scan\treason"]


@pytest.mark.slow
def test_a_damaged_scan_is_named_and_the_others_are_measured(dataset, tmp_path):
    damaged = dataset / "sub-02/func/sub-02_task-rest_bold.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    target = tmp_path / "quality"

    done = run(dataset, target)

    assert isinstance(done.exception, BadInput)
    assert "1 scan(s) could not be measured: sub-02" in str(done.exception)
    assert "failed.tsv" in done.exception.fix
    assert len(_lines(target / "group_bold.tsv")) == 2
    assert _lines(target / "failed.tsv")[1].startswith("sub-02_task-rest_bold\t")
    assert "Not measured: 1" in (target / "index.html").read_text()


@pytest.mark.slow
def test_the_same_dataset_gives_the_same_bytes(dataset, tmp_path):
    for name in ("one", "two"):
        assert run(dataset, tmp_path / name).exit_code == 0

    files = [p for p in sorted((tmp_path / "one").rglob("*")) if p.is_file()]
    assert len(files) >= 8
    for path in files:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def test_a_target_that_exists_is_refused(dataset, tmp_path):
    done = run(dataset, tmp_path)

    assert isinstance(done.exception, BadConfig)
    assert "not there yet" in done.exception.fix


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    done = run(tmp_path, tmp_path / "quality")

    assert isinstance(done.exception, MissingInput)
    assert "BIDS" in done.exception.fix


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.slow
def test_the_validator_finds_no_error_in_what_qc_and_report_write(dataset, tmp_path):
    write_weighted(dataset / "sub-01/dwi/sub-01_dwi.nii.gz")
    # What cannot be measured is named beside the others, which stay valid.
    damaged = dataset / "sub-02/anat/sub-02_T1w.nii.gz"
    damaged.parent.mkdir()
    damaged.write_bytes(b"no image")
    quality, pages = tmp_path / "quality", tmp_path / "pages"

    done = run(dataset, quality)
    drawn = CliRunner().invoke(
        cli, ["report", str(dataset), str(pages), "--derivatives", str(quality)]
    )

    assert isinstance(done.exception, BadInput)
    assert drawn.exit_code == 0, drawn.output
    assert (quality / "group_dwi.tsv").is_file()
    assert (pages / "study" / "report.html").is_file()
    assert validate_dataset(quality).errors == ()
    assert validate_dataset(pages).errors == ()


def write_weighted(path: Path) -> None:
    """Write a diffusion series of a ball with 12 directions and its table."""
    random = np.random.default_rng(3)
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in (20, 20, 12)], indexing="ij")
    ball = (sum(axis**2 for axis in grid) < 0.6)[..., None]
    vectors = random.normal(size=(14, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    b_values = np.array([0, 0] + [1000] * 12)
    signal = 1000 * np.exp(-b_values * 7e-4 * (1 + 0.3 * vectors[:, 0] ** 2))
    series = np.where(ball, signal, 20) + random.normal(0, 8, (20, 20, 12, 14))
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(series.astype(np.int16), np.diag([4.0, 4, 4, 1])), path)
    stem = path.name.removesuffix(".nii.gz")
    np.savetxt(path.with_name(f"{stem}.bval"), b_values[None], fmt="%d")
    np.savetxt(path.with_name(f"{stem}.bvec"), vectors.T, fmt="%.5f")
