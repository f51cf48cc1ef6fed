"""The one door to other programs."""

from __future__ import annotations

import sys
import time

import pytest

from imaging_platform.model.errors import BadInput, ToolFailed
from imaging_platform.tools.isolated import call_isolated
from imaging_platform.tools.run import run


def _python(code: str, **options):
    return run([sys.executable, "-c", code], **{"timeout_s": 20, **options})


def test_what_a_program_printed_and_left_is_returned():
    done = _python("import sys; print('out'); print('err', file=sys.stderr)")

    assert (done.exit_code, done.stdout, done.stderr) == (0, "out\n", "err\n")


def test_an_argument_is_never_read_by_a_shell(tmp_path):
    code = "import sys; print(sys.argv[1])"

    done = run([sys.executable, "-c", code, "$(touch x); `id` *"], timeout_s=20)

    assert done.stdout == "$(touch x); `id` *\n"


def test_another_exit_code_is_a_failure_that_may_be_tried_again():
    with pytest.raises(ToolFailed, match="exit code 7") as failed:
        _python("raise SystemExit(7)")

    assert not failed.value.permanent
    assert failed.value.fix


def test_an_accepted_exit_code_is_no_failure():
    assert _python("raise SystemExit(16)", accepted=(0, 16)).exit_code == 16


def test_the_message_of_a_failure_holds_no_argument():
    with pytest.raises(ToolFailed) as failed:
        run([sys.executable, "-c", "raise SystemExit(1)", "KESTREL"], timeout_s=20)

    assert "KESTREL" not in str(failed.value)


def test_an_absent_program_is_told_by_its_name():
    with pytest.raises(ToolFailed, match="no-such-program") as failed:
        run(["/opt/no-such-program"], timeout_s=1)

    assert "Install" in failed.value.fix


def test_a_program_that_takes_too_long_is_ended_with_all_it_started(tmp_path):
    mark = tmp_path / "alive"
    child = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w')"
    code = (
        "import subprocess, sys, time;"
        f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    )

    with pytest.raises(ToolFailed, match="did not end within"):
        _python(code, timeout_s=0.5)
    time.sleep(2)

    assert not mark.exists()


def test_a_function_runs_in_a_process_of_its_own_with_fixed_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    reply = call_isolated("os:getenv", {"key": "OMP_NUM_THREADS"})

    assert reply == "1"


def test_an_error_of_ours_comes_back_as_it_was():
    with pytest.raises(BadInput) as failed:
        call_isolated("imaging_platform.model.ids:parse_drop_id", {"text": "x"})

    assert "hexadecimal" in str(failed.value)
    assert "status" in failed.value.fix


def test_a_process_that_dies_is_a_failure():
    with pytest.raises(ToolFailed, match="os:_exit"):
        call_isolated("os:_exit", {"status": 9})
