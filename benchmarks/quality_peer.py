"""
MRIQC's own functions on arrays: values and seconds as JSON on standard output.

Run by the Python of an environment with mriqc 24.0.2, nipype, nitime and dipy; what
MRIQC imports for its workflows is not needed and stubbed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

TISSUES = ("csf", "gm", "wm")


class Peer:
    """The functions of MRIQC, and how long they took by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.anatomical, self.functional, self.diffusion, self.noise = _import_mriqc()

    def timed(self, name: str, call: Callable[[], Any]) -> Any:
        """Return what a call returns, and add its time."""
        start = time.process_time()
        result = call()
        took = time.process_time() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        return result

    def summaries(self, data: Any, weights: dict[str, Any]) -> tuple[Any, dict]:
        """Return the statistics of tissues, nested and by name."""
        stats = self.timed(
            "summary", lambda: self.anatomical.summary_stats(data, weights)
        )
        named = {
            f"summary_{label}_{key}": value
            for label, own in stats.items()
            for key, value in own.items()
        }
        return stats, named


def measure_t1w(peer: Peer, z: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a head (`tests.qc.phantoms.make_head`)."""
    qc = peer.anatomical
    image = np.maximum(np.nan_to_num(z["corrected"]), 0)
    maps = {name: z[name].astype(float) for name in TISSUES}
    air, art, head, rot = (
        z[name].astype(np.uint8) for name in ("air", "artifacts", "head", "rotation")
    )
    stats, out = peer.summaries(image, {**maps, "bg": air})
    for label in TISSUES:
        own, bg = stats[label], stats["bg"]
        out[f"snr_{label}"] = qc.snr(own["median"], own["stdv"], own["n"])
        out[f"snrd_{label}"] = qc.snr_dietrich(
            own["median"], mad_air=bg["mad"], sigma_air=bg["stdv"]
        )
    for kind in ("snr", "snrd"):
        values = [out[f"{kind}_{label}"] for label in TISSUES]
        out[f"{kind}_total"] = float(np.mean(values))
    wm, gm, bg = stats["wm"], stats["gm"], stats["bg"]
    out["cnr"] = qc.cnr(wm["median"], gm["median"], bg["stdv"], wm["stdv"], gm["stdv"])
    out["cjv"] = qc.cjv(wm["median"], gm["median"], wm["mad"], gm["mad"])
    out["fber"] = peer.timed("fber", lambda: qc.fber(image, head, rot))
    out["efc"] = peer.timed("efc", lambda: qc.efc(image, rot))
    out["wm2max"] = peer.timed("wm2max", lambda: qc.wm2max(image, wm["median"]))
    out["qi_1"] = qc.art_qi1(air, art)
    hat = air | art
    out["qi_2"] = peer.timed("qi_2", lambda: _qi_2(qc, z["raw"], hat))
    copies = [maps[name].copy() for name in TISSUES]
    icvs = peer.timed("icvs", lambda: qc.volume_fraction(copies))
    rpve = peer.timed("rpve", lambda: qc.rpve(copies, None))
    out |= {f"icvs_{name}": icvs[name] for name in TISSUES}
    out |= {f"rpve_{name}": rpve[name] for name in TISSUES}
    bias = z["bias"][z["brain"] > 0]
    low, high = np.percentile(bias, [5.0, 95.0])
    out["inu_range"], out["inu_med"] = float(high - low), float(np.median(bias))
    return out


def measure_bold(peer: Peer, z: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a run (`tests.qc.phantoms.make_bold`)."""
    import nibabel as nib
    from nipype.algorithms import confounds

    qc, mask = peer.anatomical, z["mask"]
    mean = np.float32(z["series"].mean(axis=3))
    small = mask.astype(np.uint8)
    stats, out = peer.summaries(mean, {"fg": small, "bg": 1 - small})
    fg = stats["fg"]
    out["snr"] = qc.snr(fg["median"], fg["stdv"], fg["n"])
    out["fber"] = peer.timed("fber", lambda: qc.fber(mean, small))
    out["efc"] = peer.timed("efc", lambda: qc.efc(mean))
    for axis in "xy":
        out[f"gsr_{axis}"] = peer.functional.gsr(mean, small, direction=axis)
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/series.nii", f"{folder}/mask.nii"]
        for path, data in zip(paths, (np.float32(z["series"]), small), strict=True):
            nib.save(nib.Nifti1Image(data, np.eye(4)), path)
        found = peer.timed(
            "dvars",
            lambda: confounds.compute_dvars(
                *paths, remove_zerovariance=True, variance_tol=1e-7
            ),
        )
    for name, values in zip(("std", "nstd", "vstd"), found, strict=True):
        out[f"dvars_{name}"] = float(values.mean())
    fd = z["fd"]
    number = int((fd > 0.2).sum())
    out |= {"fd_mean": float(fd.mean()), "fd_num": number}
    out["fd_perc"] = number * 100 / (len(fd) + 1)
    signal = z["series"][..., :50].mean(axis=(0, 1, 2))
    out["dummy_trs"] = int(confounds.is_outlier(signal))
    return out


def measure_dwi(peer: Peer, z: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a diffusion series (`tests.qc.phantoms.make_dwi`)."""
    b, vectors = z["b"], z["vectors"]
    series, brain = np.round(z["series"], 4), np.round(z["brain"].astype(float), 3)
    rounded = np.round(b, -2)
    levels = sorted(set(rounded[b > 50]))
    groups = [b <= 50, *[(rounded == level) & (b > 50) for level in levels]]
    shells = [series[..., group] for group in groups]
    b0 = np.maximum(np.round(shells[0].mean(axis=3), 3), 0)
    rois = {"fg": brain, "bg": 1 - brain, "wm": z["wm"].astype(np.uint8)}
    out = peer.summaries(b0, rois)[1]
    callosum = z["callosum"].astype(np.uint8)
    directions = [vectors[group] for group in groups[1:]]
    ratios, sigma = peer.timed(
        "cc_snr",
        lambda: peer.diffusion.cc_snr(
            b0, shells[1:], callosum, np.array(levels), directions
        ),
    )
    out |= {f"snr_cc_{name}": value for name, value in ratios.items()}
    out["sigma_cc"] = round(float(sigma), 4)
    spikes = peer.timed(
        "spikes",
        lambda: peer.diffusion.spike_ppm(
            peer.noise.get_spike_mask(np.float32(series), groups, np.float32(brain))
        ),
    )
    out |= {f"spikes_{name}": value for name, value in spikes.items()}
    qc, small = peer.anatomical, brain.astype(np.uint8)
    for index, shell in enumerate(shells, start=1):
        for name, call in (
            ("fber", lambda part: qc.fber(part, small)),
            ("efc", lambda part: qc.efc(part)),
        ):
            value = peer.timed(name, lambda part=shell, call=call: call(part))
            out[f"{name}_shell{index:02d}"] = value
    out["ndc"] = peer.timed(
        "ndc",
        lambda: peer.diffusion.neighboring_dwi_correlation(
            series, peer.noise._find_qspace_neighbors(b, vectors), mask=brain > 0.5
        ),
    )
    found = peer.timed("piesno", lambda: peer.noise.noise_piesno(np.float32(series)))
    out["sigma_piesno"] = round(float(np.median(found[0])), 4)
    return out


def _qi_2(qc: Any, raw: Any, hat: Any) -> float:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # it writes a figure where it stands
        try:
            return float(qc.art_qi2(raw, hat, save_plot=False)[0])
        finally:
            os.chdir(before)


def _import_mriqc() -> tuple[Any, Any, Any, Any]:
    found = find_spec("mriqc")
    if found is None or not found.submodule_search_locations:
        sys.exit("This Python has no mriqc.")
    logger = logging.getLogger("mriqc")
    package = _stub("mriqc")
    package.__path__ = list(found.submodule_search_locations)
    loggers = SimpleNamespace(interface=logger, workflow=logger)
    package.config = _stub("mriqc.config", loggers=loggers)
    for name in ("nireports", "nireports.reportlets", "niworkflows"):
        _stub(name)
    for name in ("interfaces", "utils"):
        own = [f"{path}/{name}" for path in package.__path__]
        _stub(f"mriqc.{name}").__path__ = own
    _stub("niworkflows.interfaces")
    from nipype.interfaces.base import SimpleInterface, TraitedSpec

    _stub(
        "niworkflows.interfaces.bids",
        ReadSidecarJSON=SimpleInterface,
        _ReadSidecarJSONOutputSpec=TraitedSpec,
    )
    _stub("mriqc.utils.misc", _flatten_dict=dict)
    _stub("nireports.reportlets.nuisance", plot_qi2=None)
    from mriqc.interfaces import diffusion as noise
    from mriqc.qc import anatomical, diffusion, functional

    return anatomical, functional, diffusion, noise


def _stub(name: str, **attributes: object) -> Any:
    module = ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
    return module


def main() -> None:
    """Measure the arrays in the file that is named ``<kind>.npz``."""
    path = Path(sys.argv[1])
    peer = Peer()
    kinds = {"t1w": measure_t1w, "bold": measure_bold, "dwi": measure_dwi}
    measure = kinds[path.stem]
    arrays = dict(np.load(path))
    values = {name: float(value) for name, value in measure(peer, arrays).items()}
    print(json.dumps({"values": values, "seconds": peer.seconds}))


if __name__ == "__main__":
    main()
