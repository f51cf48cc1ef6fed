"""`reprocess`: launch what is ready, wait, plan again, go on after a kill."""

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from imaging_platform.cli.studies import create_study
from imaging_platform.model.errors import BadInput, Held, ToolFailed
from imaging_platform.model.layout import Home
from imaging_platform.planning.cells import State
from imaging_platform.planning.decisions import Action, Decision, append_decision
from imaging_platform.planning.plan import Choice, choose_frontier
from imaging_platform.processing.backfills import find_unfinished, launch_backfill
from imaging_platform.processing.daemon import is_daemon_live
from imaging_platform.processing.reprocessing import Reprocessing
from tests.orchestration.hollow_site import HollowSite

SESSIONS = ["sub-01_ses-1", "sub-02_ses-1"]
STALE = Choice(frozenset({State.STALE}))


class HollowDaemon:
    """Makes at once what a backfill wants; can be told to die first, or to cancel."""

    def __init__(self, site: HollowSite) -> None:
        self.site = site
        self.status = BulkActionStatus.COMPLETED_SUCCESS
        self.lazy = False
        self.asked: list[set[tuple[str, str]]] = []

    def tick(self) -> None:
        live = self.site.live()
        for backfill_id in find_unfinished(live):
            backfill = self.site.instance.get_backfill(backfill_id)
            wanted = backfill.get_asset_backfill_data(live.graph).target_subset
            results = {
                (key.asset_key.path[-1], key.partition_key or "")
                for key in wanted.iterate_asset_partitions()
            } - {("processing_plan", "")}
            self.asked.append(results)
            for session in {partition for _, partition in results}:
                assets = [a for a, partition in results if partition == session]
                if not self.lazy:
                    self.site.run(session, assets)
            self.site.instance.update_backfill(backfill.with_status(self.status))


class FreezingDaemon(HollowDaemon):
    """Makes the first backfill; then a person freezes the study."""

    def tick(self) -> None:
        super().tick()
        decide(self.site, "freeze")


def decide(site: HollowSite, action: Action) -> None:
    decision = Decision(action, "a person", "as published", "2026-01-01T00:00:00+00:00")
    append_decision(site.home.root, "demo", decision)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("reprocessing") / "home")
    create_study(home, "demo")
    with dg.DagsterInstance.ephemeral() as instance:
        site = HollowSite(home, instance)
        for session in SESSIONS:
            site.deliver(session, "first")
        site.reprocess(Choice(frozenset({State.MISSING, State.STALE})))
        yield site


@pytest.fixture
def site(made_once):
    """Two sessions up to date, before and after each test."""
    yield made_once
    made_once.failing.clear()
    made_once.reprocess(Choice(frozenset({State.STALE})))
    assert list(made_once.plan().unsettled) == []


def reprocess(site: HollowSite, daemon: HollowDaemon, choice: Choice = STALE):
    return Reprocessing(site.live(), daemon, lambda done, total: None).run(choice)


def test_what_comes_out_the_same_stops_what_is_behind_it(site):
    site.codes["brain_mask"] = "cosmetic"
    daemon = HollowDaemon(site)

    done = reprocess(site, daemon)

    assert daemon.asked == [{("brain_mask", key) for key in SESSIONS}]
    assert (done.n_asked, done.left) == (2, [])


def test_what_comes_out_otherwise_brings_what_is_behind_it_step_by_step(site):
    site.codes["session_quality"] = "other"
    site.meanings["session_quality"] = "other"
    daemon = HollowDaemon(site)

    done = reprocess(site, daemon)

    steps = [{asset for asset, _ in results} for results in daemon.asked]
    assert steps == [
        {"session_quality"},
        {"session_report"},
        {"catalog"},
        {"study_report"},
    ]
    assert done.left == []


