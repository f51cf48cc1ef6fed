"""What a check of a study file has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """
    Something that a person should know of what is set in a study file.

    Parameters
    ----------
    level
        ``error``: it is refused, contradicts itself, or can never do what it says;
        ``risk``: it may be right.
    field
        Place in the study file, such as ``apps.mriqc.image``.
    message
        What is so, and what follows.
    fix
        What to do.
    """

    level: Literal["error", "risk"]
    field: str
    message: str
    fix: str

    def __str__(self) -> str:
        """Return two lines: what is so, and what to do."""
        return f"{self.level}: {self.field}: {self.message}\n  {self.fix}"
