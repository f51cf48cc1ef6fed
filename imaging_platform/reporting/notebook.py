"""Run a notebook template with parameters and inputs; publish what it shows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imaging_platform.files.writing import write_bytes, write_json, write_text
from imaging_platform.model.errors import (
    BadConfig,
    InvalidOutput,
    PlatformError,
    ToolFailed,
)
from imaging_platform.provenance.stamps import Stamp, stamp_markup, stamp_notebook
from imaging_platform.reporting.front_matter import without_front_matter
from imaging_platform.reporting.notebook_inputs import (
    Inputs,
    check_inputs,
    list_inputs,
    place_inputs,
)
from imaging_platform.reporting.results import RESULTS_NAME, read_results

if TYPE_CHECKING:
    from nbformat import NotebookNode

_TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool}

Parameter = str | int | float | bool

ROOM_FOR_STAMPS = 20_000
"""Bytes of a page that its own stamp and those of its pictures take at most."""

OUTPUTS = "outputs"
"""Folder of a notebook whose files are published beside its page."""

PARTIAL = "report.partial"
"""Stem of the files that a notebook which failed leaves behind."""

_START_TIMEOUT_S = 60
_MESSAGE_CHARACTERS = 500


@dataclass(frozen=True)
class ExecutedNotebook:
    """
    What a notebook left behind.

    Parameters
    ----------
    template
        File name of the template.
    notebook, page
        Names, inside the target, of the executed notebook and its HTML.
    parameters
        Each parameter that was given.
    results
        What the notebook recorded (`imaging_platform.reporting.results.record`).
    n_cells
        How many code cells ran.
    page_bytes
        Size of the HTML in bytes.
    """

    template: str
    notebook: str
    page: str
    parameters: dict[str, Parameter]
    results: dict[str, float | int | str]
    n_cells: int
    page_bytes: int


def execute_notebook(
    template: Path,
    target: Path,
    *,
    inputs: Inputs,
    parameters: Mapping[str, Parameter],
    stamp: Stamp | None = None,
    timeout_s: float = 600,
    memory_gb: float = 4,
) -> ExecutedNotebook:
    """
    Run `template` in a kernel of its own and publish notebook and page in `target`.

    The kernel runs in a scratch folder where ``inputs/<name>`` leads to each
    declared input, so a notebook needs no absolute path. It can read these inputs
    and the programs of the machine, write in the scratch folder, and reach no
    network (`imaging_platform.tools.confined`).
    ``report.ipynb`` and ``report.html`` hold no time, host or absolute path: the
    same template, inputs and parameters give the same bytes. ``results.json``
    stands beside them when the notebook recorded something, and a folder
    ``outputs`` when it wrote files into the one of that name.

    Parameters
    ----------
    template
        Notebook without outputs, nbformat 4. One cell tagged ``parameters``
        assigns each parameter; one that is assigned None must be given.
    target
        Folder of the published files; made when absent.
    inputs
        Name in ``inputs/`` to an existing file or folder, or to several.
    parameters
        Plain values, stored in clear: no secret, no absolute path.
    stamp
        Where the report comes from; put into notebook, page and each figure.
    timeout_s
        Wall-clock limit of all cells together, in seconds.
    memory_gb
        Most memory of the kernel, in GB; a cell that asks for more fails.

    Returns
    -------
    ExecutedNotebook
        Names, sizes and the recorded results.

    Raises
    ------
    BadConfig
        The template is no Python notebook, or a parameter is unknown, missing, of
        another type or an absolute path.
    MissingInput
        A declared input or the template does not exist.
    InvalidOutput
        A cell failed, or the page would load something from elsewhere or is too
        large. After a failed cell ``report.partial.ipynb`` and
        ``report.partial.html`` stand in the target.
    ToolFailed
        The kernel died or took too long; the partial report is kept too.
    """
    check_inputs(template, inputs)
    check_parameters(template, parameters)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        scratch = Path(folder).resolve()
        (scratch / "kernel" / OUTPUTS).mkdir(parents=True)
        places = _prepare(scratch, inputs, memory_gb)
        given = {name: parameters[name] for name in sorted(parameters)}
        failure = _run(template, scratch, given, timeout_s)
        return _publish(template, target, scratch, places, given, failure, stamp)


def read_template(template: Path) -> NotebookNode:
    """
    Read a notebook that is to be run in this Python.

    Its own kernel name is replaced, since whoever wrote it may have had another
    one or none.

    Raises
    ------
    BadConfig
        The file is no notebook, or one in another language.
    """
    import nbformat
    from nbformat.reader import NotJSONError

    try:
        notebook = nbformat.read(template, as_version=4)
    except (NotJSONError, nbformat.ValidationError, KeyError) as error:
        raise BadConfig(
            f"{template.name} is no Jupyter notebook.",
            fix="Save it again from Jupyter as .ipynb, format 4.",
        ) from error
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if language != "python":
        raise BadConfig(
            f"{template.name} is written in {language}, expected python.",
            fix="Choose a Python kernel and save the notebook again.",
        )
    notebook.cells = without_front_matter(notebook.cells)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    return notebook


def check_parameters(template: Path, parameters: Mapping[str, Parameter]) -> None:
    """
    Refuse parameters that the template does not declare, before a kernel starts.

    Raises
    ------
    BadConfig
        One is unknown, missing, of another type than declared, or an absolute path.
    """
    from papermill import inspect_notebook

    declared = inspect_notebook(read_template(template))
    known = ", ".join(sorted(declared)) or "none"
    if unknown := sorted(set(parameters) - set(declared)):
        raise BadConfig(
            f"{template.name} has no parameter {', '.join(unknown)}; it has {known}.",
            fix="Correct the name, or assign it in the cell tagged `parameters`.",
        )
    required = {name for name, one in declared.items() if one["default"] == "None"}
    if missing := sorted(required - set(parameters)):
        raise BadConfig(
            f"{template.name} needs the parameter {', '.join(missing)}.",
            fix="Give a value to each parameter that the template sets to None.",
        )
    for name, value in sorted(parameters.items()):
        _check_value(template, name, value, declared[name]["inferred_type_name"])


def choose_parameters(
    template: Path, offered: Mapping[str, Parameter]
) -> dict[str, Parameter]:
    """Return those of the offered values that the template declares."""
    from papermill import inspect_notebook

    declared = inspect_notebook(read_template(template))
    return {name: value for name, value in offered.items() if name in declared}


def _check_value(template: Path, name: str, value: Parameter, declared: str) -> None:
    expected = _TYPES.get(declared)
    wrong_bool = isinstance(value, bool) and declared in ("int", "float")
    if expected and (wrong_bool or not isinstance(value, expected)):
        raise BadConfig(
            f"Parameter {name} of {template.name} is {declared}, "
            f"got {type(value).__name__}.",
            fix=f"Give {name} as {declared}.",
        )
    if isinstance(value, str) and Path(value).is_absolute():
        raise BadConfig(
            f"Parameter {name} of {template.name} is an absolute path.",
            fix="Declare the file or folder as an input; parameters are published.",
        )


def _prepare(scratch: Path, inputs: Inputs, memory_gb: float) -> dict[str, str]:
    """Lay out the folder of the kernel; return what to call the places it may show."""
    from imaging_platform.reporting.canonical import machine_places
    from imaging_platform.reporting.kernel import write_policy

    folder = scratch / "kernel" / "inputs"
    folder.mkdir()
    real = (path.resolve() for _, path in list_inputs(inputs))
    return {
        **machine_places(),
        **write_policy(scratch, real, memory_gb=memory_gb),
        **place_inputs(folder, inputs),
        f"{scratch}/kernel/": "",
        str(scratch / "kernel"): ".",
        str(scratch): "scratch",
    }


def _run(
    template: Path, scratch: Path, given: dict[str, Parameter], timeout_s: float
) -> PlatformError | None:
    """Run in `scratch`; the notebook so far stands in ``executed.ipynb`` after it."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook as execute
    from papermill.exceptions import PapermillExecutionError

    from imaging_platform.reporting.kernel import end_processes, kernel_manager

    try:
        execute(
            read_template(template),
            scratch / "executed.ipynb",
            parameters=given,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=_START_TIMEOUT_S,
            # Not `cwd`: papermill would move the whole process there.
            resources={"metadata": {"path": str(scratch / "kernel")}},
            kernel_manager_class=kernel_manager(scratch / "home"),
            timeout_func=_remaining(timeout_s),
            record_timing=False,
        )
    except PapermillExecutionError as error:
        if error.ename == "MemoryError":
            return ToolFailed(
                f"{template.name} needs more memory than it may have, in "
                f"{_name_cell(error.source)}.",
                fix="Raise memory_gb in its front matter, or give it less to do.",
            )
        said = f"{error.ename}: {error.evalue}"[:_MESSAGE_CHARACTERS]
        return InvalidOutput(
            f"{template.name} failed in {_name_cell(error.source)}: {said}",
            fix="Read the partial report; correct the notebook or its input.",
        )
    except CellTimeoutError:
        return ToolFailed(
            f"{template.name} did not end within {timeout_s:g} s and was stopped.",
            fix="Read the partial report; allow more time or give it less to do.",
        )
    except DeadKernelError:
        return ToolFailed(
            f"The kernel of {template.name} died.",
            fix="Too little memory is the usual cause: run fewer sessions at once.",
        )
    finally:
        end_processes(scratch / "home")
    return None


