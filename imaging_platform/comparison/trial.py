"""What a trial of new code or settings on a sample of sessions found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imaging_platform.comparison.trees import TreeComparison

SAME = "same"
DIFFERS = "differs"
FAILED = "failed"


@dataclass(frozen=True)
class TrialResult:
    """
    One result that was made again beside the published one.

    Parameters
    ----------
    asset, session
        Which.
    outcome
        `SAME`, `DIFFERS` or `FAILED`.
    why
        Why it was made, or why it failed.
    cpu_s
        Processor time in seconds; 0 when it failed.
    trees
        What differs, by the name of the tree: the asset's, and any beside it.
    not_run
        Results of the session that need not be made because this one is the same.
    """

    asset: str
    session: str
    outcome: str
    why: str = ""
    cpu_s: float = 0.0
    trees: Mapping[str, TreeComparison] = field(default_factory=dict)
    not_run: tuple[str, ...] = ()

    def count(self, change: str) -> int:
        """Return how many files have this kind of change."""
        return sum(
            file.change == change for tree in self.trees.values() for file in tree.files
        )

    @property
    def n_same(self) -> int:
        """Files with the content that they had."""
        return sum(tree.n_same for tree in self.trees.values())


@dataclass(frozen=True)
class Trial:
    """
    A sample of a study's stale sessions, made again beside what is published.

    Parameters
    ----------
    study
        Its name.
    sessions
        The sample.
    n_stale
        Sessions of the study with something stale.
    results
        What was made again, in that order.
    left_out
        Stale results that a trial cannot make, in words.
    """

    study: str
    sessions: tuple[str, ...]
    n_stale: int
    results: tuple[TrialResult, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def cpu_s(self) -> float:
        """Processor time of the whole trial in seconds."""
        return sum(result.cpu_s for result in self.results)

    @property
    def estimated_cpu_hours(self) -> float:
        """The cost of all stale sessions, if they are as those of the sample."""
        if not self.sessions:
            return 0.0
        return self.cpu_s / len(self.sessions) * self.n_stale / 3600

    def having(self, outcome: str) -> list[TrialResult]:
        """Return the results with this outcome."""
        return [result for result in self.results if result.outcome == outcome]

    @property
    def outcome(self) -> str:
        """The worst outcome of all results; `SAME` when there is none."""
        found = {result.outcome for result in self.results}
        return next((each for each in (FAILED, DIFFERS) if each in found), SAME)

    def sentences(self) -> list[str]:
        """Return what was found and what it would cost, in words."""
        if not self.results:
            return ["Nothing of the sample is stale, so nothing was made."]
        told = [
            f"{len(self.results)} result(s) of {len(self.sessions)} session(s): "
            f"{len(self.having(SAME))} came out the same, "
            f"{len(self.having(DIFFERS))} differ, {len(self.having(FAILED))} failed."
        ]
        stopped = sorted({name for r in self.results for name in r.not_run})
        if stopped:
            told.append(
                "Stops early, since what is before it comes out the same: "
                f"{', '.join(stopped)}."
            )
        told.append(
            f"The sample took {self.cpu_s:.1f} CPU seconds; all {self.n_stale} stale "
            f"session(s) would take about {self.estimated_cpu_hours:.3g} CPU hours."
        )
        return told

    def commands(self) -> dict[str, str]:
        """Return what a person may do now, each with its command."""
        changed = next(iter(self.having(DIFFERS)), None)
        one = f"{changed.asset} {changed.session}" if changed else "ASSET SESSION"
        return {
            "make all that is stale": "imaging-platform reprocess "
            f"--study {self.study} --stale",
            "keep a result as it is": f"imaging-platform accept {one} "
            f"--study {self.study} --reason WHY",
            "go back": "undo the change of study file, notebook or version; then: "
            f"imaging-platform plan --study {self.study}",
        }
