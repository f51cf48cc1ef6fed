"""Published trees and executed reports that several modules look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging_platform.reporting.notebook import ExecutedNotebook, execute_notebook
from tests.reporting.published_session import write_session
from tests.reporting.published_study import write_catalog

TEMPLATES = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="session")
def session_trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every published tree of one session by the name of its asset."""
    return write_session(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def session_report(
    session_trees: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExecutedNotebook, Path]:
    """The session report of `session_trees` and the folder that holds it."""
    target = tmp_path_factory.mktemp("session_report")
    return execute_session(session_trees, target), target


@pytest.fixture(scope="session")
def study_report(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[ExecutedNotebook, Path]:
    """The report of a study of twelve sessions and the folder that holds it."""
    catalog = write_catalog(tmp_path_factory.mktemp("catalog"), sessions=12)
    target = tmp_path_factory.mktemp("study_report")
    executed = execute_notebook(
        TEMPLATES / "study_report.ipynb",
        target,
        inputs={"catalog": catalog},
        parameters={"study": "demo", "title": "Demo"},
    )
    return executed, target


def execute_session(trees: dict[str, Path], target: Path) -> ExecutedNotebook:
    """Run the session template on the given trees."""
    return execute_notebook(
        TEMPLATES / "session_report.ipynb",
        target,
        inputs=trees,
        parameters={"study": "demo", "subject": "01", "session": "1"},
    )
