"""Decisions about files reach Dagster, trees and partitions, and leave no old label."""

from __future__ import annotations

import itertools
import json
import sys

import dagster as dg
import pytest

from imaging_platform.assets.attachments import bring_attachments
from imaging_platform.assets.leaving import Left, clear_emptied
from imaging_platform.cli.main import main
from imaging_platform.cli.studies import create_study
from imaging_platform.files.audit import read_audit
from imaging_platform.intake.arrivals import put_in_inbox
from imaging_platform.intake.resolving import Resolution, append_resolution
from imaging_platform.intake.selection import choose_of_session, moves_to, studies_to
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.outstanding import (
    find_cohort_orders,
    find_drop_orders,
    find_session_orders,
)
from imaging_platform.processing.rebuilding import rebuild_index
from imaging_platform.processing.resolving import settle_resolutions
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import EchoGuard, IdentifiedZone, PublishedZone
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_members
from tests.intake.drops import mr_bytes, write_files
from tests.orchestration.test_gates import Site

WHY = ("--reason", "the wrong visit", "--author", "Ann")


@pytest.fixture
def site(tmp_path, monkeypatch):
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    source = write_files(
        tmp_path / "drop",
        {
            "a": mr_bytes(patient_id="KESTREL"),
            "b": mr_bytes(patient_id="KESTREL", series=2),
        },
    )
    put_in_inbox(source, home.zone("inbox", "demo"))
    home.dagster.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("imaging_platform.cli.resolving.enter_home", lambda _: None)
    with dg.instance_for_test(temp_dir=str(home.dagster)) as instance:
        yield Site(home, instance)


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["imaging-platform", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out + printed.err

    return run


def orders_of(site: Site) -> dict[str, set[str]]:
    outline = outline_study(site.scope.study, site.home.notebooks("demo"))
    zone = IdentifiedZone(home=str(site.home.root))
    store = LocalStore(site.home.root)
    orders = find_session_orders(outline, site.instance, zone, store)
    return {order.partition: set(order.reasons) for order in orders}


def make(site: Site, key: str) -> None:
    """Gather a session, and say that its report was made of it."""
    site.instance.add_dynamic_partitions("demo_sessions", [key])
    assert site.run("process_session", key, "raw_session").success
    site.instance.report_runless_asset_event(
        dg.AssetMaterialization(site.scope.key("session_report"), partition=key)
    )


def test_a_relabelled_session_is_made_anew_and_nothing_keeps_the_old_label(site, run):
    old = site.index()
    assert site.run("process_session", old, "raw_session").success
    new = "sub-X7_ses-3"

    code, out = run("relabel", "demo", old, new, *WHY)

    assert code == 0, out
    assert set(read_members(find_database(site.instance), site.scope.name)) == {new}
    assert set(orders_of(site)) == {new}
    assert "raw_session" in orders_of(site)[new]
    make(site, new)
    assert clear_emptied(site.home, site.scope, site.instance) == Left((old,))
    assert old not in site.instance.get_dynamic_partitions("demo_sessions")
    names = {p.name for p in site.home.root.rglob("*") if "dagster" not in p.parts}
    assert not {n for n in names if old in n}
    (entry,) = read_audit(site.home.zone("identified", "demo"))
    assert (entry.action, entry.subject) == ("relabel", f"{old} to {new}")


def test_what_was_attached_by_hand_goes_with_a_session_to_its_new_label(
    site, run, tmp_path
):
    old, new = site.index(), "sub-X7_ses-3"
    assert site.run("process_session", old, "raw_session").success
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand" / "run-1_events.tsv").write_text("onset\tduration\n1\t2\n")
    root = str(site.home.root)
    bring_attachments(
        "demo",
        SessionKey.parse(old),
        identified=IdentifiedZone(home=root),
        published=PublishedZone(home=root, reports_url=""),
        echo_guard=EchoGuard(home=root),
        by_hand=tmp_path / "hand",
    )

    code, out = run("relabel", "demo", old, new, *WHY)
    make(site, new)
    clear_emptied(site.home, site.scope, site.instance)

    assert code == 0, out
    store = LocalStore(site.home.root)
    place = layout.attachments("demo", SessionKey.parse(new))
    assert store.read(place).partition == new
    assert (store.path(place) / "run-1_events.tsv").read_text().endswith("1\t2\n")
    assert store.read(layout.attachments("demo", SessionKey.parse(old))) is None


def test_a_withdrawn_drop_takes_its_session_along_and_undo_brings_it_back(site, run):
    key = site.index()
    assert site.run("process_session", key, "raw_session").success
    (drop_id,) = site.instance.get_dynamic_partitions("demo_drops")
    tree = LocalStore(site.home.root).path(
        layout.raw_session("demo", SessionKey.parse(key))
    )
    members = read_members(find_database(site.instance), site.scope.name)

    code, out = run("discard", "demo", drop_id, *WHY)

    assert code == 0, out
    assert read_members(find_database(site.instance), site.scope.name) == {}
    assert not tree.exists()
    assert site.instance.get_dynamic_partitions("demo_sessions") == []
    assert run("discard", "demo", drop_id, "--undo", *WHY)[0] == 0
    assert read_members(find_database(site.instance), site.scope.name) == members
    assert set(orders_of(site)) == {key}


def test_a_session_without_some_files_is_out_of_date_and_rebuilds_the_same(
    site, run, tmp_path_factory
):
    key = site.index()
    assert site.run("process_session", key, "raw_session").success
    before = read_members(find_database(site.instance), site.scope.name)

    code, out = run("discard", "demo", key, "--series", "2", "--json", *WHY)

    after = read_members(find_database(site.instance), site.scope.name)
    assert code == 0, out
    assert json.loads(out)["changed"] == [key]
    assert after[key] != before[key]
    assert "raw_session" in orders_of(site)[key]
    graph = site.graph
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("lost"))) as lost:
        rebuild_index(site.home, site.scope, lost, graph)
        assert read_members(find_database(lost), site.scope.name) == after


