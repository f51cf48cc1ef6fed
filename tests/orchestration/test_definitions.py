from __future__ import annotations

import json
import subprocess
import sys

import dagster as dg
import pytest

from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home

HEAVY = ("pydicom", "nibabel", "pandas", "matplotlib", "ants", "nilearn", "papermill")
IDENTIFIED_ASSETS = {"drop_index", "raw_session", "anonymized_dicom"}


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path)
    create_study(home, "first")
    create_study(home, "second")
    return home


def test_definitions_load_with_an_empty_environment_and_nothing_heavy(tmp_path):
    script = (
        "import json, sys, time; started = time.process_time();"
        "import imaging_platform.definitions as d; d.defs();"
        "print(json.dumps([time.process_time() - started, list(sys.modules)]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    cpu_s, modules = json.loads(done.stdout)

    assert not [module for module in HEAVY if module in modules]
    assert cpu_s < 6, "3 s on an idle core; twice that beside other tests"


def test_each_study_has_its_own_prefix_group_and_partitions(home):
    graph = define_home(home).resolve_asset_graph()

    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name == key.path[0]
        if node.partitions_def is not None:
            assert node.partitions_def.name.startswith(f"{key.path[0]}_")
    assert {key.path[0] for key in graph.get_all_asset_keys()} == {"first", "second"}


def test_only_four_places_ask_for_the_identified_zone(home):
    definitions = define_home(home)

    assets = {
        definition.key.path[-1]
        for definition in definitions.assets
        if isinstance(definition, dg.AssetsDefinition)
        and "identified" in definition.required_resource_keys
    }
    sensors = {
        sensor.name
        for sensor in definitions.sensors
        if "identified" in sensor.required_resource_keys
    }

    assert assets == IDENTIFIED_ASSETS
    assert sensors == {"first_drops", "second_drops"}


def test_only_what_publishes_text_about_a_session_asks_the_echo_guard(home):
    definitions = define_home(home)

    users = {
        definition.key.path[-1]
        for definition in definitions.assets
        if isinstance(definition, dg.AssetsDefinition)
        and "echo_guard" in definition.required_resource_keys
    }
    sensors = {
        sensor.name
        for sensor in definitions.sensors
        if "echo_guard" in sensor.required_resource_keys
    }

    assert users == {"anonymized_dicom", "bids_session", "drop_index"}
    assert sensors == set()


def test_the_echo_guard_answers_one_question():
    from imaging_platform.resources.zones import EchoGuard

    own = [
        name
        for name, value in vars(EchoGuard).items()
        if callable(value) and not name.startswith("_")
    ]

    assert own == ["search"]


def test_every_asset_says_what_it_is_to_a_person(home):
    graph = define_home(home).resolve_asset_graph()

    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.kinds, key
        assert node.code_version, key


def test_a_changed_part_of_the_study_changes_only_the_versions_that_depend_on_it(home):
    before = _code_versions(home)
    changed = {}
    for setting in ("license: CC0", "default_task: rest"):
        write_text(home.study_file("first"), f"name: first\nbids:\n  {setting}\n")
        after = _code_versions(home)
        changed[setting] = {key for key in before if before[key] != after[key]}

    assert changed == {
        "license: CC0": {"first/bids_dataset"},
        # What it changes of a session is an input of that session.
        "default_task: rest": set(),
    }


def test_a_rule_of_the_study_changes_no_code_version(home):
    before = _code_versions(home)
    write_text(
        home.study_file("first"),
        "name: first\nbids:\n  rules: [{match: {EchoTime: 1}, exclude: x}]\n",
    )

    assert _code_versions(home) == before


def test_a_changed_protocol_makes_the_catalog_anew(home):
    before = _code_versions(home)
    write_text(
        home.study_file("first"),
        "name: first\nprotocol:\n  series: [{scan: anat/T1w}]\n",
    )

    after = _code_versions(home)

    assert {k for k in before if before[k] != after[k]} == {"first/catalog"}


def test_identity_gates_block_the_run(home):
    graph = define_home(home).resolve_asset_graph()

    blocking = {
        key.name
        for key in graph.asset_check_keys
        if key.asset_key.path[0] == "first" and graph.get_check_spec(key).blocking
    }

    assert blocking == {"no_residual_identity", "valid_bids"}


def _code_versions(home: Home) -> dict[str, str]:
    graph = define_home(home).resolve_asset_graph()
    keys = graph.get_all_asset_keys()
    return {"/".join(key.path): graph.get(key).code_version for key in keys}
