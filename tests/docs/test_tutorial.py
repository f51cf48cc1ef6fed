from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TUTORIAL = REPOSITORY / "docs/tutorial/first_study.md"
STAYS = "imaging-platform up"
"""Does not end by itself; nothing later in the tutorial needs it."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, str]:
    """What each part of the tutorial printed when its commands were run in order."""
    checkout = tmp_path_factory.mktemp("tutorial") / "checkout"
    checkout.mkdir()
    (checkout / ".venv").symlink_to(sys.prefix)
    script = ["set -euo pipefail"]
    for part in re.split(r"^## ", TUTORIAL.read_text(), flags=re.MULTILINE)[1:]:
        script += [f"echo '## {part.splitlines()[0]}'", *_as_script(part)]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.split(r"^## ", done.stdout, flags=re.MULTILINE)[1:]
    return {text.splitlines()[0]: text for text in printed}


def _as_script(part: str) -> list[str]:
    """Return the commands of a part; what it says to add to a file is added first."""
    added = re.findall(
        r"Add this at the end of `(.*?)`:\n\n```yaml\n(.*?)```", part, re.S
    )
    lines = [f"cat >> ../first/{file} <<'END'\n{text}END" for file, text in added]
    commands = re.findall(r"^\$ (.*)$", part, re.MULTILINE)
    return [*lines, *(line for line in commands if line != STAYS)]


def _made(text: str) -> set[str]:
    return set(re.findall(r"^  done +[\d.]+ s  (\w+)", text, re.MULTILINE))


def test_a_session_goes_from_drop_to_report(parts):
    assert {"drop_index", "bids_session", "study_report"} <= _made(parts["Process it"])


def test_a_late_series_leaves_alone_what_comes_out_the_same(parts):
    made = _made(parts["A series comes late"])

    assert {"bids_session", "motion", "study_report"} <= made
    assert "temporal_snr" not in made


def test_a_changed_limit_computes_no_image(parts):
    made = _made(parts["Change a limit"])

    assert made == {"session_quality", "session_report", "catalog", "study_report"} | {
        "processing_plan"
    }


def test_the_status_says_why_before_anything_runs(parts):
    before = parts["Change a limit"].split("done")[0]

    assert "session_quality" in before
    assert "settings changed: quality" in before