def test_without_a_reason_or_as_a_dry_run_nothing_is_moved(site, run):
    key = site.index()
    before = read_members(find_database(site.instance), site.scope.name)

    code, out = run("discard", "demo", key, "--dry-run", "--json")
    refused, words = run("discard", "demo", key)

    assert code == 0, out
    assert {row["series"] for row in json.loads(out)} == {1, 2}
    assert "KESTREL" not in out
    assert refused == 2
    assert "--reason" in words
    assert read_members(find_database(site.instance), site.scope.name) == before
    assert read_audit(site.home.zone("identified", "demo")) == ()


def test_split_names_a_new_session_and_merge_takes_it_back(site, run):
    key = site.index()
    members = read_members(find_database(site.instance), site.scope.name)
    new = f"{key[:-1]}2"

    assert run("split", "demo", key, new, "--series", "2", *WHY)[0] == 0
    assert set(read_members(find_database(site.instance), site.scope.name)) == {
        key,
        new,
    }
    assert run("merge", "demo", new, key, *WHY)[0] == 0

    assert read_members(find_database(site.instance), site.scope.name) == members


def test_a_file_that_waits_for_a_label_founds_the_session_it_is_given_to(
    site, run, tmp_path
):
    file = site.home.study_file("demo")
    pattern = "labels:\n  subject: {field: PatientID, pattern: '^(?P<label>KESTREL)'}\n"
    file.write_text(file.read_text() + pattern)
    site.load()
    zone = IdentifiedZone(home=str(site.home.root))
    (order,), _ = find_drop_orders(site.scope, site.instance, zone)
    site.instance.add_dynamic_partitions("demo_drops", [order.partition])
    assert site.run("index_drop", order.partition).success
    assert read_members(find_database(site.instance), site.scope.name) == {}

    code, out = run("assign", "demo", order.partition, "sub-Y1_ses-1", *WHY)

    assert code == 0, out
    assert set(orders_of(site)) == {"sub-Y1_ses-1"}
    assert site.run("index_drop", order.partition).success
    assert set(orders_of(site)) == {"sub-Y1_ses-1"}
    code, out = run("assign", "demo", order.partition, "sub-Y1_ses-1", *WHY)
    assert code == 1
    assert "Nothing of" in out


