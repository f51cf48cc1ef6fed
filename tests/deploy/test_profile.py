"""The production profile: its files agree, and Dagster runs on its Postgres."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import DEPLOY, REPOSITORY

EMBEDDED_PARTS = (
    "telemetry",
    "run_queue",
    "run_monitoring",
    "run_retries",
    "retention",
)


def _load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return _load(DEPLOY / "compose.yaml")


@pytest.fixture(scope="module")
def instance_file() -> dict[str, Any]:
    return _load(DEPLOY / "dagster.yaml")


def test_queue_monitoring_retries_and_retention_are_those_of_the_embedded_instance(
    instance_file,
):
    embedded = _load(REPOSITORY / "dagster.yaml")

    assert {part: instance_file[part] for part in EMBEDDED_PARTS} == {
        part: embedded[part] for part in EMBEDDED_PARTS
    }
    limits = "tag_concurrency_limits"
    runs = instance_file["concurrency"]["runs"]
    assert runs[limits] == embedded["concurrency"]["runs"][limits]


def test_telemetry_is_off(instance_file):
    assert instance_file["telemetry"] == {"enabled": False}


def test_every_service_has_a_health_check_and_an_image_by_bare_name(compose):
    for name, service in compose["services"].items():
        assert "healthcheck" in service, name
        image = re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["image"])
        assert "/" not in image, name


def test_a_run_has_the_volumes_and_the_network_of_compose(compose, instance_file):
    launcher = instance_file["run_launcher"]["config"]
    code = compose["services"]["code"]
    named = {volume["name"] for volume in compose["volumes"].values()}
    mounted = launcher["container_kwargs"]["volumes"]

    assert {mount.split(":")[0] for mount in mounted} <= named
    assert set(code["volumes"]) <= set(mounted)
    network = code["environment"]["IMAGING_NETWORK"]
    assert network == compose["networks"]["back"]["name"]
    assert launcher["network"] == {"env": "IMAGING_NETWORK"}


def test_the_daemon_has_every_variable_that_the_instance_reads(compose, instance_file):
    text = (DEPLOY / "dagster.yaml").read_text()
    wanted = {*re.findall(r"\{env: ([A-Z_]+)\}", text)}
    wanted |= {*instance_file["run_launcher"]["config"]["env_vars"]}

    for name in ("code", "daemon", "webserver", "webserver_readonly"):
        assert wanted <= set(compose["services"][name]["environment"]), name


def test_only_the_code_server_and_the_runs_see_the_data(compose):
    seen = {
        name
        for name, service in compose["services"].items()
        if any("imaging_home" in mount for mount in service.get("volumes", []))
    }

    assert seen == {"code"}


def test_no_port_is_open_to_other_hosts(compose):
    ports = [p for s in compose["services"].values() for p in s.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_read_only_webserver_can_neither_write_nor_reach_docker(compose):
    service = compose["services"]["webserver_readonly"]

    assert "--read-only" in service["command"]
    assert service["volumes"] == ["imaging_logs:/logs:ro"]


def test_no_secret_has_a_default(compose):
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if "PASSWORD" in name:
                assert re.fullmatch(r"\$\{\w+:\?.*\}", value), name


def test_the_workspace_asks_the_code_server(compose):
    (server,) = _load(DEPLOY / "workspace.yaml")["load_from"]

    assert server["grpc_server"]["host"] in compose["services"]
    assert str(server["grpc_server"]["port"]) in (DEPLOY / "Dockerfile").read_text()


def test_the_image_runs_as_a_user_without_rights():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()

    assert [line for line in lines if line.startswith("USER")] == ["USER imaging"]


def test_everything_that_the_image_copies_is_let_through_to_the_builder():
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", _dockerfile(), re.MULTILINE)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()

    for source in " ".join(copies).split():
        assert f"!{source.replace('[s]', 's')}" in allowed


def _dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text()


@pytest.mark.slow
def test_an_asset_runs_on_the_production_instance_and_its_event_is_in_postgres(
    production, postgres_port
):
    import dagster as dg
    import psycopg2
    from dagster_docker import DockerRunLauncher
    from dagster_postgres import PostgresEventLogStorage

    @dg.asset
    def tiny():  # Dagster cannot resolve an annotation of a local import
        return dg.MaterializeResult(data_version=dg.DataVersion("v1"))

    with dg.DagsterInstance.get() as instance:
        done = dg.materialize([tiny], instance=instance)
        storage = instance.event_log_storage
        launcher, concurrency = instance.run_launcher, instance.get_concurrency_config()

    assert done.success
    assert isinstance(storage, PostgresEventLogStorage)
    assert isinstance(launcher, DockerRunLauncher)
    assert launcher.networks == ["host"]
    assert concurrency.run_queue_config is not None
    assert concurrency.run_queue_config.max_concurrent_runs == 4
    connection = psycopg2.connect(
        host="127.0.0.1",
        port=postgres_port,
        user="dagster",
        password="dagster",
        dbname="postgres",
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT asset_key FROM event_logs WHERE run_id = %s"
            " AND dagster_event_type = 'ASSET_MATERIALIZATION'",
            (done.run_id,),
        )
        rows = cursor.fetchall()
    connection.close()
    assert rows == [('["tiny"]',)]
