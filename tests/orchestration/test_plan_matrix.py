"""For each kind of change: what is marked is what must run, and the reason names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
import pytest

from imaging_platform.cli.studies import create_study
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import PIPELINES, Home
from imaging_platform.planning.cells import State, find_ancestors
from imaging_platform.planning.plan import Choice
from tests.orchestration.hollow_site import COHORT, OF_SESSIONS, HollowSite

pytestmark = pytest.mark.slow

SESSIONS = [f"sub-0{number}_ses-1" for number in range(1, 7)]
UP = Choice(frozenset({State.STALE, State.MISSING}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Six sessions, all of whose results are made."""
    folder = tmp_path_factory.mktemp("matrix")
    home = Home(folder / "home")
    create_study(home, "demo")
    with dg.DagsterInstance.ephemeral() as instance:
        site = HollowSite(home, instance)
        for session in SESSIONS:
            site.deliver(session, f"{session}-first")
        site.reprocess(UP)
        yield site


@dataclass(frozen=True)
class Change:
    """A change, the asset that it concerns, where, and the kind of its reason."""

    name: str
    asset: str
    kind: str
    make: Callable[[HollowSite], None]
    is_cosmetic: bool = False
    sessions: tuple[str, ...] = tuple(SESSIONS)


def other_code(asset: str, *, is_cosmetic: bool = False) -> Change:
    def make(site: HollowSite) -> None:
        first, dot, rest = site.code_of(asset).partition(".")
        site.codes[asset] = f"{first}x{dot}{rest}"
        if not is_cosmetic:
            site.meanings[asset] = "other code"

    kind = "cosmetic code" if is_cosmetic else "code"
    return Change(f"{kind} of {asset}", asset, "code", make, is_cosmetic)


def other_end(asset: str, kind: str) -> Change:
    def make(site: HollowSite) -> None:
        site.codes[asset] = f"{site.code_of(asset)}9"
        site.meanings[asset] = f"other {kind}"

    return Change(kind, asset, kind, make)


def write_settings(asset: str, text: str) -> Change:
    def make(site: HollowSite) -> None:
        code, _, _ = site.codes.pop(asset, site.code_of(asset)).partition(".")
        write_text(site.home.study_file("demo"), f"name: demo\n{text}\n")
        _, _, settings = site.code_of(asset).partition(".")
        site.codes[asset] = f"{code}.{settings}"
        site.meanings[asset] = text

    return Change(f"settings of {asset}", asset, "parameter", make)


def bring(session: str) -> Change:
    return Change(
        "a late series",
        "raw_session",
        "input",
        lambda site: site.deliver(session, "late"),
        sessions=(session,),
    )


CHANGES = [
    *map(other_code, (*OF_SESSIONS, *COHORT)),
    other_code("motion", is_cosmetic=True),
    other_code("bids_session", is_cosmetic=True),
    other_end("bids_session", "tool"),
    other_end("session_report", "notebook"),
    write_settings("session_quality", "quality:\n  n_directions: {look: 6}"),
    write_settings("catalog", "protocol:\n  series: [{scan: anat/T1w}]"),
    bring(SESSIONS[2]),
    Change("nothing", "", "", lambda _: None, sessions=()),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_what_is_marked_is_what_must_run_and_nothing_else(made, change):
    before = made.versions()
    assert list(made.plan().unsettled) == [], "the change before was brought up"

    change.make(made)
    plan = made.plan()
    ran = made.reprocess(UP)

    places = ("",) if change.asset in COHORT else change.sessions
    stale = {(c.asset, c.partition) for c in plan.cells if c.state is State.STALE}
    assert stale == {(change.asset, place) for place in places}
    reasons = [c.reasons for c in plan.cells if c.state is State.STALE]
    assert all(reasons), "each says why"
    assert {r.kind for each in reasons for r in each} == (
        {change.kind} if stale else set()
    )
    assert set(ran) == (stale if change.is_cosmetic else stale | behind(made, change))
    assert len(ran) == len(set(ran)), "nothing runs twice"
    assert list(made.plan().unsettled) == []
    after = made.versions()
    differing = {key for key in after if after[key] != before.get(key)}
    assert differing == (set() if change.is_cosmetic else set(ran))


def behind(site: HollowSite, change: Change) -> set[tuple[str, str]]:
    """Return what is made from what changed, and so must be made again."""
    parents = site.site().parents
    follows = {a for a in parents if change.asset in find_ancestors(parents, a)}
    if change.asset == "raw_session":
        # The catalog lists what is published; originals are not.
        follows |= set(COHORT)
    follows.discard("processing_plan")
    if change.asset in ("session_quality", "session_report"):
        follows.discard("bids_dataset")
    return {
        (asset, session)
        for asset in follows
        for session in ([""] if asset in COHORT else change.sessions)
    } - _only_rebuilt_by_bids(follows, change)


def _only_rebuilt_by_bids(follows: set[str], change: Change) -> set[tuple[str, str]]:
    """The dataset's files follow its sessions, not what is derived from them."""
    is_derived = change.asset in PIPELINES
    return {("bids_dataset", "")} if is_derived and "bids_dataset" in follows else set()


def test_a_failure_is_named_stops_what_follows_and_is_made_again_by_its_class(made):
    made.codes["motion"] = "77"
    made.failing.add(("motion", SESSIONS[0]))

    made.reprocess(UP)
    plan = made.plan()
    made.failing.clear()
    ran = made.reprocess(Choice(failures=frozenset({"RuntimeError"})))

    failed = plan.find("motion", SESSIONS[0])
    waiting = plan.find("temporal_snr", SESSIONS[0])
    assert (failed.state, failed.failure) == (State.FAILED, "RuntimeError")
    assert waiting.state is State.WAITS
    assert ran == [("motion", SESSIONS[0])]
    assert list(made.plan().unsettled) == []
