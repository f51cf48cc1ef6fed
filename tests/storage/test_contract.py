"""What every store promises, proved on each of them."""

from __future__ import annotations

import dataclasses
import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging_platform.files.digests import DESCRIPTIONS, RECORD_NAME, digest_tree
from imaging_platform.model.errors import BadConfig, Held, IdentityLeak, MissingInput
from imaging_platform.model.layout import ZONES
from imaging_platform.provenance.record import Record
from imaging_platform.storage.proof import attempted
from imaging_platform.storage.store import Store

KEY = "bids/demo/tree"
RECORD = Record("anonymized_dicom", "sub-1_ses-1", "1", inputs={"raw": "abc"})


@pytest.fixture
def store(make_store) -> Store:
    return make_store()


def _publish(store: Store, *, key: str = KEY, record: Record = RECORD, **files) -> str:
    with store.stage(key) as tree:
        for name, text in (files or {"file": "x"}).items():
            (tree / name).write_text(text)
        return store.publish(tree, key, record)


def _read(store: Store, key: str = KEY) -> dict[str, str]:
    with store.fetch(key) as tree:
        return {
            file.relative_to(tree).as_posix(): file.read_text()
            for file in tree.rglob("*")
            if file.is_file() and file.name not in DESCRIPTIONS
        }


def test_what_was_published_can_be_fetched_from_another_process(make_store):
    _publish(make_store(), a="1", b="2")

    assert _read(make_store()) == {"a": "1", "b": "2"}


def test_the_data_version_is_the_digest_of_the_tree_and_stands_in_the_record(store):
    version = _publish(store)

    with store.fetch(KEY) as tree:
        assert digest_tree(tree) == version
        assert json.loads((tree / RECORD_NAME).read_text())["data_version"] == version
    record = store.read(KEY)
    assert record is not None
    assert (record.data_version, record.inputs) == (version, {"raw": "abc"})


def test_a_tree_keeps_its_folders_odd_names_and_empty_files(store):
    names = ["a/b/c.txt", "name with spaces", "ümlaut+%2F", ".hidden", "empty"]
    with store.stage(KEY) as tree:
        for name in names:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text("" if name == "empty" else name)
        store.publish(tree, KEY, RECORD)

    assert _read(store) == {n: "" if n == "empty" else n for n in names}


def test_an_empty_tree_can_be_published(store):
    with store.stage(KEY) as tree:
        store.publish(tree, KEY, RECORD)

    assert _read(store) == {}


def test_a_new_tree_replaces_the_old_one_whole(store):
    first = _publish(store, a="1", gone="1")
    second = _publish(store, a="2", new="2")

    assert first != second
    assert _read(store) == {"a": "2", "new": "2"}


def test_an_older_tree_can_be_published_again(store):
    for text in ("1", "2", "1", "2"):
        _publish(store, a=text)

        assert _read(store) == {"a": text}


def test_the_same_content_has_the_same_version(store):
    assert _publish(store) == _publish(store)


def test_other_bytes_of_the_same_meaning_have_the_same_version(store):
    with store.stage(KEY) as tree:
        (tree / "a.nii.gz").write_bytes(gzip.compress(b"x", 1, mtime=1))
        first = store.publish(tree, KEY, RECORD)
    with store.stage(KEY) as tree:
        (tree / "a.nii.gz").write_bytes(gzip.compress(b"x", 9, mtime=2))
        second = store.publish(tree, KEY, RECORD)

    assert first == second


def test_a_new_record_of_the_same_content_is_kept(store):
    _publish(store)
    _publish(store, record=Record("anonymized_dicom", "sub-1_ses-1", "2"))

    record = store.read(KEY)
    assert record is not None
    assert record.code_version == "2"


def test_the_record_of_what_was_never_published_is_none(store):
    assert store.read(KEY) is None


def test_what_was_never_published_cannot_be_fetched(store):
    with pytest.raises(MissingInput) as refused, store.fetch(KEY):
        pytest.fail("fetched")

    assert "process" in refused.value.fix


def test_what_is_held_cannot_be_fetched_although_an_older_tree_is_there(store):
    _publish(store)
    store.hold(KEY, "an identifier was found")

    with pytest.raises(Held) as refused, store.fetch(KEY):
        pytest.fail("fetched")

    assert "materialize" in refused.value.fix


def test_a_new_publication_ends_the_hold_even_with_the_same_content(store):
    _publish(store)
    store.hold(KEY, "an identifier was found")

    _publish(store)

    assert store.held("bids/demo/") == {}
    assert _read(store) == {"file": "x"}


def test_holds_are_listed_by_prefix(store):
    store.hold(KEY, "why")

    assert store.held("bids/demo/") == {KEY: "why"}
    assert store.held("bids/demo/other") == {}
    assert store.held("bids/other/") == {}


def test_a_second_hold_replaces_the_reason(store):
    store.hold(KEY, "first")
    store.hold(KEY, "second")

    assert store.held("bids/demo/") == {KEY: "second"}


def test_a_stage_is_empty_and_gone_afterwards(store):
    with store.stage(KEY) as tree:
        content = list(tree.iterdir())
        (tree / "file").write_text("x")

    assert content == []
    assert not tree.exists()


def test_a_stage_that_fails_publishes_nothing_and_leaves_nothing(store):
    with pytest.raises(KeyError), store.stage(KEY) as tree:
        (tree / "file").write_text("x")
        raise KeyError

    assert not tree.exists()
    assert store.read(KEY) is None


def test_a_key_does_not_touch_the_keys_beside_or_below_it(store):
    below, beside = f"{KEY}/ses-2", f"{KEY}0"
    _publish(store, key=below, a="below")
    _publish(store, key=beside, a="beside")
    _publish(store, key="bids/demo/other", a="1")
    _publish(store, key="bids/demo/other", a="2")

    assert _read(store, below) == {"a": "below"}
    assert _read(store, beside) == {"a": "beside"}


