"""``imaging-platform receive``: DICOM over the network into the inboxes of studies."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import click

from imaging_platform.intake.receiving import Reception, Route
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import Home
from imaging_platform.settings import find_home, load_study

_LOOK_EVERY_S = 1.0

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--port", default=11112, show_default=True, help="TCP port; 0: any free.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; 0.0.0.0 for all of this machine.",
)
@click.option("--tls-certificate", type=_file, help="PEM file; turns TLS on.")
@click.option("--tls-key", type=_file, help="PEM file of the certificate's key.")
@click.option(
    "--tls-authorities",
    type=_file,
    help="PEM file of those who sign the certificates that senders must show.",
)
def receive(
    port: int,
    host: str,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_authorities: Path | None,
) -> None:
    """
    Receive DICOM from scanners and archives, until interrupted.

    Which AE title belongs to which study, and who may send, stands in the study
    files (`receive:`). What a sender delivers becomes one drop in the inbox.
    """
    from imaging_platform.dicom.network import Listening, make_tls, serve_storage

    home = find_home()
    reception = Reception(find_routes(home), time.monotonic)
    tls = None
    if tls_certificate:
        tls = make_tls(tls_certificate, tls_key or tls_certificate, tls_authorities)
    # The values of elements stand in warnings of the libraries.
    warnings.simplefilter("ignore")
    with _only_one(home.receive_lock), _interruption() as stop:
        reception.recover()
        with serve_storage(reception, Listening(host, port, tls)) as taken:
            titles = ", ".join(sorted(reception.routes))
            click.echo(f"Receiving as {titles} at {host}, port {taken}.")
            while not stop.wait(_LOOK_EVERY_S):
                _tell(reception.settle())
        reception.recover()


def find_routes(home: Home) -> dict[str, Route]:
    """
    Return where each called AE title leads, from the study files.

    Raises
    ------
    BadConfig
        No study receives, one receives from nobody, or two share a title.
    """
    routes: dict[str, Route] = {}
    for name in home.studies():
        study = load_study(home, name)
        settings = study.receive
        if settings.called_titles and not settings.calling_titles:
            raise BadConfig(
                f"Study {name} has an AE title, and nobody may send to it.",
                fix="List the senders' AE titles in receive.calling_titles.",
            )
        for title in settings.called_titles:
            if title in routes:
                raise BadConfig(
                    f"Studies {routes[title].study} and {name} share AE title {title}.",
                    fix="Give each study titles of its own in receive.called_titles.",
                )
            routes[title] = Route(
                study=name,
                inbox=home.zone("inbox", name),
                zone=home.zone("identified", name),
                calling_titles=frozenset(settings.calling_titles),
                idle_s=settings.idle_s,
                min_free_bytes=study.intake.min_free_bytes,
            )
    if not routes:
        raise BadConfig(
            "No study has an AE title to receive under.",
            fix="Set receive.called_titles and receive.calling_titles in a study file.",
        )
    return routes


def _tell(moved: dict[str, int]) -> None:
    for study, n_files in moved.items():
        click.echo(f"In the inbox of {study}: {n_files} file(s).")


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadConfig(
                "Another `receive` is running on this home.",
                fix="One serves all studies; end the other one first.",
            ) from None
        yield


@contextlib.contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Yield what is set when somebody ends the program."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
