"""What a notebook says of itself in its first cell, and the notebooks of a study."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError

from imaging_platform.model.config import Section
from imaging_platform.model.errors import BadConfig

BUILT_IN = ("session_report", "study_report")
"""Notebooks of the product that have an asset of their own."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FENCE = "---"

Cell = TypeVar("Cell", bound=Any)  # a cell as JSON or as nbformat has it


class FrontMatter(Section):
    """The YAML in the first cell of a notebook that becomes an asset."""

    level: Literal["session", "subject", "study"] = Field(
        description="What the notebook is about: it runs once for each of these."
    )
    needs: tuple[str, ...] = Field(
        description="Assets that it reads, each as inputs/<asset>.", min_length=1
    )
    title: str = Field(default="", description="What it shows, in words.")
    timeout_min: float = Field(
        default=10, gt=0, le=1440, description="Most minutes of all cells together."
    )
    memory_gb: float = Field(
        default=4, gt=0, description="Most memory of its kernel, in GB."
    )
    params: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="Values for the cell tagged parameters, beside study, subject "
        "and session.",
    )
    limits: dict[str, str] = Field(
        default_factory=dict,
        description="What a recorded number should be, such as mean_r: '>= 0.2'.",
    )


@dataclass(frozen=True)
class Template:
    """
    A notebook that is an asset.

    Parameters
    ----------
    path
        The notebook.
    front
        What it says of itself.
    """

    path: Path
    front: FrontMatter

    @property
    def name(self) -> str:
        """File name without extension."""
        return self.path.stem


@dataclass(frozen=True)
class BrokenTemplate:
    """
    A notebook that would be an asset if its front matter were right.

    Parameters
    ----------
    path
        The notebook.
    problem
        What is wrong with it.
    """

    path: Path
    problem: BadConfig


@dataclass(frozen=True)
class UnmetTemplate:
    """
    A notebook of every study that needs what one study does not have.

    Parameters
    ----------
    path
        The notebook.
    unmet
        Names of the assets that the study lacks.
    """

    path: Path
    unmet: tuple[str, ...]


AnyTemplate = Template | BrokenTemplate | UnmetTemplate


def find_templates(
    folders: Sequence[Path], of_sessions: Collection[str], of_study: Collection[str]
) -> list[AnyTemplate]:
    """
    Return the notebooks of some folders, by name.

    Parameters
    ----------
    folders
        A notebook of a later folder takes the place of one of the same name. The
        last one is of one study, those before it of every study.
    of_sessions, of_study
        Names of the assets that a notebook may need, by what they are of.
    """
    found = {
        path.stem: path
        for folder in folders
        for path in sorted(folder.glob("*.ipynb"))
        if path.stem not in BUILT_IN
    }
    return [
        _read(path, of_sessions, of_study, is_own=path.parent == folders[-1])
        for _, path in sorted(found.items())
    ]


def read_front_matter(
    path: Path, of_sessions: Collection[str], of_study: Collection[str] = ()
) -> FrontMatter:
    """
    Read what a notebook says of itself.

    Parameters
    ----------
    path
        The notebook; its first cell is raw or Markdown and holds YAML, between two
        lines of three dashes when it is Markdown.
    of_sessions, of_study
        Names of the assets that it may need; a notebook about a session needs none
        of the whole study.

    Raises
    ------
    BadConfig
        The file is no notebook, there is no front matter, or a value cannot be
        used; the message names the notebook and the line of the cell.
    """
    front, lines = _parse(path)
    _check(path, front, lines, of_sessions, of_study)
    return front


def _parse(path: Path) -> tuple[FrontMatter, dict[str, int]]:
    """Return what a notebook says of itself, and the line of each key."""
    text = _first_cell(path)
    lines = _key_lines(path, text)
    try:
        return FrontMatter.model_validate(yaml.safe_load(text) or {}), lines
    except ValidationError as error:
        raise _explain(path, lines, error) from None


def _check(
    path: Path,
    front: FrontMatter,
    lines: Mapping[str, int],
    of_sessions: Collection[str],
    of_study: Collection[str],
) -> None:
    """Refuse needs that there are not, and limits that cannot be read."""
    known = [*of_sessions, *(of_study if front.level != "session" else ())]
    for name in front.needs:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise _wrong(
                path,
                lines["needs"],
                f"a notebook about a {front.level} cannot need {name}",
                fix=f"Did you mean {near[0]}? There are: {', '.join(sorted(known))}; "
                "a BIDS App is there when the study file has it.",
            )
    for name, limit in front.limits.items():
        if not _LIMIT.fullmatch(limit):
            raise _wrong(
                path,
                lines["limits"],
                f"limits {name} by {limit!r}",
                fix="Write a sign and a number: '>= 0.2', '> 0', '<= 3' or '< 1e-3'.",
            )


