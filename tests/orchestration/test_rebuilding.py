"""The trees alone say what is made: a lost database is told everything again."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import pytest

from imaging_platform.assets.scope import Scope
from imaging_platform.cli.studies import create_study
from imaging_platform.intake.arrivals import put_in_inbox
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing import rebuilding
from imaging_platform.processing.outstanding import (
    find_cohort_orders,
    find_drop_orders,
    find_session_orders,
)
from imaging_platform.processing.rebuilding import rebuild_index
from imaging_platform.provenance.record import EXISTING_DATASET, Record
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_made, read_members
from tests.intake.drops import mr_bytes, write_files
from tests.orchestration.test_gates import Site

IMPORTED = SessionKey("I", "1")
LATER = {
    "brain_mask": "bids_session",
    "motion": "bids_session",
    "session_report": "bids_session",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A home with one session from DICOM and one imported, and its Dagster; read."""
    folder = tmp_path_factory.mktemp("site")
    home = Home(folder / "home")
    create_study(home, "demo")
    source = write_files(folder / "drop", {"IM_0001": mr_bytes(patient_id="A")})
    put_in_inbox(source, home.zone("inbox", "demo"))
    with dg.instance_for_test(temp_dir=str(folder)) as instance:
        site = Site(home, instance)
        key = site.index()
        assert site.run("process_session", key, "raw_session", "anonymized_dicom")
        _publish_imported(site)
        yield site


@pytest.fixture
def imported(tmp_path):
    """A home with one imported session, and its Dagster."""
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        site = Site(home, instance)
        _publish_imported(site)
        yield site


def _publish_imported(site: Site) -> None:
    """Publish some trees of a session that came from elsewhere, and tell of them."""
    versions = {"bids_session": {EXISTING_DATASET: "e1"}}
    for name in ("bids_session", *LATER):
        inputs = versions.get(name) or {LATER[name]: versions["bids_session_is"]}
        _publish(site, name, str(IMPORTED), inputs, versions)
    _publish(site, "catalog", "", {f"bids_session[{IMPORTED}]": "old"}, versions)


def _publish(
    site: Site,
    name: str,
    partition: str,
    inputs: Mapping[str, str],
    versions: dict,
) -> None:
    graph = site.graph
    key = layout.tree_key("demo", name, partition)
    code = graph.get(site.scope.key(name)).code_version or ""
    record = Record(name, partition, code, inputs=dict(inputs))
    store = LocalStore(site.home.root)
    with store.stage(key) as tree:
        (tree / "made.txt").write_text(name)
        versions[f"{name}_is"] = store.publish(tree, key, record)
    site.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=site.scope.key(name),
            partition=partition or None,
            metadata={"inputs": dg.MetadataValue.json(dict(inputs))},
            tags={
                "dagster/data_version": versions[f"{name}_is"],
                "dagster/code_version": code,
            },
        )
    )


@pytest.fixture
def lost(tmp_path_factory):
    """The instance of somebody who has lost the database."""
    folder = tmp_path_factory.mktemp("lost")
    with dg.instance_for_test(temp_dir=str(folder)) as instance:
        yield instance


def rebuild(site: Site, instance: dg.DagsterInstance) -> dict[str, int]:
    graph = site.graph
    return rebuild_index(site.home, site.scope, instance, graph).told


def plan_of(site: Site, instance: dg.DagsterInstance) -> dict[str, Mapping[str, str]]:
    outline = outline_study(site.scope.study, site.home.notebooks("demo"))
    zone = IdentifiedZone(home=str(site.home.root))
    store = LocalStore(site.home.root)
    drops, _ = find_drop_orders(site.scope, instance, zone)
    orders = [
        *drops,
        *find_session_orders(outline, instance, zone, store),
        *find_cohort_orders(outline, instance, store),
    ]
    return {f"{o.job} {o.partition}": o.reasons for o in orders}


def facts_of(scope: Scope, instance: dg.DagsterInstance) -> dict[str, object]:
    assets = ("raw_session", "anonymized_dicom", "bids_session", *LATER, "catalog")
    return {
        "made": {
            asset: read_made(find_database(instance), scope.name, asset)
            for asset in assets
        },
        "drops": {
            key: made.data_version
            for key, made in read_made(
                find_database(instance), scope.name, "drop_index"
            ).items()
        },
        "members": read_members(find_database(instance), scope.name),
    }


def test_what_was_lost_is_told_again_and_the_plan_is_the_same(site, lost):
    rebuild(site, lost)

    assert facts_of(site.scope, lost) == facts_of(site.scope, site.instance)
    assert plan_of(site, lost) == plan_of(site, site.instance)
    sessions = {
        str(IMPORTED),
        *read_members(find_database(site.instance), site.scope.name),
    }
    assert set(lost.get_dynamic_partitions("demo_sessions")) == sessions
    assert set(lost.get_dynamic_partitions("demo_drops")) == set(
        site.instance.get_dynamic_partitions("demo_drops")
    )


def test_what_is_known_is_not_told_again(site, lost):
    rebuild(site, lost)

    assert rebuild(site, lost) == {}
    assert rebuild(site, site.instance) == {}


@pytest.mark.parametrize("told_before", [0, 1, 2, 4])
def test_killed_while_it_tells_it_goes_on(site, lost, monkeypatch, told_before):
    calls = iter(range(told_before))

    def tell(*arguments, **named):
        next(calls)
        tell_made(*arguments, **named)

    tell_made = rebuilding.tell_made
    with monkeypatch.context() as patched, pytest.raises(StopIteration):
        patched.setattr(rebuilding, "tell_made", tell)
        rebuild(site, lost)
    rebuild(site, lost)

    assert facts_of(site.scope, lost) == facts_of(site.scope, site.instance)
    assert plan_of(site, lost) == plan_of(site, site.instance)


def test_a_tree_that_was_published_and_never_told_is_told(imported):
    _publish_again_untold(imported)

    assert rebuild(imported, imported.instance) == {"motion": 1}


def _publish_again_untold(site: Site) -> None:
    key = layout.tree_key("demo", "motion", str(IMPORTED))
    store = LocalStore(site.home.root)
    with store.stage(key) as tree:
        (tree / "made.txt").write_text("other")
        store.publish(tree, key, Record("motion", str(IMPORTED), "1"))


def test_the_catalog_is_out_of_date_for_the_same_reason_as_before(site, lost):
    rebuild(site, lost)

    reasons = plan_of(site, lost)["summarize_cohort "]
    assert reasons["catalog"].startswith("changed input: ")
