"""Conversion beside other tools that make BIDS of DICOM with dcm2niix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.apart import PEERS_PYTHON
from benchmarks.measuring import Benchmark, Numbers, Way
from benchmarks.session import PreparedSession
from benchmarks.stages import bids
from imaging_platform.tools import dcm2niix

EVERYTHING = {
    "descriptions": [
        {
            "id": "all",
            "datatype": "func",
            "suffix": "bold",
            "custom_entities": "task-rest",
            "criteria": {"SeriesNumber": "*"},
        }
    ]
}
"""Each image is a resting run: what a study would write is no matter of speed."""

HEURISTIC = """
import re

DIFFUSION = re.compile("dwi|dti|diff|ep2d_b", re.I)
PLACE = "sub-{subject}/{session}/func/sub-{subject}_{session}_task-rest"


def infotodict(seqinfo):
    key = (PLACE + "_run-{item:03d}_bold", ("nii.gz",), None)
    # Several copies of one diffusion series end heudiconv with a bare assertion.
    chosen = [each for each in seqinfo if not DIFFUSION.search(each.series_description)]
    return {key: [each.series_id for each in chosen]}
"""


def bids_peers(session: PreparedSession) -> Benchmark:
    """Return the conversion of many files with dcm2bids and heudiconv."""
    ours = bids(session)
    installed = [name for name in PEERS if (PEERS_PYTHON.parent / name).exists()]
    for name in sorted(PEERS.keys() - set(installed)):
        print(f"{name} is not installed and not measured (README.md)", file=sys.stderr)
    floors = [*ours.floors, *(PEERS[name](session) for name in installed)]
    return Benchmark("bids_peers", ours.platform, floors, repeats=1)


def _dcm2bids(session: PreparedSession) -> Way:
    def convert(folder: Path) -> Numbers:
        config = folder / "config.json"
        config.write_text(json.dumps(EVERYTHING))
        argv = ["dcm2bids", "-d", session.many_files, "-p", "01", "-s", "1"]
        return _run([*argv, "-c", config, "-o", folder / "out"], folder)

    return Way("dcm2bids", convert, lambda _: session.many_files)


def _heudiconv(session: PreparedSession) -> Way:
    def convert(folder: Path) -> Numbers:
        heuristic = folder / "heuristic.py"
        heuristic.write_text(HEURISTIC)
        # Without -b, which refuses sidecars with dates; the demo has moved ones.
        argv = ["heudiconv", "--files", session.many_files, "-f", heuristic]
        argv += ["-s", "01", "-ss", "1", "-c", "dcm2niix", "-g", "all", "--minmeta"]
        return _run([*argv, "-o", folder / "out"], folder)

    return Way("heudiconv", convert, lambda _: session.many_files)


PEERS: Mapping[str, Callable[[PreparedSession], Way]] = {
    "dcm2bids": _dcm2bids,
    "heudiconv": _heudiconv,
}


def _run(argv: list[str | Path], folder: Path) -> Numbers:
    """Run a peer with the dcm2niix of the platform; return how many images came."""
    own = [str(PEERS_PYTHON.parent), str(Path(dcm2niix.program()).parent)]
    path = os.pathsep.join([*own, os.environ["PATH"]])
    done = subprocess.run(
        [PEERS_PYTHON.parent / argv[0], *argv[1:]],
        cwd=folder,
        env={**os.environ, "PATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{argv[0]} failed:\n{done.stderr[-2000:]}")
    return {"images": sum(1 for _ in folder.glob("out/**/sub-01/**/*.nii.gz"))}