@pytest.mark.parametrize("action", ["fetch", "stage", "read", "hold", "held"])
def test_a_store_refuses_the_zones_of_others(make_store, action):
    store = make_store(zones=("bids",))
    key = "identified/demo/sessions/x"
    calls = {
        "fetch": lambda: store.fetch(key).__enter__(),
        "stage": lambda: store.stage(key).__enter__(),
        "read": lambda: store.read(key),
        "hold": lambda: store.hold(key, "why"),
        "held": lambda: store.held(key),
    }

    with pytest.raises(BadConfig) as refused:
        calls[action]()

    assert "zone" in refused.value.fix


def test_a_store_refuses_to_publish_into_the_zones_of_others(make_store, tmp_path):
    (tmp_path / "tree").mkdir()

    with pytest.raises(BadConfig):
        make_store(zones=("bids",)).publish(
            tmp_path / "tree", "identified/demo/x", RECORD
        )

    assert make_store(zones=ZONES).read("identified/demo/x") is None


names = st.sampled_from(["a", "b/c", "b/d", "e f", "g.json"])
trees = st.dictionaries(names, st.binary(max_size=40), max_size=5)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=st.lists(trees, min_size=1, max_size=4))
def test_the_last_tree_is_what_is_read_whatever_came_before(make_store, history):
    store = make_store()
    for content in history:
        with store.stage(KEY) as tree:
            for name, data in content.items():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).write_bytes(data)
            store.publish(tree, KEY, RECORD)

    with store.fetch(KEY) as tree:
        found = {
            file.relative_to(tree).as_posix(): file.read_bytes()
            for file in tree.rglob("*")
            if file.is_file() and file.name not in DESCRIPTIONS
        }
    assert found == history[-1]


DICOM = "dicom/demo/sub-1_ses-1"
PROVED = Record(
    "anonymized_dicom",
    "sub-1_ses-1",
    "1",
    report={"proved": True, "files_written": 1},
)
OF_THE_SESSION = [
    DICOM,
    "bids/demo/sub-1/ses-1",
    "derivatives/demo/motion/sub-1/ses-1",
    "catalog/demo/quality/sub-1_ses-1",
    "catalog/demo/deid/sub-1_ses-1",
    "reports/demo/sessions/sub-1_ses-1",
]


def _publish_dicom(store: Store, record: Record = PROVED) -> str:
    with store.stage(DICOM) as tree:
        (tree / "0001-ab").mkdir()
        (tree / "0001-ab" / "1.dcm").write_text("x")
        return store.publish(tree, DICOM, record)


def test_proved_dicom_can_be_fetched(store):
    _publish_dicom(store)

    assert _read(store, DICOM) == {"0001-ab/1.dcm": "x"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"report": {"files_written": 1}}, "guard"),
        ({"report": {"proved": False, "files_written": 1}}, "guard"),
        ({"report": {"proved": "yes", "files_written": 1}}, "guard"),
        ({"report": {"proved": True, "files_written": 2}}, "files"),
        ({"report": {"proved": True}}, "files"),
        ({"partition": "sub-2_ses-1"}, "another session"),
        ({"asset": "bids_session"}, "anonymized_dicom"),
    ],
)
def test_dicom_whose_record_does_not_prove_it_cannot_be_fetched(store, changes, words):
    _publish_dicom(store, dataclasses.replace(PROVED, **changes))

    with pytest.raises(Held, match=words) as refused, store.fetch(DICOM):
        pytest.fail("fetched")

    assert "anonymized_dicom" in refused.value.fix


@pytest.mark.parametrize("key", OF_THE_SESSION)
def test_nothing_of_a_session_can_be_fetched_while_its_dicom_is_held(store, key):
    _publish_dicom(store)
    if key != DICOM:
        _publish(store, key=key)
    store.hold(DICOM, "an identifier was found")

    with pytest.raises(Held, match="an identifier was found"), store.fetch(key):
        pytest.fail("fetched")


def test_the_hold_of_a_session_closes_no_other(store):
    store.hold(DICOM, "an identifier was found")
    for key in ("bids/demo/sub-1/ses-2", "reports/demo/study", "catalog/demo/tables"):
        _publish(store, key=key)

        with store.fetch(key) as tree:
            assert (tree / "file").exists()


class Killed(BaseException):
    """The process ends here; nothing of ours may catch it."""


@pytest.mark.parametrize("error", [Killed(), MemoryError(), OSError("disk")])
def test_a_session_is_closed_after_an_attempt_that_ended_in_any_way(make_store, error):
    _publish_dicom(make_store())

    with pytest.raises(type(error)), attempted(make_store(), DICOM):
        raise error

    with pytest.raises(Held, match="interrupted"), make_store().fetch(DICOM):
        pytest.fail("fetched")


def test_a_session_is_closed_while_an_attempt_is_under_way(make_store):
    _publish_dicom(make_store())

    with (
        attempted(make_store(), DICOM),
        pytest.raises(Held, match="under way"),
        make_store().fetch(DICOM),
    ):
        pytest.fail("fetched")


def test_a_failed_attempt_tells_its_reason(store):
    with pytest.raises(IdentityLeak), attempted(store, DICOM):
        raise IdentityLeak("It stands in SeriesDescription.", fix="Correct it.")

    assert store.held("dicom/demo/") == {DICOM: "It stands in SeriesDescription."}


def test_an_attempt_that_published_opens_the_session(store):
    with attempted(store, DICOM):
        _publish_dicom(store)

    assert _read(store, DICOM) == {"0001-ab/1.dcm": "x"}
