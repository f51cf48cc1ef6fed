"""What the event log tells of results, failures and cost, read in bulk."""

import os
import shutil
import time

import dagster as dg
import pytest
import sqlalchemy

from imaging_platform.assets.explaining import FAILED_TAG, explained
from imaging_platform.assets.metering import CPU_S, metered, tell_cost
from imaging_platform.assets.scope import Scope
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.model.errors import ToolFailed
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.stages import Per
from imaging_platform.planning.cells import State
from imaging_platform.planning.plan import Choice
from imaging_platform.planning.versions import split_version
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.sensors.reprocessing import (
    MOST_ATTEMPTS,
    MOST_RUNS_A_TICK,
    find_position,
    request_stale,
)
from imaging_platform.settings import DEMO_STUDY
from imaging_platform.survey.attempts import read_attempts
from imaging_platform.survey.history import read_costs, read_made
from imaging_platform.survey.study import survey_study
from tests.orchestration.hollow_site import OF_SESSIONS, HollowSite

SESSIONS = ["sub-01_ses-1", "sub-02_ses-1"]
NEW = Choice(frozenset({State.MISSING, State.STALE}))


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survey")
    home = Home(folder / "home")
    create_study(home, "demo")
    with dg.DagsterInstance.ephemeral() as instance:
        site = HollowSite(home, instance)
        for session in SESSIONS:
            site.deliver(session, "first")
        site.reprocess(NEW)
        yield site


@pytest.fixture
def site(made_once):
    yield made_once
    made_once.codes.clear()
    made_once.failing.clear()


def test_events_read_in_bulk_say_what_dagster_says(site):
    made = read_made(find_database(site.instance), site.scope.name, "brain_mask")

    page = site.instance.fetch_materializations(site.scope.key("brain_mask"), limit=10)
    told = {r.partition_key: r.asset_materialization for r in page.records}
    assert {k: one.data_version for k, one in made.items()} == {
        key: one.tags["dagster/data_version"] for key, one in told.items()
    }
    assert {k: one.code_version for k, one in made.items()} == {
        key: one.tags["dagster/code_version"] for key, one in told.items()
    }
    assert {k: dict(one.inputs) for k, one in made.items()} == {
        key: one.metadata["inputs"].value for key, one in told.items()
    }


def test_what_has_no_partition_is_read_too(site):
    made = read_made(find_database(site.instance), site.scope.name, "catalog")

    assert list(made) == [None]
    assert "bids_session[sub-01_ses-1]" in made[None].inputs


def test_what_was_wiped_is_missing_until_it_is_made_again(tmp_path):
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    with dg.DagsterInstance.ephemeral() as instance:
        site = HollowSite(home, instance)
        site.deliver(SESSIONS[0], "first")
        site.reprocess(NEW)
        site.failing.add(("motion", SESSIONS[0]))
        site.run(SESSIONS[0], ["motion"])

        instance.wipe_assets([site.scope.key("motion"), site.scope.key("catalog")])
        motion, catalog = (
            site.plan().find("motion", SESSIONS[0]),
            site.plan().find("catalog", ""),
        )
        site.failing.clear()
        site.run(SESSIONS[0], ["motion"])

        assert (motion.state, motion.failure) == (State.MISSING, "")
        assert catalog.reasons[0].kind == "never made"
        assert site.plan().find("motion", SESSIONS[0]).state is State.FRESH


def test_half_a_character_in_what_was_told_hides_no_result():
    with dg.DagsterInstance.ephemeral() as instance:
        scope = Scope(DEMO_STUDY)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                scope.key("motion"),
                partition=SESSIONS[0],
                metadata={"inputs": dg.MetadataValue.json({"half \ud83d": "1"})},
            )
        )

        made = read_made(find_database(instance), scope.name, "motion")

    assert made[SESSIONS[0]].inputs == {"half \ud83d": "1"}


def test_a_survey_opens_few_connections(tmp_path):
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    opened = []

    def note(connection, _):
        opened.append(connection)

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        site = HollowSite(home, instance)
        site.deliver(SESSIONS[0], "first")
        ready = site.site()
        sqlalchemy.event.listen(sqlalchemy.Engine, "connect", note)

        survey_study(ready)

        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", note)
    assert 0 < len(opened) < 10


