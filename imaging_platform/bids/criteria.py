"""Criteria of dcm2bids as tests of a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imaging_platform.model.errors import BadConfig

_BOUNDS = {
    "lt": ("max", "strictly below"),
    "le": ("max", ""),
    "gt": ("min", "strictly above"),
    "ge": ("min", ""),
}
_OWN_FIELDS = frozenset({"SidecarFilename", "SideCarFilename"})


class Untranslatable(BadConfig):
    """Something for which the study file has no words; the message is the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, fix="Write a rule for these series yourself.")


def translate_criteria(
    criteria: Any,  # JSON
    method: str,
) -> tuple[dict[str, Any], list[tuple[str, str]]]:  # YAML
    """
    Return the tests of a rule, and what in them is not quite the same.

    Parameters
    ----------
    criteria
        As dcm2bids has them: field to pattern, list of patterns, or a mapping of
        ``any``, ``lt``, ``le``, ``gt``, ``ge``, ``btw``, ``btwe``.
    method
        ``fnmatch`` (shell patterns) or ``re`` (regular expressions).

    Raises
    ------
    Untranslatable
        A criterion has no counterpart; leaving it out would make the rule wider.
    """
    if not isinstance(criteria, Mapping) or not criteria:
        raise Untranslatable("It has no criteria.")
    tests: dict[str, Any] = {}
    changed: list[tuple[str, str]] = []
    for field, pattern in criteria.items():
        if field in _OWN_FIELDS:
            raise Untranslatable(
                f"{field} tests names that dcm2niix gave; name a field of the sidecar."
            )
        tests[field] = _translate(field, pattern, method, changed)
    return tests, changed


def _translate(
    field: str,
    pattern: Any,  # JSON
    method: str,
    changed: list[tuple[str, str]],
) -> Any:  # YAML
    if isinstance(pattern, Mapping):
        return _translate_mapping(field, pattern, method, changed)
    if isinstance(pattern, list):
        return _translate_value(_join(pattern, method), method)
    return _translate_value(pattern, method)


def _translate_value(pattern: Any, method: str) -> Any:  # JSON, YAML
    if isinstance(pattern, bool | int | float):
        return pattern
    if method == "re":
        # dcm2bids asks re.match: the beginning counts.
        return {"regex": f"^(?:{pattern})"}
    return str(pattern)


def _join(parts: Sequence[Any], method: str) -> str:  # JSON
    """Return the pattern of a list, part by part; re.match asks how a part begins."""
    if method == "re":
        return r"\\".join(rf"(?:{part})[^\\]{{0,16}}" for part in parts) + "$"
    return "\\".join(map(str, parts))


def _translate_mapping(
    field: str,
    pattern: Mapping[str, Any],  # JSON
    method: str,
    changed: list[tuple[str, str]],
) -> dict[str, Any]:  # YAML
    test: dict[str, Any] = {}
    for key, value in pattern.items():
        if key == "any" and isinstance(value, list) and value:
            test |= _translate_any(value, method)
        elif key in _BOUNDS and _is_number(value):
            bound, strict = _BOUNDS[key]
            test[bound] = value
            if strict:
                why = f"It meant {strict} {value}; here {value} itself fits, too."
                changed.append((f"{field} {key}", why))
        elif key in ("btw", "btwe") and _is_pair(value):
            test |= {"min": min(value), "max": max(value)}
            if key == "btw":
                why = "It meant strictly between; here the two bounds fit, too."
                changed.append((f"{field} {key}", why))
        else:
            raise Untranslatable(f"The test {key} of {field} has no counterpart.")
    return test


def _translate_any(values: Sequence[Any], method: str) -> dict[str, Any]:  # JSON, YAML
    texts = [_join(one, method) if isinstance(one, list) else one for one in values]
    if method == "re":
        return {"regex": "^(?:" + "|".join(f"(?:{one})" for one in texts) + ")"}
    return {"any": texts}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
