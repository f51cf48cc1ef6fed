"""
Which study a file belongs to, where one inbox takes the files of several.

A study claims files by a header field: by its name in XNAT's ``Project: <name>``
(PatientComments or StudyDescription), or by a pattern of its own. What exactly one
other study claims goes on into the inbox of that study, whole and marked, where it
is taken in like any drop.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from imaging_platform.dicom.naming import NamingField, naming_value
from imaging_platform.files.digests import digest_json
from imaging_platform.intake.arrivals import MARKER_NAME, rename_to_free_name
from imaging_platform.intake.store import NO_LINK
from imaging_platform.model.config import Section
from imaging_platform.model.labels import LabelProblem
from imaging_platform.model.patterns import count_ways

if TYPE_CHECKING:
    from imaging_platform.dicom.headers import Header

_PROJECT = re.compile(r"\bproject\s*[:=]\s*([\w.-]+)", re.IGNORECASE | re.ASCII)
_PROJECT_FIELDS: tuple[NamingField, ...] = ("PatientComments", "StudyDescription")
_MOST_WAYS = 1_000_000
_SENT_ON = "routed"


class Claim(Section):
    """A pattern over one field of the header."""

    field: NamingField = Field(
        description="PatientID, PatientName, PatientComments, StudyDescription, "
        "StudyID or AccessionNumber."
    )
    pattern: str = Field(
        min_length=1,
        max_length=200,
        description="Python regular expression, found anywhere in the first 128 "
        "characters of the field; at most three open repeats, none inside another.",
    )

    @field_validator("pattern")
    @classmethod
    def _is_bounded(cls, pattern: str) -> str:
        try:
            ways = count_ways(pattern, looking_around=True)
        except ValueError as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if ways > _MOST_WAYS:
            raise ValueError("repeats too often; give bounds such as {1,16}")
        return pattern


class RoutingSettings(Section):
    """What belongs to the study, ``routing:`` in ``study.yaml``."""

    is_shared: bool = Field(
        default=False,
        description=(
            "The inbox of this study takes files of all studies: each file goes to "
            "the study that claims it, and waits when none or several do. false: all "
            "that comes into the inbox belongs to this study."
        ),
    )
    projects: tuple[str, ...] = Field(
        default=(),
        description=(
            "Further names of the study in `Project: <name>`, in PatientComments or "
            "StudyDescription; its own name always counts."
        ),
    )
    claims: tuple[Claim, ...] = Field(
        default=(),
        description="Patterns of which one must fit for a file to belong to the study.",
    )


@dataclass(frozen=True)
class Router:
    """
    Says for each header of a shared inbox which study it belongs to.

    Parameters
    ----------
    own
        Name of the study whose inbox it is.
    studies
        What each study claims, by name.
    inbox_of
        Inbox of a study.
    """

    own: str
    studies: Mapping[str, RoutingSettings]
    inbox_of: Callable[[str], Path] = field(repr=False)

    def route(self, header: Header) -> str | LabelProblem:
        """Return the name of the one study that claims a file, or why there is none."""
        claiming = [name for name in sorted(self.studies) if self._claims(name, header)]
        if len(claiming) == 1:
            return claiming[0]
        return LabelProblem.MANY_CLAIMS if claiming else LabelProblem.NO_CLAIM

    def route_all(
        self, headers: Iterable[Header]
    ) -> dict[tuple[str, str], str | LabelProblem]:
        """Return the route of each study of each patient; its files must agree."""
        found: dict[tuple[str, str], set[str | LabelProblem]] = {}
        for header in headers:
            named = (header.patient_id, header.study_uid)
            found.setdefault(named, set()).add(self.route(header))
        return {
            named: routes.pop() if len(routes) == 1 else LabelProblem.MANY_CLAIMS
            for named, routes in found.items()
        }

    @property
    def version(self) -> str:
        """Digest that changes with what the studies claim."""
        told = {name: s.model_dump(mode="json") for name, s in self.studies.items()}
        return digest_json(told)[:16]

    def _claims(self, name: str, header: Header) -> bool:
        settings = self.studies[name]
        names = {each.casefold() for each in (name, *settings.projects)}
        projects = {
            project.casefold()
            for each in _PROJECT_FIELDS
            for project in _PROJECT.findall(naming_value(header, each))
        }
        return bool(names & projects) or any(
            re.search(claim.pattern, naming_value(header, claim.field), re.ASCII)
            for claim in settings.claims
        )


def send_on(files: Mapping[str, Path], inbox: Path) -> None:
    """
    Put files into the inbox of another study as one drop, whole or not at all.

    Killed and called again it sends them twice, and they are duplicates there.

    Parameters
    ----------
    files
        File by the digest of its content, which becomes its name.
    inbox
        Inbox of the study that they belong to.
    """
    inbox.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".staged-", dir=inbox))
    try:
        for sha256, path in sorted(files.items()):
            _link(path, staged / f"{sha256[:32]}.dcm")
        (staged / MARKER_NAME).touch()
        staged.chmod(inbox.stat().st_mode & 0o7777)
        rename_to_free_name(staged, inbox, _SENT_ON)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        shutil.copyfile(source, target)
