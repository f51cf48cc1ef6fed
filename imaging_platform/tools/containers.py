"""A container of a Docker engine, from its start to its removal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from imaging_platform.tools.supervised import Container, Limits, Refused

POLL_S = 0.5
LABEL = "imaging_platform"
"""Marks the containers of the platform, so that a person finds them."""


class RunningContainer:
    """
    A container that runs.

    Parameters
    ----------
    container
        What to start; one of the same name, left by a kill, is removed first.
    limits
        Memory that it may use.
    write
        Told what it prints, from a thread.

    Raises
    ------
    Refused
        The image is not here, or the engine does not answer, or refuses.
    """

    poll_s = POLL_S

    def __init__(
        self, container: Container, limits: Limits, write: Callable[[bytes], None]
    ) -> None:
        import docker
        from docker.errors import DockerException, ImageNotFound
        from requests.exceptions import RequestException

        self._name = container.name
        try:
            self._client: Any = docker.from_env()  # has no types
            self._remove()
            self._container = self._create(container, limits)
            self._start()
        except ImageNotFound:
            raise Refused("image", container.image) from None
        except (DockerException, RequestException) as error:
            why = getattr(error, "explanation", None) or str(error)
            raise Refused("engine", why) from None
        self._reader = threading.Thread(target=self._read, args=(write,), daemon=True)
        self._reader.start()

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        self._container.reload()
        state = self._container.attrs["State"]
        return state["ExitCode"] if state["Status"] in ("exited", "dead") else None

    @property
    def is_out_of_memory(self) -> bool:
        """Whether the kernel ended one of its processes for lack of memory."""
        return bool(self._container.attrs["State"]["OOMKilled"])

    def memory_bytes(self) -> int:
        """Return 0: the engine itself holds the container to its memory."""
        return 0

    def end(self) -> None:
        """Kill and remove it, and wait for the last that it printed."""
        if self.poll() is None:
            with contextlib.suppress(Exception):
                self._container.kill()
        self._reader.join(timeout=5)
        self._remove()

    def _start(self) -> None:
        try:
            self._container.start()
        except BaseException:
            self._remove()
            raise

    def _create(self, container: Container, limits: Limits) -> Any:  # has no types
        from docker.types import LogConfig

        return self._client.containers.create(
            container.image,
            list(container.command),
            entrypoint=list(container.entrypoint) or None,
            name=container.name,
            labels=[LABEL],
            volumes={
                bind.host: {
                    "bind": bind.inside,
                    "mode": "rw" if bind.is_writable else "ro",
                }
                for bind in container.binds
            },
            environment=dict(container.env),
            user=container.user,
            working_dir=container.cwd,
            network_mode=container.network,
            mem_limit=limits.memory_bytes,
            # The same: it gets no swap beside.
            memswap_limit=limits.memory_bytes,
            nano_cpus=min(container.cpus, self._client.info()["NCPU"]) * 10**9,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            # Reaps what an app leaves, and passes signals on.
            init=True,
            log_config=LogConfig(
                type="json-file", config={"max-size": f"{limits.log_bytes}"}
            ),
        )

    def _read(self, write: Callable[[bytes], None]) -> None:
        for data in self._container.logs(stream=True, follow=True):
            write(data)

    def _remove(self) -> None:
        from docker.errors import NotFound

        with contextlib.suppress(NotFound):
            self._client.containers.get(self._name).remove(force=True, v=True)
