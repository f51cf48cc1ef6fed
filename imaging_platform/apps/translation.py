"""What the descriptors of others have in common: a command line with keys in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SHELL_SIGNS = re.compile(r"[|&;<>$`]")
TO_FILL_IN = "..."
UNKNOWN = "unknown"
DIGEST_TO_FILL_IN = "@sha256:..."
OTHER_RUNS = "published as a derivative of the study, all or nothing"

KNOWN_LABELS: Mapping[str, str] = {
    "bids_dir": "bids_dir",
    "bids_directory": "bids_dir",
    "input_dir": "bids_dir",
    "output_dir": "out_dir",
    "out_dir": "out_dir",
    "output_directory": "out_dir",
    "work_dir": "work_dir",
    "working_dir": "work_dir",
    "participant_label": "subject",
    "participant": "subject",
    "subject": "subject",
    "subject_id": "subject",
    "subject_label": "subject",
    "session_label": "session",
    "session_id": "session",
    "session": "session",
    "nthreads": "cpus",
    "n_cpus": "cpus",
    "n_procs": "cpus",
    "nprocs": "cpus",
    "omp_nthreads": "cpus",
    "mem_gb": "memory_gb",
}
"""Names that descriptors of BIDS Apps give to what is a placeholder here."""


@dataclass
class Translation:
    """
    An entry in the making.

    Parameters
    ----------
    name, version, image
        Of the app; the image has no digest yet.
    command_line
        One text with keys, as the descriptor has it.
    replaced
        What stands for each key of the command line: a placeholder in braces, or a
        flag, a blank and a placeholder.
    """

    name: str
    version: str
    image: str
    command_line: str
    replaced: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)  # YAML
    environment: dict[str, str] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)  # YAML
    resources: dict[str, Any] = field(default_factory=dict)  # YAML
    has_own_program: bool = False
    remarks: list[str] = field(default_factory=list)

    def remark(self, what: str, why: str) -> None:
        """Note what became otherwise."""
        self.remarks.append(f"{what}: {why}")

    def set_param(self, key: str, name: str, value: Any) -> None:  # YAML
        """Let a key of the command line stand for a setting of the app."""
        plain = re.sub(r"\W", "_", name)
        self.params[plain] = value
        self.replaced[key] = f"{{params.{plain}}}"

    def fill(self, text: str) -> str:
        """Return a text of the descriptor with placeholders in place of its keys."""
        # Longest first: a key may be the beginning of another.
        for key in sorted(self.replaced, key=len, reverse=True):
            text = text.replace(key, self.replaced[key])
        return text

    def fill_pattern(self, text: str) -> str:
        """Return the path of an output as a pattern below the folder of the app."""
        for key in sorted(self.replaced, key=len, reverse=True):
            text = text.replace(key, self.replaced[key].rpartition(" ")[2])
        text = text.replace("{out_dir}", "").removeprefix("./").strip("/")
        # What a setting may add to a name is not known.
        return re.sub(r"\{params\.\w+\}|\[[A-Z_]+\]|#\w+#", "*", text)

    def entry(self) -> dict[str, Any]:  # YAML
        """Return the entry as the study file has it."""
        words = self._split_command()
        entrypoint = words[:1] if self.has_own_program else []
        level = (
            "session" if "{session}" in " ".join(words) else self._guess_level(words)
        )
        return {
            "name": self.name,
            "version": self.version,
            "runner": "docker",
            "image": self.image
            if "@" in self.image
            else f"{self.image}{DIGEST_TO_FILL_IN}",
            "entrypoint": entrypoint,
            "command": _as_text(words[len(entrypoint) :]),
            "params": self.params,
            "environment": self.environment,
            "level": level,
            "outputs": self.outputs or [{"glob": "**/*"}],
            **self.resources,
        }

    def _split_command(self) -> list[str]:
        line = self.command_line
        if SHELL_SIGNS.search(line):
            self.remark(
                "command-line", "It needs a shell, so that it is given to `sh -c`."
            )
            self.has_own_program = True
            return ["sh", "-c", self.fill(line)]
        words: list[str] = []
        # Keys hold brackets and signs, but no blank.
        for word in shlex.split(line):
            filled = self.fill(word)
            # A flag before its value is a word of its own.
            words += filled.split(" ") if word in self.replaced else [filled]
        return words

    def _guess_level(self, words: Sequence[str]) -> str:
        if "group" in words and "participant" not in words:
            return "study"
        return "session"


def _as_text(words: list[str]) -> str | list[str]:
    """Return words as one text where it means the same: that is easier to read."""
    text = " ".join(words)
    return text if shlex.split(text) == words else words


def find_flag(given: Mapping[str, Any], value: Any, separator: str) -> Any:  # JSON
    """
    Return what an input adds to the command line: words of their own, or one.

    Examples
    --------
    >>> find_flag({"command-line-flag": "-n"}, 3, " ")
    ['-n', 3]
    >>> find_flag({"command-line-flag": "--n"}, 3, "=")
    '--n=3'
    """
    flag = given.get("command-line-flag") or ""
    if value in (None, "") or not flag:
        return value
    values = value if isinstance(value, list) else [value]
    if separator == " ":
        return [flag, *values]
    return f"{flag}{separator}{' '.join(map(str, values))}"


def name_of(text: str) -> str:
    """
    Return the name of an asset made from any name.

    Examples
    --------
    >>> name_of("BIDS-MRIQC (v2)"), name_of("3dvolreg")
    ('bids_mriqc_v2', 'app_3dvolreg')
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:32] or "app"
    return name if name[0].isalpha() else f"app_{name}"[:32]


def list_items(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:  # JSON
    """Return the objects of a list of a descriptor; none when it is absent."""
    return [each for each in content.get(key) or () if isinstance(each, Mapping)]
