"""One home for all end-to-end tests: the small demo, from drop to report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from imaging_platform.model.layout import Home

COMMAND = Path(sys.executable).with_name("imaging-platform")


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    def json(self):
        return json.loads(self.stdout)


def run_command(home: Home, *arguments: str, timeout_s: float = 900) -> Ran:
    """Run `imaging-platform` on a home in a process of its own."""
    done = subprocess.run(
        [str(COMMAND), *arguments],
        env={**os.environ, "IMAGING_HOME": str(home.root)},
        cwd=home.root.parent,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> tuple[Home, Ran]:
    """A home in which `imaging-platform demo --small` has run, and what it printed."""
    home = Home(tmp_path_factory.mktemp("demo") / "home")
    return home, run_command(home, "demo", "--small", "--json")