def without_front_matter(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells of a notebook without its front matter, which nobody reads."""
    if cells and _is_front_matter(cells[0]):
        return list(cells[1:])
    return list(cells)


def judge_results(
    limits: Mapping[str, str], results: Mapping[str, float | int | str]
) -> Iterator[str]:
    """
    Yield a sentence for each recorded number that is not as it should be.

    Examples
    --------
    >>> list(judge_results({"mean_r": ">= 0.2"}, {"mean_r": 0.1}))
    ['mean_r is 0.1, expected >= 0.2']
    >>> list(judge_results({"mean_r": ">= 0.2"}, {}))
    ['mean_r was not recorded, expected >= 0.2']
    """
    for name, limit in limits.items():
        value = results.get(name)
        if not isinstance(value, int | float):
            yield f"{name} was not recorded, expected {limit}"
        elif not _lies_within(value, limit):
            yield f"{name} is {value:.4g}, expected {limit}"


_LIMIT = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


def _lies_within(value: float, limit: str) -> bool:
    sign, number = _LIMIT.fullmatch(limit).groups()  # type: ignore[union-attr]  # proved when read
    edge = float(number)
    return {
        ">=": value >= edge,
        "<=": value <= edge,
        ">": value > edge,
        "<": value < edge,
    }[sign]


def _read(
    path: Path,
    of_sessions: Collection[str],
    of_study: Collection[str],
    *,
    is_own: bool,
) -> AnyTemplate:
    known = {*of_sessions, *of_study}
    try:
        if not _NAME.fullmatch(path.stem):
            raise BadConfig(
                f"{path.name}: a notebook that becomes an asset is named by lower-case "
                "letters, digits and underscores.",
                fix="Rename the file, for example seed_correlation.ipynb.",
            )
        front, lines = _parse(path)
        unmet = tuple(name for name in front.needs if name not in known)
        if unmet and not is_own:
            return UnmetTemplate(path, unmet)
        _check(path, front, lines, of_sessions, of_study)
        return Template(path, front)
    except BadConfig as error:
        return BrokenTemplate(path, error)


def _first_cell(path: Path) -> str:
    """Return the YAML of the first cell, with its lines where they were."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
    except (ValueError, KeyError, TypeError):
        raise BadConfig(
            f"{path.name} is no Jupyter notebook.",
            fix="Save it again from Jupyter as .ipynb, format 4.",
        ) from None
    if not cells or not _is_front_matter(cells[0]):
        raise _wrong(
            path,
            1,
            "has no front matter",
            fix="Put a raw cell before all others, with `level:` and `needs:`.",
        )
    source = _source(cells[0])
    lines = source.splitlines()
    fences = [n for n, line in enumerate(lines) if line.strip() == _FENCE]
    if len(fences) > 1:
        lines = lines[: fences[1]]
    # A fence is left empty, so that line numbers stay those of the cell.
    return "\n".join("" if line.strip() == _FENCE else line for line in lines)


def _is_front_matter(cell: Any) -> bool:  # a cell as JSON or as nbformat has it
    text = _source(cell).lstrip()
    if cell["cell_type"] == "raw":
        return True
    return cell["cell_type"] == "markdown" and text.startswith(_FENCE)


def _source(cell: Any) -> str:  # a cell as JSON or as nbformat has it
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _key_lines(path: Path, text: str) -> dict[str, int]:
    """Return the line, from 1, of each top-level key."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _wrong(
            path,
            mark.line + 1 if mark else 1,
            "is not valid YAML",
            fix="Correct the line: `key: value`, indented by blanks.",
        ) from None
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(path, 1, "is no mapping", fix="Write `key: value` lines.")
    return {key.value: key.start_mark.line + 1 for key, _ in node.value}


def _explain(path: Path, lines: dict[str, int], error: ValidationError) -> BadConfig:
    problem = error.errors()[0]
    key = str(problem["loc"][0])
    line = lines.get(key, 1)
    if problem["type"] == "missing":
        return _wrong(path, 1, f"lacks {key}", fix=f"Add `{key}:`.")
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, FrontMatter.model_fields, n=1, cutoff=0.0)
        return _wrong(path, line, f"has an unknown key {key}", fix=f"Use {near[0]}.")
    return _wrong(path, line, f"{key}: {problem['msg']}", fix=f"Correct {key}.")


def _wrong(path: Path, line: int, what: str, *, fix: str) -> BadConfig:
    return BadConfig(f"{path.name}, first cell, line {line}: {what}.", fix=fix)
