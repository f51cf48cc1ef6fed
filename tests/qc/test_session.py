import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imaging_platform.model.errors import BadConfig, BadInput, MissingInput
from imaging_platform.qc.metric import Measure, judge, verdict_of, worst
from imaging_platform.qc.session import measure_session, read_settings
from imaging_platform.qc.settings import Limit, QualitySettings

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
STEM = "sub-01_ses-a"


def save(path: Path, data) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, AFFINE), path)


@pytest.fixture
def folders(tmp_path):
    """An empty session, empty derivatives and a target."""
    names = ("bids_session", "brain_mask", "motion", "temporal_snr", "diffusion_maps")
    made = {name: tmp_path / name for name in (*names, "target")}
    for folder in made.values():
        folder.mkdir()
    return made


def measure(folders, settings=None):
    arguments = {name: str(folder) for name, folder in folders.items()}
    return measure_session(
        **arguments, subject="01", session="a", settings=settings or {}
    )


def write_bold(folders, fd: float) -> None:
    random = np.random.default_rng(1)
    mask = np.zeros((16, 16, 10), dtype=bool)
    mask[4:12, 4:12, 2:8] = True
    series = np.where(mask[..., None], 1000, 20) + random.normal(
        0, 10, (16, 16, 10, 12)
    )
    series = series.astype(np.float32)
    name = f"{STEM}_task-rest"
    save(folders["bids_session"] / f"func/{name}_bold.nii.gz", series)
    (folders["bids_session"] / f"func/{name}_bold.json").write_text("{}")
    save(folders["motion"] / f"func/{name}_desc-realigned_bold.nii.gz", series)
    rows = "\n".join(["framewise_displacement", "n/a", *[str(fd)] * 11])
    (folders["motion"] / f"func/{name}_desc-motion_timeseries.tsv").write_text(rows)
    ratio = series.mean(3) / series.std(3, ddof=1)
    save(folders["temporal_snr"] / f"func/{name}_desc-tsnr_sbref.nii.gz", ratio)
    save(
        folders["temporal_snr"] / f"func/{name}_desc-head_mask.nii.gz",
        mask.astype(np.uint8),
    )


def values(report) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in report["metrics"]}


def test_a_run_is_measured_and_its_motion_fails(folders):
    write_bold(folders, fd=0.8)

    report = measure(folders)

    assert report["verdict"] == "fail"
    assert "fd_mean 0.8 mm" in report["reasons"][0]
    assert values(report)["tsnr"] == pytest.approx(100, rel=0.1)


def test_files_agree_with_the_report(folders):
    write_bold(folders, fd=0.1)

    report = measure(folders)

    lines = (folders["target"] / "metrics.tsv").read_text().splitlines()
    verdict = json.loads((folders["target"] / "verdict.json").read_text())
    written = json.loads((folders["target"] / "metrics.json").read_text())
    header = "scan metric value unit verdict threshold reason"
    assert lines[0].split("\t") == header.split()
    assert len(lines) == len(report["metrics"]) + 1
    assert all(line.count("\t") == 6 for line in lines)
    assert verdict["verdict"] == report["verdict"]
    assert written["metrics"] == [dict(row) for row in report["metrics"]]


def test_the_same_session_gives_the_same_bytes(folders, tmp_path):
    write_bold(folders, fd=0.1)
    measure(folders)
    again = {**folders, "target": tmp_path / "again"}
    again["target"].mkdir()

    measure(again)

    for path in sorted(folders["target"].iterdir()):
        assert path.read_bytes() == (again["target"] / path.name).read_bytes()


def test_missing_sidecar_keys_are_named(folders):
    write_bold(folders, fd=0.1)

    report = measure(folders)

    assert report["verdict"] == "look"
    assert any("SliceTiming" in reason for reason in report["reasons"])


def test_diffusion_without_b_values_fails_with_the_reason(folders):
    path = folders["bids_session"] / f"dwi/{STEM}_dwi.nii.gz"
    save(path, np.ones((6, 6, 6, 8), dtype=np.int16))
    np.savetxt(path.with_name(f"{STEM}_dwi.bval"), np.zeros((1, 8)), fmt="%g")
    np.savetxt(path.with_name(f"{STEM}_dwi.bvec"), np.zeros((3, 8)), fmt="%g")

    report = measure(folders)

    assert report["verdict"] == "fail"
    assert any("all b-values are 0" in reason for reason in report["reasons"])


def test_the_movement_between_unweighted_volumes_is_that_of_the_maps(folders):
    path = folders["bids_session"] / f"dwi/{STEM}_dwi.nii.gz"
    save(path, np.ones((4, 4, 4, 8), dtype=np.float32))
    b_values = np.array([[0.0, 1000, 1000, 1000, 0, 1000, 1000, 1000]])
    np.savetxt(path.with_name(f"{STEM}_dwi.bval"), b_values, fmt="%g")
    np.savetxt(path.with_name(f"{STEM}_dwi.bvec"), np.eye(3, 8), fmt="%g")
    sidecar = folders["diffusion_maps"] / f"dwi/{STEM}_desc-brain_mask.json"
    sidecar.parent.mkdir()
    sidecar.write_text(json.dumps({"MovementOfB0Mm": [0.2, 1.5, 0.1]}))

    assert values(measure(folders))["b0_movement_max"] == 1.5


def test_a_session_without_scans_is_looked_at(folders):
    report = measure(folders)

    assert report["verdict"] == "look"
    assert report["reasons"] == ("No scan of this session could be judged.",)
    assert [entry["reason"] for entry in report["skipped"]] == [
        "no T1w",
        "no bold",
        "no dwi",
    ]


