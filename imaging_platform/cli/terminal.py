"""What may identify a person is shown to a person: on a terminal, never to a pipe."""

from __future__ import annotations

import os
import pwd
import sys

import click

from imaging_platform.model.errors import BadConfig


def require_terminal() -> None:
    """
    Refuse to go on when the output is no terminal.

    Raises
    ------
    BadConfig
        Standard output is a file, a pipe or a log.
    """
    if not sys.stdout.isatty():
        raise BadConfig(
            "This shows who people are, so it is shown on a terminal only.",
            fix="Run it on a terminal, without a pipe or a redirection.",
        )


def find_user() -> str:
    """Return the name of the system's user, whatever the environment claims."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def show(name: str, value: str) -> None:
    """Print a name and a value; signs that could steer the terminal become ?."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in value)
    click.echo(f"{name:<14}{plain}")
