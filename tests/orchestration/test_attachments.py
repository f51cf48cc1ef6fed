"""Events in a drop stand beside their run in the end, and nobody is named by them."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest

from imaging_platform.assets.scope import Scope
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.demo.session import visit_named, write_sessions
from imaging_platform.intake.arrivals import put_in_inbox
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.outstanding import (
    find_drop_orders,
    find_session_orders,
)
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.sensors.sessions import request_sessions
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_members

pytestmark = pytest.mark.slow

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
EVENTS = "onset\tduration\ttrial_type\n1.5\t2\tface\n"
VISIT = "kestrel-1"
SURNAME = visit_named(VISIT).patient.name.partition("^")[0]


class Site:
    """A home, and Dagster beside it."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home = home
        self.instance = instance
        self.scope = Scope(load_study(home, "demo"))
        self.zone = IdentifiedZone(home=str(home.root))

    def run(self, job: str, partition: str, *assets: str) -> dg.ExecuteInProcessResult:
        result = (
            define_home(self.home)
            .resolve_job_def(f"demo_{job}")
            .execute_in_process(
                instance=self.instance,
                partition_key=partition,
                asset_selection=[dg.AssetKey(["demo", a]) for a in assets] or None,
                run_config=QUIET,
            )
        )
        assert result.success
        return result

    def drop(self, folder: Path) -> SessionKey:
        """Put a folder into the inbox, index it and return the one session."""
        put_in_inbox(folder, self.home.zone("inbox", "demo"))
        orders, _ = find_drop_orders(self.scope, self.instance, self.zone)
        for order in orders:
            self.instance.add_dynamic_partitions("demo_drops", [order.partition])
            self.run("index_drop", order.partition)
        (key,) = read_members(find_database(self.instance), self.scope.name)
        self.instance.add_dynamic_partitions("demo_sessions", [key])
        return SessionKey.parse(key)

    def reasons(self) -> dict[str, str]:
        """Return why assets up to the BIDS session must run."""
        outline = outline_study(self.scope.study, self.home.notebooks("demo"))
        orders = find_session_orders(
            outline, self.instance, self.zone, LocalStore(self.home.root)
        )
        return {
            asset: why
            for order in orders
            for asset, why in order.reasons.items()
            if asset in ("raw_session", "anonymized_dicom", "bids_session")
        }

    def names(self, key: SessionKey) -> set[str]:
        """Return the names of the tables in the session's BIDS folder."""
        tree = self.home.root / layout.bids_session("demo", key)
        return {path.name for path in tree.rglob("*.tsv")} - {f"{key}_scans.tsv"}


@pytest.fixture
def site(tmp_path):
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Site(home, instance)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A resting run of one visit."""
    target, rest = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("rest")
    order = {"name": VISIT, "target": str(rest), "late": str(target)}
    write_sessions([{**order, "kinds_late": "bold"}], small=True, seed=1)
    return target


@pytest.fixture
def run(images, tmp_path) -> Path:
    """The run in a folder that a test may add to."""
    return Path(shutil.copytree(images, tmp_path / "arriving"))


def attached_check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (check,) = [
        one
        for one in result.get_asset_check_evaluations()
        if one.check_name == "everything_attached"
    ]
    return check


def test_events_of_a_drop_are_attached_and_what_cannot_be_is_told(site, run):
    for name, text in {
        "log/task-rest_events.tsv": EVENTS.replace("face", "face\t")
        .replace("type\n", "type\tname\n")
        .replace("face\t", f"face\t{SURNAME}"),
        "log/task-nback_events.tsv": EVENTS,
        "log/task-recall_beh.tsv": f"trial\tcondition\n1\t{SURNAME}\n",
    }.items():
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(text)

    key = site.drop(run)
    result = site.run(
        "process_session", str(key), "raw_session", "anonymized_dicom", "bids_session"
    )

    assert site.names(key) == {f"{key}_task-rest_events.tsv"}
    events = site.home.root / layout.bids_session("demo", key) / "func"
    assert (events / f"{key}_task-rest_events.tsv").read_text() == EVENTS
    check = attached_check(result)
    assert not check.passed
    assert "2 file(s) are not attached" in (check.description or "")
    assert f"imaging-platform attach <study> {key} <folder>" in check.description
    told = str(check.metadata)
    assert "no run of the session fits" in told
    assert "an identifier of the subject was found" in told
    for zone in ("dicom", "bids", "catalog"):
        for path in (site.home.root / zone).rglob("*"):
            assert not path.is_file() or SURNAME.encode() not in path.read_bytes()


def test_a_late_table_makes_the_bids_session_out_of_date_and_is_attached(
    site, run, tmp_path
):
    key = site.drop(run)
    assets = ("raw_session", "anonymized_dicom", "bids_session")
    site.run("process_session", str(key), *assets)
    _, cursor = request_sessions(site.scope, site.instance, cursor=None)
    before = site.reasons()
    (tmp_path / "late").mkdir()
    table = tmp_path / "late" / f"{key}_task-recall_beh.tsv"
    table.write_text("trial\tscore\n1\t7\n")

    site.drop(tmp_path / "late")
    first = site.reasons()
    requests, _ = request_sessions(site.scope, site.instance, cursor=cursor)
    site.run("process_session", str(key), "raw_session")
    second = site.reasons()
    site.run("process_session", str(key), "bids_session")

    assert before == {}
    assert first == {"raw_session": "changed input: drop_index"}
    assert second == {"bids_session": "changed input: attachments"}
    assert [request.partition_key for request in requests] == [str(key)]
    assert f"{key}_task-recall_beh.tsv" in site.names(key)
    assert site.reasons() == {}


def test_a_table_that_must_stay_out_stands_in_nobodys_way(site, run, tmp_path):
    for number in range(3):  # the order of drops is not that of arrival
        with_name = tmp_path / f"with-name-{number}"
        with_name.mkdir()
        (with_name / "task-recall_beh.tsv").write_text(
            f"trial\tcondition\n{number}\t{SURNAME}\n"
        )
        shutil.copytree(with_name, run / with_name.name)
    key = site.drop(run)
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / f"{key}_task-recall_beh.tsv").write_text("trial\n1\n")
    site.drop(tmp_path / "late")

    result = site.run(
        "process_session", str(key), "raw_session", "anonymized_dicom", "bids_session"
    )

    assert f"{key}_task-recall_beh.tsv" in site.names(key)
    assert "3 file(s) are not attached" in (attached_check(result).description or "")
