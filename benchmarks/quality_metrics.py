"""
``python -m benchmarks.quality_metrics``: our metrics beside MRIQC's own functions.

``MRIQC_PYTHON`` names the Python of an environment with mriqc; without it only our
seconds are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imaging_platform.qc.anatomy import Head, measure_t1w
from imaging_platform.qc.bold import count_dummy_trs, measure_bold
from imaging_platform.qc.diffusion import DiffusionScan, measure_dwi
from tests.qc import phantoms

PEER = Path(__file__).with_name("quality_peer.py")
ROUNDS = 3


def main() -> None:
    """Measure scans of usual size, and print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of the voxels")
    small = parser.parse_args().small
    head = phantoms.make_head((80, 96, 80) if small else (176, 256, 256))
    run = phantoms.make_bold((32, 32, 18, 60) if small else (64, 64, 36, 200))
    scan = phantoms.make_dwi((40, 44, 24) if small else (96, 96, 50))
    peer = os.environ.get("MRIQC_PYTHON")
    _compare("t1w", head, _t1w, peer)
    _compare("bold", run, _bold, peer)
    _compare("dwi", scan, _dwi, peer)


def _compare(
    kind: str,
    arrays: Mapping[str, Any],
    measure: Callable[[Mapping[str, Any]], dict[str, float]],
    peer: str | None,
) -> None:
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        ours = measure(arrays)
        seconds.append(time.process_time() - start)
    took = float(np.median(seconds))
    if peer is None:
        print(f"{kind}: {took:.2f} s for {len(ours)} metrics; MRIQC_PYTHON is not set")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{kind}.npz"
        np.savez(path, **arrays)
        done = subprocess.run(
            [peer, "-W", "ignore", str(PEER), str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
    theirs = json.loads(done.stdout.splitlines()[-1])
    other = sum(theirs["seconds"].values())
    apart = {
        name: abs(ours[name] - value) / max(abs(value), 1e-12)
        for name, value in theirs["values"].items()
    }
    worst = max(apart, key=lambda name: apart[name])
    print(
        f"{kind}: {took:.2f} s for {len(ours)} metrics, MRIQC {other:.2f} s for "
        f"{len(apart)}: {other / took:.1f} times as fast; furthest apart is {worst}, "
        f"by {apart[worst]:.1e}"
    )


def _t1w(z: Mapping[str, Any]) -> dict[str, float]:
    tissues = ("csf", "gm", "wm")
    return measure_t1w(
        Head(
            **{k: z[k] for k in ("raw", "corrected", "brain", "head", "air")},
            artifacts=z["artifacts"],
            probabilities={name: z[name] for name in tissues},
            voxel_mm=(1.0, 1.0, 1.0),
            rotation=z["rotation"],
            bias=z["bias"],
            template={name: z[f"template_{name}"] for name in tissues},
        )
    )


def _bold(z: Mapping[str, Any]) -> dict[str, float]:
    return measure_bold(
        z["series"],
        z["mask"],
        fd_mm=z["fd"],
        voxel_mm=(3.0, 3.0, 3.0),
        tr_s=2.0,
        dummy_trs=count_dummy_trs(z["series"]),
    )


def _dwi(z: Mapping[str, Any]) -> dict[str, float]:
    return measure_dwi(
        DiffusionScan(
            **{k: z[k] for k in ("series", "vectors", "brain", "wm", "callosum", "fa")},
            b_values=z["b"],
        )
    )


if __name__ == "__main__":
    main()
