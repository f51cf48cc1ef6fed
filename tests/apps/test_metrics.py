"""Which numbers of the files of an app are its metrics, and what each is of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imaging_platform.apps.outputs import FoundOutput, read_metrics
from imaging_platform.apps.ready import load_ready
from imaging_platform.apps.settings import AppOutput

LABELS = "sub-01_ses-1_"


def measured(folder: Path, name: str, text: str) -> dict[str, float]:
    file = folder / name
    file.write_text(text)
    declared = AppOutput(glob="**/*", metrics=True)
    return read_metrics([FoundOutput(declared, (file,))], LABELS)


def test_numbers_of_a_json_object_are_metrics_and_what_lies_deeper_is_not(tmp_path):
    content = {"cjv": 0.4, "n": "3", "ok": True, "word": "x", "bids_meta": {"TE": 3}}

    found = measured(tmp_path, f"{LABELS}T1w.json", json.dumps(content))

    assert found == {"T1w cjv": 0.4, "T1w n": 3.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cjv\tn\n0.4\tn/a\n", {"sizes cjv": 0.4}),
        ("name\tvalue\ncjv\t0.4\nn\t3\n", {"sizes cjv": 0.4, "sizes n": 3.0}),
        (
            "bids_name\tcjv\nsub-01_ses-1_T1w\t0.4\nsub-02_ses-1_T1w\t0.5\n",
            {"T1w cjv": 0.4, "sub-02_ses-1_T1w cjv": 0.5},
        ),
        (
            "participant_id\tsession_id\tml\nsub-01\tses-1\t7\nsub-02\tses-1\t8\n",
            {"sizes ml": 7.0, "sub-02_ses-1_sizes ml": 8.0},
        ),
        ("participant_id\tml\nsub-02\t8\n", {"sub-02_sizes ml": 8.0}),
    ],
)
def test_rows_of_a_table_are_of_what_they_name(tmp_path, text, expected):
    assert measured(tmp_path, "sizes.tsv", text) == expected


def test_the_entry_of_mriqc_declares_what_it_measures():
    outputs = load_ready()["mriqc"].app.outputs

    assert [each.glob for each in outputs if each.metrics] == [
        "sub-{subject}/ses-{session}/**/*.json"
    ]
