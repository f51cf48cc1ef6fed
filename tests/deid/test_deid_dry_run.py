"""One file before and after, for the eyes of one person."""

from __future__ import annotations

import pytest

from imaging_platform.deid import dry_run
from imaging_platform.deid.dry_run import try_policy
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.files.digests import digest_file
from imaging_platform.model.errors import BadInput, IdentityLeak
from tests.deid.originals import SECRET, make_original, save


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "identified"
    folder.mkdir()
    return folder


def _try(file, workspace, settings: DeidSettings | None = None):
    return try_policy(
        file, workspace, settings=settings or DeidSettings(), secret=SECRET
    )


def test_each_element_is_shown_before_and_after_with_its_ground(tmp_path, workspace):
    run = _try(save(make_original(), tmp_path / "a"), workspace)

    rows = {row.path: row for row in run.rows}
    assert rows["PatientBirthDate"].before == "19280412"
    assert rows["PatientBirthDate"].after == ""
    assert rows["EchoTime"].before == rows["EchoTime"].after == "30"
    assert rows["InstitutionName"].action == "empty"
    nested = "SharedFunctionalGroupsSequence[0].MRTimingAndRelatedParametersSequence[0]"
    assert rows[f"{nested}.PatientName"].before == "Zuckerschwerdt^Quirina"
    assert rows["PatientIdentityRemoved"].before is None
    assert not run.quarantined


def test_nothing_is_left_and_the_file_is_as_it_was(tmp_path, workspace):
    file = save(make_original(), tmp_path / "a")
    before = digest_file(file)

    _try(file, workspace)

    assert list(workspace.iterdir()) == []
    assert digest_file(file) == before


def test_nothing_is_left_after_a_failure(tmp_path, workspace):
    original = make_original()
    original.add_new(0x00281201, "OW", b"\0\1Zuckerschwerdt\0\1")

    with pytest.raises(IdentityLeak) as caught:
        _try(save(original, tmp_path / "a"), workspace)

    assert caught.value.fix
    assert list(workspace.iterdir()) == []


def test_the_copy_can_be_read_by_its_owner_only(tmp_path, workspace, monkeypatch):
    modes = []
    whole = dry_run.anonymize_session

    def look(source, *arguments, **options):
        modes.append(source.parent.stat().st_mode & 0o777)
        return whole(source, *arguments, **options)

    monkeypatch.setattr(dry_run, "anonymize_session", look)
    _try(save(make_original(), tmp_path / "a"), workspace)

    assert modes == [0o700]


def test_a_quarantined_file_is_told_with_its_reason(tmp_path, workspace):
    original = make_original()
    original.BurnedInAnnotation = "YES"

    run = _try(save(original, tmp_path / "a"), workspace)

    assert "burned" in run.quarantined
    assert run.rows == ()


def test_a_file_that_is_no_dicom_is_refused(tmp_path, workspace):
    (tmp_path / "a").write_text("hello")

    with pytest.raises(BadInput) as caught:
        _try(tmp_path / "a", workspace)

    assert caught.value.fix
    assert list(workspace.iterdir()) == []


def test_no_value_reaches_a_log_by_the_representation(tmp_path, workspace):
    run = _try(save(make_original(), tmp_path / "a"), workspace)

    assert "Zuckerschwerdt" not in repr(run) + "".join(map(repr, run.rows))


def test_a_value_cannot_command_the_terminal(tmp_path, workspace):
    original = make_original()
    original.PatientComments = "\x1b[2Jgone"

    run = _try(save(original, tmp_path / "a"), workspace)

    (row,) = [row for row in run.rows if row.path == "PatientComments"]
    assert row.before == "?[2Jgone"


def test_a_value_that_is_not_what_it_claims_is_shown_as_bytes(tmp_path, workspace):
    original = make_original()
    original.AcquisitionDuration = 1.5
    file = save(original, tmp_path / "a")
    data = file.read_bytes()
    head = data.index(b"\x18\x00\x73\x90FD\x08\x00")
    file.write_bytes(
        data[: head + 6] + b"\6\0" + data[head + 8 :][:6] + data[head + 16 :]
    )

    run = _try(file, workspace)

    (row,) = [row for row in run.rows if row.path == "AcquisitionDuration"]
    assert row.before == "6 bytes"
