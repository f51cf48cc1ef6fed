"""A change of policy reruns the sessions that it concerns, and says why."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from imaging_platform.assets.scope import Scope
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.files.writing import write_text
from imaging_platform.intake.arrivals import put_in_inbox
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.planning.cells import State
from imaging_platform.processing.outstanding import (
    find_drop_orders,
    find_session_orders,
)
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.describing import describe_some
from imaging_platform.survey.history import read_made, read_members
from imaging_platform.survey.site import Site as SurveyedSite
from imaging_platform.survey.study import survey_study
from tests.deid.originals import make_original, save
from tests.intake.drops import mr_bytes, write_files

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
GATED = [dg.AssetKey(["demo", name]) for name in ("raw_session", "anonymized_dicom")]


class Site:
    """A home with two de-identified sessions, one of which has an EchoTime."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home = home
        self.instance = instance

    @property
    def scope(self) -> Scope:
        return Scope(load_study(self.home, "demo"))

    def run(self, job: str, partition: str, assets: list[dg.AssetKey] | None) -> None:
        definitions = define_home(self.home)
        assert (
            definitions.resolve_job_def(f"demo_{job}")
            .execute_in_process(
                instance=self.instance,
                partition_key=partition,
                asset_selection=assets,
                run_config=QUIET,
            )
            .success
        )

    def index(self) -> None:
        zone = IdentifiedZone(home=str(self.home.root))
        orders, _ = find_drop_orders(self.scope, self.instance, zone)
        for order in orders:
            self.instance.add_dynamic_partitions("demo_drops", [order.partition])
            self.run("index_drop", order.partition, None)
        for key in read_members(find_database(self.instance), self.scope.name):
            self.instance.add_dynamic_partitions("demo_sessions", [key])
            self.run("process_session", key, GATED)

    def configure(self, deid: str) -> None:
        write_text(self.home.study_file("demo"), f"name: demo\ndeid:\n  {deid}\n")

    def reasons(self) -> dict[str, str]:
        """Return why each session must be de-identified again."""
        outline = outline_study(self.scope.study, self.home.notebooks("demo"))
        zone = IdentifiedZone(home=str(self.home.root))
        orders = find_session_orders(
            outline, self.instance, zone, LocalStore(self.home.root)
        )
        return {
            order.partition: order.reasons["anonymized_dicom"]
            for order in orders
            if "anonymized_dicom" in order.reasons
        }

    def versions(self) -> dict[str | None, str]:
        made = read_made(
            find_database(self.instance), self.scope.name, "anonymized_dicom"
        )
        return {key: one.data_version for key, one in made.items()}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    tmp_path: Path = tmp_path_factory.mktemp("policy")
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    drop = write_files(tmp_path / "drop", {"bare": mr_bytes(patient_id="KESTREL^A")})
    save(make_original(), drop / "timed")
    put_in_inbox(drop, home.zone("inbox", "demo"))
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        site = Site(home, instance)
        site.index()
        yield site


@pytest.fixture
def site(made_once):
    """The sessions as the defaults make them, before and after each test."""
    yield made_once
    made_once.configure("dates: modified")
    for key in made_once.reasons():
        made_once.run("process_session", key, GATED)


def test_nothing_is_out_of_date_while_the_policy_is_the_same(site):
    assert len(site.versions()) == 2
    assert site.reasons() == {}


def test_a_change_that_concerns_nobody_marks_nobody(site):
    site.configure("remove: [RescaleType]")

    assert site.reasons() == {}


def test_a_change_marks_the_session_that_it_concerns_and_names_the_element(site):
    site.configure("remove: [EchoTime]")

    (reason,) = site.reasons().values()

    assert reason == "policy: 1 element is treated differently, first (0018,0081)"


def test_the_plan_says_it_in_the_same_words_and_as_data(site):
    site.configure("remove: [EchoTime]")
    outline = outline_study(site.scope.study, site.home.notebooks("demo"))
    asked = SurveyedSite(
        outline, find_database(site.instance), LocalStore(site.home.root), {}
    )

    plan = describe_some(asked, survey_study(asked).plan)

    stale = [cell for cell in plan.cells if cell.state is State.STALE]
    (reason,) = stale[0].reasons
    assert [cell.asset for cell in stale] == ["anonymized_dicom"]
    assert reason.kind == "policy"
    assert reason.sentence.endswith("treated differently, first (0018,0081)")


def test_a_session_that_was_run_again_is_up_to_date(site):
    site.configure("remove: [EchoTime]")
    before = site.versions()
    (key,) = site.reasons()

    site.run("process_session", key, GATED)

    after = site.versions()
    assert site.reasons() == {}
    assert {k for k in after if after[k] != before[k]} == {key}


def test_another_policy_leaves_the_code_version_alone(site):
    before = read_made(
        find_database(site.instance), site.scope.name, "anonymized_dicom"
    )
    site.configure("dates: full")
    graph = define_home(site.home).resolve_asset_graph()

    now = graph.get(site.scope.key("anonymized_dicom")).code_version

    assert {one.code_version for one in before.values()} == {now}
    assert len(site.reasons()) == 2


def test_no_policy_input_tells_what_a_session_holds(site):
    made = read_made(find_database(site.instance), site.scope.name, "anonymized_dicom")

    assert all(len(one.inputs["policy"]) == 64 for one in made.values())
