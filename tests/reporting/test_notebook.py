from __future__ import annotations

import getpass
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from imaging_platform.model.errors import (
    BadConfig,
    InvalidOutput,
    MissingInput,
    ToolFailed,
)
from imaging_platform.reporting.notebook import (
    ExecutedNotebook,
    check_parameters,
    execute_notebook,
)
from imaging_platform.reporting.notebook_inputs import check_inputs

DECLARED = "subject: str = None\nrepeats: int = 2\nscale: float = 1.0"

Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def write_template(*sources: str, declared: str = DECLARED) -> Path:
        cells = [new_code_cell(declared, metadata={"tags": ["parameters"]})]
        cells += [new_code_cell(source) for source in sources]
        path = tmp_path / "template.ipynb"
        nbformat.write(
            new_notebook(cells=cells, metadata={"title": "Subject $subject"}), path
        )
        return path

    return write_template


def run(
    template: Path, target: Path, timeout_s: float = 60, **inputs: Path
) -> ExecutedNotebook:
    return execute_notebook(
        template,
        target,
        inputs=inputs,
        parameters={"subject": "01"},
        timeout_s=timeout_s,
    )


def shown(folder: Path) -> str:
    names = (
        "report.ipynb",
        "report.html",
        "report.partial.ipynb",
        "report.partial.html",
    )
    return "\n".join(
        (folder / name).read_text() for name in names if (folder / name).exists()
    )


def test_the_same_work_gives_the_same_bytes(write, tmp_path):
    template = write(
        "import sys\nprint('one'); print('two', file=sys.stderr); print('three')",
        "import warnings\nwarnings.warn('careful')\nobject()",
        "from imaging_platform.reporting.results import record\nrecord('x', 1.5)",
    )

    run(template, tmp_path / "first", data=template)
    run(template, tmp_path / "second", data=template)

    for name in ("report.ipynb", "report.html", "results.json"):
        first = (tmp_path / "first" / name).read_bytes()
        assert first == (tmp_path / "second" / name).read_bytes()


def test_no_place_no_host_and_no_user_is_published(write, tmp_path):
    template = write(
        "import os, sys, pathlib\n"
        "print(os.getcwd(), sys.executable, os.path.expanduser('~'))\n"
        "print(pathlib.Path('inputs/data').resolve(), pathlib.__file__)",
        "import numpy\nprint(numpy.__file__)\nraise KeyError(os.getcwd())",
    )

    with pytest.raises(InvalidOutput) as caught:
        run(template, tmp_path / "out", data=template)

    text = shown(tmp_path / "out") + str(caught.value)
    for place in (str(tmp_path), sys.prefix, sys.base_prefix, str(Path.home()), "/tmp"):
        assert place not in text
    assert f"{getpass.getuser()}@" not in text
    assert socket.gethostname() not in json.dumps(
        nbformat.read(tmp_path / "out/report.partial.ipynb", as_version=4).metadata
    )


def test_times_and_paths_of_papermill_are_not_kept(write, tmp_path):
    run(write("1"), tmp_path / "out")

    notebook = nbformat.read(tmp_path / "out" / "report.ipynb", as_version=4)
    assert notebook.metadata.papermill == {"parameters": {"subject": "01"}}
    assert all("papermill" not in cell.metadata for cell in notebook.cells)


def test_a_failing_cell_keeps_the_partial_report_and_is_named(write, tmp_path):
    template = write("print('made before')", "1 / 0", "print('never')")

    with pytest.raises(InvalidOutput) as caught:
        run(template, tmp_path / "out")

    assert "`1 / 0`" in str(caught.value)
    assert "ZeroDivisionError: division by zero" in str(caught.value)
    assert "partial report" in caught.value.fix
    page = (tmp_path / "out" / "report.partial.html").read_text()
    assert "made before" in page
    assert "stopped early" in page
    assert "never" not in page
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "report.partial.html",
        "report.partial.ipynb",
    ]


def test_a_later_success_removes_the_partial_report(write, tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "report.partial.html").write_text("old")

    run(write("1"), target)

    assert sorted(p.name for p in target.iterdir()) == ["report.html", "report.ipynb"]


def test_a_dead_kernel_is_a_failed_tool_and_keeps_what_was_made(write, tmp_path):
    template = write("print('made before')", "import os\nos._exit(9)")

    with pytest.raises(ToolFailed, match="died") as caught:
        run(template, tmp_path / "out")

    assert "memory" in caught.value.fix
    assert "made before" in (tmp_path / "out" / "report.partial.html").read_text()