def test_killed_after_the_decision_the_next_call_finishes_it_once(site):
    key = site.index()
    assert site.run("process_session", key, "raw_session").success
    zone = site.home.zone("identified", "demo")
    moves = moves_to(choose_of_session(zone, key), "sub-X7_ses-3")
    studies = studies_to(zone, SessionKey.parse(key), SessionKey("X7", "3"))
    append_resolution(
        zone, Resolution("relabel", "Ann", "why", "2026-01-01", moves, studies)
    )
    graph = site.graph

    done = settle_resolutions(site.home, site.scope, site.instance, graph)
    again = settle_resolutions(site.home, site.scope, site.instance, graph)

    assert (done.changed, done.gone) == (("sub-X7_ses-3",), ())
    assert done.kept == again.kept == (key,)
    assert again.drops == again.changed == ()
    assert set(read_members(find_database(site.instance), site.scope.name)) == {
        "sub-X7_ses-3"
    }


def test_a_relabelled_session_stays_until_the_new_one_is_made(site, run):
    old, new = site.index(), "sub-X7_ses-3"
    assert site.run("process_session", old, "raw_session").success
    tree = LocalStore(site.home.root).path(
        layout.raw_session("demo", SessionKey.parse(old))
    )

    code, out = run("relabel", "demo", old, new, *WHY)

    assert code == 0, out
    assert f"Removed when the new ones are made: {old}" in out
    assert tree.is_dir()
    site.instance.add_dynamic_partitions("demo_sessions", [new])
    assert site.run("process_session", new, "raw_session").success
    assert clear_emptied(site.home, site.scope, site.instance) == Left(kept=(old,))
    assert tree.is_dir()


@pytest.mark.parametrize("line", range(6))
def test_killed_at_any_line_a_removal_goes_on(site, run, monkeypatch, line):
    old, new = site.index(), "sub-X7_ses-3"
    assert site.run("process_session", old, "raw_session").success
    assert run("relabel", "demo", old, new, *WHY)[0] == 0
    make(site, new)
    real, calls = LocalStore.remove, itertools.count()

    def remove_or_die(store: LocalStore, key: str) -> None:
        if next(calls) == line:
            raise KeyboardInterrupt
        real(store, key)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LocalStore, "remove", remove_or_die)
        clear_emptied(site.home, site.scope, site.instance)
    clear_emptied(site.home, site.scope, site.instance)

    assert old not in site.instance.get_dynamic_partitions("demo_sessions")
    names = {p.name for p in site.home.root.rglob("*") if "dagster" not in p.parts}
    assert not {n for n in names if old in n}
    assert clear_emptied(site.home, site.scope, site.instance) == Left()


def test_what_waits_is_an_asset_with_a_check_and_names_the_command(site, run, tmp_path):
    file = site.home.study_file("demo")
    pattern = "labels:\n  subject: {field: PatientID, pattern: '^(?P<label>KESTREL)'}\n"
    file.write_text(file.read_text() + pattern)
    site.load()
    zone = IdentifiedZone(home=str(site.home.root))
    (order,), _ = find_drop_orders(site.scope, site.instance, zone)
    site.instance.add_dynamic_partitions("demo_drops", [order.partition])
    held = site.scope.key("held_sessions")

    assert site.run("index_drop", order.partition).success

    event = site.instance.get_latest_materialization_event(held)
    told = {k: v.value for k, v in event.asset_materialization.metadata.items()}
    assert told["waiting"] == 1
    assert f"imaging-platform assign demo {order.partition} SESSION" in told["held"]
    assert "KESTREL" not in str(told)
    assert run("assign", "demo", order.partition, "sub-Y1_ses-1", *WHY)[0] == 0
    event = site.instance.get_latest_materialization_event(held)
    assert event.asset_materialization.metadata["waiting"].value == 0


def test_what_no_run_makes_is_not_outstanding(site):
    key = site.index()

    outline = outline_study(site.scope.study, site.home.notebooks("demo"))
    store = LocalStore(site.home.root)
    orders = find_cohort_orders(outline, site.instance, store)

    assert "held_sessions" not in {a for order in orders for a in order.reasons}
    assert "held_sessions" not in orders_of(site)[key]
