"""What drops became is told in the order of what was seen, and never left untold."""

from __future__ import annotations

import fcntl

import dagster as dg
import pytest

from imaging_platform.assets import intake
from imaging_platform.cli.studies import create_study
from imaging_platform.intake.arrivals import put_in_inbox
from imaging_platform.intake.session import digest_sessions
from imaging_platform.intake.zone import interrupted_drops, telling
from imaging_platform.model.layout import Home
from imaging_platform.processing.outstanding import find_drop_orders
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.survey.history import read_members
from tests.intake.drops import mr_bytes, write_files
from tests.orchestration.test_gates import Site

INDEX = "index_drop"


@pytest.fixture
def site(tmp_path):
    """A home with two drops of one session in its inbox."""
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    for series in (1, 2):
        image = mr_bytes(patient_id="KESTREL", series=series)
        source = write_files(tmp_path / f"drop{series}", {f"{series}": image})
        put_in_inbox(source, home.zone("inbox", "demo"))
    home.dagster.mkdir(parents=True)
    with dg.instance_for_test(temp_dir=str(home.dagster)) as instance:
        yield Site(home, instance)


def drops_to_index(site: Site) -> list[str]:
    zone = IdentifiedZone(home=str(site.home.root))
    orders, _ = find_drop_orders(site.scope, site.instance, zone)
    return [order.partition for order in orders]


def test_what_another_drop_brought_meanwhile_is_told_too(site, monkeypatch):
    first, second = drops_to_index(site)
    site.instance.add_dynamic_partitions("demo_drops", [first, second])
    others = [second]

    def telling_late(zone):
        if others:
            assert site.run(INDEX, others.pop()).success
        return telling(zone)

    monkeypatch.setattr("imaging_platform.intake.zone.telling", telling_late)

    assert site.run(INDEX, first).success

    told = read_members(find_database(site.instance), site.scope.name)
    zone = site.home.zone("identified", "demo")
    assert told == digest_sessions(zone, set(told))
    key = site.scope.key("drop_index")
    events = site.instance.fetch_materializations(key, limit=9).records
    in_order = [event.partition_key for event in reversed(events)]
    assert in_order == [second, first]


def test_who_tells_of_drops_waits_for_whoever_does(site):
    zone = site.home.zone("identified", "demo")
    with (
        telling(zone),
        (zone / "telling.lock").open() as file,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_drop_whose_run_ends_before_it_is_told_is_taken_up_again(site, monkeypatch):
    first, second = drops_to_index(site)
    site.instance.add_dynamic_partitions("demo_drops", [first, second])
    monkeypatch.setattr(intake, "_refuse_empty", lambda *_: 1 / 0)
    assert not site.run(INDEX, first).success
    monkeypatch.undo()

    assert sorted(drops_to_index(site)) == sorted([first, second])
    assert site.run(INDEX, first).success
    assert drops_to_index(site) == [second]
    assert list(read_members(find_database(site.instance), site.scope.name)) != []


def test_a_withdrawn_drop_leaves_nothing_to_take_up_again(site):
    zone = site.home.zone("identified", "demo")
    withdrawn = "drop-0123456789abcdef"
    site.instance.add_dynamic_partitions("demo_drops", [withdrawn])

    assert not site.run(INDEX, withdrawn).success

    assert interrupted_drops(zone) == ()
