"""
What must not remain, asked for by the rules while a session is rewritten.

What the files tell of their subject is complete only when the last of them was
read. So a session is rewritten with what a sample told, each answer is noted, and
when all is known `Screen.answers_otherwise` says whether anything must be redone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from imaging_platform.deid.identifiers import FEWEST_DIGITS, Identifiers


@dataclass(eq=False)
class Screen:
    """
    The identifiers as the rules ask for them; stands in for `Identifiers` there.

    Parameters
    ----------
    identifiers
        What is known when the rewriting starts.
    own_words
        Words of the study's own protocols, in lower case (`DeidSettings.words`).
    """

    identifiers: Identifiers
    own_words: frozenset[str] = frozenset()
    echoes: dict[str, bool] = field(default_factory=dict)
    cuts: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)

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

    def shorten(self, number: str) -> str:
        """Return and note what `Identifiers.shorten` says."""
        if len(number) < FEWEST_DIGITS:
            return number
        answer = self.numbers.get(number)
        if answer is None:
            answer = self.numbers[number] = self.identifiers.shorten(number)
        return answer

    def answers_otherwise(self, identifiers: Identifiers) -> bool:
        """Return whether other identifiers give another answer to any question."""
        asked = (
            (identifiers.echoes_in, self.echoes),
            (identifiers.cut_from, self.cuts),
            (identifiers.shorten, self.numbers),
        )
        return any(
            ask(text) != answer
            for ask, answers in asked
            for text, answer in answers.items()
        )
