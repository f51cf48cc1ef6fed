"""A Boutiques descriptor (https://boutiques.github.io, schema 0.5) as an entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from imaging_platform.apps.translation import (
    KNOWN_LABELS,
    TO_FILL_IN,
    UNKNOWN,
    Translation,
    find_flag,
    list_items,
    name_of,
)

_LEFT_OUT = {
    "groups": "that inputs exclude or need each other is not checked",
    "error-codes": "a failure is told by its class and the last words of the app",
    "tests": "not run here",
    "shell": "there is no shell",
    "deployment": "a run starts where the platform runs",
}
_KEPT_ELSEWHERE = frozenset(
    {
        "author",
        "command-line",
        "container-image",
        "custom",
        "deprecated-by-doi",
        "descriptor-url",
        "description",
        "doi",
        "environment-variables",
        "inputs",
        "invocation-schema",
        "name",
        "online-platform-urls",
        "output-files",
        "schema-version",
        "suggested-resources",
        "tags",
        "tool-doi",
        "tool-version",
        "url",
    }
)


def translate_boutiques(tool: Mapping[str, Any]) -> Translation:  # JSON of Boutiques
    """Return the entry that a descriptor describes, with remarks."""
    container = tool.get("container-image") or {}
    made = Translation(
        name=name_of(str(tool.get("name") or "app")),
        version=_version(str(tool.get("tool-version") or "")),
        image=str(container.get("image") or TO_FILL_IN),
        command_line=str(tool.get("command-line") or ""),
        # Without an entry point of the image, the first word is the program.
        has_own_program=not container.get("entrypoint"),
    )
    if options := container.get("container-opts"):
        made.remark("container-opts", f"{' '.join(options)} are not taken over.")
    if container.get("type") == "rootfs" or not container:
        made.remark("container-image", "There is none; name an image.")
    for given in list_items(tool, "inputs"):
        _take_input(made, given)
    for variable in list_items(tool, "environment-variables"):
        made.environment[str(variable["name"])] = made.fill(str(variable["value"]))
    for output in list_items(tool, "output-files"):
        _take_output(made, output)
    _take_resources(made, tool.get("suggested-resources") or {})
    for key, value in tool.items():
        if key not in _KEPT_ELSEWHERE and value not in (None, "", {}, []):
            made.remark(key, _LEFT_OUT.get(key, "not known here; left out"))
    return made


def _take_input(made: Translation, given: Mapping[str, Any]) -> None:  # JSON
    name = str(given.get("id"))
    key = str(given.get("value-key") or f"[{name.upper()}]")
    known = KNOWN_LABELS.get(name.lower().replace("-", "_"))
    label = None if given.get("type") == "Flag" else known
    separator = str(given.get("command-line-flag-separator") or " ")
    if label:
        flag = given.get("command-line-flag") or ""
        made.replaced[key] = f"{flag}{separator}{{{label}}}" if flag else f"{{{label}}}"
        return
    value = given.get("default-value")
    if given.get("type") == "Flag":
        flag = given.get("command-line-flag") or ""
        made.set_param(key, name, flag if value is True else "")
        return
    if value is None and name in ("analysis_level", "level"):
        value = "participant"
    if value is None and not given.get("optional"):
        made.remark(f"input {name}", "It has no default; give params a value.")
        value = TO_FILL_IN
    if given.get("type") == "File" and value:
        made.remark(f"input {name}", "A file: an app sees its sessions and no more.")
    if given.get("list") and given.get("list-separator") and isinstance(value, list):
        value = str(given["list-separator"]).join(map(str, value))
    made.set_param(
        key, name, find_flag(given, "" if value is None else value, separator)
    )


def _take_output(made: Translation, output: Mapping[str, Any]) -> None:  # JSON
    template = str(output.get("path-template") or "")
    glob = made.fill_pattern(template) or "**/*"
    if "*" in glob and "*" not in template:
        made.remark(f"output {output.get('id')}", f"{template} became {glob}.")
    made.outputs.append({"glob": glob, "required": not output.get("optional")})


def _take_resources(made: Translation, resources: Mapping[str, Any]) -> None:  # JSON
    if cores := resources.get("cpu-cores"):
        made.resources["cpus"] = max(1, int(cores))
    if ram_gb := resources.get("ram"):
        made.resources["memory_gb"] = float(ram_gb)
    if walltime_s := resources.get("walltime-estimate"):
        # An estimate is no limit.
        made.resources["timeout_min"] = float(walltime_s) / 60 * 3
        made.remark(
            "walltime-estimate", f"{walltime_s} s; three times that is the limit."
        )


def _version(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]", "-", text).lstrip(".+-") or UNKNOWN
