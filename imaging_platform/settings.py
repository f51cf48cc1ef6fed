"""A study as one file, and where the home is: the only reader of the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from imaging_platform.apps.settings import App
from imaging_platform.bids.protocol import ProtocolSettings
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.deid.labels import LabelSettings
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.derivatives.settings import DerivativeSettings
from imaging_platform.files.digests import digest_json
from imaging_platform.files.writing import write_text
from imaging_platform.intake.routing import RoutingSettings
from imaging_platform.intake.settings import (
    IntakeSettings,
    ReceiveSettings,
    S3InboxSettings,
)
from imaging_platform.model.config import Section, say_place, section_of
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.ids import parse_study_name
from imaging_platform.model.layout import (
    NOTEBOOK,
    SESSION_TREES,
    STUDY_TREES,
    Home,
    product_file,
)
from imaging_platform.planning.ratings import RatingSettings
from imaging_platform.qc.settings import CohortSettings, QualitySettings

if TYPE_CHECKING:
    from bids import BIDSLayout

HOME_VARIABLE = "IMAGING_HOME"
REPORTS_VARIABLE = "IMAGING_REPORTS_URL"
BINDS_VARIABLE = "IMAGING_BIND_PREFIXES"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""As safe as the other and 80 times faster; a PyYAML without libyaml lacks it."""
RESERVED_NAMES = frozenset({"drop_index", *SESSION_TREES, *STUDY_TREES})
"""Names of the assets that each study has; no app may have one."""


class Study(Section):
    """The whole of ``study.yaml``; a part left out has the defaults shown there."""

    name: str = Field(description="Name of the study; the name of its folder.")
    title: str = Field(
        default="", description="Title as readers of the dataset see it."
    )
    owner: str = Field(
        default="",
        description="Mail address of who answers for the study; shown in Dagster.",
    )
    intake: IntakeSettings = Field(
        default_factory=IntakeSettings,
        description="How drops arrive and when they settle.",
    )
    receive: ReceiveSettings = Field(
        default_factory=ReceiveSettings,
        description="Who may send over the DICOM network, and under which title.",
    )
    s3_inbox: S3InboxSettings = Field(
        default_factory=S3InboxSettings,
        description="A prefix of an S3 bucket from which drops are fetched.",
    )
    routing: RoutingSettings = Field(
        default_factory=RoutingSettings,
        description="Which files belong to the study, where an inbox is shared.",
    )
    labels: LabelSettings = Field(
        default_factory=LabelSettings,
        description="What subjects and sessions are called.",
    )
    deid: DeidSettings = Field(
        default_factory=DeidSettings,
        description="What de-identification removes and keeps.",
    )
    bids: BidsSettings = Field(
        default_factory=BidsSettings, description="How series are named and described."
    )
    protocol: ProtocolSettings = Field(
        default_factory=ProtocolSettings,
        description="How series are acquired; deviations stand in the study report.",
    )
    derivatives: DerivativeSettings = Field(
        default_factory=DerivativeSettings,
        description="Which derivatives are made.",
    )
    quality: QualitySettings = Field(
        default_factory=QualitySettings,
        description="When a scan passes, is looked at, fails.",
    )
    cohort: CohortSettings = Field(
        default_factory=CohortSettings,
        description="When a scan stands out among the sessions of the study.",
    )
    ratings: RatingSettings = Field(
        default_factory=RatingSettings,
        description="What follows from the verdict of a person.",
    )
    apps: tuple[App, ...] = Field(
        default=(), description="BIDS Apps, each an asset of its own."
    )

    @field_validator("apps")
    @classmethod
    def _have_own_names(cls, apps: tuple[App, ...]) -> tuple[App, ...]:
        names = [app.name for app in apps]
        for name in names:
            if name in RESERVED_NAMES or name.endswith(NOTEBOOK):
                raise ValueError(f"{name} is the name of an asset of every study")
            if names.count(name) > 1:
                raise ValueError(f"two apps are named {name}")
        return apps

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the study's derivatives, in the order of their inputs."""
        return self.derivatives.list_on()

    def digest(self, *parts: str) -> str:
        """
        Return 12 hex digits over the named parts, for code versions.

        A change of another part leaves it as it is, and so does a default that
        is written out.
        """
        dumped = self.model_dump(mode="json")
        return digest_json({part: dumped[part] for part in parts})[:12]


DEMO_STUDY = Study(name="demo", title="Built-in demo study")
"""What a home without a study shows."""


def find_home() -> Home:
    """Return the home named by ``IMAGING_HOME``, or ``imaging_home`` in this folder."""
    named = os.environ.get(HOME_VARIABLE)
    return Home(Path(named or "imaging_home").expanduser().absolute())


def enter_home(home: Home) -> None:
    """
    Make this process, and those it starts, work on `home` and its Dagster instance.

    The instance gets the platform's ``dagster.yaml`` unless it has one of its own.
    """
    home.dagster.mkdir(parents=True, exist_ok=True)
    config = home.dagster / "dagster.yaml"
    if not config.exists():
        write_text(config, product_file("dagster.yaml").read_text())
    os.environ[HOME_VARIABLE] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)