def test_the_time_limit_covers_all_cells_together(write, tmp_path):
    nap = "import time\ntime.sleep(1.5)"

    with pytest.raises(ToolFailed, match="within 3 s") as caught:
        run(write(nap, nap, nap, nap), tmp_path / "out", timeout_s=3)

    assert "more time" in caught.value.fix
    assert (tmp_path / "out" / "report.partial.ipynb").exists()


def test_a_notebook_sees_its_declared_inputs_and_nothing_of_the_caller(
    write, tmp_path, monkeypatch
):
    monkeypatch.setenv("STUDY_SECRET", "do-not-tell")
    template = write("import os\nprint(sorted(os.listdir('inputs')), dict(os.environ))")
    before = Path.cwd()

    run(template, tmp_path / "out", scans=tmp_path, table=template)

    assert "['scans', 'table']" in shown(tmp_path / "out")
    assert "do-not-tell" not in shown(tmp_path / "out")
    assert Path.cwd() == before


def test_the_kernel_is_this_python_whatever_kernels_are_installed(
    write, tmp_path, monkeypatch
):
    foreign = tmp_path / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    spec = {"argv": ["false"], "display_name": "Foreign", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    check = f"import sys\nassert sys.executable == {sys.executable!r}"

    executed = run(write(check), tmp_path / "out")

    assert executed.n_cells == 3


def test_recorded_results_are_returned_and_published(write, tmp_path):
    template = write(
        "from imaging_platform.reporting.results import record",
        "record('mean_fd_mm', 0.25)\nrecord('verdict', 'pass')",
    )

    executed = run(template, tmp_path / "out")

    assert executed.results == {"mean_fd_mm": 0.25, "verdict": "pass"}
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written == executed.results


def test_a_page_that_loads_from_elsewhere_is_refused(write, tmp_path):
    source = "https:" + "//example.org/logo.png"
    template = write(
        "class Picture:\n"
        f"    def _repr_html_(self):\n        return '<img src=\"{source}\">'\n"
        "Picture()"
    )

    with pytest.raises(InvalidOutput, match="load from elsewhere") as caught:
        run(template, tmp_path / "out")

    assert "stands alone" in caught.value.fix
    assert not (tmp_path / "out" / "report.html").exists()


def test_code_is_hidden_and_the_title_names_the_subject(write, tmp_path):
    run(write("secret_word = 1\nprint('shown')"), tmp_path / "out")

    page = (tmp_path / "out" / "report.html").read_text()
    assert "shown" in page
    assert "secret_word" not in page
    assert "<title>Subject 01</title>" in page


@pytest.mark.parametrize(
    ("parameters", "message", "fix"),
    [
        ({"subject": "01", "colour": "red"}, "no parameter colour", "Correct the name"),
        ({}, "needs the parameter subject", "sets to None"),
        ({"subject": 1}, "is str, got int", "as str"),
        ({"subject": "01", "repeats": True}, "is int, got bool", "as int"),
        ({"subject": "/data/raw"}, "is an absolute path", "as an input"),
    ],
)
def test_wrong_parameters_are_refused_before_a_kernel_starts(
    write, parameters, message, fix
):
    with pytest.raises(BadConfig, match=message) as caught:
        check_parameters(write(), parameters)

    assert fix in caught.value.fix


def test_a_whole_number_is_taken_where_a_fraction_is_declared(write):
    check_parameters(write(), {"subject": "01", "scale": 2})


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("no notebook", "is no Jupyter notebook", "format 4"),
        (
            '{"cells": [], "metadata": {"kernelspec": {"language": "R", "name": "ir"}},'
            ' "nbformat": 4, "nbformat_minor": 5}',
            "is written in R",
            "Python kernel",
        ),
    ],
)
def test_a_template_that_cannot_run_here_is_refused(tmp_path, text, message, fix):
    (tmp_path / "template.ipynb").write_text(text)

    with pytest.raises(BadConfig, match=message) as caught:
        check_parameters(tmp_path / "template.ipynb", {})

    assert fix in caught.value.fix


def test_an_unpublished_input_is_named(write, tmp_path):
    with pytest.raises(MissingInput, match="input motion of template") as caught:
        check_inputs(write(), {"motion": tmp_path / "absent"})

    assert "Make motion first" in caught.value.fix


def test_an_absent_template_is_named(tmp_path):
    with pytest.raises(MissingInput, match=r"absent\.ipynb") as caught:
        check_inputs(tmp_path / "absent.ipynb", {})

    assert "notebooks/" in caught.value.fix


@pytest.mark.parametrize("name", ["../raw", "a/b", "", ".hidden"])
def test_an_input_name_cannot_lead_out_of_the_folder(write, tmp_path, name):
    with pytest.raises(BadConfig, match="named by letters") as caught:
        check_inputs(write(), {name: tmp_path})

    assert "asset" in caught.value.fix
