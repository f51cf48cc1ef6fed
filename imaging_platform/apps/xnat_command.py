"""A ``command.json`` of XNAT's Container Service as an entry."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from imaging_platform.apps.translation import (
    KNOWN_LABELS,
    OTHER_RUNS,
    TO_FILL_IN,
    UNKNOWN,
    Translation,
    find_flag,
    list_items,
    name_of,
)

_MB = 1 / 1024
_LEFT_OUT = {
    "ports": "no port of a container is open",
    "gpus": "a run gets processors and memory only",
    "secrets": "a run gets no secret; a licence file is named by `licence`",
    "hash": "an image is named by its digest",
    "runtime": "the engine's default is used",
    "shm-size": "the engine's default is used",
    "swarm-constraints": "a run starts where the platform runs",
    "container-labels": "containers are named by the platform",
    "ipc-mode": "the engine's default is used",
    "ulimits": "the engine's default is used",
}
_KEPT_ELSEWHERE = frozenset(
    {
        "auto-remove",
        "command-line",
        "container-name",
        "description",
        "environment-variables",
        "id",
        "image",
        "index",
        "info-url",
        "inputs",
        "label",
        "limit-cpu",
        "limit-memory",
        "mounts",
        "name",
        "network",
        "outputs",
        "override-entrypoint",
        "reserve-cpu",
        "reserve-memory",
        "schema-version",
        "type",
        "version",
        "visibility",
        "working-directory",
        "xnat",
    }
)
_OF_OBJECTS = {
    "subject-label": "subject",
    "subject_label": "subject",
    "subject-id": "subject",
    "session-label": "session",
    "label": "session",
}
"""Properties of XNAT's objects that a placeholder stands for."""


def translate_command(command: Mapping[str, Any]) -> Translation:  # JSON of XNAT
    """Return the entry that a command describes, with remarks."""
    image = str(command["image"])
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    made = Translation(
        name=name_of(str(command.get("name") or image).rpartition("/")[2]),
        version=str(command.get("version") or tag or UNKNOWN),
        image=image,
        command_line=str(command["command-line"]),
        has_own_program=_is_true(command.get("override-entrypoint")),
    )
    _take_mounts(made, command)
    provided = dict(_provided(command, made))
    for given in list_items(command, "inputs"):
        _take_input(made, given, provided)
    for name, value in dict(command.get("environment-variables") or {}).items():
        made.environment[str(name)] = made.fill(str(value))
    for output in list_items(command, "outputs"):
        _take_output(made, output)
    _take_resources(made, command)
    _note_the_rest(made, command)
    return made


def _take_mounts(made: Translation, command: Mapping[str, Any]) -> None:  # JSON
    for mount in list_items(command, "mounts"):
        path, name = str(mount.get("path", "")).rstrip("/"), str(mount.get("name"))
        is_out = _is_true(mount.get("writable")) or mount.get("type") == "output"
        place = "{out_dir}" if is_out else "{bids_dir}"
        place = "{work_dir}" if "work" in name else place
        if not path:
            continue
        if path in made.command_line:
            made.replaced[path] = place
        else:
            made.remark(
                f"mount {name}",
                f"The command line does not name {path}, where the program may look; "
                f"here it is {place}.",
            )


def _provided(
    command: Mapping[str, Any],  # JSON
    made: Translation,
) -> Iterator[tuple[str, str]]:
    """Yield inputs of the command that XNAT fills from its objects."""
    for wrapper in list_items(command, "xnat"):
        for given in list_items(wrapper, "derived-inputs"):
            target = given.get("provides-value-for-command-input")
            source = str(given.get("derived-from-xnat-object-property") or "")
            if target and source in _OF_OBJECTS:
                yield str(target), _OF_OBJECTS[source]
            elif target:
                made.remark(
                    f"xnat derived input {given.get('name')}",
                    f"{source or given.get('type')} of XNAT is not known here; give "
                    f"params.{target} a value.",
                )
            if given.get("matcher"):
                made.remark(
                    f"xnat derived input {given.get('name')}",
                    "Its matcher chooses scans; name the files as `needs`, such as "
                    "anat/*_T1w.nii.gz.",
                )
        if list_items(wrapper, "output-handlers"):
            made.remark("xnat output-handlers", f"Results are {OTHER_RUNS}.")
        if contexts := wrapper.get("contexts"):
            made.remark(
                "xnat contexts",
                f"{', '.join(contexts)}; here `level` says what a "
                "run is about, and it sees BIDS, not DICOM.",
            )


def _take_input(
    made: Translation,
    given: Mapping[str, Any],  # JSON
    provided: Mapping[str, str],
) -> None:
    name = str(given.get("name"))
    key = str(given.get("replacement-key") or f"#{name}#")
    known = KNOWN_LABELS.get(name.lower().replace("-", "_"))
    label = provided.get(name) or (None if given.get("type") == "boolean" else known)
    separator = str(given.get("command-line-separator") or " ")
    if label:
        made.replaced[key] = _with_flag(given, f"{{{label}}}", separator)
        return
    value = given.get("default-value")
    if given.get("type") == "boolean":
        value = given.get("true-value" if _is_true(value) else "false-value", value)
    if value in (None, "") and _is_true(given.get("required")):
        made.remark(f"input {name}", "It has no default; give params a value.")
        value = TO_FILL_IN
    elif isinstance(value, str) and given.get("type") in (None, "string"):
        # Of XNAT's line a text with blanks becomes several words.
        words = shlex.split(value)
        value = words if len(words) != 1 else value
    made.set_param(key, name, find_flag(given, value, separator))


def _with_flag(given: Mapping[str, Any], value: str, separator: str) -> str:  # JSON
    flag = given.get("command-line-flag") or ""
    return f"{flag}{separator}{value}" if flag else value


def _take_output(made: Translation, output: Mapping[str, Any]) -> None:  # JSON
    folder = made.fill_pattern(str(output.get("path") or ""))
    pattern = made.fill_pattern(str(output.get("glob") or ""))
    if not pattern and "." not in folder.rpartition("/")[2][1:]:
        pattern = "**/*"
    glob = "/".join(part for part in (folder, pattern) if part not in ("", "."))
    required = _is_true(output.get("required", True))
    made.outputs.append({"glob": glob, "required": required})


def _take_resources(made: Translation, command: Mapping[str, Any]) -> None:  # JSON
    memory_mb = command.get("limit-memory") or command.get("reserve-memory")
    if memory_mb:
        made.resources["memory_gb"] = round(float(memory_mb) * _MB, 2)
    cpus = command.get("limit-cpu") or command.get("reserve-cpu")
    if cpus:
        made.resources["cpus"] = max(1, int(float(cpus)))
    if network := command.get("network"):
        made.remark("network", f"{network} is not taken over; a run has no network.")
    if folder := command.get("working-directory"):
        made.remark(
            "working-directory",
            f"{folder}; here it is {{work_dir}}, and `~` is not it.",
        )


def _note_the_rest(made: Translation, command: Mapping[str, Any]) -> None:  # JSON
    for key, value in command.items():
        if key not in _KEPT_ELSEWHERE and value not in (None, "", {}, []):
            made.remark(key, _LEFT_OUT.get(key, "not known here; left out"))


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() == "true"
