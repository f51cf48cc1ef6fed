"""A notebook in the folder of a study is an asset: no Python, no other step harmed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.files.writing import write_text
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.planning.cells import State
from imaging_platform.planning.plan import Choice
from imaging_platform.provenance.record import Record, read_record
from imaging_platform.storage.local import LocalStore
from tests.orchestration.hollow_site import HollowSite

SESSIONS = ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1")
RECORD = "from imaging_platform.reporting.results import record\n"
READ = "value = float(open('inputs/motion/value.txt').read())"
UP = Choice(frozenset({State.STALE, State.MISSING}))


@dataclass
class Lab:
    """A home with a published ``motion`` tree of three sessions."""

    home: Home
    instance: dg.DagsterInstance

    def write(self, name: str, front: str, *sources: str, declared: str = "") -> Path:
        cells = [new_raw_cell(front)]
        if declared:
            cells.append(new_code_cell(declared, metadata={"tags": ["parameters"]}))
        cells += [new_markdown_cell("# What is shown")]
        cells += [new_code_cell(source) for source in sources]
        path = self.home.notebooks("demo")[1] / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(cells=cells), path)
        return path

    def assets(self) -> dict[str, dg.AssetsDefinition]:
        found = define_home(self.home).assets or ()
        return {a.key.path[-1]: a for a in found if isinstance(a, dg.AssetsDefinition)}

    def run(
        self, asset: str, partition: str | None = None
    ) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [self.assets()[asset]],
            instance=self.instance,
            partition_key=partition,
            resources=dict(define_home(self.home).resources or {}),
            raise_on_error=False,
        )

    def publish(self, session: str, value: float) -> None:
        store, key = LocalStore(self.home.root), SessionKey.parse(session)
        place = layout.derivative("demo", "motion", key)
        store.path(layout.bids_session("demo", key)).mkdir(parents=True, exist_ok=True)
        with store.stage(place) as tree:
            write_text(tree / "value.txt", f"{value}\n")
            store.publish(tree, place, Record("motion", session, "1"))

    def page(self, partition: str, stem: str = "report") -> Path:
        place = layout.notebook("demo", "drift", partition)
        return self.home.root / place / f"{stem}.html"


@pytest.fixture
def lab(tmp_path) -> Iterator[Lab]:
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("demo_sessions", list(SESSIONS))
        lab = Lab(home, instance)
        for number, session in enumerate(SESSIONS):
            lab.publish(session, number / 10)
        yield lab


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.get_asset_materialization_events()
    return {n: v.value for n, v in event.materialization.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    (event,) = [e for e in result.all_events if e.is_step_failure]
    told = event.step_failure_data.user_failure_data
    return {
        "message": told.description or "",
        **{name: str(value.value) for name, value in told.metadata.items()},
    }


def test_a_notebook_about_a_session_runs_for_each_and_its_numbers_are_metadata(lab):
    lab.write(
        "drift",
        "level: session\nneeds: [motion]\ntitle: Drift\nlimits: {drift_mm: '< 0.15'}",
        READ,
        f"{RECORD}record('drift_mm', value)\nrecord('who', subject)",
        declared="subject: str = None",
    )

    results = {s: lab.run("drift_notebook", s) for s in SESSIONS}

    assert all(result.success for result in results.values())
    assert [metadata(results[s])["drift_mm"] for s in SESSIONS] == [0.0, 0.1, 0.2]
    assert metadata(results["sub-02_ses-1"])["who"] == "02"
    checks = [r.get_asset_check_evaluations()[0].passed for r in results.values()]
    assert checks == [True, True, False]
    assert "What is shown" in lab.page("sub-02_ses-1").read_text()
    assert "level: session" not in lab.page("sub-02_ses-1").read_text()


def test_a_notebook_about_the_study_reads_every_session(lab):
    lab.write(
        "drift",
        "level: study\nneeds: [motion]",
        "from pathlib import Path\n"
        "found = sorted(Path('inputs/motion').glob('sub-*/ses-*/value.txt'))",
        f"{RECORD}record('n_sessions', len(found))",
    )

    result = lab.run("drift_notebook")

    assert metadata(result)["n_sessions"] == 3.0
    record = read_record(lab.page("").parent)
    assert sorted(record.inputs) == [f"motion[{session}]" for session in SESSIONS]


def test_a_notebook_about_a_subject_runs_only_for_those_that_changed(lab):
    lab.write(
        "drift",
        "level: subject\nneeds: [motion]",
        "from pathlib import Path\n"
        "found = sorted(Path('inputs/motion').glob('sub-*/ses-*/value.txt'))",
        f"{RECORD}record('n_sessions', len(found))\nrecord('who', subject)",
        declared="subject: str = None",
    )
    assert lab.run("drift_notebook").success
    pages = {s: lab.page(s) for s in ("sub-01", "sub-02")}
    before = {s: page.stat().st_ino for s, page in pages.items()}
    lab.publish("sub-02_ses-1", 7)

    result = lab.run("drift_notebook")

    assert metadata(result)["subjects"] == 2
    after = {s: page.stat().st_ino for s, page in pages.items()}
    assert after["sub-01"] == before["sub-01"]
    assert after["sub-02"] != before["sub-02"]
    shown = json.loads((lab.page("").parent / "results.json").read_text())
    assert shown["sub-01"] == {"n_sessions": 2, "who": "01"}


def test_a_failed_notebook_shows_what_it_had_until_it_succeeds(lab):
    front = "level: session\nneeds: [motion]"
    lab.write("drift", front, "print('made before')", "1 / 0")

    failed = failure(lab.run("drift_notebook", SESSIONS[0]))

    assert "ZeroDivisionError" in failed["message"]
    place = layout.partial_report("demo", "drift_notebook", SESSIONS[0])
    assert failed["partial report"].endswith(f"{place}/report.partial.html")
    assert failed["partial notebook"].endswith(f"{place}/report.partial.ipynb")
    kept = lab.home.root / place / "report.partial.html"
    assert "made before" in kept.read_text()
    assert place.split("/")[0] not in ("identified", "inbox")

    lab.write("drift", front, "print('made before')")
    assert lab.run("drift_notebook", SESSIONS[0]).success

    assert not kept.exists()
    assert lab.page(SESSIONS[0]).exists()


def test_a_failure_leaves_the_page_of_the_last_success(lab):
    front = "level: session\nneeds: [motion]"
    lab.write("drift", front, "print('first')")
    lab.run("drift_notebook", SESSIONS[0])
    lab.write("drift", front, "1 / 0")

    lab.run("drift_notebook", SESSIONS[0])

    assert "first" in lab.page(SESSIONS[0]).read_text()


def test_one_failing_subject_keeps_no_other_from_its_page(lab):
    lab.write(
        "drift",
        "level: subject\nneeds: [motion]",
        "assert subject != '01', 'not this one'",
        declared="subject: str = None",
    )

    failed = failure(lab.run("drift_notebook"))

    assert "failed for 1 subject(s), first sub-01" in failed["message"]
    assert "sub-01" in failed["partial report"]
    assert lab.page("sub-02").exists()


def test_a_parameter_that_the_notebook_lacks_is_refused_before_a_kernel_starts(lab):
    lab.write("drift", "level: study\nneeds: [motion]\nparams: {seed: pcc}", "1")

    failed = failure(lab.run("drift_notebook"))

    assert "no parameter seed" in failed["message"]
    assert failed["class"] == BadConfig.__name__
    assert "partial report" not in failed


def test_a_broken_front_matter_is_one_failing_asset_and_the_others_load(lab):
    before = set(lab.assets())
    lab.write("wrong", "level: session\nneeds: [motoin]")
    lab.write("drift", "level: session\nneeds: [motion]", "1")

    assert set(lab.assets()) - before == {"wrong_notebook", "drift_notebook"}

    failed = failure(lab.run("wrong_notebook"))
    assert "wrong.ipynb, first cell, line 2" in failed["message"]
    assert "motion?" in failed["fix"]
    said = lab.assets()["wrong_notebook"].descriptions_by_key.values()
    assert "line 2" in next(iter(said))
    assert lab.run("drift_notebook", SESSIONS[0]).success


def test_notebooks_without_a_usable_name_load_side_by_side(lab):
    lab.write("Two Words", "level: session\nneeds: [motion]")
    lab.write("three words here", "level: session\nneeds: [motion]", "1")

    named = [name for name in lab.assets() if name.startswith("misnamed_")]

    assert len(named) == 2


def test_no_notebook_may_need_what_holds_identity(lab):
    lab.write("drift", "level: session\nneeds: [raw_session]")

    assert "cannot need raw_session" in failure(lab.run("drift_notebook"))["message"]


@pytest.fixture
def site(lab) -> Callable[[str], HollowSite]:
    def make(level: str) -> HollowSite:
        lab.write("drift", f"level: {level}\nneeds: [motion]", "1")
        site = HollowSite(lab.home, lab.instance)
        for session in SESSIONS[:2]:
            site.deliver(session, f"{session}-first")
        site.reprocess(UP)
        return site

    return make


@pytest.mark.parametrize("level", ["session", "study"])
def test_a_changed_template_makes_only_its_notebook_stale_and_says_so(lab, site, level):
    hollow = site(level)
    assert not list(hollow.plan().unsettled)

    lab.write("drift", f"level: {level}\nneeds: [motion]", "2")
    hollow.built.clear()
    stale = list(hollow.plan().unsettled)

    assert {cell.asset for cell in stale} == {"drift_notebook"}
    assert {r.kind for cell in stale for r in cell.reasons} == {"notebook"}
    assert "template notebook changed" in stale[0].reasons[0].sentence
    assert len(stale) == (2 if level == "session" else 1)


def test_a_changed_input_makes_a_notebook_about_the_study_stale(site):
    hollow = site("study")

    hollow.codes["motion"] = "other"
    hollow.meanings["motion"] = "other"
    hollow.built.clear()
    ran = hollow.reprocess(UP)

    assert ("drift_notebook", "") in ran
    assert not list(hollow.plan().unsettled)
