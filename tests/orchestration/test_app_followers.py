"""A notebook that needs a BIDS App: who runs it, and when."""

from __future__ import annotations

from typing import Any

import dagster as dg
import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home
from imaging_platform.planning.plan import Choice, State
from imaging_platform.processing.outstanding import list_orders
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.sensors.followers import request_followers
from imaging_platform.survey.study import survey_study
from tests.orchestration.hollow_site import HollowSite

pytestmark = pytest.mark.slow

SESSION = "sub-01_ses-1"
TO_BIDS = ["raw_session", "anonymized_dicom", "bids_session"]
FOLLOWERS = {"size_notebook": ["motion", "tiny"]}
ENTRY: dict[str, Any] = {
    "name": "tiny",
    "version": "1.2",
    "image": f"site/tiny@sha256:{'a' * 64}",
    "outputs": [{"glob": "**/*"}],
}


def write_apps(home: Home, *entries: dict[str, Any]) -> None:
    text = yaml.safe_dump({"name": "demo", "apps": list(entries)})
    write_text(home.study_file("demo"), text)


def write_notebook(home: Home, name: str, front: str) -> None:
    path = home.notebooks("demo")[1] / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [new_raw_cell(front), new_code_cell("1")]
    nbformat.write(new_notebook(cells=cells), path)


@pytest.fixture
def site(tmp_path):
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    write_apps(home, ENTRY)
    write_notebook(home, "size", "level: session\nneeds: [motion, tiny]")
    with dg.DagsterInstance.ephemeral() as instance:
        made = HollowSite(home, instance)
        made.deliver(SESSION, "first")
        yield made


def orders(site: HollowSite) -> list[tuple[str, bool]]:
    """Return each run that is to be started, and whether the notebook is in it."""
    found = site.site()
    sessions, _ = list_orders(found, survey_study(found), site.instance)
    return [(order.job, "size_notebook" in order.reasons) for order in sessions]


def test_process_runs_the_app_and_then_the_notebook(site):
    site.run(SESSION, TO_BIDS)
    first = orders(site)
    site.run(SESSION, ["tiny"])
    second = orders(site)

    assert first == [("process_session", False), ("run_tiny", False)]
    assert second == [("process_session", True)]


def test_the_sensor_asks_for_the_notebook_once_all_that_it_needs_is_made(site):
    site.run(SESSION, [*TO_BIDS, "tiny"])
    early, position = request_followers(
        site.site(), site.instance, FOLLOWERS, cursor=None
    )
    site.run(SESSION, ["motion"])

    requests, after = request_followers(
        site.site(), site.instance, FOLLOWERS, cursor=position
    )
    again, same = request_followers(site.site(), site.instance, FOLLOWERS, cursor=after)

    assert early == []
    assert [(r.job_name, r.partition_key) for r in requests] == [
        ("demo_process_session", SESSION)
    ]
    assert requests[0].asset_selection == [dg.AssetKey(["demo", "size_notebook"])]
    assert (again, same) == ([], after)


def test_a_study_whose_notebooks_need_an_app_has_the_sensor_and_others_have_not(site):
    site.run(SESSION, [*TO_BIDS, "tiny", "motion"])
    definitions = define_home(site.home)
    context = dg.build_sensor_context(
        instance=site.instance,
        repository_def=definitions.get_repository_def(),
        resources={
            "published": PublishedZone(home=str(site.home.root), reports_url="")
        },
    )

    found = definitions.resolve_sensor_def("demo_followers")(context)
    write_notebook(site.home, "size", "level: session\nneeds: [motion]")
    others = {s.name for s in define_home(site.home).sensors or ()}

    assert [r.partition_key for r in found.run_requests] == [SESSION]
    assert "demo_followers" not in others


def test_the_run_of_a_new_session_does_not_begin_what_waits_for_an_app(site):
    (sensor,) = [
        s for s in define_home(site.home).sensors or () if s.name == "demo_sessions"
    ]

    published = PublishedZone(home=str(site.home.root), reports_url="")
    context = dg.build_sensor_context(
        instance=site.instance, resources={"published": published}
    )
    (request,) = sensor(context).run_requests

    chosen = {key.path[-1] for key in request.asset_selection or ()}
    assert {"raw_session", "session_report"} <= chosen
    assert chosen.isdisjoint({"size_notebook", "tiny"})


def test_another_result_of_the_app_makes_the_notebook_stale(site):
    site.reprocess(Choice(frozenset({State.MISSING})))
    site.codes["tiny"] = site.meanings["tiny"] = "other"
    site.run(SESSION, ["tiny"])

    (cell,) = [c for c in site.plan().cells if c.asset == "size_notebook"]

    assert cell.state is State.STALE
    assert cell.reasons[0].sentence == "changed input: tiny"


def test_a_notebook_of_the_study_that_needs_an_app_it_lacks_says_so(site):
    write_notebook(site.home, "other", "level: session\nneeds: [mriqc]")

    found = {a.key.path[-1]: a for a in define_home(site.home).assets or ()}

    (said,) = found["other_notebook"].descriptions_by_key.values()
    assert "cannot need mriqc" in said
    assert "a BIDS App is there when the study file has it" in said
