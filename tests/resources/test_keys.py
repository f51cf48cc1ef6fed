from __future__ import annotations

import json
import stat

import pytest

from imaging_platform.deid import key_backup
from imaging_platform.deid.pseudonyms import key_fingerprint, new_uid, subject_label
from imaging_platform.model.errors import BadConfig, MissingKey
from imaging_platform.model.layout import ZONES, Home
from imaging_platform.resources.keys import (
    back_up_secret,
    create_secret,
    read_secret,
    remember_key,
    remembered_fingerprints,
    restore_secret,
)

PASSPHRASE = "five random words of mine"
OTHER_KEY = "ab" * 32


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(autouse=True)
def _cheap_guesses(request, monkeypatch):
    """A guess costs a millisecond: only one test is about its cost."""
    if "real_cost" not in request.fixturenames:
        monkeypatch.setattr(key_backup, "_COST", 1 << 8)


@pytest.fixture
def real_cost() -> int:
    """Memory of scrypt for one guess, 128 MiB, in its blocks of 1 KiB."""
    return 1 << 17


def replace_key(home: Home) -> None:
    home.secret_file("demo").write_text(OTHER_KEY + "\n")


def test_a_new_key_has_256_bits_and_is_readable_by_its_owner_only(home):
    create_secret(home, "demo")

    assert len(read_secret(home, "demo")) == 32
    assert stat.S_IMODE(home.secret_file("demo").stat().st_mode) == 0o600


def test_two_studies_have_different_keys(home):
    create_secret(home, "one")
    create_secret(home, "two")

    assert read_secret(home, "one") != read_secret(home, "two")


def test_a_key_that_is_there_is_never_replaced(home):
    create_secret(home, "demo")
    before = read_secret(home, "demo")

    create_secret(home, "demo")

    assert read_secret(home, "demo") == before


def test_the_key_and_the_mapping_lie_outside_every_data_tree(home):
    for file in (home.secret_file("demo"), home.mapping_file("demo")):
        assert not any(home.zone(zone, "demo") in file.parents for zone in ZONES)


def test_without_a_key_nothing_is_done(home):
    with pytest.raises(MissingKey) as refused:
        read_secret(home, "demo")

    assert "key restore demo" in refused.value.fix


def test_a_damaged_key_is_refused(home):
    create_secret(home, "demo")
    home.secret_file("demo").write_text("abcd\n")

    with pytest.raises(MissingKey, match="damaged"):
        read_secret(home, "demo")


def test_a_key_that_others_can_read_is_refused(home):
    create_secret(home, "demo")
    home.secret_file("demo").chmod(0o644)

    with pytest.raises(MissingKey) as refused:
        read_secret(home, "demo")

    assert "chmod 600" in refused.value.fix


def test_another_key_than_the_study_was_made_with_is_refused_with_both_fingerprints(
    home,
):
    create_secret(home, "demo")
    made_with = key_fingerprint(read_secret(home, "demo"))
    replace_key(home)

    with pytest.raises(MissingKey) as refused:
        read_secret(home, "demo")

    assert made_with in str(refused.value)
    assert key_fingerprint(bytes.fromhex(OTHER_KEY)) in str(refused.value)
    assert "key restore demo" in refused.value.fix
    assert OTHER_KEY not in str(refused.value) + refused.value.fix


@pytest.mark.parametrize("kept", [0, 1])
def test_one_of_the_two_places_is_enough_to_remember(home, kept):
    create_secret(home, "demo")
    home.fingerprint_files("demo")[1 - kept].unlink()
    replace_key(home)

    with pytest.raises(MissingKey, match="was made with"):
        read_secret(home, "demo")


def test_a_study_of_an_earlier_version_remembers_the_key_that_it_finds(home):
    create_secret(home, "demo")
    for file in home.fingerprint_files("demo"):
        file.unlink()

    secret = read_secret(home, "demo")

    assert remembered_fingerprints(home, "demo") == (key_fingerprint(secret),)


def test_a_place_that_forgot_is_filled_again(home):
    create_secret(home, "demo")
    file = home.fingerprint_files("demo")[0]
    file.unlink()

    remember_key(home, "demo", key_fingerprint(read_secret(home, "demo")))

    assert file.exists()


def test_the_identified_zone_stays_closed_when_the_key_is_remembered(home):
    create_secret(home, "demo")

    zone = home.zone("identified", "demo")
    assert stat.S_IMODE(zone.stat().st_mode) == 0o700


def test_a_place_that_cannot_be_written_is_told(home):
    create_secret(home, "demo")
    file = home.fingerprint_files("demo")[0]
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("a file where a folder should be")

    with pytest.raises(BadConfig) as refused:
        remember_key(home, "demo", "0" * 12)

    assert "key check demo" in refused.value.fix


def test_a_lost_key_is_never_made_anew(home):
    create_secret(home, "demo")
    home.secret_file("demo").unlink()

    with pytest.raises(MissingKey, match="another label") as refused:
        create_secret(home, "demo")

    assert "key restore demo" in refused.value.fix
    assert not home.secret_file("demo").exists()


