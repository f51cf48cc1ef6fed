"""A Jupyter kernel in this very Python, with a known environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from imaging_platform.tools.isolated import FIXED_ENVIRONMENT

_SOCKET_PATH_CHARACTERS = 90

KERNEL_SPEC = KernelSpec(
    argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    display_name="Python 3",
    language="python",
)
"""Explicit, so that an absent or foreign ``python3`` kernel is no matter."""


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
    import matplotlib

    return {
        **FIXED_ENVIRONMENT,
        "HOME": str(home),
        "IPYTHONDIR": str(home / ".ipython"),
        "LANG": "C.UTF-8",
        # The font list takes seconds to build: share the one that exists.
        "MPLCONFIGDIR": matplotlib.get_cachedir(),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PYTHONUTF8": "1",
        "SOURCE_DATE_EPOCH": "0",
        "TMPDIR": str(home),
        "TZ": "UTC",
    }


def kernel_manager(home: Path) -> type[AsyncKernelManager]:
    """
    Return a manager class that starts kernels as `KERNEL_SPEC` and `home` say.

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
            return KERNEL_SPEC

        async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]  # a class attribute in the parent
            self.connection_file = str(home / "kernel.json")
            # Sockets in the scratch folder: nothing listens on a port, nothing is
            # sent in clear. Their path is limited to about 100 bytes.
            if len(str(home)) < _SOCKET_PATH_CHARACTERS:
                self.transport, self.ip = "ipc", str(home / "socket")
            await self._async_start_kernel(**kwargs, env=kernel_environment(home))

    return ThisPython
