"""What makes the result of a BIDS App stale, and who runs it."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
import yaml

from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home
from imaging_platform.planning.cells import State
from imaging_platform.planning.plan import Choice
from imaging_platform.processing.outstanding import list_orders
from imaging_platform.sensors.apps import request_apps
from imaging_platform.sensors.reprocessing import request_stale
from imaging_platform.survey.study import survey_study
from tests.orchestration.hollow_site import HollowSite

pytestmark = pytest.mark.slow

SESSIONS = ["sub-01_ses-1", "sub-02_ses-1"]
UP = Choice(frozenset({State.STALE, State.MISSING}))
ENTRY: dict[str, Any] = {
    "name": "tiny",
    "version": "1.2",
    "image": f"site/tiny@sha256:{'a' * 64}",
    "command": "{bids_dir} {out_dir} {params.level}",
    "params": {"level": 1},
    "outputs": [{"glob": "**/*"}],
}
GROUP = {**ENTRY, "name": "cohort", "level": "study"}


def write_apps(home: Home, *entries: dict[str, Any]) -> None:
    text = yaml.safe_dump({"name": "demo", "apps": list(entries)})
    write_text(home.study_file("demo"), text)


@pytest.fixture
def site(tmp_path):
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    write_apps(home, ENTRY, GROUP)
    with dg.DagsterInstance.ephemeral() as instance:
        made = HollowSite(home, instance)
        for session in SESSIONS:
            made.deliver(session, "first")
        yield made


@pytest.fixture
def brought_up(site):
    site.reprocess(UP)
    assert list(site.plan().unsettled) == []
    return site


def reasons(site: HollowSite) -> dict[tuple[str, str], str]:
    return {
        (cell.asset, cell.partition): "; ".join(r.sentence for r in cell.reasons)
        for cell in site.plan().cells
        if cell.state is State.STALE
    }


def test_another_image_makes_every_session_stale_and_is_named_as_the_tool(brought_up):
    site = brought_up
    write_apps(site.home, {**ENTRY, "image": f"site/tiny@sha256:{'b' * 64}"}, GROUP)

    stale = reasons(site)

    assert set(stale) == {("tiny", session) for session in SESSIONS}
    assert all(
        why.startswith("tool changed: tiny 1.2@sha256:aaa") for why in stale.values()
    )
    assert all("to 1.2@sha256:bbb" in why for why in stale.values())


def test_another_version_of_the_app_is_named_as_the_tool(brought_up):
    site = brought_up
    write_apps(site.home, {**ENTRY, "version": "1.3"}, GROUP)

    assert all("tool changed: tiny 1.2@" in why for why in reasons(site).values())
    assert len(reasons(site)) == len(SESSIONS)


def test_another_parameter_makes_every_session_stale_and_is_named(brought_up):
    site = brought_up
    write_apps(site.home, {**ENTRY, "params": {"level": 2}}, GROUP)

    stale = reasons(site)

    assert set(stale) == {("tiny", session) for session in SESSIONS}
    assert all(
        why.startswith("settings changed: apps.tiny in the study file")
        for why in stale.values()
    )


def test_more_memory_and_time_make_nothing_stale(brought_up):
    site = brought_up
    write_apps(
        site.home, {**ENTRY, "memory_gb": 64, "timeout_min": 9, "cpus": 8}, GROUP
    )

    assert reasons(site) == {}


def test_edits_make_exactly_their_session_stale_and_are_named(brought_up):
    site = brought_up
    edits = site.home.edits("demo", "tiny", SESSIONS[1])
    write_text(edits / "out" / "control.dat", "1 2 3")

    assert reasons(site) == {("tiny", SESSIONS[1]): "changed input: edits"}


def test_a_late_series_makes_the_app_of_its_session_and_of_the_study_stale(brought_up):
    site = brought_up
    site.deliver(SESSIONS[0], "late")

    ran = site.reprocess(UP)

    assert [each for each in ran if each[0] in ("tiny", "cohort")] == [
        ("tiny", SESSIONS[0]),
        ("cohort", ""),
    ]


def test_an_app_has_runs_of_its_own_that_wait_for_what_they_need(site):
    first = _orders(site)
    site.run(SESSIONS[0], ["raw_session", "anonymized_dicom", "bids_session"])

    second = _orders(site)

    assert {job for job, _ in first} == {"process_session"}
    assert ("run_tiny", SESSIONS[0]) in second
    assert ("run_tiny", SESSIONS[1]) not in second


def _orders(site: HollowSite) -> set[tuple[str, str]]:
    found = site.site()
    sessions, _ = list_orders(found, survey_study(found), site.instance)
    return {(order.job, order.partition) for order in sessions}


def test_the_reprocessing_sensor_asks_for_an_app_by_its_own_job(brought_up):
    site = brought_up
    write_apps(site.home, {**ENTRY, "params": {"level": 2}}, GROUP)

    requests = request_stale(site.site(), site.instance, "1")

    assert {(r.job_name, r.partition_key) for r in requests} == {
        ("demo_run_tiny", session) for session in SESSIONS
    }


def test_the_sensor_asks_for_each_session_once_and_goes_on(brought_up):
    site = brought_up

    requests, cursor = request_apps(site.scope, site.instance, cursor=None)
    again, same = request_apps(site.scope, site.instance, cursor=cursor)

    assert {r.partition_key for r in requests} == set(SESSIONS)
    assert {r.job_name for r in requests} == {"demo_run_tiny"}
    assert len({r.run_key for r in requests}) == len(SESSIONS)
    assert (again, same) == ([], cursor)


def test_a_run_of_an_app_is_tagged_with_what_it_needs(site):
    jobs = {job.name: job for job in define_home(site.home).jobs or ()}

    tags = jobs["demo_run_tiny"].tags

    assert tags == {
        "imaging/app": "tiny",
        "imaging/cpus": "1",
        "imaging/memory_gb": "4",
    }
