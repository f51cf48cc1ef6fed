"""Rules of the study: which images they match, and what they make of a verdict."""

from __future__ import annotations

import fnmatch
import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence
from imaging_platform.files.digests import digest_json

if TYPE_CHECKING:
    from imaging_platform.bids.settings import Condition, Scalar, StudyRule

STUDY = "study"
"""Name of the rule in a verdict that a study rule gave."""

DICOM_PREFIX = "dicom."
"""Begins the name of a field that is a DICOM keyword, in DICOM's own unit."""

IMAGE_FIELDS = ("Volumes", "Slices", "Rows", "Columns", "LargestB", "Direction")
"""Fields that come from the image itself."""

MAX_TEXT_CHARACTERS = 256
"""A regular expression sees no more of a value: bounds the time of a search."""

_EQUAL = 1e-5
"""Relative difference of equal numbers; dcm2niix writes six digits."""

Test: TypeAlias = "Condition | Scalar | tuple[Scalar, ...]"


def matches(rule: StudyRule, image: Evidence) -> bool:
    """Tell whether all conditions of a study rule hold for an image."""
    return all(
        _holds(test, read_field(image, name)) for name, test in rule.match.items()
    )


def read_field(image: Evidence, name: str) -> object:
    """Return the value of a field that a rule names; None when it is missing."""
    if name in IMAGE_FIELDS:
        return _read_image_field(image, name)
    if name.startswith(DICOM_PREFIX):
        return image.output.fields.get(name.removeprefix(DICOM_PREFIX))
    return image.output.sidecar.get(name)


def dicom_keywords(rules: Iterable[StudyRule]) -> tuple[str, ...]:
    """Return the DICOM keywords that rules ask for, sorted."""
    fields = {field for rule in rules for field in rule.match}
    return tuple(
        sorted(
            field.removeprefix(DICOM_PREFIX)
            for field in fields
            if field.startswith(DICOM_PREFIX)
        )
    )


def name_rule(rule: StudyRule) -> str:
    """
    Return what reports call a rule: its name, or else its tests.

    Its place in the study file is not part of it, so that a new rule above leaves
    the reports of other series as they are.

    Examples
    --------
    >>> name_rule(StudyRule(match={"EchoTime": {"max": 0.01}}, exclude="Trial."))
    'EchoTime at most 0.01'
    """
    if rule.name:
        return rule.name
    return ", ".join(f"{field} {_say(test)}" for field, test in rule.match.items())


def apply_study_rules(rules: Sequence[StudyRule], builtin: Verdict) -> Verdict:
    """
    Return the verdict that the matching rules of a study make of the built-in one.

    The first rule that labels or excludes wins. Metadata, and entities of rules
    that do not label, add up; of two that give the same key, the earlier one wins.

    Parameters
    ----------
    rules
        The rules that match, in the order of the study file.
    builtin
        What the product would say.
    """
    if not rules:
        return builtin
    label = next((rule for rule in rules if rule.decides), None)
    if label and label.exclude:
        reason = label.exclude.rstrip(". ")
        why = f"{reason}. A rule of the study: {name_rule(label)}."
        return Verdict(STUDY, why, outcome="excluded")
    entities: dict[str, str] = dict(builtin.entities) if label is None else {}
    metadata: dict[str, object] = {}
    volume_types: tuple[str, ...] = ()
    for rule in reversed(rules):
        entities.update(rule.entities)
        metadata.update(rule.metadata)
        volume_types = rule.volume_types or volume_types
    if label is None:
        named = "; ".join(map(name_rule, rules))
        return replace(
            builtin,
            why=f"{builtin.why} A rule of the study adds: {named}.",
            entities=entities,
            metadata={**builtin.metadata, **metadata},
            volume_types=volume_types or builtin.volume_types,
        )
    return Verdict(
        rule=STUDY,
        why=f"A rule of the study: {name_rule(label)}.",
        datatype=label.datatype or "",
        suffix=label.suffix or "",
        entities=entities,
        metadata=metadata,
        volume_types=volume_types,
    )


def effects_digest(rules: Sequence[StudyRule], image: Evidence) -> str:
    """
    Return 16 hex digits over what the rules that match an image do to it.

    Equal digests make the same verdict of the same built-in one. Empty when no rule
    matches.
    """
    effects = [
        [
            rule.model_dump(mode="json", exclude={"match", "name"}),
            name_rule(rule) if rule.exclude else "",
        ]
        for rule in rules
        if matches(rule, image)
    ]
    return digest_json(effects)[:16] if effects else ""


def _read_image_field(image: Evidence, name: str) -> object:
    output = image.output
    axes = {"Columns": 0, "Rows": 1, "Slices": 2}
    if name == "Volumes":
        return output.volumes
    if name == "LargestB":
        return max(output.bvals) if output.bvals else None
    if name == "Direction":
        return image.direction
    axis = axes[name]
    return output.shape[axis] if len(output.shape) > axis else None


def _holds(test: Test, value: object) -> bool:
    if isinstance(test, tuple):
        return any(_fits(one, value) for one in test)
    if isinstance(test, bool | int | float | str):
        return _fits(test, value)
    return _fulfils(test, value)


def _fulfils(test: Condition, value: object) -> bool:
    is_absent = _is_absent(value)
    if test.absent is not None and test.absent != is_absent:
        return False
    if is_absent:
        return bool(test.absent)
    if test.glob is not None and not _fits(test.glob, value):
        return False
    if test.any and not any(_fits(one, value) for one in test.any):
        return False
    if test.regex is not None:
        seen = as_text(value)[:MAX_TEXT_CHARACTERS]
        if not _compiled(test.regex).search(seen):
            return False
    return _is_within(test, value)


def _is_absent(value: object) -> bool:
    return value is None or value in ("", [])


def _is_within(test: Condition, value: object) -> bool:
    if test.minimum is None and test.maximum is None:
        return True
    number = as_number(value)
    if number is None:
        return False
    low = test.minimum is None or number >= test.minimum
    return low and (test.maximum is None or number <= test.maximum)


def _fits(wanted: Scalar, value: object) -> bool:
    """Tell whether a single value of YAML describes a value of a field."""
    if _is_absent(value):
        return False
    if isinstance(wanted, bool) or isinstance(value, bool):
        return as_text(value).lower() == as_text(wanted).lower()
    if isinstance(wanted, str):
        return fnmatch.fnmatchcase(as_text(value).lower(), wanted.lower())
    number = as_number(value)
    return number is not None and math.isclose(number, wanted, rel_tol=_EQUAL)


def as_text(value: object) -> str:
    """Return a value as rules see it: parts of a list joined by a backslash."""
    if isinstance(value, list | tuple):
        return "\\".join(str(part) for part in value)
    return str(value)


def as_number(value: object) -> float | None:
    """Return a value as a number; None when it is none. Text of digits is one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", value):
        return float(value)
    return None


@functools.lru_cache(maxsize=1024)
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex, re.IGNORECASE)


def _say(test: Test) -> str:
    if isinstance(test, tuple):
        return " or ".join(map(str, test))
    if isinstance(test, bool | int | float | str):
        return str(test)
    said = []
    if test.absent is not None:
        said.append("absent" if test.absent else "present")
    said += [f"like {test.glob}"] if test.glob is not None else []
    said += [f"matching {test.regex}"] if test.regex is not None else []
    said += [" or ".join(map(str, test.any))] if test.any else []
    said += [f"at least {test.minimum:g}"] if test.minimum is not None else []
    said += [f"at most {test.maximum:g}"] if test.maximum is not None else []
    return ", ".join(said)
