"""``imaging-platform report`` says what it drew, and what it could not."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from imaging_platform.cli.pages import report
from imaging_platform.model.errors import BadConfig, InvalidOutput
from imaging_platform.reporting import dataset_pages
from imaging_platform.reporting.dataset_pages import Pages

PAGE = "sessions/sub-01_ses-1/report.html"


@pytest.fixture
def drawn(monkeypatch):
    """Let the pages be drawn at once; return what they are."""

    def give(pages: Pages) -> None:
        def write(source, target, *, derivatives, title):
            (target / "study").mkdir()
            (target / pages.study).write_text("page")
            return pages

        monkeypatch.setattr(dataset_pages, "write_pages", write)

    return give


def call(*arguments: object) -> str:
    called = CliRunner().invoke(report, list(map(str, arguments)))
    if called.exception and not isinstance(called.exception, SystemExit):
        raise called.exception
    return called.output


def test_the_number_of_sessions_and_the_page_of_all_are_told(tmp_path, drawn):
    drawn(Pages({"sub-01_ses-1": PAGE}, "study/report.html", {}))

    said = call(tmp_path, tmp_path / "out")

    assert said.startswith("1 session(s)")
    assert (tmp_path / "out" / "study" / "report.html").read_text() == "page"


def test_a_program_reads_which_pages_there_are(tmp_path, drawn):
    drawn(Pages({"sub-01_ses-1": PAGE}, "study/report.html", {}))

    assert json.loads(call(tmp_path, tmp_path / "out", "--json"))["sessions"] == {
        "sub-01_ses-1": PAGE
    }


def test_a_session_without_a_page_fails_the_call_and_keeps_the_others(tmp_path, drawn):
    drawn(Pages({}, "study/report.html", {"sub-02_ses-1": "a file is broken"}))

    with pytest.raises(InvalidOutput, match="sub-02_ses-1: a file is broken") as caught:
        call(tmp_path, tmp_path / "out")

    assert "Read the reasons" in caught.value.fix
    assert (tmp_path / "out" / "study").is_dir()


def test_nothing_that_is_there_is_written_over(tmp_path):
    with pytest.raises(BadConfig, match="exists already") as caught:
        call(tmp_path, tmp_path)

    assert "not there yet" in caught.value.fix
