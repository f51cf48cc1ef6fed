from __future__ import annotations

import stat

import pytest

from imaging_platform.model.errors import MissingKey
from imaging_platform.model.layout import ZONES, Home
from imaging_platform.resources.keys import create_secret, read_secret


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


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


def test_the_key_lies_outside_every_data_tree(home):
    parents = home.secret_file("demo").parents

    assert not any(home.zone(zone, "demo") in parents for zone in ZONES)


def test_without_a_key_nothing_is_done(home):
    with pytest.raises(MissingKey) as refused:
        read_secret(home, "demo")

    assert "backup" in refused.value.fix


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