def test_derivatives_may_be_missing(folders):
    write_bold(folders, fd=0.1)
    derived = ("brain_mask", "motion", "temporal_snr", "diffusion_maps")

    report = measure_session(
        bids_session=str(folders["bids_session"]),
        target=str(folders["target"]),
        subject="01",
        session="a",
        settings={},
        **dict.fromkeys(derived),
    )

    assert any(entry["reason"] == "it was not realigned" for entry in report["skipped"])


def test_a_t1w_is_measured_inside_its_mask(folders):
    random = np.random.default_rng(2)
    grid = np.indices((48,) * 3) - 23.5
    radius = np.sqrt((grid**2).sum(0))
    head = np.select([radius < 12, radius < 16, radius < 18], [1000, 600, 300], 0)
    data = np.abs(head + random.normal(0, 15, head.shape)).astype(np.float32)
    save(folders["bids_session"] / f"anat/{STEM}_run-2_T1w.nii.gz", data)
    save(
        folders["brain_mask"] / f"anat/{STEM}_run-2_desc-brain_mask.nii.gz",
        (head > 0).astype(np.uint8),
    )

    report = measure(folders)

    assert values(report)["cnr"] > 5
    assert values(report)["icv_ml"] == pytest.approx((head > 0).sum() * 0.027, rel=1e-4)


def test_the_overlap_with_the_template_is_that_of_the_tissues(folders, tmp_path):
    data = np.ones((12, 12, 12), dtype=np.float32)
    save(folders["bids_session"] / f"anat/{STEM}_run-2_T1w.nii.gz", data)
    mask = folders["brain_mask"] / f"anat/{STEM}_run-2_desc-brain_mask.nii.gz"
    save(mask, data.astype(np.uint8))
    sidecar = tmp_path / f"tissues/anat/{STEM}_run-2_desc-volumes_dseg.json"
    sidecar.parent.mkdir(parents=True)
    covered = {"TemplateOverlap": {"GM": 0.51, "WM": 0.62, "CSF": 0.3}}
    sidecar.write_text(json.dumps(covered))

    report = measure({**folders, "tissues": tmp_path / "tissues"})

    found = values(report)
    names = ("tpm_overlap_csf", "tpm_overlap_gm", "tpm_overlap_wm")
    assert [found[name] for name in names] == [0.3, 0.51, 0.62]


def test_a_mask_of_another_grid_is_refused(folders):
    save(
        folders["bids_session"] / f"anat/{STEM}_T1w.nii.gz",
        np.ones((8, 8, 8), dtype=np.int16),
    )
    save(
        folders["brain_mask"] / f"anat/{STEM}_desc-brain_mask.nii.gz",
        np.ones((9, 8, 8), dtype=np.uint8),
    )

    with pytest.raises(BadInput) as caught:
        measure(folders)

    assert "derivatives" in caught.value.fix


def test_a_missing_session_says_what_to_do(folders):
    folders["bids_session"].rmdir()

    with pytest.raises(MissingInput) as caught:
        measure(folders)

    assert "BIDS" in caught.value.fix


def test_a_part_of_a_limit_keeps_the_rest():
    settings = read_settings({"fd_mean": {"fail": 0.7}})

    assert (settings.fd_mean.look, settings.fd_mean.fail) == (0.3, 0.7)


def test_settings_survive_the_way_through_json():
    settings = QualitySettings()

    assert read_settings(settings.model_dump(mode="json")) == settings


def test_an_unknown_metric_in_the_settings_is_refused():
    with pytest.raises(BadConfig) as caught:
        read_settings({"fd_meen": {"fail": 1}})

    assert "fd_meen" in str(caught.value)
    assert "quality" in caught.value.fix


def test_a_limit_that_contradicts_itself_is_refused():
    with pytest.raises(ValidationError, match="must lie above"):
        Limit(worse="above", look=0.5, fail=0.3)


def test_every_limit_has_a_reason_and_a_description():
    for name, field in QualitySettings.model_fields.items():
        assert field.description, name
        assert field.default.reason, name


@given(st.floats(-100, 100), st.sampled_from(["above", "below"]))
def test_a_verdict_never_improves_when_a_value_gets_worse(value, worse):
    sign = 1 if worse == "above" else -1
    limit = Limit(worse=worse, look=sign * 1.0, fail=sign * 2.0)
    order = ("pass", "look", "fail")

    now, later = verdict_of(value, limit), verdict_of(value + sign, limit)

    assert order.index(later) >= order.index(now)


def test_an_unknown_value_of_a_judged_metric_is_looked_at():
    metric = judge("scan", Measure("tsnr", float("nan")), QualitySettings())

    assert (metric.value, metric.verdict) == (None, "look")


def test_a_metric_without_limit_has_no_verdict():
    metric = judge("scan", Measure("efc", 0.5), QualitySettings())

    assert (metric.verdict, metric.threshold) == ("none", "")
    assert worst([]) == "none"


def test_a_vendor_that_never_records_a_key_is_not_blamed(folders):
    write_bold(folders, fd=0.1)
    sidecar = folders["bids_session"] / f"func/{STEM}_task-rest_bold.json"
    sidecar.write_text(json.dumps({"Manufacturer": "Philips"}))

    report = measure(folders)

    found = {row["metric"]: row for row in report["metrics"]}
    assert "missing_metadata" not in found
    assert found["unrecorded_metadata"]["verdict"] == "none"
    assert "SliceTiming" in found["unrecorded_metadata"]["reason"]
