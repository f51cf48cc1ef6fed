"""The catalog of a study with one session that moved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

MOVED = "sub-003_ses-1"
"""The session that fails, when there are at least five."""

DEVIATING = "sub-002_ses-1"
"""The session whose echo time is another one."""


def write_catalog(folder: Path, *, sessions: int) -> Path:
    """Write sessions, series and metrics as Parquet; `MOVED` moved a lot."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = [f"sub-{n // 2 + 1:03d}_ses-{n % 2 + 1}" for n in range(sessions)]
    tables = {
        "sessions": [_session(key) for key in keys],
        "series": [row for key in keys for row in _series(key)],
        "metrics": _metrics(keys),
        "variants": _variants(keys),
        "deviations": [_deviation(DEVIATING), _deviation(keys[0], missing=True)],
    }
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


def _variants(keys: list[str]) -> list[dict[str, object]]:
    others = [key for key in keys if key != DEVIATING]
    usual = {"RepetitionTime": 2.0, "EchoTime": 0.03, "VoxelSize": [3, 3, 3.3]}
    rows = [
        ("anat/T1w", 1, keys, "", {"RepetitionTime": 2.3, "FlipAngle": 9}),
        ("func/task-rest_bold", 1, others, "", usual | {"Volumes": 200}),
        (
            "func/task-rest_bold",
            2,
            [DEVIATING],
            "EchoTime 0.035 s instead of 0.03 s",
            usual | {"EchoTime": 0.035},
        ),
    ]
    return [
        {
            "scan": scan,
            "variant": number,
            "is_dominant": number == 1,
            "n_scans": len(own),
            "n_sessions": len(own),
            "differs": differs,
            "parameters": json.dumps(parameters),
            "session_keys": ", ".join(own),
        }
        for scan, number, own, differs, parameters in rows
    ]


def _deviation(key: str, *, missing: bool = False) -> dict[str, object]:
    file = f"func/{key}_task-rest_bold"
    return {
        "session_key": key,
        "scan": "fmap/epi" if missing else "func/task-rest_bold",
        "file": "" if missing else file,
        "against": "protocol" if missing else "majority",
        "parameter": "count" if missing else "EchoTime",
        "expected": "at least 2" if missing else "0.03 s",
        "found": "0" if missing else "0.035 s",
    }


def _session(key: str) -> dict[str, object]:
    subject, session = key.removeprefix("sub-").split("_ses-")
    return {
        "session_key": key,
        "subject": subject,
        "session": session,
        "verdict": "fail" if key == MOVED else "pass",
        "reasons": "FD <b>above</b> 0.5 mm" if key == MOVED else "",
        "n_series": 2,
        "n_instances": 100,
        "report": f"../sessions/{key}/report.html",
    }


def _series(key: str) -> list[dict[str, object]]:
    func = f"func/{key}_task-rest_bold"
    rows = [
        (1, "localizer", "excluded", ""),
        (2, "mprage", "converted", f"anat/{key}_T1w.nii.gz, anat/{key}_T1w.json"),
        (3, "rest", "converted", f"{func}.nii.gz, {func}.json"),
    ]
    return [
        {
            "session_key": key,
            "series_number": number,
            "description": description,
            "n_instances": 10,
            "outcome": outcome,
            "datatype": files[:4],
            "suffix": "",
            "files": files,
            "why": "Because.",
        }
        for number, description, outcome, files in rows
        if not (key == "sub-002_ses-2" and number == 3)
    ]


def _metrics(keys: list[str]) -> list[dict[str, object]]:
    draw = np.random.default_rng(7)
    rows = []
    for key in keys:
        moved = key == MOVED
        fd, tsnr = 0.15 + 0.02 * draw.random(), 60 + 4 * draw.random()
        rows += [
            _metric(key, "fd_mean", 1.2 if moved else fd, "mm", "fail above 0.5"),
            _metric(key, "tsnr", 20.0 if moved else tsnr, "", "look below 30"),
            _metric(key, "aor", float("nan") if moved else draw.random(), "", ""),
        ]
    return rows


def _metric(
    key: str, metric: str, value: float, unit: str, threshold: str
) -> dict[str, object]:
    judged = ("fail" if key == MOVED else "pass") if threshold else ""
    return {
        "session_key": key,
        "scan": f"{key}_task-rest_bold",
        "metric": metric,
        "value": float(value),
        "unit": unit,
        "verdict": judged,
        "threshold": threshold,
        "reason": "",
    }
