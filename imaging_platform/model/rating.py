"""The verdict of a person on a session."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rating:
    """
    The verdict of a person on a session.

    Parameters
    ----------
    verdict
        ``pass`` or ``fail``.
    author, reason, when
        Who said so, why, and when in UTC.
    is_expired
        Whether the session is another than the one that was looked at.
    """

    verdict: str
    author: str
    reason: str
    when: str
    is_expired: bool

    @property
    def sentence(self) -> str:
        """
        The rating in words.

        Examples
        --------
        >>> Rating("fail", "kim", "artefact", "2024-05-01", False).sentence
        'rated fail by kim: artefact'
        """
        return f"rated {self.verdict} by {self.author}: {self.reason}"
