"""The plan of 5,000 sessions, on the embedded and on the production database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from benchmarks import hollow
from benchmarks.history import fill_history
from benchmarks.hollow import DIGEST, SCOPE
from imaging_platform.definitions import define_home
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.pipeline.stages import Per
from imaging_platform.planning.cells import State
from imaging_platform.resources.database import find_database
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.site import Site
from imaging_platform.survey.study import survey_study

pytestmark = pytest.mark.slow

N_SESSIONS = 5_000
MOST_MB = 300
"""500 MB for a process that starts with 150."""

MOST_CPU_S = 10
"""5 s on two idle cores; twice that beside other tests."""

MOST_WHY_CPU_S = 1
"""Half of it on an idle machine; Dagster alone takes that long to be imported."""

MOST_COMMAND_MB = 350
COMMAND = Path(sys.executable).with_name("imaging-platform")


@pytest.fixture(params=["sqlite", "postgres"])
def site(request, tmp_path):
    """Return a study of which every result was made."""
    home = Home(tmp_path / "home")
    hollow.write_home(home)
    if request.param == "postgres":
        folder = request.getfixturevalue("production")
        shutil.copy(folder / "dagster.yaml", home.dagster)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        graph = define_home(home).resolve_asset_graph()
        fill_history(instance, graph, n_sessions=N_SESSIONS)
        outline = outline_study(SCOPE.study, home.notebooks(SCOPE.name))
        store = LocalStore(home.root)
        site = Site(outline, find_database(instance), store, {})
        _make_cohort(site, instance)
        yield site, instance


def _make_cohort(site: Site, instance: dg.DagsterInstance) -> None:
    assets = [n.asset for n in site.nodes(Per.SESSION) if n.asset != "raw_session"]
    labels = [hollow.session_label(number) for number in range(N_SESSIONS)]
    inputs = {
        "catalog": {f"{a}[{label}]": DIGEST for a in assets for label in labels},
        "bids_dataset": {f"bids_session[{label}]": DIGEST for label in labels},
        "study_report": {"catalog": DIGEST, "bids_dataset": DIGEST},
    }
    for node in site.nodes(Per.STUDY):
        _tell(instance, node.asset, None, node.code_version, inputs[node.asset], DIGEST)


def _tell(instance, asset, partition, code_version, inputs, data_version) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=SCOPE.key(asset),
            partition=partition,
            metadata={"inputs": dg.MetadataValue.json(inputs)},
            tags={
                "dagster/code_version": code_version,
                "dagster/data_version": data_version,
            },
        )
    )


def _start_peak_mb() -> float:
    """Let the peak of memory begin anew: tests before may have had a higher one."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_mb()


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) / 1024


def test_a_plan_of_thousands_is_quick_small_and_right_to_the_member(site):
    site, instance = site
    before_mb = _start_peak_mb()
    first_s = time.process_time()
    plan = survey_study(site).plan
    took_s = time.process_time() - first_s
    grown_mb = _peak_mb() - before_mb

    n_cells = N_SESSIONS * len(site.nodes(Per.SESSION)) + len(site.nodes(Per.STUDY))
    assert plan.count_states()["fresh"] == len(plan.cells) == n_cells > 50_000
    assert took_s < MOST_CPU_S
    assert grown_mb < MOST_MB

    label = hollow.session_label(4_321)
    (bids,) = [n for n in site.nodes(Per.SESSION) if n.asset == "bids_session"]
    inputs = {"anonymized_dicom": DIGEST}
    _tell(instance, "bids_session", label, bids.code_version, inputs, "other")
    found = survey_study(site).plan

    catalog, dataset = found.find("catalog", ""), found.find("bids_dataset", "")
    for cell in (catalog, dataset):
        assert cell.state is State.STALE
        assert cell.reasons[0].inputs == (f"bids_session[{label}]",)
    marked = {c.asset for c in found.unsettled if c.partition}
    assert {c.partition for c in found.unsettled} == {label, ""}
    assert "bids_session" not in marked
    first_s = time.process_time()
    alone = survey_study(site, label).plan
    assert time.process_time() - first_s < 1
    assert alone.cells == tuple(c for c in found.cells if c.partition == label)


MEASURE = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""From a small process: the peak of a program is never below that of its starter."""


def _measure(site: Site, *words: str) -> tuple[str, float, float]:
    """Return what a command printed, its CPU time in seconds and its peak in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(COMMAND), *words],
        env={**os.environ, "IMAGING_HOME": str(site.store.root)},
        capture_output=True,
        check=True,
        text=True,
    )
    cpu_s, peak_kb = map(float, done.stderr.split()[-2:])
    return done.stdout, cpu_s, peak_kb / 1024


def test_the_commands_are_quick_and_small_with_most_of_a_study_out_of_date(site):
    label = hollow.session_label(4_321)
    site, instance = site
    instance.wipe_assets([SCOPE.key("motion"), SCOPE.key("tissues")])

    words = ("--study", SCOPE.name, "--json")
    out, plan_s, plan_mb = _measure(site, "plan", *words)
    told, why_s, _ = _measure(site, "why", "confounds", label, *words)

    (plan,) = json.loads(out)
    assert plan["states"]["missing"] == 2 * N_SESSIONS
    assert plan["states"]["stale"] > 3 * N_SESSIONS
    assert plan_s < MOST_CPU_S
    assert plan_mb < MOST_COMMAND_MB
    assert json.loads(told)["state"] == "stale"
    assert why_s < MOST_WHY_CPU_S
