"""The gate to the clean zone: what is not proved is not published and not read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping

import dagster as dg
import pytest

from imaging_platform.assets.explaining import sealed
from imaging_platform.assets.scope import Scope
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.deid import session as deid_session
from imaging_platform.deid.release_list import ReleaseStep, append_steps
from imaging_platform.files.writing import write_text
from imaging_platform.intake.arrivals import put_in_inbox
from imaging_platform.model import layout
from imaging_platform.model.errors import IdentityLeak
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.outstanding import (
    find_drop_orders,
    find_session_orders,
)
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone, PublishedZone
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.storage.proof import UNDER_WAY
from imaging_platform.survey.history import read_members
from tests.intake.drops import mr_bytes, write_files

pytestmark = pytest.mark.slow

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
NAME = "KESTREL^ANNIKA"


class Site:
    """A home with one drop in its inbox, and Dagster beside it."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home = home
        self.instance = instance
        self.load()

    def load(self) -> None:
        """Load what the study file says now."""
        self.scope = Scope(load_study(self.home, "demo"))
        self.definitions = define_home(self.home)
        self.graph = self.definitions.resolve_asset_graph()

    def run(self, job: str, partition: str, *assets: str) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(f"demo_{job}").execute_in_process(
            instance=self.instance,
            partition_key=partition,
            asset_selection=[dg.AssetKey(["demo", asset]) for asset in assets] or None,
            run_config=QUIET,
            raise_on_error=False,
        )

    def index(self) -> str:
        """Index the drop and return the key of its session."""
        zone = IdentifiedZone(home=str(self.home.root))
        orders, _ = find_drop_orders(self.scope, self.instance, zone)
        for order in orders:
            self.instance.add_dynamic_partitions("demo_drops", [order.partition])
            assert self.run("index_drop", order.partition).success
        (key,) = read_members(find_database(self.instance), self.scope.name)
        self.instance.add_dynamic_partitions("demo_sessions", [key])
        return key


@pytest.fixture
def site(tmp_path):
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    source = write_files(tmp_path / NAME, {"IM_0001": mr_bytes(patient_id=NAME)})
    put_in_inbox(source, home.zone("inbox", "demo"))
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Site(home, instance)


def _leak(*_: object, **__: object) -> None:
    raise IdentityLeak(
        "An identifier of the subject stands in SeriesDescription.", fix="Correct it."
    )


def test_a_leak_fails_the_check_holds_the_session_and_publishes_nothing(
    site, monkeypatch
):
    key = site.index()
    monkeypatch.setattr(deid_session, "anonymize_session", _leak)

    result = site.run("process_session", key)

    (check,) = [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
        and event.asset_check_evaluation_data.check_name == "no_residual_identity"
    ]
    assert not result.success
    assert not check.passed
    assert list((site.home.root / "dicom" / "demo").glob("sub-*")) == []


def test_a_held_session_cannot_be_read_by_a_later_run_either(site, monkeypatch):
    key = site.index()
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success
    with monkeypatch.context() as patched:
        patched.setattr(deid_session, "anonymize_session", _leak)
        assert not site.run("process_session", key, "anonymized_dicom").success

    result = site.run("process_session", key, "bids_session")

    assert not result.success
    assert "is held" in _failure_of(result)


def test_a_proved_session_ends_the_hold(site, monkeypatch):
    key = site.index()
    with monkeypatch.context() as patched:
        patched.setattr(deid_session, "anonymize_session", _leak)
        site.run("process_session", key, "raw_session", "anonymized_dicom")

    result = site.run("process_session", key, "anonymized_dicom")

    assert result.success


