"""The gate to the clean zone: what is not proved is not published and not read."""

from __future__ import annotations

import warnings

import dagster as dg
import pytest

from imaging_platform.assets.explaining import sealed
from imaging_platform.assets.scope import Scope
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.deid import session as deid_session
from imaging_platform.intake.arrivals import put_in_inbox
from imaging_platform.model.errors import IdentityLeak
from imaging_platform.model.layout import Home
from imaging_platform.processing.history import read_members
from imaging_platform.processing.outstanding import find_drop_orders
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.settings import load_study
from tests.intake.drops import mr_bytes, write_files

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
NAME = "KESTREL^ANNIKA"


class Site:
    """A home with one drop in its inbox, and Dagster beside it."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home = home
        self.instance = instance
        self.scope = Scope(load_study(home, "demo"))

    def run(self, job: str, partition: str, *assets: str) -> dg.ExecuteInProcessResult:
        definitions = define_home(self.home)
        return definitions.resolve_job_def(f"demo_{job}").execute_in_process(
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
        (key,) = read_members(self.instance, self.scope)
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


def _failure_of(result) -> str:
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.user_failure_data.description
