from __future__ import annotations

import multiprocessing
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from imaging_platform.deid.labels import LabelSettings
from imaging_platform.deid.mapping import MappingRow, PlacedRow
from imaging_platform.deid.pseudonyms import subject_label
from imaging_platform.intake.assignment import StudyOfPatient
from imaging_platform.intake.ledger import place_studies
from imaging_platform.model.errors import BadInput, MissingKey
from imaging_platform.model.labels import WantedLabels
from imaging_platform.model.layout import Home
from imaging_platform.resources.keys import create_secret, read_secret
from imaging_platform.resources.mapping import (
    change_mapping,
    read_labels,
    read_mapping,
)


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path)
    create_secret(home, "demo")
    return home


def add(home: Home, *rows: MappingRow) -> int:
    def change(table: Sequence[MappingRow]) -> list[PlacedRow]:
        return [("a row", row) for row in [*table, *rows]]

    return change_mapping(home, "demo", change, announce=list)


def add_many(root: Path, letter: str) -> None:
    for number in range(10):
        add(Home(root), MappingRow(f"{letter}-{number}", f"{letter}x{number}"))


def test_a_study_without_a_table_has_no_rows(home):
    assert read_mapping(home, "demo") == ()


def test_the_table_is_sealed_and_private_on_disk(home):
    assert add(home, MappingRow("KESTREL-1", "01")) == 1

    file = home.mapping_file("demo")
    assert b"KESTREL" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_mapping(home, "demo") == (MappingRow("KESTREL-1", "01"),)


def test_the_labels_of_a_study_know_its_table(home):
    add(home, MappingRow("KESTREL-1", "01"))

    labels = read_labels(home, "demo", LabelSettings())

    assert list(labels.table) == [MappingRow("KESTREL-1", "01")]
    assert "KESTREL" not in repr(labels)
    assert labels.secret.hex() not in repr(labels)


def test_a_refused_change_leaves_the_table_and_is_not_announced(home):
    add(home, MappingRow("KESTREL-1", "01"))
    before = home.mapping_file("demo").read_bytes()
    announced: list[str] = []

    with pytest.raises(BadInput):
        change_mapping(
            home,
            "demo",
            lambda _: [("line 2", MappingRow("KESTREL-1", "not a label"))],
            announce=lambda: announced.append("changed"),
        )

    assert home.mapping_file("demo").read_bytes() == before
    assert announced == []


def test_the_table_respects_the_sessions_that_have_arrived(home):
    patient = subject_label(read_secret(home, "demo"), "KESTREL-1")
    wanted = StudyOfPatient(WantedLabels(patient, patient), "", "1.2.3")
    place_studies(home.zone("identified", "demo"), [wanted])

    with pytest.raises(BadInput, match=f"sessions under the subject label {patient}"):
        add(home, MappingRow("KESTREL-1", "01"))


def test_the_table_of_a_replaced_key_does_not_open(home):
    add(home, MappingRow("KESTREL-1", "01"))
    home.secret_file("demo").unlink()
    for file in home.fingerprint_files("demo"):
        file.unlink()
    create_secret(home, "demo")

    with pytest.raises(MissingKey, match="does not open") as caught:
        read_mapping(home, "demo")

    assert "one backup" in caught.value.fix


def test_two_processes_that_change_it_at_once_lose_no_row(home):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=add_many, args=(home.root, letter)) for letter in "AB"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(read_mapping(home, "demo")) == 20
