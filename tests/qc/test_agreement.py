import json
from pathlib import Path

import numpy as np
import pytest

from imaging_platform.qc.anatomy import Head, measure_t1w
from imaging_platform.qc.bold import count_dummy_trs, measure_bold
from imaging_platform.qc.definitions import define
from imaging_platform.qc.diffusion import DiffusionScan, measure_dwi
from tests.qc import phantoms

GOLDEN = json.loads(Path(__file__).with_name("mriqc_24_0_2.json").read_text())
"""What MRIQC's own functions say of the phantoms; see ``made_by``."""

EXACT = ("size_", "fd_num", "dummy_trs")


@pytest.fixture(scope="module")
def measured():
    return {"t1w": _t1w(), "bold": _bold(), "dwi": _dwi()}


def _t1w():
    head = phantoms.make_head()
    tissues = ("csf", "gm", "wm")
    return measure_t1w(
        Head(
            raw=head["raw"],
            corrected=head["corrected"],
            probabilities={name: head[name] for name in tissues},
            brain=head["brain"],
            head=head["head"],
            air=head["air"],
            artifacts=head["artifacts"],
            voxel_mm=(1.0, 1.0, 1.0),
            rotation=head["rotation"],
            bias=head["bias"],
            template={name: head[f"template_{name}"] for name in tissues},
        )
    )


def _bold():
    run = phantoms.make_bold()
    return measure_bold(
        run["series"],
        run["mask"],
        fd_mm=run["fd"],
        voxel_mm=(3.0, 3.0, 3.0),
        tr_s=2.0,
        dummy_trs=count_dummy_trs(run["series"]),
    )


def _dwi():
    scan = phantoms.make_dwi()
    return measure_dwi(
        DiffusionScan(
            series=scan["series"],
            b_values=scan["b"],
            vectors=scan["vectors"],
            brain=scan["brain"],
            wm=scan["wm"],
            callosum=scan["callosum"],
            fa=scan["fa"],
            fd_mm=scan["fd"],
            turns_rad=scan["turns"],
        )
    )


@pytest.mark.parametrize(
    ("kind", "metric"),
    [(kind, name) for kind in ("t1w", "bold", "dwi") for name in GOLDEN[kind]],
)
def test_a_metric_agrees_with_mriqc(measured, kind, metric):
    found, wanted = measured[kind][metric], GOLDEN[kind][metric]

    if metric.startswith(EXACT):
        assert found == wanted
    else:
        relative = 2e-2 if metric == "qi_2" else 1e-3
        assert found == pytest.approx(wanted, rel=relative, abs=1e-12)


def test_each_metric_is_defined(measured):
    names = {name for values in measured.values() for name in values}

    assert all(define(name).meaning for name in names)


def test_each_metric_of_the_phantoms_is_told(measured):
    unknown = [
        name
        for values in measured.values()
        for name, value in values.items()
        if not np.isfinite(value)
    ]

    assert unknown == []
