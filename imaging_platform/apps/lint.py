"""Errors and risks in the entry of an app, told before it is started."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from imaging_platform.apps.settings import App
from imaging_platform.apps.template import PARAMS, PLACEHOLDERS, find_placeholders
from imaging_platform.model.findings import Finding

_LEVELS = {"session": ("session",), "subject": ("session", "subject")}
"""Levels at which a label has a value, by its placeholder."""


def lint_app(app: App) -> tuple[Finding, ...]:
    """Return the findings of one app, errors first."""
    found = [
        *_lint_image(app),
        *_lint_placeholders(app),
        *_lint_outputs(app),
        *_lint_runner(app),
    ]
    return tuple(sorted(found, key=lambda one: one.level != "error"))


def _lint_image(app: App) -> Iterator[Finding]:
    if app.runner == "local" or app.digest:
        return
    name = app.image.partition("@")[0]
    if name.endswith(".sif"):
        how = f"Run `sha256sum {name.rpartition('/')[2]}` and write it behind the name."
    else:
        how = (
            f"Run `docker pull {name}`, then `docker image inspect --format "
            f"'{{{{index .RepoDigests 0}}}}' {name}`, and write what it prints."
        )
    yield Finding(
        "error",
        f"apps.{app.name}.image",
        f"{app.image} has no digest, so that another image could come under its name; "
        "it is not started.",
        how,
    )


def _lint_placeholders(app: App) -> Iterator[Finding]:
    known = {name for name in PLACEHOLDERS if name != "licence" or app.licence}
    known -= {n for n, levels in _LEVELS.items() if app.level not in levels}
    known |= {f"{PARAMS}{name}" for name in app.params}
    places = {
        "command": app.command,
        "entrypoint": app.entrypoint,
        **{f"environment.{name}": [text] for name, text in app.environment.items()},
        **{f"needs[{n}]": [text] for n, text in enumerate(app.needs)},
        **{f"outputs[{n}].glob": [o.glob] for n, o in enumerate(app.outputs)},
        **{f"outputs[{n}].as": [o.put] for n, o in enumerate(app.outputs)},
    }
    for place, words in places.items():
        for name in dict.fromkeys(find_placeholders(words)):
            if name not in known:
                yield _unknown(app, place, name, known)
    used = {n for words in places.values() for n in find_placeholders(words)}
    for name in app.params:
        if f"{PARAMS}{name}" not in used:
            yield Finding(
                "risk",
                f"apps.{app.name}.params.{name}",
                "The command does not use it.",
                f"Write {{{PARAMS}{name}}} where it belongs, or remove it.",
            )


def _unknown(app: App, place: str, name: str, known: set[str]) -> Finding:
    field = f"apps.{app.name}.{place}"
    if name in _LEVELS:
        return Finding(
            "error",
            field,
            f"{{{name}}} has no value, for one run is about a {app.level}.",
            "Remove it, or set `level`.",
        )
    if name == "licence":
        return Finding(
            "error",
            field,
            "{licence} has no value, for the app names no licence.",
            "Set `licence` to the name of a file in `licences/` of the home.",
        )
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    return Finding(
        "error",
        field,
        f"{{{name}}} is no placeholder.",
        f"Did you mean {{{near[0]}}}?",
    )


def _lint_outputs(app: App) -> Iterator[Finding]:
    if not any(output.required for output in app.outputs):
        yield Finding(
            "error",
            f"apps.{app.name}.outputs",
            "No output is required, so that an app which does nothing would succeed.",
            "Name at least one file that it always writes.",
        )
    for number, output in enumerate(app.outputs):
        for key, text in (("glob", output.glob), ("as", output.put)):
            if text.startswith("/") or ".." in text.split("/"):
                yield Finding(
                    "error",
                    f"apps.{app.name}.outputs[{number}].{key}",
                    f"{text} leads out of the folder.",
                    "Write it relative to the folder that the app writes into.",
                )
    for number, pattern in enumerate(app.needs):
        if pattern.startswith("/") or ".." in pattern.split("/"):
            yield Finding(
                "error",
                f"apps.{app.name}.needs[{number}]",
                f"{pattern} leads out of the session.",
                "Write it relative to a session, such as anat/*_T1w.nii.gz.",
            )


def _lint_runner(app: App) -> Iterator[Finding]:
    if app.runner == "local":
        yield Finding(
            "risk",
            f"apps.{app.name}.runner",
            "A program of this machine is not cut off: it can read what this account "
            "can read, and reach the network.",
            "Run only programs that you would start by hand; otherwise a container.",
        )
    elif app.network != "none":
        yield Finding(
            "risk",
            f"apps.{app.name}.network",
            f"The app can reach the network {app.network}.",
            "Leave it at none if the app runs without.",
        )
