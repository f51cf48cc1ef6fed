from __future__ import annotations

import pytest
import yaml

from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import Home
from imaging_platform.settings import (
    Study,
    find_home,
    load_study,
    parse_study,
)
from imaging_platform.study_file import describe_study


def test_the_described_study_is_valid_and_holds_the_defaults():
    content = yaml.safe_load(describe_study("demo"))

    assert parse_study(content) == Study(name="demo")


def test_every_line_of_the_described_study_can_be_switched_on():
    lines = describe_study("demo").splitlines()
    settings = [line.replace("# ", "", 1) for line in lines if _is_setting(line)]

    study = parse_study(yaml.safe_load("\n".join(["name: demo", *settings])))

    assert study == Study(name="demo")


def test_every_setting_is_described():
    missing = [path for path, info in _fields(Study) if not info.description]

    assert missing == []


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    with pytest.raises(BadConfig) as refused:
        parse_study({"name": "demo", "intake": {"quite_s": 3}})

    assert "intake.quite_s" in str(refused.value)
    assert "quiet_s" in refused.value.fix


def test_a_value_out_of_range_is_refused_with_its_place():
    with pytest.raises(BadConfig) as refused:
        parse_study({"name": "demo", "intake": {"quiet_s": -1}})

    assert "intake.quiet_s" in str(refused.value)


@pytest.mark.parametrize("content", [None, "text", ["a"]])
def test_a_study_file_is_a_mapping(content):
    with pytest.raises(BadConfig) as refused:
        parse_study(content)

    assert "study new" in refused.value.fix


def test_an_absent_study_names_the_known_ones(tmp_path):
    home = Home(tmp_path)
    _write(home, "first", "name: first")

    with pytest.raises(BadConfig, match="known: first") as refused:
        load_study(home, "second")

    assert "study new second" in refused.value.fix


def test_a_study_file_that_is_no_yaml_names_the_line(tmp_path):
    home = Home(tmp_path)
    _write(home, "demo", "name: demo\nbids: [")

    with pytest.raises(BadConfig, match="line 2"):
        load_study(home, "demo")


def test_a_study_file_in_the_folder_of_another_is_refused(tmp_path):
    home = Home(tmp_path)
    _write(home, "demo", "name: other")

    with pytest.raises(BadConfig) as refused:
        load_study(home, "demo")

    assert "same name" in refused.value.fix


def test_a_default_that_is_written_out_does_not_change_the_digest():
    written = parse_study({"name": "demo", "intake": {"quiet_s": 60}})

    assert written.digest("intake") == Study(name="demo").digest("intake")


def test_one_value_of_a_threshold_can_be_changed_alone():
    changed = parse_study({"name": "demo", "quality": {"fd_mean": {"look": 0.2}}})

    before = Study(name="demo").quality.fd_mean
    assert changed.quality.fd_mean == before.model_copy(update={"look": 0.2})


def test_a_change_marks_only_the_part_that_it_is_in():
    changed = parse_study({"name": "demo", "intake": {"quiet_s": 61}})
    before = Study(name="demo")

    assert changed.digest("intake") != before.digest("intake")
    assert changed.digest("bids", "deid") == before.digest("bids", "deid")


def test_the_home_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGING_HOME", str(tmp_path))

    assert find_home().root == tmp_path


def _write(home: Home, name: str, text: str) -> None:
    home.study_file(name).parent.mkdir(parents=True)
    home.study_file(name).write_text(text)


def _is_setting(line: str) -> bool:
    name, colon, _ = line.strip().removeprefix("# ").partition(":")
    return line.strip().startswith("# ") and bool(colon) and name.isidentifier()


def _fields(model, path=""):
    for name, info in model.model_fields.items():
        yield f"{path}{name}", info
        if hasattr(info.annotation, "model_fields"):
            yield from _fields(info.annotation, f"{path}{name}.")
