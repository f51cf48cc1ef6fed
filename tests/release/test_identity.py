"""Every file of a release is searched, or there is no release."""

from __future__ import annotations

import pytest

from imaging_platform.deid.residue import Residue
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import IdentityLeak
from imaging_platform.model.ids import SessionKey
from imaging_platform.release.identity import Guards, refuse_identity

KEY = SessionKey("A", "1")
SECRET = "gwendolyn"


def search(folder) -> list[Residue]:
    return [
        Residue(path.relative_to(folder).as_posix(), "line 1")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and SECRET in path.read_text()
    ]


def nothing(*_) -> list[Residue]:
    return []


def refuse(root, guards) -> int:
    return refuse_identity(
        root,
        [KEY],
        guards,
        own_words=frozenset({f"own {SECRET}"}),
        passed_over=frozenset({"manifest"}),
    )


@pytest.mark.parametrize(
    "name",
    [
        "sub-A/ses-1/func/x.json",
        "sub-A/sub-A_sessions.tsv",
        "derivatives/motion/sub-A/ses-1/x.tsv",
        "derivatives/motion/sub-A/x.tsv",
    ],
)
def test_what_is_of_a_subject_is_searched_for_that_subject(tmp_path, name):
    write_text(tmp_path / name, f"hello {SECRET}\n")

    with pytest.raises(IdentityLeak) as error:
        refuse(tmp_path, Guards(lambda _, folder: search(folder), nothing))

    assert name.rpartition("/")[2] in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("name", ["README.md", "derivatives/motion/x.json", "a.tsv"])
def test_what_is_of_nobody_is_searched_for_everybody(tmp_path, name):
    write_text(tmp_path / name, f'["hello {SECRET}"]\n')

    with pytest.raises(IdentityLeak, match=name.rpartition("/")[2]):
        refuse(tmp_path, Guards(nothing, search))


def test_texts_of_the_product_and_lists_of_digests_name_nobody(tmp_path):
    write_text(tmp_path / "README.md", f"own {SECRET}\n")
    write_text(tmp_path / "manifest", f"{SECRET}\n")

    assert refuse(tmp_path, Guards(nothing, search)) == 2


@pytest.mark.parametrize("name", ["sub-B/ses-1/x.json", "sub-B/x.json"])
def test_a_file_of_no_session_of_the_release_refuses_it(tmp_path, name):
    write_text(tmp_path / name, "{}\n")

    with pytest.raises(IdentityLeak, match=r"1 file.* of no session"):
        refuse(tmp_path, Guards(nothing, nothing))
