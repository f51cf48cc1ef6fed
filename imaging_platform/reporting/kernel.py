"""A Jupyter kernel in this very Python, with a known environment."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from imaging_platform.model.errors import BadConfig
from imaging_platform.tools.confined import Policy
from imaging_platform.tools.isolated import FIXED_ENVIRONMENT

MOST_SOCKET_CHARACTERS = 90
"""The path of a socket is limited to about 100 bytes (``unix(7)``)."""

SYSTEM = (
    *("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/sys", "/dev"),
    *(f"/proc/{name}" for name in ("cpuinfo", "meminfo", "stat", "filesystems")),
)
"""
What any program reads to run at all; nothing of a study stands there. Not all of
``/proc``: it would show the environment of the process that started the kernel.
"""

_PACKAGE = Path(__file__).resolve().parents[1]
_POLICY = "confinement.json"
_LIBRARY = "lib"
_PID = "kernel.pid"
_QUIET = ("--log-level=CRITICAL",)


def write_policy(
    scratch: Path, inputs: Iterable[Path], *, memory_gb: float
) -> dict[str, str]:
    """
    Prepare the folder of a kernel so that it can run and reach the inputs only.

    Parameters
    ----------
    scratch
        Folder with ``kernel`` and ``home``, the only ones in which it may write.
    inputs
        Real paths of what it may read.
    memory_gb
        Most memory that it may allocate, in GB.

    Returns
    -------
    dict
        Paths that tracebacks of the kernel may show, and what to call them instead.

    Raises
    ------
    BadConfig
        The path of the folder is too long for a socket.
    """
    home = scratch / "home"
    if len(str(home)) >= MOST_SOCKET_CHARACTERS:
        raise BadConfig(
            f"The temporary folder has a path of {len(str(home))} characters; the "
            f"sockets of a kernel allow {MOST_SOCKET_CHARACTERS}.",
            fix="Set TMPDIR to a folder with a shorter path.",
        )
    library = home / _LIBRARY
    library.mkdir(parents=True)
    (library / _PACKAGE.name).symlink_to(_PACKAGE)
    _share_fonts(home)
    paths = sysconfig.get_paths()
    python = {sys.prefix, sys.base_prefix, paths["stdlib"], paths["purelib"]}
    readable = {*SYSTEM, *python, str(_PACKAGE), *map(str, inputs)}
    policy = Policy(
        tuple(sorted(str(Path(place).resolve()) for place in readable)),
        (str(scratch), os.devnull),
        int(memory_gb * 1e9),
    )
    (home / _POLICY).write_text(policy.as_json(), encoding="utf-8")
    return {str(library): "platform"}


def kernel_spec(home: Path) -> KernelSpec:
    """
    Return how a kernel in `home` is started: confined, in this very Python.

    Explicit, so that an absent or foreign ``python3`` kernel is no matter.
    """
    confined = [sys.executable, "-m", "imaging_platform.tools.confined"]
    return KernelSpec(
        # At its end the kernel looks for its processes in all of /proc, in vain, and
        # would say so at length; `end_processes` ends them.
        argv=[*confined, str(home / _POLICY), *_QUIET, "-f", "{connection_file}"],
        display_name="Python 3",
        language="python",
    )


def end_processes(home: Path) -> None:
    """End the kernel of `home` and what its notebook started and left behind."""
    number = home / _PID
    if number.is_file() and number.read_text().isdigit():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(number.read_text()), signal.SIGKILL)


def _share_fonts(home: Path) -> None:
    """Copy matplotlib's list of fonts, which takes seconds to build."""
    import matplotlib

    cache = Path(matplotlib.get_cachedir())
    if not any(cache.glob("fontlist-*.json")):
        from matplotlib import font_manager

        font_manager.findfont("DejaVu Sans")
    (home / "matplotlib").mkdir()
    for file in cache.glob("fontlist-*.json"):
        shutil.copy(file, home / "matplotlib" / file.name)


def kernel_environment(home: Path) -> dict[str, str]:
    """
    Return the whole environment of a kernel: nothing of the caller's is inherited.

    A notebook needs no password and no study key, so it is started without them;
    threads and seeds are fixed, since a sum over threads changes the last bits.

    Parameters
    ----------
    home
        Scratch folder that stands for the home folder, so that start-up files
        and profiles of a person do not change a report.
    """
    packages = [p for p in sys.path if p.startswith((sys.prefix, sys.base_prefix))]
    return {
        **FIXED_ENVIRONMENT,
        "HOME": str(home),
        "IPYTHONDIR": str(home / ".ipython"),
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONPATH": os.pathsep.join([str(home / _LIBRARY), *packages]),
        "PYTHONUTF8": "1",
        # ipykernel passes the output of programs through a socket; without one it
        # goes on and says so.
        "PYTHONWARNINGS": "ignore:Couldn't bind IOPub Pipe",
        "SOURCE_DATE_EPOCH": "0",
        "TMPDIR": str(home),
        "TZ": "UTC",
    }


def kernel_manager(home: Path) -> type[AsyncKernelManager]:
    """
    Return a manager class that starts kernels as `kernel_spec` says.

    Parameters
    ----------
    home
        Existing scratch folder; the connection file is written here, not in the
        home folder of the account, which may be read-only.
    """

    class ThisPython(AsyncKernelManager):
        """A kernel of the running interpreter."""

        @property
        def kernel_spec(self) -> KernelSpec:
            return kernel_spec(home)

        async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]  # a class attribute in the parent
            self.connection_file = str(home / "kernel.json")
            # Sockets in the scratch folder: nothing listens on a port, nothing is
            # sent in clear, and a kernel without network can be spoken to.
            self.transport, self.ip = "ipc", str(home / "socket")
            await self._async_start_kernel(**kwargs, env=kernel_environment(home))
            # The kernel leads a process group of its own.
            (home / _PID).write_text(str(getattr(self.provisioner, "pid", "")))

    return ThisPython