def test_it_goes_on_with_the_backfill_that_it_had_begun(site):
    site.codes["motion"] = "begun"
    begun = launch_backfill(site.live(), choose_frontier(site.plan(), STALE))
    daemon = HollowDaemon(site)

    done = reprocess(site, daemon)

    assert done.attached == [begun]
    assert (done.backfills, done.n_asked) == ([], 0)
    assert daemon.asked == [{("motion", key) for key in SESSIONS}]


def test_what_failed_is_told_and_not_asked_for_again(site):
    site.codes["motion"] = "failing"
    site.failing.add(("motion", SESSIONS[0]))

    done = reprocess(site, HollowDaemon(site))

    (left,) = [cell for cell in done.left if cell.asset == "motion"]
    assert (left.partition, left.state) == (SESSIONS[0], State.FAILED)
    assert done.n_asked == 2
    site.failing.clear()
    site.run(SESSIONS[0], ["motion"])


def test_what_never_comes_to_an_end_is_asked_for_twice_and_then_left(site):
    site.codes["motion"] = "lazy"
    daemon = HollowDaemon(site)
    daemon.lazy = True

    done = reprocess(site, daemon)

    assert len(daemon.asked) == 2
    assert {cell.partition for cell in done.left if cell.reasons} == set(SESSIONS)


def test_what_was_cancelled_in_the_ui_ends_the_command_and_says_how_to_go_on(site):
    site.codes["motion"] = "cancelled"
    daemon = HollowDaemon(site)
    daemon.status = BulkActionStatus.CANCELED

    with pytest.raises(ToolFailed) as caught:
        reprocess(site, daemon)

    assert "goes on with the rest" in caught.value.fix


def test_a_named_result_is_made_once_even_if_it_is_fresh(site):
    daemon = HollowDaemon(site)
    named = ("motion", SESSIONS[1])

    done = reprocess(site, daemon, Choice(named=frozenset({named})))

    assert daemon.asked == [{named}]
    assert done.left == []


def test_a_result_that_is_not_there_is_refused(site):
    daemon = HollowDaemon(site)

    with pytest.raises(BadInput, match="has no motion:sub-99_ses-1"):
        reprocess(site, daemon, Choice(named=frozenset({("motion", "sub-99_ses-1")})))

    assert daemon.asked == []


def test_a_fresh_result_that_could_not_be_made_again_is_told(site):
    named = ("motion", SESSIONS[1])
    site.failing.add(named)

    done = reprocess(site, HollowDaemon(site), Choice(named=frozenset({named})))

    (left,) = done.left
    assert (left.asset, left.partition, left.state) == (*named, State.FAILED)
    assert "what was made before stays" in left.note
    assert site.plan().find(*named).state is State.FRESH


def test_a_study_that_is_frozen_meanwhile_is_not_gone_on_with(site):
    site.codes["session_quality"] = "frozen meanwhile"
    site.meanings["session_quality"] = "frozen meanwhile"
    daemon = FreezingDaemon(site)

    with pytest.raises(Held, match="is frozen by a person: as published"):
        reprocess(site, daemon)

    assert daemon.asked == [{("session_quality", key) for key in SESSIONS}]
    decide(site, "thaw")


def test_a_named_result_that_waits_for_others_is_done(site):
    site.codes["bids_session"] = "newer"
    named = ("motion", SESSIONS[1])

    done = reprocess(site, HollowDaemon(site), Choice(named=frozenset({named})))

    assert site.plan().find(*named).state is State.WAITS
    assert done.left == []


def test_a_backfill_shows_whose_it_is(site):
    site.codes["motion"] = "shown"

    begun = launch_backfill(site.live(), choose_frontier(site.plan(), STALE))

    backfill = site.instance.get_backfill(begun)
    assert backfill.tags["imaging/study"] == "demo"
    assert backfill.title == "reprocess demo"
    HollowDaemon(site).tick()


def test_a_home_without_a_daemon_is_known(site):
    assert not is_daemon_live(site.instance)