def set_reports_url(port: int) -> str:
    """Tell the processes that are started from here where reports are served."""
    return os.environ.setdefault(REPORTS_VARIABLE, f"http://localhost:{port}")


def find_reports_url() -> str:
    """Return where `imaging-platform up` serves published files."""
    return os.environ.get(REPORTS_VARIABLE, "http://localhost:3001")


def find_binds() -> dict[str, str]:
    """
    Return where folders of this machine stand for the container engine, by path.

    The same as here, unless this process runs in a container: then
    ``IMAGING_BIND_PREFIXES`` holds ``<path here>=<path of the host>``, several of
    them with commas between.

    Raises
    ------
    BadConfig
        The variable has another form.
    """
    text = os.environ.get(BINDS_VARIABLE, "")
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(
        here.startswith("/") and there.startswith("/") for here, _, there in pairs
    ):
        raise BadConfig(
            f"{BINDS_VARIABLE} holds pairs of absolute paths.",
            fix=f"Write for example {BINDS_VARIABLE}=/data=/srv/imaging.",
        )
    return {here: there for here, _, there in pairs}


def fill_in(value: object) -> object:
    """Return a value of ``dagster.yaml``: ``{env: NAME}`` is a variable, or None."""
    if isinstance(value, Mapping):
        return os.environ.get(str(value.get("env")))
    return value


def load_study(home: Home, name: str) -> Study:
    """
    Read and check the study file of `name`.

    Raises
    ------
    BadConfig
        There is no such study, the file is no YAML mapping, a value is out of
        range, or a key is unknown; the fix names the nearest known one.
    """
    file = home.study_file(parse_study_name(name))
    try:
        study = read_study(file)
    except FileNotFoundError:
        known = ", ".join(home.studies()) or "none"
        raise BadConfig(
            f"There is no study {name}; known: {known}.",
            fix=f"Create it: imaging-platform study new {name}",
        ) from None
    if study.name != name:
        raise BadConfig(
            f"The study file in folder {name} names itself {study.name}.",
            fix="Give folder and `name:` the same name.",
        )
    return study


def load_layout(study: str, home: str | Path | None = None) -> BIDSLayout:
    """
    Return the pybids layout of a study's BIDS dataset, from its index; read only.

    Also ``from imaging_platform import load_layout``, in a notebook for example.

    Parameters
    ----------
    study
        Name of the study.
    home
        The imaging home; the one that ``IMAGING_HOME`` names when left out.

    Raises
    ------
    BadConfig
        There is no such study.
    MissingInput
        The dataset was not built yet, or has changed since.
    """
    from imaging_platform.bids.layout_index import open_published

    root = find_home() if home is None else Home(Path(home).expanduser().absolute())
    return open_published(root.root, load_study(root, study).name)


def read_study(file: Path) -> Study:
    """
    Read and check a study file, wherever it is.

    Raises
    ------
    BadConfig
        It is no YAML mapping, a value is out of range, or a key is unknown; the fix
        names the nearest known one.
    FileNotFoundError
        There is no such file.
    """
    try:
        content = read_yaml(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = _where(error) if isinstance(error, yaml.YAMLError) else "not UTF-8"
        raise BadConfig(
            f"The study file is not valid YAML: {where}.",
            fix="Correct the line; `imaging-platform study check` reads it again.",
        ) from None
    return parse_study(content)


def read_yaml(text: str) -> object:
    """Return what a YAML text says, as fast as this machine can."""
    try:
        return yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError:
        return yaml.safe_load(text)  # It names the line that a person must correct.


def parse_study(content: object) -> Study:
    """
    Return the study that a mapping read from YAML describes.

    Raises
    ------
    BadConfig
        As `load_study`.
    """
    if not isinstance(content, Mapping):
        raise BadConfig(
            "A study file is a mapping of keys to values.",
            fix="Start again from `imaging-platform study new`.",
        )
    try:
        return Study.model_validate(_over_defaults(content))
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        raise BadConfig(
            f"The study file has {len(problems)} problem(s): "
            + "; ".join(message for message, _ in problems),
            fix=" ".join(fix for _, fix in problems),
        ) from None


def _over_defaults(content: Mapping[str, object]) -> dict[str, object]:
    """
    Lay what was written over the defaults.

    So one threshold of a metric can be changed without repeating the others.
    """
    defaults = Study(name="").model_dump(mode="json", exclude={"name"})
    return _merge(defaults, content)


def _merge(
    under: Mapping[str, object], over: Mapping[str, object]
) -> dict[str, object]:
    merged = {**under, **over}
    for key, value in over.items():
        below = under.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _merge(below, value)
    return merged


def _explain(problem: Any) -> tuple[str, str]:  # pydantic's ErrorDetails
    place = say_place(problem["loc"])
    path = place.split(".")
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg']}", f"Correct {place}."
    known = _known_keys(path[:-1])
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.0)
    return f"unknown key {place}", f"Did you mean {near[0]}?" if near else "Remove it."


def _known_keys(path: list[str]) -> list[str]:
    model: type[BaseModel] = Study
    for part in path:
        info = model.model_fields.get(part)
        section = section_of(info.annotation) if info else None
        if section is None and not part.isdigit():
            return []
        model = section or model
    return [info.alias or name for name, info in model.model_fields.items()]


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}" if mark else "unreadable"
