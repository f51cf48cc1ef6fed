"""A BIDS App as a part of a study file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from imaging_platform.files.digests import digest_json
from imaging_platform.model.config import Section

Level = Literal["session", "subject", "study"]
Runner = Literal["docker", "apptainer", "local"]
Param = str | int | float | bool | None | tuple[str | int | float, ...]

NAME = r"[a-z][a-z0-9_]{0,31}"
VERSION = r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def _split(value: Any) -> Any:  # what stood in the study file
    """Read a command that is one text into words, as a shell would and without one."""
    return shlex.split(value) if isinstance(value, str) else value


def _refuse_number(value: Any) -> Any:  # what stood in the study file
    if isinstance(value, int | float):
        raise ValueError("write it in quotes, so that 1.10 stays 1.10")
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class AppOutput(Section):
    """A kind of file that an app writes."""

    glob: str = Field(
        description="Pattern below the folder that the app writes into, such as "
        "`sub-{subject}/**/*_T1w.json`."
    )
    required: bool = Field(
        default=True, description="Whether the app failed when no file is there."
    )
    metrics: bool = Field(
        default=False,
        description="Whether numbers of these JSON or TSV files are shown in Dagster, "
        "and are columns of the table of sessions in the catalog.",
    )
    put: str = Field(
        default="",
        alias="as",
        description="Where the files are put in the published folder; a folder when "
        "it ends with `/`.",
    )


class App(Section):
    """
    A program that reads BIDS and writes a derivative.

    What decides about its results is `parameters`; resources do not.
    """

    name: str = Field(
        pattern=f"^{NAME}$",
        description="Name of the asset; lower-case letters, digits and `_`.",
    )
    version: Annotated[str, BeforeValidator(_refuse_number)] = Field(
        pattern=f"^{VERSION}$", description="Version of the app, such as `24.0.2`."
    )
    runner: Runner = Field(
        default="docker", description="`docker`, `apptainer` or `local`."
    )
    image: str = Field(
        default="",
        description="Image with its digest, `<name>@sha256:<64 digits>`; for "
        "apptainer also `<file>.sif@sha256:<64 digits>`.",
    )
    executable: str = Field(
        default="", description="Program of this machine, for the runner `local`."
    )
    entrypoint: Words = Field(
        default=(), description="In place of the entry point of the image."
    )
    command: Words = Field(
        default=(),
        description="Arguments; `{bids_dir}`, `{out_dir}`, `{work_dir}`, `{subject}`, "
        "`{session}`, `{cpus}`, `{memory_gb}`, `{licence}` and `{params.<name>}` are "
        "filled in. A text is split into words; there is no shell.",
    )
    params: dict[str, Param] = Field(
        default_factory=dict,
        description="Values for `{params.<name>}`; a list becomes several words.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Variables for the app; placeholders are filled in.",
    )
    level: Level = Field(
        default="session",
        description="What one run is about: `session`, `subject` or `study`.",
    )
    needs: tuple[str, ...] = Field(
        default=(),
        description="Patterns below a session of which each must match a file, such "
        "as `anat/*_T1w.nii.gz`.",
    )
    outputs: tuple[AppOutput, ...] = Field(
        default=(), description="What the app writes; at least one is required."
    )
    bidsignore: tuple[str, ...] = Field(
        default=(),
        description="Patterns of published files for which BIDS has no name.",
    )
    licence: str = Field(
        default="",
        pattern=r"^([\w-][\w.-]*)?$",
        description="Name of a file in `licences/` of the home; its path is "
        "`{licence}`.",
    )
    cpus: int = Field(default=1, ge=1, description="Processors that it may use.")
    memory_gb: float = Field(
        default=4.0, gt=0, description="Memory that it may use, GB (2^30 bytes)."
    )
    timeout_min: float = Field(
        default=720.0, gt=0, description="After this it is stopped, minutes."
    )
    network: str = Field(
        default="none",
        pattern=r"^[\w.-]+$",
        description="`none`, or the name of a network of the container engine.",
    )
    pool: str = Field(
        default="apps",
        pattern=r"^[\w-]+$",
        description="Dagster pool; its limit says how many run at once.",
    )

    @field_validator("image", "executable")
    @classmethod
    def _is_one_word(cls, value: str) -> str:
        if value != "".join(value.split()):
            raise ValueError("no blanks are allowed")
        return value

    @model_validator(mode="after")
    def _has_a_program(self) -> App:
        wanted = "executable" if self.runner == "local" else "image"
        if not getattr(self, wanted):
            raise ValueError(f"the runner {self.runner} needs `{wanted}`")
        return self

    @property
    def digest(self) -> str:
        """Digest of the image, ``sha256:`` and 64 digits; empty when there is none."""
        found = self.image.rpartition("@")[2]
        return found if _DIGEST.fullmatch(found) else ""

    @property
    def tool_version(self) -> str:
        """Version and, of a container, the digest of its image."""
        digest = self.digest or self.image
        return f"{self.version}@{digest}" if self.image else self.version

    @property
    def parameters(self) -> Mapping[str, Any]:  # a section as JSON
        """All that decides about results, beside the program itself, as JSON."""
        dumped = self.model_dump(mode="json", by_alias=True)
        return {name: dumped[name] for name in _DECIDING}

    @property
    def parameters_digest(self) -> str:
        """12 hex digits over `parameters`."""
        return digest_json(self.parameters)[:12]


_DECIDING = (
    "executable",
    "entrypoint",
    "command",
    "params",
    "environment",
    "level",
    "needs",
    "outputs",
)
"""Resources and the runner are no part: they must not change what comes out."""
