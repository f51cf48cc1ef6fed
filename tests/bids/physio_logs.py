"""Logs of the CMRR sequences with a known signal, as text and inside raw data."""

from __future__ import annotations

import struct

HEAD = "UUID        = a6df3c5a-kestrel\nScanDate    = 20190114_143828\n"


def info_log(first_tic: int, *, volumes: int = 3, volume_tics: int = 400) -> str:
    rows = "".join(
        f"     {v}       {s}  {first_tic + v * volume_tics + 10 * s}  "
        f"{first_tic + v * volume_tics + 10 * s + 8}     0\n"
        for v in range(volumes)
        for s in (1, 0)
    )
    return (
        f"{HEAD}LogVersion  = EJA_1\nLogDataType = ACQUISITION_INFO\n"
        f"NumSlices   = 2\nNumVolumes  = 2400\n\n"
        f"VOLUME   SLICE   ACQ_START_TICS  ACQ_FINISH_TICS  ECHO\n\n{rows}"
        "FirstTime   = 1\n"
    )


def signal_log(kind: str, samples: list[tuple[int, int]], *, tics: int) -> str:
    channel = f"{kind}1" if kind == "ECG" else kind
    rows = "".join(f"     {t}     {channel}   {v} \n" for t, v in samples)
    return (
        f"{HEAD}LogVersion  = EJA_1\nLogDataType = {kind}\nSampleTime  = {tics}\n\n"
        f"ACQ_TIME_TICS  CHANNEL  VALUE  SIGNAL\n\n{rows}"
    )


def pack_logs(logs: dict[str, str]) -> bytes:
    """Return the logs as the scanner packs them: equal room, 1024 bytes a row."""
    rows = 1 + max(-(-len(text) // 1024) for text in logs.values())
    data = b""
    for name, text in logs.items():
        head = struct.pack("<II", len(text), len(name)) + name.encode()
        block = head.ljust(1024, b"\0") + text.encode()
        data += block.ljust(rows * 1024, b"\0")
    return data
