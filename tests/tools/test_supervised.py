from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.model.errors import BadConfig
from imaging_platform.tools.capped_log import CappedLog
from imaging_platform.tools.supervised import Ended, Limits, Program, supervise

pieces = st.lists(st.binary(max_size=200), max_size=30)


def write_log(path: Path, data: list[bytes], n_bytes: int, hidden=None) -> bytes:
    log = CappedLog(path, n_bytes, hidden or {})
    for piece in data:
        log.write(piece)
    log.close()
    return path.read_bytes()


def run_python(code: str, tmp_path: Path, **limits) -> Ended:
    program = Program([sys.executable, "-c", code], str(tmp_path), {"A": "b"})
    given_limits = {"memory_bytes": 1 << 30, "timeout_s": 30, **limits}
    return supervise(program, Limits(**given_limits), log=tmp_path / "log", hidden={})


@given(data=pieces)
def test_a_short_log_is_kept_as_it_is(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log"

    assert write_log(path, data, 1 << 20) == b"".join(data)


@given(data=pieces)
def test_a_long_log_keeps_its_end_and_says_how_much_is_left_out(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log"
    whole = b"".join(data)

    kept = write_log(path, data, 100)

    if len(whole) > 100:
        assert whole.endswith(kept[-20:])
        assert len(kept) < 100 + 60
        if b"bytes left out" in kept:
            assert whole.startswith(kept.partition(b"\n[... ")[0])


def test_a_hidden_text_is_found_across_pieces(tmp_path):
    data = [b"in /home/pers", b"on/x and\n/home/person", b"/y"]

    kept = write_log(tmp_path / "log", data, 1000, {"/home/person": "<home>"})

    assert kept == b"in <home>/x and\n<home>/y"


def test_the_exit_code_and_both_streams_are_kept(tmp_path):
    code = (
        "import sys; print('out', flush=True); print('err', file=sys.stderr); exit(7)"
    )

    ended = run_python(code, tmp_path)

    assert ended == Ended(7, "exit")
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_memory_of_all_processes_together_counts(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "hold = 'import time; x = bytearray(80 << 20); time.sleep(60)'\n"
        "for _ in range(3): subprocess.Popen([sys.executable, '-c', hold])\n"
        "time.sleep(60)"
    )

    ended = run_python(code, tmp_path, memory_bytes=200 << 20)

    assert ended.cause == "memory"


def test_nothing_of_the_callers_environment_is_inherited(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_PLATFORM", "x")

    run_python("import os; print(sorted(os.environ))", tmp_path)

    assert "SECRET" not in (tmp_path / "log").read_text()


def test_a_program_that_cannot_be_started_is_told_without_its_path(tmp_path):
    program = Program([str(tmp_path / "absent")], str(tmp_path), {})

    with pytest.raises(BadConfig, match="cannot be started") as raised:
        supervise(program, Limits(1 << 30, 5), log=tmp_path / "log", hidden={})

    assert "executable" in raised.value.fix
    assert str(tmp_path) not in str(raised.value)