def test_a_failed_attempt_is_named_by_its_class(site):
    site.codes["motion"] = "7"
    site.failing.add(("motion", SESSIONS[0]))

    site.run(SESSIONS[0], ["motion"])

    (attempts,) = read_attempts(
        find_database(site.instance), site.scope.name, ["motion"]
    ).values()
    assert attempts[SESSIONS[0]].failure == "RuntimeError"
    assert site.plan().find("motion", SESSIONS[0]).state is State.FAILED
    site.failing.clear()
    site.run(SESSIONS[0], ["motion"])
    assert (
        read_attempts(find_database(site.instance), site.scope.name, ["motion"]) == {}
    )


def test_an_expected_error_is_a_tag_of_the_run():
    @dg.asset
    def broken() -> None:
        with explained():
            raise ToolFailed("It broke.", fix="Try again.")

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([broken], instance=instance, raise_on_error=False)
        run = instance.get_run_by_id(result.run_id)

    assert run.tags[f"{FAILED_TAG}broken"] == "ToolFailed"


def test_what_failed_is_stale_when_its_code_is_another(site):
    site.codes["motion"] = "8"
    site.failing.add(("motion", SESSIONS[0]))
    site.run(SESSIONS[0], ["motion"])
    before = site.plan().find("motion", SESSIONS[0])
    site.codes["motion"] = "9"
    site.failing.clear()

    after = site.plan().find("motion", SESSIONS[0])
    ran = site.reprocess(Choice(frozenset({State.STALE})))

    assert (before.state, before.failure) == (State.FAILED, "RuntimeError")
    assert after.state is State.STALE
    assert ("motion", SESSIONS[0]) in ran
    assert site.plan().find("motion", SESSIONS[0]).state is State.FRESH


def test_when_the_only_session_is_removed_what_spans_it_is_out_of_date(tmp_path):
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    with dg.DagsterInstance.ephemeral() as instance:
        site = HollowSite(home, instance)
        site.deliver(SESSIONS[0], "first")
        site.reprocess(NEW)
        for asset in OF_SESSIONS:
            shutil.rmtree(site.tree(asset, SESSIONS[0]), ignore_errors=True)
        instance.delete_dynamic_partition("demo_sessions", SESSIONS[0])

        catalog = site.plan().find("catalog", "")

    assert catalog is not None
    assert catalog.state is State.STALE
    assert f"bids_session[{SESSIONS[0]}]" in catalog.reasons[0].inputs


def test_one_session_is_read_alone_and_says_the_same(site):
    site.codes["motion"] = "3"

    alone = survey_study(site.site(), SESSIONS[1]).plan.cells

    everything = site.plan().cells
    assert alone == tuple(c for c in everything if c.partition == SESSIONS[1])


def test_the_time_of_processes_that_were_waited_for_counts():
    with metered():
        if (child := os.fork()) == 0:
            end_s = time.process_time() + 0.3
            while time.process_time() < end_s:
                continue
            os._exit(0)
        os.waitpid(child, 0)
        told = tell_cost(7)

    assert told[CPU_S] >= 0.3
    assert told["bytes published"] == 7


def test_outside_of_a_step_no_time_is_told():
    assert tell_cost(7) == {"bytes published": 7}


def test_a_cost_that_was_never_told_is_unknown(site):
    assert (
        read_costs(find_database(site.instance), site.scope.name, ["motion"])[
            "motion"
        ].n_measured
        == 0
    )


def test_every_code_version_has_the_parts_that_its_asset_names(site):
    for node in (*site.site().nodes(Per.SESSION), *site.site().nodes(Per.STUDY)):
        assert len(split_version(node.parts, node.code_version)) == len(node.parts)


def test_the_plan_asset_is_no_part_of_the_plan(site):
    assert site.plan().find("processing_plan", "") is None


