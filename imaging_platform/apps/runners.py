"""How an app is started: as a container, by apptainer, or as a local program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.apps.settings import App
from imaging_platform.apps.template import PARAMS, Value, fill_text, fill_words
from imaging_platform.apps.view import Sessions
from imaging_platform.files.digests import digest_bytes, digest_file
from imaging_platform.model.errors import BadConfig
from imaging_platform.tools.supervised import Bind, Container, Program

INSIDE = {"bids": "/bids", "out": "/out", "work": "/work"}
"""Where a container finds its folders."""

LICENCE_INSIDE = "/licence"
NO_NETWORK = "none"
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


@dataclass(frozen=True)
class AppJob:
    """
    What one run is about.

    Parameters
    ----------
    app
        The app.
    study
        Name of the dataset that it sees.
    sessions
        BIDS tree of each session: one, all of one subject, or all.
    log
        File for what it prints.
    edits
        Folder of what people corrected by hand; may be absent.
    licence
        File; None when the app needs none.
    binds
        Where folders of this machine stand for the container engine, by their path
        here: not the same when this process itself runs in a container.
    bids_version
        Of the dataset that it sees.
    """

    app: App
    study: str
    sessions: Sessions
    log: Path
    edits: Path | None = None
    licence: Path | None = None
    binds: Mapping[str, str] = field(default_factory=dict)
    bids_version: str = "1.11.1"


def prepare(job: AppJob, folders: Mapping[str, Path]) -> Program | Container:
    """
    Return what is to be started.

    Parameters
    ----------
    job
        The app and what it is about.
    folders
        Its folders by the names of `INSIDE`.

    Raises
    ------
    BadConfig
        There is no such program, or an image has another digest.
    """
    match job.app.runner:
        case "docker":
            return _as_container(job, folders)
        case "apptainer":
            return _as_apptainer(job, folders)
        case "local":
            return _as_program(job, folders)


def find_values(job: AppJob, places: Mapping[str, str]) -> dict[str, Value]:
    """Return what stands for each placeholder, with the folders as the app has them."""
    app, first = job.app, min(job.sessions)
    values: dict[str, Value] = {
        "bids_dir": places["bids"],
        "out_dir": places["out"],
        "work_dir": places["work"],
        "cpus": app.cpus,
        "memory_gb": max(1, int(app.memory_gb)),
        **{f"{PARAMS}{name}": value for name, value in app.params.items()},
    }
    if app.level != "study":
        values["subject"] = first.subject
    if app.level == "session":
        values["session"] = first.session
    if app.licence:
        values["licence"] = places.get("licence", "")
    return values


def hide_places(job: AppJob, folders: Mapping[str, Path]) -> dict[str, str]:
    """Return paths of this machine, and what stands for each where people read."""
    hidden = {
        str(path): inside
        for path, inside in zip(folders.values(), INSIDE.values(), strict=True)
    }
    hidden[str(folders["out"].parent)] = "/workspace"
    if job.app.runner == "local":
        hidden |= {sys.prefix: "/python", sys.base_prefix: "/python"}
    if job.licence is not None:
        hidden[str(job.licence)] = f"{LICENCE_INSIDE}/{job.licence.name}"
    return hidden


def _as_program(job: AppJob, folders: Mapping[str, Path]) -> Program:
    app = job.app
    places = {name: str(path) for name, path in folders.items()}
    values = find_values(job, places | {"licence": str(job.licence)})
    return Program(
        argv=[_find_executable(app), *fill_words(app.command, values)],
        cwd=places["work"],
        env={
            # Programs that were installed beside Python are found without a path.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
            "HOME": places["work"],
            "TMPDIR": places["work"],
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **dict.fromkeys(_THREADS, str(app.cpus)),
            **_environment(app, values),
        },
    )


def _find_executable(app: App) -> str:
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    found = shutil.which(app.executable, path=path)
    if found is None:
        raise BadConfig(
            f"{app.name}: there is no program {Path(app.executable).name}.",
            fix="Install it on this machine, or correct `executable` of the app.",
        )
    return found


def _as_container(job: AppJob, folders: Mapping[str, Path]) -> Container:
    app = job.app
    values = find_values(job, _places_inside(job))
    hosts = {name: _seen_by_engine(path, job.binds) for name, path in folders.items()}
    binds = [
        Bind(hosts[name], inside, is_writable=name != "bids")
        for name, inside in INSIDE.items()
    ]
    if job.licence is not None:
        host = _seen_by_engine(job.licence, job.binds)
        binds.append(Bind(host, _places_inside(job)["licence"]))
    # The same for each attempt, so that what a kill left is found and removed.
    tail = digest_bytes(hosts["out"].encode())[:12]
    return Container(
        name=f"imaging-{app.name}-{tail}",
        image=image_reference(app),
        command=fill_words(app.command, values),
        entrypoint=fill_words(app.entrypoint, values),
        binds=binds,
        env={
            **dict.fromkeys(_THREADS, str(app.cpus)),
            **_environment(app, values),
        },
        user=f"{os.getuid()}:{os.getgid()}",
        network=app.network,
        cpus=app.cpus,
        cwd=INSIDE["work"],
    )


def _as_apptainer(job: AppJob, folders: Mapping[str, Path]) -> Program:
    app = job.app
    values = find_values(job, _places_inside(job))
    words = ["apptainer", "exec" if app.entrypoint else "run", "--containall"]
    for name, inside in INSIDE.items():
        mode = "ro" if name == "bids" else "rw"
        words += ["--bind", f"{folders[name]}:{inside}:{mode}"]
    if job.licence is not None:
        words += ["--bind", f"{job.licence}:{_places_inside(job)['licence']}:ro"]
    if app.network == NO_NETWORK:
        words += ["--net", "--network", NO_NETWORK]
    environment = {
        **dict.fromkeys(_THREADS, str(app.cpus)),
        **_environment(app, values),
    }
    for name, value in sorted(environment.items()):
        words += ["--env", f"{name}={value}"]
    words += ["--pwd", INSIDE["work"], image_reference(app)]
    words += [*fill_words(app.entrypoint, values), *fill_words(app.command, values)]
    path = os.environ.get("PATH", os.defpath)
    return Program(
        argv=words,
        cwd=str(folders["work"]),
        env={"PATH": path, "HOME": str(folders["work"]), "LANG": "C.UTF-8"},
    )


def image_reference(app: App) -> str:
    """
    Return how the runner is told of the image; its digest is proved.

    Raises
    ------
    BadConfig
        A file of an image has another digest.
    """
    name, _, digest = app.image.rpartition("@")
    if app.runner == "docker":
        return app.image
    if not name.endswith(".sif"):
        return app.image if "://" in app.image else f"docker://{app.image}"
    file = Path(name)
    if not file.is_file() or f"sha256:{digest_file(file)}" != digest:
        raise BadConfig(
            f"{app.name}: {file.name} is not there, or has another digest than "
            f"{digest[:19]}.",
            fix="Write the digest that `sha256sum` prints of the file into `image`.",
        )
    return name


def _places_inside(job: AppJob) -> dict[str, str]:
    name = job.licence.name if job.licence else ""
    return {**INSIDE, "licence": f"{LICENCE_INSIDE}/{name}"}


def _environment(app: App, values: Mapping[str, Value]) -> dict[str, str]:
    return {name: fill_text(text, values) for name, text in app.environment.items()}


def _seen_by_engine(path: Path, binds: Mapping[str, str]) -> str:
    """
    Return a path as the container engine has it.

    Examples
    --------
    >>> _seen_by_engine(Path("/data/x"), {"/data": "/srv/imaging"})
    '/srv/imaging/x'
    """
    for here, there in sorted(binds.items(), key=lambda pair: -len(pair[0])):
        if path.is_relative_to(here):
            return str(Path(there) / path.relative_to(here))
    return str(path)