def _remaining(timeout_s: float) -> Callable[[object], float]:
    end = time.monotonic() + timeout_s

    def remaining_s(cell: object) -> float:
        # Zero would mean no limit to nbclient.
        return max(end - time.monotonic(), 1.0)

    return remaining_s


def _name_cell(source: str) -> str:
    lines = [line for line in source.splitlines() if line.strip()]
    code = [line for line in lines if not line.lstrip().startswith("#")]
    return f"the cell `{(code or lines or ['(empty)'])[0].strip()[:80]}`"


def _publish(
    template: Path,
    target: Path,
    scratch: Path,
    places: dict[str, str],
    given: dict[str, Parameter],
    failure: PlatformError | None,
    stamp: Stamp | None,
) -> ExecutedNotebook:
    import nbformat

    from imaging_platform.reporting.canonical import canonical_notebook
    from imaging_platform.reporting.page import LIMIT_BYTES, render_page
    from imaging_platform.reporting.shrinking import shrink_to

    executed = scratch / "executed.ipynb"
    source = executed if executed.is_file() else template
    notebook = canonical_notebook(nbformat.read(source, as_version=4), places)
    results = read_results(scratch / "kernel")
    page = render_page(notebook, failure=_say(failure, places))
    page = shrink_to(page, LIMIT_BYTES - ROOM_FOR_STAMPS)
    if stamp is not None:
        # The page has its own copies: what renders it takes metadata away.
        page = stamp_markup(page, stamp)
        stamp_notebook(notebook, stamp)
    failure = failure or _judge(template, page)
    if failure is not None:
        said = _say(failure, places)
        _write(target, PARTIAL, notebook, render_page(notebook, failure=said))
        raise type(failure)(said, fix=failure.fix)
    for name in (f"{PARTIAL}.ipynb", f"{PARTIAL}.html", RESULTS_NAME):
        (target / name).unlink(missing_ok=True)
    _write(target, "report", notebook, page)
    _copy_outputs(scratch / "kernel" / OUTPUTS, target / OUTPUTS)
    if results:
        write_json(target / RESULTS_NAME, results)
    return ExecutedNotebook(
        template=template.name,
        notebook="report.ipynb",
        page="report.html",
        parameters=given,
        results=results,
        n_cells=sum(cell.cell_type == "code" for cell in notebook.cells),
        page_bytes=len(page.encode()),
    )


def _copy_outputs(folder: Path, target: Path) -> None:
    """Copy what a notebook wrote; a link is no file, since it may lead anywhere."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            write_bytes(target / path.relative_to(folder), path.read_bytes())


def _say(failure: PlatformError | None, places: dict[str, str]) -> str:
    from imaging_platform.reporting.canonical import without_places

    return without_places(str(failure), places) if failure else ""


def _judge(template: Path, page: str) -> PlatformError | None:
    from imaging_platform.reporting.page import LIMIT_BYTES, external_references

    if found := external_references(page):
        return InvalidOutput(
            f"The page of {template.name} would load from elsewhere: {found[0]}",
            fix="Draw with matplotlib or embed the file; a report stands alone.",
        )
    if (size := len(page.encode())) > LIMIT_BYTES:
        return InvalidOutput(
            f"The page of {template.name} has {size} bytes, at most {LIMIT_BYTES}.",
            fix="Show fewer figures, or encode them as JPEG at a lower resolution.",
        )
    return None


def _write(target: Path, stem: str, notebook: NotebookNode, page: str) -> None:
    import nbformat

    write_text(target / f"{stem}.ipynb", nbformat.writes(notebook) + "\n")
    write_text(target / f"{stem}.html", page)
