"""Notebooks that read what a real BIDS App made."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg
import nbformat
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

from imaging_platform.cli.main import cli
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.model import layout
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.provenance.record import read_record
from imaging_platform.resources.database import find_database
from imaging_platform.settings import load_study
from imaging_platform.survey import study
from imaging_platform.survey.study import survey_study
from tests.apps.conftest import KEY
from tests.apps.test_assets import OTHER, QUIET, THIRD, Site

pytestmark = pytest.mark.slow

RECORD = "from imaging_platform.reporting.results import record\n"
READ_SIZE = f"""{RECORD}
import json, pathlib
(found,) = pathlib.Path("inputs/tiny").glob("anat/*_desc-copy_T1w.json")
record("size", json.loads(found.read_text())["size"])
"""
LIST = f"""{RECORD}
import pathlib
listed = sorted(p.as_posix() for p in pathlib.Path("inputs/tiny").glob("sub-*/[!.]*"))
record("listed", " ".join(listed).replace("inputs/tiny/", ""))
"""
OF_SUBJECTS = {
    "level": "subject",
    "needs": [],
    "command": "-c 'mkdir -p $2/sub-$3; ls $1/sub-$3 > $2/sub-$3/sessions.txt' x "
    "{bids_dir} {out_dir} {subject}",
    "executable": "sh",
    "params": {},
    "outputs": [{"glob": "sub-{subject}/sessions.txt"}],
    "bidsignore": ["sessions.txt"],
}


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        made = Site(home, instance)
        made.set_app()
        made.add(KEY)
        yield made


def write_notebook(site: Site, front: str, source: str) -> None:
    path = site.home.notebooks("demo")[1] / "size.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [new_raw_cell(front), new_code_cell(source)]
    nbformat.write(new_notebook(cells=cells), path)


def run_notebook(site: Site, partition: str | None) -> dg.ExecuteInProcessResult:
    defs = define_home(site.home)
    (asset,) = (
        a
        for a in defs.assets or ()
        if isinstance(a, dg.AssetsDefinition) and a.key.path[-1] == "size_notebook"
    )
    return dg.materialize(
        [asset],
        instance=site.instance,
        partition_key=partition,
        resources=dict(defs.resources or {}),
        raise_on_error=False,
    )


def test_a_notebook_about_a_session_reads_the_outputs_of_an_app(site, monkeypatch):
    write_notebook(site, "level: session\nneeds: [tiny]", READ_SIZE)
    early = run_notebook(site, str(KEY))
    assert site.run().success

    result = run_notebook(site, str(KEY))

    (event,) = result.get_asset_materialization_events()
    assert not early.success
    assert event.materialization.metadata["size"].value > 0
    page = site.home.root / layout.notebook("demo", "size_notebook", str(KEY))
    app = read_record(site.dataset() / "sub-01" / "ses-1")
    assert read_record(page).inputs == {"tiny": app.data_version}
    monkeypatch.setenv("IMAGING_HOME", str(site.home.root))
    traced = CliRunner().invoke(cli, ["trace", str(page / "report.html")])
    assert f"tiny-1.2[{KEY}]" in traced.output


def test_a_notebook_about_the_study_reads_an_app_of_all_sessions(site):
    site.add(OTHER)
    write_notebook(site, "level: study\nneeds: [tiny]", LIST)
    assert site.run().success
    assert site.run(str(OTHER)).success

    result = run_notebook(site, None)

    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["listed"].value == "sub-01/ses-1 sub-01/ses-2"


def test_a_notebook_about_subjects_reads_an_app_of_subjects(site):
    site.set_app(**OF_SUBJECTS)
    site.add(THIRD)
    write_notebook(site, "level: subject\nneeds: [tiny]", LIST)
    assert site.run("").success

    result = run_notebook(site, None)

    (event,) = result.get_asset_materialization_events()
    (made,) = site.instance.fetch_materializations(
        dg.AssetKey(["demo", "tiny"]), limit=1
    ).records
    page = site.home.root / layout.notebook("demo", "size_notebook", "")
    assert json.loads((page / "results.json").read_text()) == {
        "sub-01": {"listed": "sub-01/sessions.txt"},
        "sub-02": {"listed": "sub-02/sessions.txt"},
    }
    # What the plan compares: the version that Dagster was told of the app.
    told = made.asset_materialization.tags["dagster/data_version"]
    assert event.materialization.metadata["inputs"].value == {"tiny": told}


def test_what_an_app_measured_is_in_the_row_of_its_session_and_makes_it_stale(site):
    site.add(OTHER)
    assert site.run().success

    result = make_catalog(site)

    table = site.home.root / layout.catalog("demo") / "sessions.parquet"
    rows = pq.read_table(table).to_pylist()
    assert result.success
    assert [row["tiny.desc-copy_T1w_size"] is None for row in rows] == [False, True]
    assert is_fresh(site)
    assert site.run(str(OTHER)).success
    assert not is_fresh(site)


def test_what_an_app_of_subjects_measured_is_in_the_row_of_each_session(site):
    site.set_app(
        **OF_SUBJECTS
        | {
            "command": "-c 'mkdir $1/sub-$2; printf \"ml\\n7\\n\" > $1/sub-$2/x.tsv' "
            "x {out_dir} {subject}",
            "outputs": [{"glob": "sub-{subject}/x.tsv", "metrics": True}],
        }
    )
    site.add(OTHER)
    site.instance.report_runless_asset_event(
        dg.AssetMaterialization(["demo", "bids_session"], partition=str(KEY))
    )
    assert site.run("").success

    make_catalog(site)

    table = site.home.root / layout.catalog("demo") / "sessions.parquet"
    assert [r["tiny.x_ml"] for r in pq.read_table(table).to_pylist()] == [7.0, 7.0]
    assert is_fresh(site)


def make_catalog(site: Site) -> dg.ExecuteInProcessResult:
    job = define_home(site.home).resolve_job_def("demo_summarize_cohort")
    return job.execute_in_process(
        instance=site.instance,
        asset_selection=[dg.AssetKey(["demo", "catalog"])],
        run_config=QUIET,
    )


def is_fresh(site: Site) -> bool:
    """Return whether nothing that the catalog reads of the app has changed since."""
    outline = outline_study(load_study(site.home, "demo"), site.home.notebooks("demo"))
    asked = study.Site(outline, find_database(site.instance), site.store, {})
    plan = survey_study(asked).plan
    cell = plan.find("catalog", "")
    assert cell is not None
    return not any(
        name.startswith("tiny") for reason in cell.reasons for name in reason.inputs
    )