def test_a_session_whose_attempt_was_killed_stays_closed(site):
    key = site.index()
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success
    code = (
        "import os, sys, signal, dagster as dg;"
        "from pathlib import Path;"
        "from imaging_platform.deid import session;"
        "from imaging_platform.definitions import define_home;"
        "from imaging_platform.model.layout import Home;"
        "session.anonymize_session = lambda *_, **__: os.kill(os.getpid(), 9);"
        "job = define_home(Home(Path(sys.argv[1])))"
        ".resolve_job_def('demo_process_session');"
        "instance = dg.DagsterInstance.ephemeral();"
        "instance.add_dynamic_partitions('demo_sessions', [sys.argv[2]]);"
        "job.execute_in_process(instance=instance, partition_key=sys.argv[2],"
        " asset_selection=[dg.AssetKey(['demo', 'anonymized_dicom'])])"
    )

    killed = subprocess.run(
        [sys.executable, "-c", code, str(site.home.root), key],
        capture_output=True,
        check=False,
    )
    result = site.run("process_session", key, "bids_session")

    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not result.success
    assert "interrupted" in _failure_of(result)
    assert site.run("process_session", key, "anonymized_dicom").success


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), KeyError(NAME)])
def test_a_session_whose_attempt_crashed_stays_closed(site, monkeypatch, error):
    def crash(*_: object, **__: object) -> None:
        raise error

    key = site.index()
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success
    with monkeypatch.context() as patched:
        patched.setattr(deid_session, "anonymize_session", crash)
        assert not site.run("process_session", key, "anonymized_dicom").success

    result = site.run("process_session", key, "bids_session")

    assert not result.success
    assert "is held" in _failure_of(result)


def test_a_record_that_was_changed_by_hand_proves_nothing(site):
    key = site.index()
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success
    record = site.home.root / "dicom" / "demo" / key / ".record.json"
    told = json.loads(record.read_text())
    told["report"]["proved"] = False
    record.write_text(json.dumps(told))

    result = site.run("process_session", key, "bids_session")

    assert not result.success
    assert "not proved" in _failure_of(result)


def test_an_echo_after_conversion_holds_the_session_and_tells_only_its_place(
    site, monkeypatch
):
    from imaging_platform.bids import session as bids_session

    def convert(source, target, *, key, settings):
        converted = convert_and_store(source, target, key=key, settings=settings)
        sidecars = target / "unclassified"
        sidecars.mkdir(exist_ok=True)
        (sidecars / "x.json").write_text(json.dumps({"A": {"Comment": f"of {NAME}"}}))
        return converted

    convert_and_store = bids_session.convert_and_store
    key = site.index()
    monkeypatch.setattr(bids_session, "convert_and_store", convert)
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success

    result = site.run("process_session", key, "bids_session")

    said = _failure_of(result)
    held = PublishedZone(home=str(site.home.root), reports_url="").store()
    assert "unclassified/x.json: A.Comment" in said
    assert "KESTREL" not in said
    assert list(held.held("bids/demo/")) == [layout.bids_session("demo", _parse(key))]
    assert not list((site.home.root / "bids" / "demo").glob("sub-*"))


def test_conversion_is_refused_when_it_is_not_known_what_must_not_be_found(site):
    key = site.index()
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success
    site.home.guard_file("demo", _parse(key)).unlink()

    result = site.run("process_session", key, "bids_session")

    assert not result.success
    assert "anonymized_dicom" in _failure_of(result)


def test_a_release_makes_only_its_session_out_of_date_and_a_run_applies_it(site):
    key = site.index()
    _hold_back_everything(site)
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success
    store = _published(site)
    tree = layout.anonymized_dicom("demo", _parse(key))
    (row,) = store.read(tree).report["quarantined"]
    assert "anonymized_dicom" not in _outdated(site)[key]

    _release(site, key, row["series"])

    assert _outdated(site)[key]["anonymized_dicom"] == "changed input: released"
    assert site.run("process_session", key, "anonymized_dicom").success
    assert "anonymized_dicom" not in _outdated(site)[key]
    record = store.read(tree)
    assert record.report["files_written"] == row["n_files"]
    assert set(record.inputs) == {"policy", "raw_session", "released"}


