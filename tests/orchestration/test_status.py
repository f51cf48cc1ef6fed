"""What `status` says of sessions that are not as expected."""

from __future__ import annotations

from pathlib import Path

from imaging_platform.bids.protocol import ExpectedSeries, ProtocolSettings
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.processing.status import list_incomplete
from imaging_platform.provenance.record import Record
from imaging_platform.settings import Study
from imaging_platform.storage.local import LocalStore

WHOLE, CUT = "sub-01_ses-1", "sub-02_ses-1"


def publish_gathered(
    store: LocalStore, session: str, *lacks: dict[str, object]
) -> None:
    """Publish the record of a gathered session, and no file."""
    key = layout.raw_session("memory", SessionKey.parse(session))
    with store.stage(key) as tree:
        record = Record("raw_session", session, "1", report={"shortfalls": list(lacks)})
        store.publish(tree, key, record)


def test_incomplete_sessions_are_listed_with_series_and_slices(tmp_path: Path):
    store = LocalStore(tmp_path)
    publish_gathered(store, WHOLE)
    publish_gathered(
        store,
        CUT,
        {
            "series_number": 5,
            "n_instances": 11,
            "why": "11 of 12 images of an acquisition came.",
            "missing": ["slice 3", "slice 7"],
        },
        {"series_number": 6, "n_instances": 1, "why": "1 of 2 came.", "missing": []},
    )

    found = list(list_incomplete(store, Study(name="memory"), [CUT, WHOLE]))

    assert found == [
        (
            CUT,
            "series 5: 11 of 12 images of an acquisition came. (slice 3; slice 7)",
        ),
        (CUT, "series 6: 1 of 2 came."),
    ]


def test_a_session_without_a_record_lacks_nothing_that_is_known(tmp_path: Path):
    study = Study(name="memory")

    assert list(list_incomplete(LocalStore(tmp_path), study, [WHOLE])) == []


def test_what_the_protocol_misses_is_listed_with_its_count(tmp_path: Path):
    store, expected = LocalStore(tmp_path), ExpectedSeries(scan="anat/T1w")
    key = layout.bids_session("memory", SessionKey.parse(WHOLE))
    with store.stage(key) as tree:
        store.publish(tree, key, Record("bids_session", WHOLE, "1", report={}))
    study = Study(name="memory", protocol=ProtocolSettings(series=(expected,)))

    ((session, text),) = list_incomplete(store, study, [WHOLE])

    assert session == WHOLE
    assert text.startswith("anat/T1w: 0, expected")
