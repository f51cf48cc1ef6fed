"""De-identifying a folder of any sessions on the command line, without Dagster."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imaging_platform.cli.exit_codes import HELD
from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.cli.progress import Bars, Shares, shown_progress
from imaging_platform.cli.sorting import Sorted, sort_sessions
from imaging_platform.deid.labels import Labels
from imaging_platform.deid.release_list import read_steps, released_series
from imaging_platform.files.staging import publish_tree, staged_tree
from imaging_platform.files.writing import write_json
from imaging_platform.intake.ledger import read_ledger
from imaging_platform.model.errors import BadConfig, Held, ToolFailed
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.resources.mapping import read_labels
from imaging_platform.settings import Study, find_home, read_study

if TYPE_CHECKING:
    from imaging_platform.deid.session import DeidReport

SUMMARY = "summary.json"
COUNTS = ("read", "written", "duplicate", "quarantined", "unreadable", "held")


@dataclasses.dataclass(frozen=True)
class Treated:
    """
    What became of one session.

    Parameters
    ----------
    key
        Of the session.
    n_files
        Its files.
    report
        What was done; None when it is held.
    why, fix
        Why it is held and what to do; empty when it is not.
    """

    key: SessionKey
    n_files: int
    report: DeidReport | None
    why: str = ""
    fix: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Files by what became of them."""
        if self.report is None:
            return {"read": self.n_files, "held": self.n_files}
        kept_back = Counter[str]()
        for row in self.report.quarantined:
            # What has no kind could not be read as DICOM.
            kept_back["quarantined" if row.sop_class else "unreadable"] += row.n_files
        return {
            "read": self.report.files_read,
            "written": self.report.files_written,
            "duplicate": self.report.files_duplicate,
            **kept_back,
        }


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--study",
    "study_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The study.yaml; its key is read from the imaging home.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes side by side; the output is the same.",
)
@json_option
def anonymize(
    source: Path, target: Path, study_file: Path, jobs: int, as_json: bool
) -> int:
    """
    De-identify the DICOM below SOURCE into TARGET/<session>, one folder each.

    What was done to each session stands beside it, in TARGET.deid, with a
    summary that counts every file. A session that is held stops no other; exit
    code 3 says that something was kept back for a person.
    """
    target = target.absolute()
    told = target.with_name(f"{target.name}.deid")
    _refuse_existing(target)
    _refuse_existing(told)
    study = read_study(study_file)
    home = find_home()
    labels = read_labels(home, study.name, study.labels)
    _refuse_inside(target, source)
    with (
        staged_tree(target.parent, target.name) as staged,
        staged_tree(told.parent, told.name) as staged_reports,
        shown_progress(is_wanted=not as_json) as bars,
        _processes(jobs) as pool,
    ):
        found = sort_sessions(
            source,
            labels,
            read_ledger(home.zone("identified", study.name)),
            pool=pool,
            progress=bars.add("Reading headers"),
        )
        work = _Work(study, home, labels, staged, pool, jobs)
        treated = work.treat(found, bars)
        _write_reports(treated, found, staged_reports)
        publish_tree(staged_reports, told)
        # A folder with nothing in it would look like work that was done.
        if any(one.report and one.report.files_written for one in treated):
            publish_tree(staged, target)
    (_print_as_json if as_json else _print)(treated, found, target)
    return HELD if _is_kept_back(treated, found) else 0


