"""The main job: every drop of the demo study ends in a report, and nobody is named."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from imaging_platform.catalog.collecting import collect_records
from imaging_platform.deid.pseudonyms import subject_label
from imaging_platform.demo.study import demo_study_truth
from imaging_platform.files.digests import digest_tree
from imaging_platform.model import layout
from imaging_platform.model.layout import Home
from imaging_platform.resources.keys import read_secret
from imaging_platform.tools.validator import validate_dataset

from .conftest import run_command

pytestmark = pytest.mark.slow

STUDY = "demo"
N_SESSIONS = 5
MAY_HOLD_IDENTITY = ("identified", "inbox", "keys")


@pytest.fixture(scope="module")
def home(demo) -> Home:
    return demo[0]


def test_the_demo_ends_well_and_says_what_it_did(demo):
    _, ran = demo

    assert ran.exit_code == 0, ran.stdout + ran.stderr
    summary = ran.json()
    assert len(summary["sessions"]) == N_SESSIONS
    assert {time["asset"] for time in summary["times"]} >= {
        "drop_index",
        "anonymized_dicom",
        "bids_session",
        "session_report",
        "study_report",
    }


def test_every_session_has_a_report_and_the_study_report_links_it(home):
    page = home.root / layout.study_report(STUDY) / "report.html"
    text = page.read_text()

    links = set(re.findall(r'href="(\.\./sessions/[^"]+/report\.html)"', text))

    assert len(links) == N_SESSIONS
    assert all((page.parent / link).is_file() for link in links)


@pytest.mark.parametrize("dataset", ["bids", *layout.PIPELINES])
def test_the_official_validator_finds_no_error(home, dataset):
    key = (
        layout.bids_dataset(STUDY)
        if dataset == "bids"
        else layout.derivative_dataset(STUDY, dataset)
    )

    validation = validate_dataset(home.root / key)

    made = [path for path in (home.root / key).rglob("sub-*_ses-*") if path.is_file()]
    assert validation.errors == ()
    # The demo has no PET.
    assert bool(made) == (dataset != "pet")


def test_every_series_of_the_demo_has_the_name_that_it_should_have(home):
    truth = demo_study_truth(Path("unused"), small=True)
    expected = sorted(
        (series.description, series.datatype, suffix)
        for session in truth.sessions
        for series in session.series
        for suffix in series.suffixes
    )
    tables = pd.read_parquet(home.root / layout.catalog(STUDY) / "series.parquet")

    found = sorted(
        (row.description, datatype, suffix)
        for row in tables.itertuples()
        for datatype in row.datatype.split(", ")
        for suffix in row.suffix.split(", ")
        if datatype
    )

    assert found == expected


def test_motion_and_temporal_snr_are_what_was_planted(home):
    truth = demo_study_truth(Path("unused"), small=True)
    secret = read_secret(home, STUDY)
    metrics = pd.read_parquet(home.root / layout.catalog(STUDY) / "metrics.parquet")
    measured = metrics.set_index(["session_key", "metric"]).value

    for session in truth.sessions:
        key = f"sub-{subject_label(secret, session.patient_id)}_ses-{session.visit}"
        # Coarse, short and noisy runs: full-size ones come within 0.01 mm.
        assert abs(measured[key, "fd_mean"] - session.mean_fd_mm) < 0.1
        # Realignment smooths away part of the noise where a head moves a lot.
        if session.quality != "motion":
            assert abs(measured[key, "tsnr"] / session.median_tsnr - 1) < 0.05


def test_every_instance_that_came_in_is_in_a_series(home):
    truth = _count_demo_files(home)
    tables = pd.read_parquet(home.root / layout.catalog(STUDY) / "series.parquet")

    assert tables.n_instances.sum() == truth


def test_no_planted_identity_is_anywhere_outside_the_identified_zone(home):
    identities = demo_study_truth(Path("unused"), small=True).identities

    hits = [
        (where, text)
        for where, data in _everything_outside(home)
        for text in _find(identities, data)
    ]

    assert hits == []


def test_the_search_for_identities_would_find_them(home):
    identities = demo_study_truth(Path("unused"), small=True).identities
    originals = b"".join(
        path.read_bytes()
        for path in (home.root / "identified").rglob("*")
        if path.is_file()
    )

    found = _find(identities, originals)

    assert len(found) > 0.9 * len(identities)


def test_the_search_reads_the_text_inside_containers(home):
    seen = {where.rpartition(".")[2] for where, _ in _everything_outside(home)}

    assert seen >= {
        "dcm",
        "gz",
        "json",
        "tsv",
        "parquet",
        "html",
        "ipynb",
        "db",
        "zlib",
    }


def test_processing_again_runs_nothing(home):
    ran = run_command(home, "process", "--json")

    assert ran.exit_code == 0
    assert ran.json()["runs"] == 0


def test_the_demo_again_is_quick_and_changes_nothing(home):
    before = _versions(home)

    ran = run_command(home, "demo", "--small", "--json", timeout_s=60)

    assert ran.exit_code == 0
    assert ran.json()["runs"] == 0
    assert _versions(home) == before


def test_each_tree_is_what_its_record_says(home):
    for (asset, partition), record in collect_records(home.root, STUDY).items():
        tree = _tree_of(home, asset, partition)
        assert digest_tree(tree) == record.data_version, (asset, partition)


def test_status_shows_that_nothing_is_left(home):
    ran = run_command(home, "status", "--json")

    (study,) = ran.json()
    assert ran.exit_code == 0
    assert study["n_sessions"] == N_SESSIONS
    assert study["outstanding"] == []
    assert study["held"] == []


def test_a_drop_that_comes_again_runs_no_session(home):
    runs_before = _count_runs(home, "process_session")
    source = _demo_again(home)

    ingested = run_command(home, "ingest", str(source), "--study", STUDY)
    ran = run_command(home, "process", "--json")

    assert ingested.exit_code == 0
    assert ran.exit_code == 0, ran.stderr
    assert {step["asset"] for step in ran.json()["steps"]} == {"drop_index"}
    assert _count_runs(home, "process_session") == runs_before


def _everything_outside(home: Home) -> Iterator[tuple[str, bytes]]:
    """Yield name and readable bytes of each file, also inside containers."""
    for path in sorted(home.root.rglob("*")):
        name = path.relative_to(home.root).as_posix()
        if name.split("/")[0] in MAY_HOLD_IDENTITY:
            continue
        yield f"name of {name}", name.encode()
        if path.is_file():
            yield from _readable(name, path)


def _readable(name: str, path: Path) -> Iterator[tuple[str, bytes]]:
    data = path.read_bytes()
    yield name, data
    if name.endswith(".gz"):
        yield name, gzip.decompress(data)
    if name.endswith(".parquet"):
        yield name, pd.read_parquet(path).to_csv().encode()
    if data.startswith(b"SQLite format 3"):
        yield f"{name}.db", _database_as_text(path)
        yield from _compressed_in(path, name)


def _database_as_text(path: Path) -> bytes:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return "\n".join(connection.iterdump()).encode()


def _compressed_in(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        for (table,) in tables.fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes) and value[:1] == b"\x78":
                        yield f"{name}.zlib", zlib.decompress(value)


def _find(identities: Iterable[str], data: bytes) -> list[str]:
    """Return what occurs in any case; digits only as a whole number: UIDs hold any."""
    lowered = data.lower()
    found = [text for text in identities if text.lower().encode() in lowered]
    return [text for text in found if not text.isdigit() or _stands_alone(text, data)]


def _stands_alone(digits: str, data: bytes) -> bool:
    pattern = rb"(?<![0-9a-f.])" + digits.encode() + rb"(?![0-9a-f])"
    return re.search(pattern, data) is not None


def _count_demo_files(home: Home) -> int:
    receipts = (home.root / "identified" / STUDY / "drops").glob("*/receipt.jsonl")
    lines = [json.loads(line) for f in receipts for line in f.read_text().splitlines()]
    return sum(line["verdict"] == "accepted" for line in lines)


def _versions(home: Home) -> dict[tuple[str, str], str]:
    records = collect_records(home.root, STUDY)
    return {key: record.data_version for key, record in records.items()}


def _tree_of(home: Home, asset: str, partition: str) -> Path:
    from imaging_platform.model.ids import SessionKey

    key = SessionKey.parse(partition)
    keys = {
        "anonymized_dicom": layout.anonymized_dicom(STUDY, key),
        "bids_session": layout.bids_session(STUDY, key),
        "session_quality": layout.session_quality(STUDY, key),
        "session_report": layout.session_report(STUDY, key),
    }
    return home.root / keys.get(asset, layout.derivative(STUDY, asset, key))


def _count_runs(home: Home, job: str) -> int:
    runs = home.dagster / "history" / "runs.db"
    with sqlite3.connect(f"file:{runs}?mode=ro", uri=True) as connection:
        query = "SELECT COUNT(*) FROM runs WHERE pipeline_name = ?"
        return connection.execute(query, (f"{STUDY}_{job}",)).fetchone()[0]


def _demo_again(home: Home) -> Path:
    """Return one drop of the demo study as it was, made anew."""
    from imaging_platform.demo.study import write_demo_study

    folder = home.root.parent / "again"
    return write_demo_study(folder, small=True).drops[-1].path
