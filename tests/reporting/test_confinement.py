"""What a notebook cannot do, whatever its cells say."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from imaging_platform.model.errors import BadConfig, InvalidOutput, ToolFailed
from imaging_platform.reporting.notebook import execute_notebook
from imaging_platform.tools.confined import enforcement

Try = Callable[..., str]


def try_cells(folder: Path, *sources: str, memory_gb: float = 4) -> list[str]:
    """Run cells in a notebook with the input ``data``; return what each printed."""
    template = folder / "template.ipynb"
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells), template)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "declared.txt").write_text("declared words")
    (folder / "other.txt").write_text("other words")
    target = folder / "out"
    execute_notebook(
        template,
        target,
        inputs={"data": folder / "data"},
        parameters={},
        memory_gb=memory_gb,
    )
    executed = nbformat.read(target / "report.ipynb", as_version=4).cells
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in executed[-len(sources) :]
    ]


@pytest.fixture
def tried(tmp_path: Path) -> Try:
    """Run one cell in a notebook of its own; return what it printed."""

    def run(source: str, *, memory_gb: float = 4) -> str:
        (said,) = try_cells(tmp_path, source, memory_gb=memory_gb)
        return said

    return run


FORBIDDEN = [
    "open('inputs/data/../other.txt').read()",
    "import os; os.listdir('inputs/data/..')",
    "import pathlib; print(pathlib.Path('inputs/data').resolve().parent"
    ".joinpath('other.txt').read_text())",
    "open('inputs/data/declared.txt', 'a')",
    "import os; os.unlink('inputs/data/declared.txt')",
    "import os; open(f'/proc/{os.getppid()}/environ').read()",
    *(
        f"import socket; socket.socket(socket.{family})"
        for family in ("AF_INET", "AF_INET6", "AF_PACKET")
    ),
]
"""Beyond the inputs, at what is given, at another process, and at any network."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one notebook printed that tried each."""
    folder = tmp_path_factory.mktemp("forbidden")
    said = try_cells(folder, *map(refused, FORBIDDEN))
    return dict(zip(FORBIDDEN, said, strict=True))


def refused(source: str) -> str:
    return (
        f"try:\n    {source}\n    print('done')\n"
        "except OSError as error:\n    print('refused:', error.strerror or error)"
    )


def test_this_machine_confines_by_its_kernel():
    assert enforcement() == {"files": "landlock", "network": "seccomp"}


def test_a_notebook_reads_its_declared_input(tried):
    said = tried("print(open('inputs/data/declared.txt').read())")

    assert "declared words" in said


@pytest.mark.parametrize("source", FORBIDDEN)
def test_nothing_beside_the_inputs_is_read_changed_or_connected_to(answers, source):
    assert "refused" in answers[source]
    assert "other words" not in answers[source]


def test_a_program_that_a_notebook_starts_is_confined_too(tried):
    said = tried(
        "import subprocess\n"
        "print(subprocess.run(['cat', 'inputs/data/../other.txt'],\n"
        "    capture_output=True, text=True))"
    )

    assert "Permission denied" in said
    assert "other words" not in said


def test_a_server_of_this_machine_is_not_reached(tried):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = tried(
            refused(
                "import urllib.request; "
                f"urllib.request.urlopen('http:' + '//127.0.0.1:{port}', timeout=5)"
            )
        )

    assert "refused" in said
    assert "no network" in said


def test_too_much_memory_is_a_failed_tool_that_names_the_setting(tried):
    with pytest.raises(ToolFailed, match="needs more memory") as caught:
        tried("import numpy\nnumpy.ones(400_000_000)", memory_gb=1)

    assert "memory_gb" in caught.value.fix


def test_a_folder_with_too_long_a_path_is_refused_before_a_kernel_starts(
    tried, tmp_path, monkeypatch
):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    with pytest.raises(BadConfig, match="characters") as caught:
        tried("1")

    assert "TMPDIR" in caught.value.fix


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        ("open({other!r})", "declared inputs only"),
        ("socket.socket().connect(('127.0.0.1', 9))", "no network"),
    ],
)
def test_where_the_kernel_lacks_the_means_the_interpreter_guards(
    tmp_path, attempt, message
):
    other = tmp_path / "other.txt"
    other.write_text("other words")
    script = (
        "import socket\n"
        "from imaging_platform.tools import confined\n"
        "confined.enforcement = lambda: dict.fromkeys(('files', 'network'), "
        "'interpreter')\n"
        "confined.confine(confined.Policy((), (), 10**10))\n" + attempt
    ).format(other=str(other))

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert message in done.stderr


def test_an_unexpected_refusal_ends_the_notebook_with_its_partial_report(
    tried, tmp_path
):
    with pytest.raises(InvalidOutput, match="PermissionError"):
        tried("open('inputs/data/../other.txt')")

    assert (tmp_path / "out" / "report.partial.html").exists()


def test_no_process_of_a_notebook_outlives_it(tried):
    said = tried(
        "import subprocess\n"
        "print(subprocess.Popen(['sleep', '300'], stdin=subprocess.DEVNULL).pid)"
    )

    place = Path("/proc") / said.strip() / "stat"
    for _ in range(100):
        if not place.exists() or ") Z " in place.read_text():
            break
        time.sleep(0.05)
    assert not place.exists() or ") Z " in place.read_text()