def test_a_backup_costs_128_mib_for_each_guess_and_opens(home, tmp_path, real_cost):
    create_secret(home, "demo")

    back_up_secret(home, "demo", PASSPHRASE, tmp_path / "backup")

    assert json.loads((tmp_path / "backup").read_text())["cost"] == real_cost
    assert restore_secret(home, "demo", PASSPHRASE, tmp_path / "backup")


def test_a_restored_key_gives_the_same_labels_and_uids(home, tmp_path):
    create_secret(home, "demo")
    before = read_secret(home, "demo")
    back_up_secret(home, "demo", PASSPHRASE, tmp_path / "backup")
    new_home = Home(tmp_path / "new_home")

    fingerprint = restore_secret(new_home, "demo", PASSPHRASE, tmp_path / "backup")
    after = read_secret(new_home, "demo")

    assert fingerprint == key_fingerprint(before)
    assert subject_label(after, "KES-1") == subject_label(before, "KES-1")
    assert new_uid(after, "1.2.3") == new_uid(before, "1.2.3")
    assert stat.S_IMODE(new_home.secret_file("demo").stat().st_mode) == 0o600


def test_a_backup_does_not_show_the_key_and_is_private(home, tmp_path):
    create_secret(home, "demo")
    backup = tmp_path / "backup"

    back_up_secret(home, "demo", PASSPHRASE, backup)

    assert read_secret(home, "demo").hex() not in backup.read_text()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


def test_a_backup_never_replaces_a_file(home, tmp_path):
    create_secret(home, "demo")
    (tmp_path / "backup").write_text("older")

    with pytest.raises(BadConfig, match="exists") as refused:
        back_up_secret(home, "demo", PASSPHRASE, tmp_path / "backup")

    assert "not there yet" in refused.value.fix
    assert (tmp_path / "backup").read_text() == "older"


def test_a_short_passphrase_is_refused(home, tmp_path):
    create_secret(home, "demo")

    with pytest.raises(BadConfig, match="12 characters") as refused:
        back_up_secret(home, "demo", "short", tmp_path / "backup")

    assert "words" in refused.value.fix
    assert not (tmp_path / "backup").exists()


def test_a_wrong_passphrase_opens_nothing(home, tmp_path):
    create_secret(home, "demo")
    back_up_secret(home, "demo", PASSPHRASE, tmp_path / "backup")
    home.secret_file("demo").unlink()

    with pytest.raises(MissingKey, match="passphrase does not open"):
        restore_secret(home, "demo", PASSPHRASE + "!", tmp_path / "backup")

    assert not home.secret_file("demo").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"study": "other"},
        {"fingerprint": "0" * 12},
        {"cost": 4},
        {"cost": 1 << 30},
        {"salt": "00"},
        {"nonce": ""},
        {"key": "ab"},
        {"format": "another"},
        {"key": None},
    ],
)
def test_a_changed_backup_is_refused(home, tmp_path, changes):
    create_secret(home, "demo")
    backup = tmp_path / "backup"
    back_up_secret(home, "demo", PASSPHRASE, backup)
    backup.write_text(json.dumps({**json.loads(backup.read_text()), **changes}))
    home.secret_file("demo").unlink()

    with pytest.raises(MissingKey) as refused:
        restore_secret(home, "demo", PASSPHRASE, backup)

    assert refused.value.fix
    assert not home.secret_file("demo").exists()


def test_what_is_no_backup_is_refused(home, tmp_path):
    (tmp_path / "backup").write_bytes(b"[\xff")

    with pytest.raises(MissingKey, match="no backup"):
        restore_secret(home, "demo", PASSPHRASE, tmp_path / "backup")


def test_the_backup_of_another_study_is_refused(home, tmp_path):
    create_secret(home, "demo")
    back_up_secret(home, "demo", PASSPHRASE, tmp_path / "backup")

    with pytest.raises(MissingKey, match="of study demo, not of other"):
        restore_secret(home, "other", PASSPHRASE, tmp_path / "backup")


def test_a_backup_of_another_key_than_the_study_was_made_with_is_refused(
    home, tmp_path
):
    create_secret(home, "demo")
    namesake = Home(tmp_path / "namesake")
    create_secret(namesake, "demo")
    back_up_secret(namesake, "demo", PASSPHRASE, tmp_path / "backup")

    with pytest.raises(MissingKey, match="was made with") as refused:
        restore_secret(home, "demo", PASSPHRASE, tmp_path / "backup")

    assert "own key" in refused.value.fix


def test_restoring_over_a_wrong_key_asks_to_move_it_away(home, tmp_path):
    create_secret(home, "demo")
    back_up_secret(home, "demo", PASSPHRASE, tmp_path / "backup")
    replace_key(home)

    with pytest.raises(BadConfig, match="another key than the backup") as refused:
        restore_secret(home, "demo", PASSPHRASE, tmp_path / "backup")

    assert "away" in refused.value.fix


def test_restoring_twice_changes_nothing(home, tmp_path):
    create_secret(home, "demo")
    back_up_secret(home, "demo", PASSPHRASE, tmp_path / "backup")

    restore_secret(home, "demo", PASSPHRASE, tmp_path / "backup")

    assert read_secret(home, "demo")
