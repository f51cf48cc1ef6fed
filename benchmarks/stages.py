"""The stages of one session, each beside the least that the same work can cost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import Benchmark, Numbers, Way
from benchmarks.receiving import receive
from benchmarks.session import (
    SECRET,
    STUDY,
    PreparedSession,
    copy_tree,
    index_copied_drop,
)
from imaging_platform.tools import dcm2niix


def intake(session: PreparedSession) -> Benchmark:
    """Return the way of a drop from its folder into the store and the index."""

    def index(folder: Path) -> Numbers:
        report = index_copied_drop(folder)
        return {"files": report.n_files, "bytes": report.n_bytes}

    def arrive(folder: Path) -> None:
        copy_tree(session.drop, folder / "arrival")

    return Benchmark(
        "intake",
        Way("index_drop", index, arrive),
        [
            _copying(lambda: session.drop),
            Way("pydicom, headers only", lambda _: _read_headers(session.drop)),
        ],
    )


def deid(session: PreparedSession) -> Benchmark:
    """Return the de-identification of a session."""
    from imaging_platform.deid.session import anonymize_session

    def anonymize(folder: Path) -> Numbers:
        target = folder / "out"
        target.mkdir()
        report = anonymize_session(
            session.raw, target, key=session.key, settings=STUDY.deid, secret=SECRET
        )
        return {"files": report.files_written}

    return Benchmark(
        "deid",
        Way("anonymize_session", anonymize, lambda _: session.raw),
        [
            _copying(lambda: session.raw),
            Way("pydicom, read and save_as", lambda f: _rewrite(session.raw, f)),
        ],
    )


def bids(session: PreparedSession) -> Benchmark:
    """Return the conversion of a session of more than 5,000 files."""
    from imaging_platform.bids.session import convert_session

    def converting(find_source: Callable[[], Path]) -> Callable[[Path], Numbers]:
        def convert(folder: Path) -> Numbers:
            target = folder / "out"
            target.mkdir()
            report = convert_session(
                find_source(), target, key=session.key, settings=STUDY.bids
            )
            return {"series": len(report.series)}

        return convert

    def command(folder: Path) -> None:
        argv = [sys.executable, "-m", "imaging_platform.cli.main", "convert"]
        labels = ["--subject", session.key.subject, "--session", session.key.session]
        subprocess.run(
            [*argv, *labels, str(session.many_files), str(folder / "out")],
            check=True,
            capture_output=True,
        )

    def alone(*options: str) -> Callable[[Path], None]:
        def convert_alone(folder: Path) -> None:
            argv = [dcm2niix.program(), *options, "-d", "9", "-o", str(folder)]
            subprocess.run(
                [*argv, str(session.many_files)], check=True, capture_output=True
            )

        return convert_alone

    own = ["-b", "y", "-ba", "n", "-f", "%s_%j", "-w", "2"]
    packer = "pigz" if shutil.which("pigz") else "no pigz"
    return Benchmark(
        "bids",
        Way(
            "convert_session",
            converting(lambda: session.indexed_files),
            lambda _: session.indexed_files,
        ),
        [
            Way(
                "the same without header index", converting(lambda: session.many_files)
            ),
            Way("imaging-platform convert, the same", command),
            Way("dcm2niix -z i -3", alone(*own, "-z", "i", "-3")),
            Way(f"dcm2niix -z y ({packer})", alone("-z", "y")),
            Way("dcm2niix -z n", alone(*own, "-z", "n")),
        ],
    )


def validation(session: PreparedSession) -> Benchmark:
    """Return the official validator on the session."""
    from imaging_platform.bids.validation import validate_session

    def validate(_: Path) -> Numbers:
        found = validate_session(session.bids, key=session.key, settings=STUDY.bids)
        return {"files": found.files, "errors": len(found.errors)}

    return Benchmark(
        "validation", Way("validate_session", validate, lambda _: session.bids)
    )


def brain_mask(session: PreparedSession) -> Benchmark:
    """Return the brain mask of a session."""
    return _derivative(session, "brain_mask")


def motion(session: PreparedSession) -> Benchmark:
    """Return the motion of a session's BOLD runs."""
    return _derivative(session, "motion")


def quality(session: PreparedSession) -> Benchmark:
    """Return the quality of a session."""
    return Benchmark(
        "quality",
        Way("measure_session", session.measure, lambda _: session.measured),
        repeats=3,
        has_warm_up=False,
    )


def report(session: PreparedSession) -> Benchmark:
    """Return the report of a session."""
    from imaging_platform.model.layout import product_file
    from imaging_platform.reporting.notebook import execute_notebook

    def execute(folder: Path) -> Numbers:
        done = execute_notebook(
            product_file("notebooks/session_report.ipynb"),
            folder / "out",
            inputs={
                "anonymized_dicom": session.dicom,
                **session.measured,
                "session_quality": session.quality,
            },
            parameters={
                "study": STUDY.name,
                "subject": session.key.subject,
                "session": session.key.session,
            },
        )
        return {"page bytes": done.page_bytes}

    return Benchmark(
        "report",
        Way("session_report", execute, lambda _: session.quality),
        [Way("papermill and nbconvert, empty notebook", _execute_empty)],
        repeats=3,
    )


STAGES = {
    make.__name__: make
    for make in (
        *(intake, receive, deid, bids, validation),
        *(brain_mask, motion, quality, report),
    )
}


def _derivative(session: PreparedSession, pipeline: str) -> Benchmark:
    def derive(folder: Path) -> None:
        session.derive(pipeline, folder, {"bids_session": session.bids})

    return Benchmark(
        pipeline,
        Way(f"write_{pipeline}", derive, lambda _: session.bids),
        repeats=3,
        has_warm_up=False,
    )


def _copying(source: Callable[[], Path]) -> Way:
    return Way("cp -r", lambda folder: copy_tree(source(), folder / "copy"))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _read_headers(folder: Path) -> None:
    from pydicom import dcmread

    for path in _files(folder):
        dcmread(path, stop_before_pixels=True, force=True)


def _rewrite(source: Path, target: Path) -> None:
    from pydicom import dcmread

    for number, path in enumerate(_files(source)):
        dcmread(path).save_as(target / f"{number}.dcm")


def _execute_empty(folder: Path) -> None:
    import nbformat
    import papermill
    from nbconvert import HTMLExporter

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("1 + 1", id="empty")],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, folder / "empty.ipynb")
    papermill.execute_notebook(
        folder / "empty.ipynb",
        folder / "done.ipynb",
        kernel_name="python3",
        progress_bar=False,
        extra_arguments=["--log-level=CRITICAL"],
    )
    page, _ = HTMLExporter().from_filename(str(folder / "done.ipynb"))
    (folder / "done.html").write_text(page)
