"""Tables read well on a terminal and can be searched in a file."""

from __future__ import annotations

import sys

import pytest

from imaging_platform.cli.printing import print_table

LONG = "sub-833QF4DZ84/ses-1/func/sub-833QF4DZ84_ses-1_task-rest_run-1_bold.nii.gz"
ROWS = [(7, LONG, "[bold] kept\nas text"), (12, "short", "")]


def test_a_row_is_one_line_in_a_pipe_and_no_text_is_folded(
    capsys: pytest.CaptureFixture[str],
):
    print_table("Converted", ["#", "image", "why"], ROWS)

    title, head, first, second = capsys.readouterr().out.splitlines()
    assert title == "Converted"
    assert head.split() == ["#", "image", "why"]
    assert first == f" 7  {LONG}  [bold] kept; as text"
    assert second == "12  short"


def test_a_terminal_gets_a_grid_in_which_no_text_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")

    print_table("Converted", ["#", "image", "why"], ROWS)

    out = capsys.readouterr().out
    cells = ["".join(line.split("│")[2:3]).strip() for line in out.splitlines()]
    assert LONG in "".join(cells)
    assert "[bold] kept" in out
