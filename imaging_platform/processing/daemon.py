"""What of Dagster's daemon a backfill needs, for as long as a command runs."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.remote_representation.grpc_server_registry import (
    GrpcServerRegistry,
    ServerRegistryEntry,
)
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.controller import create_daemon_grpc_server_registry
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from imaging_platform.model.layout import product_file
from imaging_platform.processing.backfills import REPROCESS
from imaging_platform.processing.database import is_database_loss
from imaging_platform.processing.worker import LAUNCHED_BY

LIVE_S = 90
"""A daemon tells that it lives every 30 s."""
REPLY_S = 5
STDERR = 2
_NEEDED = ("BACKFILL", "QUEUED_RUN_COORDINATOR")
_BEGUN = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class Daemon:
    """
    Starts runs of backfills and of the queue, unless the home has a daemon.

    It ticks no sensor and no schedule, so nothing but what was asked for begins.

    Parameters
    ----------
    workspace
        Dagster's code server, which starts the runs.
    queue
        Takes runs from the queue, as many as may go side by side.
    """

    def __init__(
        self, workspace: WorkspaceProcessContext, queue: QueuedRunCoordinatorDaemon
    ) -> None:
        self._workspace = workspace
        self._queue = queue
        self._logger = logging.getLogger(__name__)

    def tick(self) -> None:
        """Go one step on, if nobody else does."""
        if is_daemon_live(self._workspace.instance):
            return
        for error in execute_backfill_iteration(self._workspace, self._logger):
            if error is not None:
                self._logger.warning("A backfill stopped: %s", error.message)
        for error in self._queue.run_iteration(self._workspace):
            if error is not None:
                self._logger.warning("A run did not start: %s", error)


@contextlib.contextmanager
def run_daemon(instance: dg.DagsterInstance, log: Path) -> Iterator[Daemon]:
    """
    Give a daemon of this command's own; runs that it started come to their end.

    Parameters
    ----------
    instance
        Where the runs are queued.
    log
        File for what Dagster and its code server say meanwhile, such as tracebacks.
    """
    with (
        _telling(log) as file,
        create_daemon_grpc_server_registry(instance, "ERROR") as servers,
        contextlib.ExitStack() as opened,
        QueuedRunCoordinatorDaemon(interval_seconds=1) as queue,
    ):
        target = WorkspaceFileTarget([str(product_file("workspace.yaml"))])
        with _errors_into(file):
            workspace = opened.enter_context(
                WorkspaceProcessContext(instance, target, grpc_server_registry=servers)
            )
        try:
            yield Daemon(workspace, queue)
        except Exception as error:
            if is_database_loss(error):
                _kill_servers(servers, workspace)
            raise


@contextlib.contextmanager
def _telling(log: Path) -> Iterator[TextIO]:
    """Let all that is logged go into a file, and give it."""
    with log.open("w") as file:
        handler = logging.StreamHandler(file)
        logging.getLogger().addHandler(handler)
        try:
            yield file
        finally:
            logging.getLogger().removeHandler(handler)


@contextlib.contextmanager
def _errors_into(file: TextIO) -> Iterator[None]:
    """Let the processes that are started meanwhile write their errors into a file."""
    sys.stderr.flush()
    own = os.dup(STDERR)
    os.dup2(file.fileno(), STDERR)
    try:
        yield
    finally:
        os.dup2(own, STDERR)
        os.close(own)


def _kill_servers(
    servers: GrpcServerRegistry, workspace: WorkspaceProcessContext
) -> None:
    """
    Kill the code servers, whose runs have lost their database.

    Left alone they stay for ever, whatever they are told: the thread that ends them
    asks the database first how their runs are, and has ended by that.
    """
    entries = workspace.create_request_context().get_code_location_entries()
    for entry in entries.values():
        if servers.supports_origin(entry.origin):
            server = servers.get_grpc_server_entry(entry.origin)
            if isinstance(server, ServerRegistryEntry):
                server.process.server_process.kill()


def is_daemon_live(instance: dg.DagsterInstance) -> bool:
    """Return whether Dagster's own daemon works on this home."""
    beats = instance.get_daemon_heartbeats()
    newest = [beats[kind].timestamp if kind in beats else 0.0 for kind in _NEEDED]
    return min(newest) > time.time() - LIVE_S


def close_dead_runs(instance: dg.DagsterInstance) -> int:
    """
    Mark runs of `reprocess` as failed that nobody executes, and count them.

    Their server is gone, or who took them from the queue ended before it gave them one.

    A run outlives the command that asked for it, as long as its machine does.
    """
    filters = dg.RunsFilter(tags={LAUNCHED_BY: REPROCESS}, statuses=_BEGUN)
    dead = [run for run in instance.get_runs(filters) if not _is_alive(instance, run)]
    for run in dead:
        instance.report_run_failed(run, "The run was interrupted.")
    return len(dead)


def _is_alive(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    if GRPC_INFO_TAG not in run.tags:
        # Who started it was ended before its server was named, if it has a server:
        # of a container and of what a daemon starts now, their own monitors know.
        has_server = isinstance(instance.run_launcher, DefaultRunLauncher)
        return not has_server or is_daemon_live(instance)
    told = json.loads(run.tags[GRPC_INFO_TAG])
    client = DagsterGrpcClient(
        port=told.get("port"), socket=told.get("socket"), host=told.get("host")
    )
    try:
        answer = client.can_cancel_execution(
            CanCancelExecutionRequest(run_id=run.run_id), timeout=REPLY_S
        )
    except DagsterUserCodeUnreachableError:
        return False
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
