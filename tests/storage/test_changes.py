from __future__ import annotations

from imaging_platform.provenance.record import Record
from imaging_platform.storage.local import CHANGES, LocalStore

KEY = "derivatives/demo/motion/sub-01/ses-1"


def publish(store: LocalStore, files: dict[str, str], key: str = KEY) -> str:
    with store.stage(key) as tree:
        for name, text in files.items():
            (tree / name).write_text(text)
        return store.publish(tree, key, Record("motion", "sub-01_ses-1", "1"))


def test_the_files_that_changed_since_a_version_are_named(tmp_path):
    store = LocalStore(tmp_path)
    first = publish(store, {"a.tsv": "1", "b.tsv": "1", "c.tsv": "1"})
    second = publish(store, {"a.tsv": "2", "b.tsv": "1", "c.tsv": "1"})
    third = publish(store, {"a.tsv": "2", "b.tsv": "1", "d.tsv": "1"})

    assert store.changes(KEY, first) == {
        "a.tsv": "changed",
        "c.tsv": "removed",
        "d.tsv": "added",
    }
    assert store.changes(KEY, second) == {"c.tsv": "removed", "d.tsv": "added"}
    assert store.changes(KEY, third) == {}


def test_a_version_that_came_out_the_same_is_no_step(tmp_path):
    store = LocalStore(tmp_path)
    first = publish(store, {"a.tsv": "1"})
    publish(store, {"a.tsv": "1"})

    assert store.changes(KEY, first) == {}
    assert not list(tmp_path.rglob(f"{CHANGES}/*"))


def test_a_version_that_is_not_remembered_has_no_changes(tmp_path):
    store = LocalStore(tmp_path)
    publish(store, {"a.tsv": "1"})
    publish(store, {"a.tsv": "2"})

    assert store.changes(KEY, "of another life") == {}


def test_only_the_latest_steps_are_kept(tmp_path):
    store = LocalStore(tmp_path)
    versions = [publish(store, {"a.tsv": str(number)}) for number in range(23)]

    assert store.changes(KEY, versions[1]) == {}
    assert store.changes(KEY, versions[2]) == {"a.tsv": "changed"}


def test_what_is_removed_leaves_no_name_behind(tmp_path):
    store = LocalStore(tmp_path)
    publish(store, {"a.tsv": "1"})
    publish(store, {"a.tsv": "2"})

    store.remove(KEY)

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_names_of_originals_are_never_told(tmp_path):
    store = LocalStore(tmp_path)
    key = "identified/demo/sessions/sub-01_ses-1"
    first = publish(store, {"kestrel.dcm": "1"}, key)
    publish(store, {"kestrel.dcm": "2"}, key)

    assert store.changes(key, first) == {}
