"""
What must not remain, asked for by the rules while a session is rewritten.

What the files tell of their subject is complete only when the last of them was
read. So a session is rewritten with what a sample told, each answer is noted, and
when all is known `Screen.answers_otherwise` says whether anything must be redone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from imaging_platform.deid.identifiers import Identifiers


@dataclass(eq=False)
class Screen:
    """
    The identifiers as the rules ask for them; stands in for `Identifiers` there.

    Parameters
    ----------
    identifiers
        What is known when the rewriting starts.
    """

    identifiers: Identifiers
    echoes: dict[str, bool] = field(default_factory=dict)
    cuts: dict[str, str] = field(default_factory=dict)

    def echoes_in(self, text: str) -> bool:
        """Return and note what `Identifiers.echoes_in` says."""
        answer = self.echoes.get(text)
        if answer is None:
            answer = self.echoes[text] = self.identifiers.echoes_in(text)
        return answer

    def cut_from(self, text: str) -> str:
        """Return and note what `Identifiers.cut_from` says."""
        answer = self.cuts.get(text)
        if answer is None:
            answer = self.cuts[text] = self.identifiers.cut_from(text)
        return answer

    def answers_otherwise(self, identifiers: Identifiers) -> bool:
        """Return whether other identifiers give another answer to any question."""
        return any(
            identifiers.echoes_in(text) != answer
            for text, answer in self.echoes.items()
        ) or any(
            identifiers.cut_from(text) != answer for text, answer in self.cuts.items()
        )
