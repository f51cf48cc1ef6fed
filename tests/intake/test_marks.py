"""A session is found without looking into every drop, and never less of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from imaging_platform.intake.drop_report import report_drop
from imaging_platform.intake.session import list_held
from imaging_platform.intake.zone import drop_folders, marks_path
from tests.intake.drops import Site, mr_bytes

pytestmark = pytest.mark.usefixtures("in_one_process")

DROPS = {
    "one": {"1.dcm": mr_bytes()},
    "two": {"2.dcm": mr_bytes(instance=2), "junk": b"no"},
    "again": {"3.dcm": mr_bytes(note="changed")},
    "other": {"4.dcm": mr_bytes(patient_id="Bob^2", study=2)},
}


def state_of(site: Site, target: Path) -> tuple[object, ...]:
    reports = [report_drop(site.zone, d.drop_id) for d in drop_folders(site.zone)]
    gathered = site.gather("sub-B_ses-1", target)
    return reports, list_held(site.zone), gathered


def test_a_zone_of_an_earlier_version_without_marks_reads_the_same(
    site: Site, tmp_path: Path
):
    for name, files in DROPS.items():
        site.take_in(name, files)
    with_marks = state_of(site, tmp_path / "with")

    shutil.rmtree(marks_path(site.zone))

    assert state_of(site, tmp_path / "without") == with_marks
    later = site.take_in("later", {"5.dcm": mr_bytes(instance=5)})
    assert later.sessions[0].n_instances == 4


def test_another_content_of_an_image_in_a_later_drop_is_held(site: Site):
    for name in ("one", "again"):
        site.take_in(name, DROPS[name])

    (held,) = list_held(site.zone).sessions

    assert (held.session_key, held.n_instances) == ("sub-A_ses-1", 1)


@pytest.mark.parametrize("n_others", [2, 12])
def test_taking_a_drop_in_reads_as_many_indexes_however_many_drops_there_are(
    site: Site, monkeypatch: pytest.MonkeyPatch, n_others: int
):
    for number in range(n_others):
        data = mr_bytes(patient_id=f"P{number}", study=10 + number)
        site.take_in(f"d{number}", {f"{number:02d}.dcm": data})
    read: set[str] = set()
    real = pq.read_table

    def note_and_read(path: Path, **rest: object) -> object:
        read.add(str(path))
        return real(path, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_table", note_and_read)
        site.take_in("new", DROPS["one"])
        list_held(site.zone)

    assert len(read) == 1
