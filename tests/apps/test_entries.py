"""Entries of a study file: what is refused, what is told, what is made of others'."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.apps.importing import ImportedApp, import_app
from imaging_platform.apps.lint import lint_app
from imaging_platform.apps.ready import load_ready
from imaging_platform.apps.run import run_app
from imaging_platform.apps.runners import AppJob, prepare
from imaging_platform.apps.settings import App
from imaging_platform.apps.template import fill_words
from imaging_platform.cli.main import cli
from imaging_platform.files.digests import digest_file
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadConfig, ToolFailed
from imaging_platform.settings import find_binds, parse_study
from imaging_platform.tools.supervised import Container, Program
from tests.apps.conftest import ENTRY, KEY, local_app

DIGEST = f"sha256:{'a' * 64}"
IMAGE = f"site/tiny:1.2@{DIGEST}"
XNAT = {
    "name": "BIDS Tiny",
    "version": "1.1",
    "image": "site/tiny:0.15",
    "type": "docker",
    "command-line": "tiny /input /output participant #SUBJECT# [N4] -w /work #FLAGS#",
    "override-entrypoint": True,
    "mounts": [
        {"name": "in", "writable": "false", "path": "/input"},
        {"name": "out", "writable": "true", "path": "/output"},
        {"name": "work", "writable": True, "path": "/work"},
    ],
    "inputs": [
        {
            "name": "who",
            "replacement-key": "#SUBJECT#",
            "command-line-flag": "--label",
        },
        {
            "name": "n4",
            "type": "boolean",
            "default-value": True,
            "replacement-key": "[N4]",
            "true-value": "--n4",
            "false-value": "",
        },
        {"name": "flags", "replacement-key": "#FLAGS#", "default-value": "-v --fast"},
    ],
    "outputs": [{"name": "qc", "mount": "out", "path": "qc", "required": True}],
    "xnat": [
        {
            "contexts": ["xnat:mrSessionData"],
            "derived-inputs": [
                {
                    "name": "label",
                    "derived-from-xnat-object-property": "subject-label",
                    "provides-value-for-command-input": "who",
                },
                {"name": "t1", "matcher": "@.scan-type == 'T1'"},
            ],
            "output-handlers": [{"name": "resource"}],
        }
    ],
    "limit-memory": 4096,
    "gpus": {"count": 1},
}
BOUTIQUES = {
    "name": "tiny",
    "tool-version": "v2.0",
    "schema-version": "0.5",
    "command-line": "[BIDS_DIR] [OUT] [LEVEL] [LABEL] [SKIP] [RES] [MASK]",
    "container-image": {
        "type": "docker",
        "image": "site/tiny:2.0",
        "entrypoint": True,
    },
    "inputs": [
        {"id": "bids_dir", "type": "File", "value-key": "[BIDS_DIR]"},
        {"id": "output_dir", "type": "String", "value-key": "[OUT]"},
        {"id": "analysis_level", "type": "String", "value-key": "[LEVEL]"},
        {
            "id": "participant_label",
            "type": "String",
            "value-key": "[LABEL]",
            "command-line-flag": "--participant-label",
            "optional": True,
        },
        {
            "id": "skip",
            "type": "Flag",
            "value-key": "[SKIP]",
            "command-line-flag": "--skip",
            "optional": True,
        },
        {
            "id": "res",
            "type": "Number",
            "value-key": "[RES]",
            "command-line-flag": "--res",
            "command-line-flag-separator": "=",
            "default-value": 2,
        },
        {"id": "mask", "type": "String", "value-key": "[MASK]"},
    ],
    "output-files": [
        {"id": "page", "path-template": "[OUT]/sub-[LABEL].html"},
        {"id": "map", "path-template": "[OUT]/[MASK].nii.gz", "optional": True},
    ],
    "suggested-resources": {"cpu-cores": 2, "ram": 8},
    "groups": [{"id": "one", "members": ["skip", "res"]}],
}


def import_one(content: object) -> ImportedApp:
    (imported,) = import_app(json.dumps(content))
    return imported


def messages(**changed: Any) -> list[str]:
    return [f"{f.level} {f.field} {f.message}" for f in lint_app(local_app(**changed))]


@given(st.lists(st.text(), min_size=1))
def test_a_value_stays_as_many_words_as_it_has_whatever_is_in_them(values):
    assert fill_words(["{params.x}"], {"params.x": values}) == values


@given(st.text(min_size=1))
def test_a_value_inside_of_a_word_adds_no_word(value):
    assert fill_words(["--x={x}"], {"x": value}) == [f"--x={value}"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"command": "{bids_dri}"}, "{bids_dri} is no placeholder"),
        ({"command": "{params.x}"}, "{params.x} is no placeholder"),
        ({"command": "{session}", "level": "subject"}, "one run is about a subject"),
        ({"command": "{subject}", "level": "study"}, "one run is about a study"),
        ({"command": "{licence}"}, "the app names no licence"),
        ({"environment": {"A": "{b}"}}, "environment.A"),
        ({"outputs": []}, "No output is required"),
        ({"outputs": [{"glob": "../x"}]}, "leads out of the folder"),
        ({"needs": ["/etc/*"]}, "leads out of the session"),
        ({"runner": "docker", "image": "site/tiny:1.2"}, "has no digest"),
        ({"runner": "docker", "image": "site/tiny@sha256:..."}, "has no digest"),
    ],
)
def test_an_error_of_an_entry_is_told_and_the_app_is_not_started(
    changed, told, session, tmp_path
):
    app = local_app(**changed)
    job = AppJob(app, "demo", {KEY: session}, tmp_path / "log")

    errors = [message for message in messages(**changed) if message.startswith("error")]
    with pytest.raises(BadConfig) as raised:
        run_app(job, tmp_path)

    assert any(told in message for message in errors)
    assert raised.value.fix
    assert not (tmp_path / "log").exists()


def test_a_setting_that_nothing_uses_is_a_risk():
    told = messages(command="run")

    assert any("params.mode" in m and m.startswith("risk") for m in told)


@pytest.mark.parametrize("name", ["motion", "bids_session", "catalog", "drop_index"])
def test_an_app_cannot_take_the_name_of_an_asset(name):
    with pytest.raises(BadConfig, match="name of an asset of every study"):
        parse_study({"name": "demo", "apps": [_entry(name=name)]})


def test_two_apps_of_one_name_are_refused():
    with pytest.raises(BadConfig, match="two apps are named tiny"):
        parse_study({"name": "demo", "apps": [_entry(), _entry()]})


def test_a_version_without_quotes_is_refused():
    with pytest.raises(BadConfig, match=r"write it in quotes"):
        parse_study({"name": "demo", "apps": [_entry(version=1.1)]})


def test_resources_are_no_part_of_what_decides_about_results():
    small = App.model_validate(_entry(cpus=1, memory_gb=1))
    large = App.model_validate(_entry(cpus=8, memory_gb=64, timeout_min=9))
    other = App.model_validate(_entry(params={"mode": "other"}))

    assert small.parameters_digest == large.parameters_digest
    assert small.parameters_digest != other.parameters_digest


def _entry(**changed: Any) -> dict[str, Any]:
    return {**ENTRY, "image": IMAGE, **changed}


@pytest.mark.parametrize("name", load_ready())
def test_a_ready_entry_is_complete_but_for_the_digest_of_its_image(name):
    app = load_ready()[name].app

    errors = [f for f in lint_app(app) if f.level == "error"]

    assert [f.field for f in errors] == (
        [] if app.runner == "local" else [f"apps.{name}.image"]
    )
    assert all("docker pull" in f.fix for f in errors)


def test_apps_that_need_a_licence_say_so():
    licensed = {n for n, each in load_ready().items() if each.app.licence}

    assert licensed == {"fmriprep", "qsiprep", "freesurfer"}


def test_a_container_sees_its_folders_read_only_where_it_must_not_write(
    session, tmp_path
):
    app = App.model_validate(_entry(licence="l.txt", environment={"L": "{licence}"}))
    write_text(tmp_path / "l.txt", "")
    job = AppJob(
        app,
        "demo",
        {KEY: session},
        tmp_path / "log",
        licence=tmp_path / "l.txt",
        binds={str(tmp_path): "/srv/imaging"},
    )

    made = prepare(job, {n: tmp_path / n for n in ("bids", "out", "work")})

    assert isinstance(made, Container)
    assert [(b.host, b.inside, b.is_writable) for b in made.binds] == [
        ("/srv/imaging/bids", "/bids", False),
        ("/srv/imaging/out", "/out", True),
        ("/srv/imaging/work", "/work", True),
        ("/srv/imaging/l.txt", "/licence/l.txt", False),
    ]
    assert made.network == "none"
    assert made.image == IMAGE
    assert made.command[:4] == ["/bids", "/out", "participant", "--subject"]
    assert made.env["L"] == "/licence/l.txt"


def test_apptainer_gets_the_same_and_an_image_file_with_its_digest(session, tmp_path):
    image = tmp_path / "tiny.sif"
    image.write_bytes(b"an image")
    digest = f"sha256:{digest_file(image)}"
    app = App.model_validate(_entry(runner="apptainer", image=f"{image}@{digest}"))
    job = AppJob(app, "demo", {KEY: session}, tmp_path / "log")
    folders = {n: tmp_path / n for n in ("bids", "out", "work")}

    made = prepare(job, folders)
    image.write_bytes(b"another image")
    with pytest.raises(BadConfig, match="another digest") as raised:
        prepare(job, folders)

    assert isinstance(made, Program)
    words = " ".join(made.argv)
    assert words.startswith("apptainer run --containall ")
    assert f"--bind {tmp_path}/bids:/bids:ro" in words
    assert "--net --network none" in words
    assert f"{image} /bids /out participant" in words
    assert "sha256sum" in raised.value.fix


def test_a_program_inherits_no_variable_of_the_platform(session, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", "secret")
    job = AppJob(local_app(), "demo", {KEY: session}, tmp_path / "log")

    made = prepare(job, {n: tmp_path / n for n in ("bids", "out", "work")})

    assert isinstance(made, Program)
    assert "secret" not in made.env.values()
    assert made.env["HOME"] == str(tmp_path / "work")


def test_prefixes_of_the_host_are_pairs_of_paths(monkeypatch):
    monkeypatch.setenv("IMAGING_BIND_PREFIXES", "/data=/srv/imaging,/x=/y")
    assert find_binds() == {"/data": "/srv/imaging", "/x": "/y"}

    monkeypatch.setenv("IMAGING_BIND_PREFIXES", "data")
    with pytest.raises(BadConfig, match="pairs of absolute paths") as raised:
        find_binds()
    assert "/data=/srv/imaging" in raised.value.fix


def test_a_command_of_xnat_becomes_an_entry_and_says_what_is_left_out():
    imported = import_one(XNAT)

    entry = imported.entry
    assert (entry["name"], entry["version"]) == ("bids_tiny", "1.1")
    assert entry["image"] == "site/tiny:0.15@sha256:..."
    assert entry["entrypoint"] == ["tiny"]
    assert entry["command"] == (
        "{bids_dir} {out_dir} participant --label {subject} {params.n4} -w {work_dir} "
        "{params.flags}"
    )
    assert entry["params"] == {"n4": "--n4", "flags": ["-v", "--fast"]}
    assert entry["outputs"] == [{"glob": "qc/**/*", "required": True}]
    assert entry["memory_gb"] == 4
    said = "\n".join(imported.remarks)
    assert "gpus" in said
    assert "matcher chooses scans" in said
    assert "xnat:mrSessionData" in said


def test_a_boutiques_descriptor_becomes_an_entry():
    imported = import_one(BOUTIQUES)

    assert imported.entry["command"] == (
        "{bids_dir} {out_dir} {params.analysis_level} --participant-label {subject} "
        "{params.skip} {params.res} {params.mask}"
    )
    assert imported.entry["params"] == {
        "analysis_level": "participant",
        "skip": "",
        "res": "--res=2",
        "mask": "...",
    }
    assert imported.entry["outputs"] == [
        {"glob": "sub-{subject}.html", "required": True},
        {"glob": "*.nii.gz", "required": False},
    ]
    assert (imported.entry["cpus"], imported.entry["memory_gb"]) == (2, 8)
    assert any(
        "mask" in remark and "no default" in remark for remark in imported.remarks
    )


@pytest.mark.parametrize("content", [XNAT, BOUTIQUES])
def test_what_an_import_prints_is_a_part_of_a_study_file(content):
    printed = yaml.safe_load(import_one(content).to_yaml())

    (app,) = parse_study({"name": "demo", **printed}).apps
    fields = {f.field.rpartition(".")[2] for f in lint_app(app) if f.level == "error"}
    assert fields == {"image"}, "only the digest is left to fill in"


def test_a_line_that_needs_a_shell_is_given_to_one_and_told():
    imported = import_one({**XNAT, "command-line": "tiny /input | tee /output/x"})

    assert imported.entry["entrypoint"] == ["sh"]
    assert imported.entry["command"] == ["-c", "tiny {bids_dir} | tee {out_dir}/x"]
    assert any("needs a shell" in remark for remark in imported.remarks)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "x"}', "[1]"])
def test_another_file_is_refused(text):
    with pytest.raises(BadConfig) as raised:
        import_app(text)

    assert "Boutiques" in raised.value.fix or "command-line" in raised.value.fix


def test_the_commands_list_check_show_and_import(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump({"name": "demo", "apps": [_entry()]}))
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump({"name": "demo", "apps": [_entry(image="a:1")]}))
    command = tmp_path / "command.json"
    command.write_text(json.dumps(XNAT))

    def call(*words: str) -> tuple[object, str]:
        done = CliRunner().invoke(cli, ["apps", *words], standalone_mode=False)
        return done.return_value, done.output

    assert "tiny" in call("list", str(study))[1]
    assert call("lint", str(study))[0] == 0
    assert call("lint", str(bad))[0] == 2
    assert "has no digest" in call("lint", str(bad), "--json")[1]
    assert "mriqc" in call("show")[1]
    assert parse_study({"name": "demo", **yaml.safe_load(call("show", "mriqc")[1])})
    assert "name: bids_tiny" in call("import", str(command))[1]


def test_pydeface_is_started_and_says_what_it_lacks(session, tmp_path):
    """It is installed with the platform; the FSL that it needs rarely is."""
    if shutil.which("flirt"):
        pytest.skip("FSL is on this machine: pydeface lacks nothing")
    job = AppJob(load_ready()["pydeface"].app, "demo", {KEY: session}, tmp_path / "log")
    (tmp_path / "workspace").mkdir()

    with pytest.raises(ToolFailed, match=r"(?s)exit code.*fsl cannot be found") as told:
        run_app(job, tmp_path / "workspace")

    assert list((tmp_path / "workspace").iterdir()) == []
    assert sys.prefix not in str(told.value)
