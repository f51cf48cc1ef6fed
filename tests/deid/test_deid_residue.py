"""The echo guard finds what it was told to look for, and names the place only."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.deid.residue import Residue, collect_identifiers, find_residue
from imaging_platform.files.digests import sorted_files
from tests.deid.conftest import Anonymize
from tests.deid.originals import make_original, save, write_originals


@pytest.fixture
def known(tmp_path: Path) -> Identifiers:
    return collect_identifiers(sorted_files(write_originals(tmp_path / "originals")))


def test_the_originals_tell_their_subject(known: Identifiers):
    assert {"zuckerschwerdt", "quirina", "px4711888", "station77"} <= known.words
    assert {"19280412", "20200229"} <= known.dates
    assert "hospital of nowhere" in known.phrases


def test_every_original_is_full_of_residue(tmp_path, known: Identifiers):
    folder = tmp_path / "tree"
    folder.mkdir()
    save(make_original(), folder / "a.dcm")

    places = {found.place for found in find_residue(folder, known)}

    assert {"PatientName", "PatientBirthDate", "SOPInstanceUID"} <= places
    assert {"SourceApplicationEntityTitle", "InstitutionName"} <= places
    assert (
        "SharedFunctionalGroupsSequence[0]."
        "MRTimingAndRelatedParametersSequence[0].PatientName"
    ) in places


def test_a_de_identified_session_has_none(tmp_path, known, anonymize: Anonymize):
    target = anonymize(tmp_path / "originals").target

    assert find_residue(target, known, own_name="sub-AB12") == ()


@pytest.mark.parametrize(
    "text",
    [
        '{"PatientName": "Zuckerschwerdt"}',
        "a\tb\n1\t2020-02-29\n",
        "study 1.2.826 px4711888",
    ],
)
def test_a_text_is_searched_by_line(tmp_path, known, text):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "sub-AB12_bold.tsv").write_text(text)

    (found,) = find_residue(folder, known)

    assert found.file == "sub-AB12_bold.tsv"
    assert found.place.startswith("line ")


def test_an_escaped_name_in_json_is_found(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.json").write_text('{"Note": "M\\u00fcller"}')

    found = find_residue(folder, Identifiers(words=frozenset({"muller"})))

    assert found == (Residue("a.json", "line 2"),)


def test_a_file_name_is_searched_too(tmp_path, known):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "Zuckerschwerdt.txt").write_text("")

    assert find_residue(folder, known) == (Residue("", "file name"),)


def test_a_nifti_header_is_searched(tmp_path, known):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.nii.gz").write_bytes(
        gzip.compress(b"\0" * 148 + b"Quirina".ljust(200))
    )

    assert find_residue(folder, known) == (Residue("a.nii.gz", "line 1"),)


def test_the_pseudonym_may_stand_where_a_name_stood(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.tsv").write_text("sub-AB12\n")
    own = Identifiers(words=frozenset({"ab12"}))

    assert find_residue(folder, own) != ()
    assert find_residue(folder, own, own_name="sub-AB12") == ()


def test_a_preamble_with_content_is_residue(tmp_path, anonymize: Anonymize):
    folder = tmp_path / "tree"
    folder.mkdir()
    path = save(make_original(), folder / "a.dcm")
    path.write_bytes(b"MZ".ljust(128) + path.read_bytes()[128:])

    assert Residue("a.dcm", "preamble") in find_residue(folder, Identifiers())
