"""A change of BIDS rules reruns the sessions that it concerns, and says why."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml

from imaging_platform.assets.scope import Scope
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.files.writing import write_text
from imaging_platform.intake.arrivals import put_in_inbox
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.evidence import read_stored
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.outstanding import (
    find_drop_orders,
    find_session_orders,
)
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_made, read_members
from tests.intake.drops import mr_bytes, write_files

pytestmark = pytest.mark.slow

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
CONVERTED = ("raw_session", "anonymized_dicom", "bids_session")


class Site:
    """A home with two converted sessions whose series have different numbers."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home = home
        self.instance = instance

    @property
    def scope(self) -> Scope:
        return Scope(load_study(self.home, "demo"))

    def run(self, job: str, partition: str, *assets: str) -> None:
        definitions = define_home(self.home)
        assert (
            definitions.resolve_job_def(f"demo_{job}")
            .execute_in_process(
                instance=self.instance,
                partition_key=partition or None,
                asset_selection=[dg.AssetKey(["demo", a]) for a in assets] or None,
                run_config=QUIET,
            )
            .success
        )

    def index(self) -> None:
        zone = IdentifiedZone(home=str(self.home.root))
        orders, _ = find_drop_orders(self.scope, self.instance, zone)
        for order in orders:
            self.instance.add_dynamic_partitions("demo_drops", [order.partition])
            self.run("index_drop", order.partition)
        for key in read_members(find_database(self.instance), self.scope.name):
            self.instance.add_dynamic_partitions("demo_sessions", [key])
            self.run("process_session", key, *CONVERTED)

    def configure(self, **bids: object) -> None:
        text = yaml.safe_dump({"name": "demo", "bids": bids})
        write_text(self.home.study_file("demo"), text)

    def reasons(self) -> dict[str, str]:
        """Return why each session must be converted again."""
        outline = outline_study(self.scope.study, self.home.notebooks("demo"))
        zone = IdentifiedZone(home=str(self.home.root))
        store = LocalStore(self.home.root)
        orders = find_session_orders(outline, self.instance, zone, store)
        return {
            order.partition: order.reasons["bids_session"]
            for order in orders
            if "bids_session" in order.reasons
        }

    def results(self) -> dict[str, object]:
        """Return files and series report of each session."""
        store = LocalStore(self.home.root)
        keys = map(
            str,
            read_made(find_database(self.instance), self.scope.name, "bids_session"),
        )
        records = {
            key: store.read(layout.bids_session("demo", SessionKey.parse(key)))
            for key in keys
        }
        return {
            k: (r.data_version, r.report["series"]) for k, r in records.items() if r
        }

    def numbers(self) -> dict[str, object]:
        """Return the number of the only series of each session."""
        store = LocalStore(self.home.root)
        found = {key: read_stored(store, "demo", key) for key in self.results()}
        return {
            key: stored.outputs[0].sidecar["SeriesNumber"]
            for key, stored in found.items()
            if stored
        }


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    tmp_path: Path = tmp_path_factory.mktemp("rules")
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    for number, patient in ((3, "KESTREL^A"), (4, "HERON^B")):
        files = {"one": mr_bytes(patient_id=patient, study=number, series=number)}
        drop = write_files(tmp_path / f"drop{number}", files)
        put_in_inbox(drop, home.zone("inbox", "demo"))
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        site = Site(home, instance)
        site.index()
        yield site


@pytest.fixture
def site(made_once):
    """The sessions as they are without a rule, before and after each test."""
    yield made_once
    made_once.configure()
    for key in made_once.reasons():
        made_once.run("process_session", key, "bids_session")


def rule(**match: object) -> dict[str, object]:
    return {"match": match, "exclude": "A trial."}


MATRIX: dict[str, tuple[dict[str, object], set[int]]] = {
    "nothing": ({}, set()),
    "a rule for nobody": ({"rules": [rule(SeriesNumber=99)]}, set()),
    "a rule for one": ({"rules": [rule(SeriesNumber=3)]}, {3}),
    "a rule for both": ({"rules": [rule(SeriesNumber={"min": 3})]}, {3, 4}),
    "a rule with a field that was not kept": (
        {"rules": [rule(**{"dicom.PatientPosition": "nobody"})]},
        set(),
    ),
    "the dataset's words": ({"license": "CC0"}, set()),
    "the limit of time": ({"convert_timeout_s": 100.0}, set()),
}


@pytest.mark.parametrize("change", MATRIX)
def test_what_is_marked_is_what_a_rerun_changes(site, change):
    settings, concerned = MATRIX[change]
    numbers, before = site.numbers(), site.results()

    site.configure(**settings)
    marked = site.reasons()

    for key in before:
        site.run("process_session", key, "bids_session")
    after = site.results()
    differing = {numbers[key] for key in after if after[key] != before[key]}
    assert differing == concerned
    told = {numbers[key] for key, why in marked.items() if "must be read" not in why}
    assert told == concerned
    assert site.reasons() == {}


def test_the_reason_names_the_series_and_what_becomes_of_it(site):
    site.configure(rules=[rule(SeriesNumber=3)])

    (reason,) = site.reasons().values()

    assert reason.startswith("rules: 1 image is decided differently, first series 3: ")
    assert reason.endswith(
        "becomes excluded (A trial. A rule of the study: SeriesNumber 3.)"
    )


def test_other_rules_leave_the_code_version_alone(site):
    before = read_made(find_database(site.instance), site.scope.name, "bids_session")
    site.configure(rules=[rule(SeriesNumber=3)], default_task="other")

    graph = define_home(site.home).resolve_asset_graph()

    now = graph.get(site.scope.key("bids_session")).code_version
    assert {one.code_version for one in before.values()} == {now}


def test_an_unread_field_must_be_read_from_the_images(site):
    site.configure(rules=[rule(**{"dicom.PatientPosition": "nobody"})])

    assert set(site.reasons().values()) == {
        "rules: dicom.PatientPosition must be read from the images"
    }


def test_the_catalog_tells_how_the_scans_of_converted_sessions_were_acquired(site):
    import pyarrow.parquet as pq

    rule = {"match": {"SeriesNumber": {"min": 3}}, "datatype": "anat", "suffix": "T1w"}
    site.configure(rules=[rule])
    for key in site.reasons():
        site.run("process_session", key, "bids_session")

    site.run("summarize_cohort", "", "catalog")

    tables = site.home.root / layout.catalog("demo")
    (variant,) = pq.read_table(tables / "variants.parquet").to_pylist()
    assert (variant["scan"], variant["n_sessions"]) == ("anat/T1w", 2)
    assert pq.read_table(tables / "deviations.parquet").to_pylist() == []