@dataclasses.dataclass(frozen=True)
class _Work:
    """What is the same for all sessions."""

    study: Study
    home: Home
    labels: Labels
    staged: Path
    pool: Executor | None
    jobs: int

    def treat(self, found: Sorted, bars: Bars) -> list[Treated]:
        """De-identify all sessions, each with its own verdict."""
        n_files = sum(map(len, found.sessions.values()))
        shares = Shares(bars.add("De-identifying"), n_files)

        def treat(session: tuple[SessionKey, Sequence[Path]]) -> Treated:
            return self._treat_one(*session, shares)

        if self.pool is None:
            return list(map(treat, found.sessions.items()))
        # Threads only wait here; the work is in the processes of the pool.
        with ThreadPoolExecutor(self.jobs) as threads:
            return list(threads.map(treat, found.sessions.items()))

    def _treat_one(
        self, key: SessionKey, paths: Sequence[Path], shares: Shares
    ) -> Treated:
        from imaging_platform.deid.session import anonymize_session

        steps = read_steps(self.home.released_file(self.study.name))
        clean = self.staged / str(key)
        clean.mkdir()
        with staged_tree(self.staged.parent, f"{key}-originals") as originals:
            for number, path in enumerate(paths):
                link = originals / f"{number:06d}.dcm"
                link.symlink_to(path.absolute())
            try:
                report = anonymize_session(
                    originals,
                    clean,
                    key=key,
                    settings=self.study.deid,
                    secret=self.labels.secret,
                    pool=self.pool,
                    progress=shares.of(str(key)),
                    released=released_series(steps, key),
                )
            except Held as error:
                clean.rmdir()
                return Treated(key, len(paths), None, str(error), error.fix)
        if not report.files_written:
            clean.rmdir()
        return Treated(key, len(paths), report)


@contextmanager
def _processes(jobs: int) -> Iterator[Executor | None]:
    """Give `jobs` processes, or None for one."""
    if jobs == 1:
        yield None
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    try:
        # Spawned: a fork would copy the threads that wait for the sessions.
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            yield pool
    except BrokenProcessPool:
        raise ToolFailed(
            "A process that de-identifies ended before its work; nothing was written.",
            fix="Look whether memory ran out; try again with fewer --jobs.",
        ) from None


def _count_all(treated: Sequence[Treated], found: Sorted) -> dict[str, int]:
    left_out = sum(found.unreadable.values())
    counts = Counter({"read": left_out, "unreadable": left_out})
    for one in treated:
        counts += Counter(one.counts)
    return {**{name: counts[name] for name in COUNTS}, "ignored": found.n_ignored}


def _is_kept_back(treated: Sequence[Treated], found: Sorted) -> bool:
    counts = _count_all(treated, found)
    return any(counts[name] for name in ("quarantined", "unreadable", "held"))


def _write_reports(treated: Sequence[Treated], found: Sorted, folder: Path) -> None:
    from imaging_platform.deid.deid_report import write_deid_report

    for one in treated:
        if one.report is not None:
            write_deid_report(one.report, folder, str(one.key))
    summary = {
        "files": _count_all(treated, found),
        "held": _held(treated),
        "unreadable": found.unreadable,
    }
    write_json(folder / SUMMARY, summary)


def _held(treated: Sequence[Treated]) -> dict[str, Mapping[str, object]]:
    return {
        str(one.key): {"files": one.n_files, "why": one.why, "fix": one.fix}
        for one in treated
        if one.report is None
    }


def _print_as_json(treated: Sequence[Treated], found: Sorted, _: Path) -> None:
    reports: dict[str, Any] = {  # Any: a DeidReport as values
        str(one.key): dataclasses.asdict(one.report)
        for one in treated
        if one.report is not None
    }
    print_json(
        {
            "files": _count_all(treated, found),
            "sessions": reports,
            "held": _held(treated),
            "unreadable": found.unreadable,
        }
    )


def _print(treated: Sequence[Treated], found: Sorted, target: Path) -> None:
    print_table(
        f"De-identified into {target}",
        ["session", *COUNTS],
        [
            (str(one.key), *(one.counts.get(name, 0) for name in COUNTS))
            for one in treated
        ],
    )
    for reason, count in found.unreadable.items():
        click.echo(f"Left out: {count} file(s), {reason}", err=True)
    for one in treated:
        if one.report is None:
            click.echo(f"Held: {one.key}, {one.why}\n  {one.fix}", err=True)
    counts = _count_all(treated, found)
    ignored = counts.pop("ignored")
    text = ", ".join(f"{number} {name}" for name, number in counts.items())
    click.echo(f"Files: {text}; {ignored} ignored")


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise BadConfig(
            f"{target} exists already.", fix="Name a folder that is not there yet."
        )


def _refuse_inside(target: Path, source: Path) -> None:
    if target.resolve().is_relative_to(source.resolve()):
        raise BadConfig(
            "The target lies inside the source, where it would be read again.",
            fix="Name a folder outside the source.",
        )
