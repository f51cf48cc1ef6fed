"""From what left the system back to the scanner's series, and forward again."""

from __future__ import annotations

import base64
import re
import shutil

import pytest

from imaging_platform.model import layout
from imaging_platform.provenance.trees import list_sessions

from .conftest import run_command

pytestmark = pytest.mark.slow

STUDY = "demo"


@pytest.fixture
def home(demo):
    return demo[0]


@pytest.fixture
def session(home):
    return list_sessions(home.root, STUDY)[0]


def test_a_figure_of_a_report_leads_back_to_the_drops_of_its_session(
    home, session, tmp_path
):
    page = home.root / layout.session_report(STUDY, session) / "report.html"
    found = re.search(
        r"data:image/(png|jpeg);base64,([A-Za-z0-9+/=]+)", page.read_text()
    )
    figure = tmp_path / f"figure.{found[1]}"
    figure.write_bytes(base64.b64decode(found[2]))

    ran = run_command(home, "trace", str(figure), "--json")

    answer = ran.json()
    kinds = {node["kind"] for node in answer["lineage"]["nodes"]}
    start = f"session_report[{session}]"
    assert (answer["found_by"], answer["lineage"]["start"]) == ("stamp", [start])
    assert start in answer["runs"]
    assert kinds == {"result", "series", "drop", "decision"}
    assert all(edge["is_current"] for edge in answer["lineage"]["edges"])


def test_an_image_leads_to_one_series_and_that_leads_to_the_image(
    home, session, tmp_path
):
    tree = home.root / layout.derivative(STUDY, "temporal_snr", session)
    (image,) = tree.glob("func/*_desc-tsnr_*.nii.gz")
    shutil.copy(image, tmp_path / "sent.nii.gz")

    back = run_command(home, "trace", str(tmp_path / "sent.nii.gz"), "--json").json()
    (series,) = (n for n in back["lineage"]["nodes"] if n["kind"] == "series")
    number = series["id"].split()[1]
    ahead = run_command(home, "impact", str(session), "--series", number, "--json")

    files = {n["id"]: n["files"] for n in ahead.json()["lineage"]["nodes"]}
    assert f"func/{image.name}" in files[f"temporal_snr[{session}]"]
    assert f"diffusion_maps[{session}]" not in files