def test_the_sensor_is_off_until_a_person_switches_it_on(site):
    sensors = {sensor.name: sensor for sensor in define_home(site.home).sensors or ()}

    status = sensors["demo_reprocess_stale"].default_status

    assert status is dg.DefaultSensorStatus.STOPPED


def test_a_tick_after_which_nothing_happened_looks_at_nothing(site):
    definitions = define_home(site.home)
    (sensor,) = [s for s in definitions.sensors or () if "reprocess" in s.name]
    published = PublishedZone(home=str(site.home.root), reports_url="")

    def tick(cursor: str | None):
        context = dg.build_sensor_context(
            instance=site.instance,
            cursor=cursor,
            repository_def=definitions.get_repository_def(),
            resources={"published": published},
        )
        return sensor(context)

    first = tick(None)
    again = tick(first.cursor)

    assert isinstance(first, dg.SensorResult)
    assert isinstance(again, dg.SkipReason)


def test_the_sensor_asks_for_the_frontier_and_twice_for_the_same(site):
    site.codes["motion"] = "4"
    position = find_position(site.scope, site.instance)

    requests = request_stale(site.site(), site.instance, position)

    assert [r.partition_key for r in requests] == SESSIONS
    assert all(r.asset_selection == [site.scope.key("motion")] for r in requests)
    again = request_stale(site.site(), site.instance, position)
    assert [r.run_key for r in again] == [r.run_key for r in requests]


def test_the_sensor_asks_for_a_bounded_number_of_runs(site, monkeypatch):
    monkeypatch.setattr("imaging_platform.sensors.reprocessing.MOST_RUNS_A_TICK", 1)
    site.codes["motion"] = "5"

    assert len(request_stale(site.site(), site.instance, "1:a")) == 1
    assert MOST_RUNS_A_TICK > 1


def test_the_sensor_leaves_what_failed_alone(site):
    site.codes["motion"] = "6"
    site.failing.add(("motion", SESSIONS[0]))
    site.run(SESSIONS[0], ["motion"])

    requests = request_stale(site.site(), site.instance, "1:a")

    assert [r.partition_key for r in requests] == SESSIONS[1:]


def test_the_sensor_asks_twice_for_what_is_interrupted_until_something_changes(site):
    site.codes["motion"] = "7"
    asked = []
    for position in ("1:a", "2:a", "3:a"):
        requests = request_stale(site.site(), site.instance, position)
        asked.append([r.partition_key for r in requests])
        for request in requests[:1]:
            _interrupt(site, request)

    site.codes["motion"] = "8"
    after = request_stale(site.site(), site.instance, "4:a")

    assert asked == [SESSIONS, SESSIONS, SESSIONS[1:]]
    assert [r.partition_key for r in after] == SESSIONS


def test_what_is_interrupted_does_not_keep_the_sensor_from_the_whole_study(site):
    site.codes |= {"motion": "killed", "study_report": "killed"}
    for _ in range(MOST_ATTEMPTS):
        for request in request_stale(site.site(), site.instance, "1:a"):
            _interrupt(site, request)

    (request,) = request_stale(site.site(), site.instance, "2:a")

    assert request.partition_key is None
    assert request.asset_selection == [site.scope.key("study_report")]


def _interrupt(site: HollowSite, request: dg.RunRequest) -> None:
    """Let a run end as one whose process was killed: no step says why."""
    (key,) = request.asset_selection
    job = site.definitions().resolve_implicit_global_asset_job_def()
    run = site.instance.create_run_for_job(
        job.get_subset(asset_selection={key}),
        tags={**request.tags, "dagster/partition": request.partition_key},
        asset_selection=frozenset({key}),
    )
    site.instance.report_run_failed(run, "The run was killed.")


def test_a_session_that_is_removed_by_hand_leaves_the_dataset_once_and_for_all(site):
    tree = site.tree("bids_session", SESSIONS[1])
    tree.rmdir()

    first = site.reprocess(NEW)
    second = site.reprocess(NEW)
    tree.mkdir()
    back = site.reprocess(NEW)

    assert set(first) >= {("bids_dataset", ""), ("catalog", "")}
    assert second == []
    assert ("bids_dataset", "") in back