def test_a_session_whose_attempt_was_killed_is_out_of_date_until_it_is_made(site):
    key = site.index()
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success
    tree = layout.anonymized_dicom("demo", _parse(key))
    assert "anonymized_dicom" not in _outdated(site)[key]

    # What is left of an attempt that ended at any line.
    _published(site).hold(tree, UNDER_WAY)

    assert _outdated(site)[key]["anonymized_dicom"] == UNDER_WAY
    assert site.run("process_session", key, "anonymized_dicom").success
    assert "anonymized_dicom" not in _outdated(site)[key]


def test_a_report_of_the_session_is_published_beside_its_dicom(site):
    key = site.index()
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success

    folder = site.home.root / layout.deid_report("demo", _parse(key))

    assert json.loads((folder / f"{key}.json").read_text())["proved"] is True
    assert (folder / f"{key}.tsv").read_text().startswith("verdict\tseries\t")


def test_nothing_of_the_drop_is_in_what_dagster_keeps(site):
    key = site.index()
    site.run("process_session", key, "raw_session", "anonymized_dicom")

    events = [
        str(record.event_log_entry)
        for run in site.instance.get_runs()
        for record in site.instance.get_records_for_run(run.run_id).records
    ]

    assert len(events) > 10
    assert not [event for event in events if "KESTREL" in event or "ANNIKA" in event]


def test_an_unexpected_error_in_the_identified_zone_loses_its_message():
    with pytest.raises(dg.Failure) as failed, sealed():
        raise FileNotFoundError(f"/inbox/{NAME}/IM_0001")

    assert "FileNotFoundError" in str(failed.value.description)
    assert "KESTREL" not in str(failed.value.description)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


def test_libraries_quote_no_value_in_the_identified_zone(recwarn):
    with sealed():
        warnings.warn(f"Invalid value for VR PN: {NAME}", stacklevel=1)

    assert list(recwarn) == []


def _published(site: Site) -> LocalStore:
    return PublishedZone(home=str(site.home.root), reports_url="").store()


def _parse(key: str) -> SessionKey:
    return SessionKey.parse(key)


def _hold_back_everything(site: Site) -> None:
    text = "name: demo\ndeid: {released_kinds: [CT]}\n"
    write_text(site.home.study_file("demo"), text)
    site.load()


def _release(site: Site, key: str, series: str) -> None:
    step = ReleaseStep("release", key, series, "ann", "seen", "2026-01-01T00:00:00Z")
    append_steps(site.home.released_file("demo"), [step])


def _outdated(site: Site) -> dict[str, Mapping[str, str]]:
    """Return why each asset must run, by session; all assets but the first are."""
    outline = outline_study(site.scope.study, site.home.notebooks("demo"))
    zone = IdentifiedZone(home=str(site.home.root))
    orders = find_session_orders(outline, site.instance, zone, _published(site))
    return {order.partition: order.reasons for order in orders}


def _failure_of(result) -> str:
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.user_failure_data.description


def test_an_echo_in_what_is_kept_for_later_rules_holds_the_session(site, monkeypatch):
    from imaging_platform.bids import stored

    to_dict = stored.StoredSession.to_dict
    key = site.index()
    monkeypatch.setattr(
        stored.StoredSession, "to_dict", lambda self: {**to_dict(self), "note": NAME}
    )
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success

    result = site.run("process_session", key, "bids_session")

    assert "images.json: note" in _failure_of(result)
    assert "KESTREL" not in _failure_of(result)
    assert not list((site.home.root / "bids" / "demo").glob("sub-*"))
    assert not (site.home.root / "catalog" / "demo" / "evidence").exists()


def test_a_session_that_is_kept_back_whole_waits_for_a_person(site):
    key = site.index()
    _hold_back_everything(site)
    assert site.run("process_session", key, "raw_session", "anonymized_dicom").success

    result = site.run("process_session", key, "bids_session")

    assert not result.success
    assert f"imaging-platform release demo {key}" in _failure_of(result)
