"""Making a release of a study: judged, laid out, searched, validated, then frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.deid.echo import find_echoes
from imaging_platform.deid.guard_store import load_identifiers
from imaging_platform.deid.identifiers import merge_identifiers
from imaging_platform.files.digests import digest_file
from imaging_platform.files.staging import publish_tree, staged_tree
from imaging_platform.files.writing import write_json
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, Held, InvalidOutput, PlatformError
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home, app_dataset_name
from imaging_platform.planning.cells import Cell
from imaging_platform.planning.decisions import Decisions, read_decisions
from imaging_platform.planning.ratings import find_ratings
from imaging_platform.processing.release_texts import (
    describe_provenance,
    find_own_words,
    write_dataset,
    write_quality_dataset,
)
from imaging_platform.provenance.record import Record, write_record
from imaging_platform.provenance.ro_crate import METADATA_NAME
from imaging_platform.provenance.software import read_software
from imaging_platform.provenance.trees import Tree, read_tree
from imaging_platform.release.content import (
    Content,
    Defaced,
    choose_bids,
    choose_derivative,
)
from imaging_platform.release.identity import Guards, Place, refuse_identity
from imaging_platform.release.packing import (
    MANIFEST,
    Titles,
    copy_sessions,
    describe_derivatives,
    digest_release,
    set_read_only,
    write_manifest,
)
from imaging_platform.release.verdicts import (
    SessionVerdict,
    find_objection,
    refuse_session,
    write_report,
)
from imaging_platform.settings import Study
from imaging_platform.storage.local import LocalStore
from imaging_platform.tools.validator import validate_dataset

CODE_VERSION = "1"
DEFACED = "defaced_t1w"
QUALITY = "session_quality"
AT_ONCE = 100
"""Subjects that are searched for together."""


@dataclass(frozen=True)
class Shared:
    """
    What a call of `share` did.

    Parameters
    ----------
    study, version
        Which release.
    state
        ``made``, ``unchanged`` (it stood, and is what would be made now) or
        ``not made``.
    digest
        SHA-256 of its manifest; empty when nothing was made.
    sessions
        The verdict on each session.
    n_files
        How many files it has.
    """

    study: str
    version: str
    state: str
    digest: str
    sessions: tuple[SessionVerdict, ...]
    n_files: int = 0


@dataclass(frozen=True)
class Chosen:
    """
    What may leave of a study.

    Parameters
    ----------
    verdicts
        On each session.
    contents
        The files by session that leaves.
    trees
        The results that they are of, by `Tree.id`.
    """

    verdicts: tuple[SessionVerdict, ...]
    contents: Mapping[SessionKey, Sequence[Content]]
    trees: Mapping[str, Tree]


class Sharing:
    """
    Makes a release of one study.

    Parameters
    ----------
    home, study
        The study.
    version, date
        What the release is called, and its day.
    apps
        Apps of sessions whose results leave too.
    tell
        Told of each step, for people who wait.
    """

    def __init__(
        self,
        home: Home,
        study: Study,
        *,
        version: str,
        date: str,
        apps: Sequence[str] = (),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._home, self._study = home, study
        self._store = LocalStore(home.root)
        self._tell = tell
        self._titles = Titles(
            version=version,
            date=date,
            title=study.bids.dataset_name or study.title or study.name,
            description=study.bids.description,
            changes=[(n.version, n.date, n.changes) for n in study.bids.releases],
        )
        self._apps = _find_apps(study, apps)
        self._datasets = {
            name: name for name in study.pipelines if name != DEFACED
        } | self._apps

    def choose(self, cells: Mapping[str, Mapping[str, Cell]]) -> Chosen:
        """
        Return what may leave.

        Parameters
        ----------
        cells
            State of each result by session and asset.
        """
        records = {key: self._read("bids_session", key) for key in cells}
        versions = {k: t.record.data_version for k, t in records.items() if t}
        ratings = find_ratings(self._decisions(), versions)
        assets = [*self._study.pipelines, QUALITY, *self._apps]
        verdicts, contents, trees = [], {}, {}
        for session in sorted(cells):
            objection = find_objection(cells[session], ratings.get(session), assets)
            if objection:
                verdicts.append(refuse_session(session, objection))
                continue
            try:
                verdict, parts, used = self._choose_session(SessionKey.parse(session))
            except PlatformError as error:
                verdicts.append(refuse_session(session, str(error)))
                continue
            verdicts.append(verdict)
            if verdict.leaves:
                contents[SessionKey.parse(session)] = parts
                trees |= {tree.id: tree for tree in used}
        return Chosen(tuple(verdicts), contents, trees)

    def make(
        self, chosen: Chosen, guards: Guards, decide: Callable[[str], None]
    ) -> Shared:
        """
        Make the release, all or nothing.

        Parameters
        ----------
        chosen
            What may leave.
        guards
            Search what is laid out for people.
        decide
            Writes down that a release of this digest is frozen, before it stands.

        Raises
        ------
        Held
            No session may leave, an identifier was found, or another release of
            this version stands or was withdrawn.
        InvalidOutput
            The validator finds an error.
        """
        version, study = self._titles.version, self._study.name
        if not chosen.contents:
            raise Held(
                "No session of the study may leave.",
                fix=f"imaging-platform share {study} {version} --dry-run says why.",
            )
        if version in self._decisions().releases_in("withdraw"):
            raise Held(
                f"Release {version} was withdrawn; its version is not given again.",
                fix="Give another version.",
            )
        target = self._home.root / layout.release(study, version)
        area = self._home.zone("releases", study)
        with staged_tree(area, version) as staged:
            record = self._lay_out(staged, chosen, guards)
            done = Shared(
                study,
                version,
                "made",
                record.data_version,
                chosen.verdicts,
                int(record.report["files"]),
            )
            if target.exists():
                self._refuse_other(record)
                set_read_only(target)
                decide(record.data_version)
                return dataclasses.replace(done, state="unchanged")
            self._validate(staged)
            self._publish_record(record, chosen.verdicts)
            decide(record.data_version)
            publish_tree(staged, target)
            set_read_only(target)
        return done

    def _choose_session(
        self, key: SessionKey
    ) -> tuple[SessionVerdict, list[Content], list[Tree]]:
        used: list[Tree] = []

        def fetch(name: str) -> Path | None:
            tree = self._read(name, str(key))
            if tree is None:
                return None
            used.append(tree)
            with self._store.fetch(tree.key) as folder:
                return folder

        bids = fetch("bids_session")
        if bids is None:
            return refuse_session(str(key), "bids_session was never made"), [], []
        note = _note_guard(self._home, self._study.name, key)
        plain = fetch(DEFACED) if DEFACED in self._study.pipelines else None
        defaced = Defaced.of(plain, used[-1].record)
        parts = [choose_bids(bids, key, defaced)]
        if parts[0].objection:
            return refuse_session(str(key), parts[0].objection), [], []
        for dataset in self._datasets.values():
            folder = fetch(dataset)
            if folder is None:
                why = f"{dataset} is not published"
                return refuse_session(str(key), why), [], []
            parts.append(choose_derivative(folder, key, dataset))
        if fetch(QUALITY) is None:
            return refuse_session(str(key), f"{QUALITY} is not published"), [], []
        n_files = sum(len(part.files) for part in parts)
        left_out = tuple(line for part in parts for line in part.left_out)
        verdict = SessionVerdict(str(key), "released", note, n_files, left_out)
        return verdict, parts, used

    def _lay_out(self, root: Path, chosen: Chosen, guards: Guards) -> Record:
        """Fill an empty folder with the release and return what is known of it."""
        titles, members = self._titles, sorted(chosen.contents)
        self._tell(f"Copying {len(members)} session(s)")
        defaced = copy_sessions(root, chosen.contents)
        write_dataset(root, self._home, self._study, titles, members)
        sources = {
            name: self._store.path(layout.derivative_dataset(self._study.name, name))
            for name in self._datasets.values()
        }
        describe_derivatives(root, sources, titles.version)
        write_quality_dataset(root, self._home, self._study, chosen.contents)
        digests = digest_release(root)
        crate = describe_provenance(
            self._study, titles, chosen.trees, digests, defaced, is_neutral=False
        )
        write_json(root / METADATA_NAME, crate)
        digests[METADATA_NAME] = digest_file(root / METADATA_NAME)
        digest = write_manifest(root, digests)
        self._tell(f"Searching {len(digests)} file(s) for identifiers")
        neutral = describe_provenance(
            self._study, titles, chosen.trees, digests, defaced, is_neutral=True
        )
        refuse_identity(
            root,
            members,
            guards,
            own_words=find_own_words(titles, members, neutral),
            passed_over=frozenset({MANIFEST}),
        )
        return Record(
            layout.RELEASE,
            titles.version,
            CODE_VERSION,
            inputs={n: t.record.data_version for n, t in sorted(chosen.trees.items())},
            parameters={"date": titles.date, "apps": sorted(self._apps)},
            report={"defaced": defaced, "files": len(digests) + 1},
            data_version=digest,
            software=dataclasses.asdict(read_software()),
        )

    def _validate(self, root: Path) -> None:
        for folder in (root, *sorted((root / "derivatives").glob("*"))):
            self._tell(f"Validating {folder.name if folder != root else 'the dataset'}")
            found = validate_dataset(folder)
            if not found.is_valid:
                first = found.errors[0]
                raise InvalidOutput(
                    f"The release has {len(found.errors)} BIDS error(s), the first "
                    f"{first.code} in {first.location or folder.name}.",
                    fix="Correct what the study file says of the dataset, or the "
                    "session, and call `share` again.",
                )

    def _refuse_other(self, record: Record) -> None:
        version, study = self._titles.version, self._study.name
        stands = read_tree(self._home.root, study, layout.RELEASE, version)
        if stands is None or stands.record.data_version != record.data_version:
            raise Held(
                f"Release {version} stands, and is not what would be made now; a "
                "release is never changed.",
                fix="Give another version.",
            )

    def _publish_record(
        self, record: Record, verdicts: Sequence[SessionVerdict]
    ) -> None:
        key = layout.release_record(self._study.name, self._titles.version)
        area = self._home.zone("catalog", self._study.name)
        with staged_tree(area, f"releases/{self._titles.version}") as folder:
            write_report(folder, verdicts)
            write_record(folder, record)
            publish_tree(folder, self._home.root / key)

    def _decisions(self) -> Decisions:
        return read_decisions(self._home.root, self._study.name)

    def _read(self, name: str, session: str) -> Tree | None:
        return read_tree(self._home.root, self._study.name, name, session)


def make_guards(home: Home, study: str) -> Guards:
    """Return what searches for the subjects of a study, by what is known of them."""

    def search_session(key: SessionKey, folder: Path) -> Sequence[Place]:
        file = home.guard_file(study, key)
        if not file.exists() and _is_imported(home, study, key):
            return ()
        own_names = (f"sub-{key.subject}", f"ses-{key.session}")
        return find_echoes(folder, load_identifiers(file), own_names=own_names)

    def search_all(folder: Path) -> Sequence[Place]:
        files = home.guard_files(study)
        return [
            place
            for start in range(0, len(files), AT_ONCE)
            for place in find_echoes(
                folder,
                merge_identifiers(
                    load_identifiers(file) for file in files[start : start + AT_ONCE]
                ),
            )
        ]

    return Guards(search_session, search_all)


def _note_guard(home: Home, study: str, key: SessionKey) -> str:
    """Return what a reader must know of the search; refuse what cannot be searched."""
    file = home.guard_file(study, key)
    if not file.exists() and _is_imported(home, study, key):
        return "imported: its originals were never here to be searched for"
    load_identifiers(file)
    return ""


def _is_imported(home: Home, study: str, key: SessionKey) -> bool:
    tree = read_tree(home.root, study, "bids_session", str(key))
    return tree is not None and tree.record.is_imported


def _find_apps(study: Study, names: Sequence[str]) -> dict[str, str]:
    """Return the dataset of each named app."""
    known = {app.name: app for app in study.apps if app.level == "session"}
    for name in names:
        if name not in known:
            raise BadConfig(
                f"{name} is no app of the sessions of {study.name}.",
                fix=f"Give one of: {', '.join(sorted(known)) or 'there is none'}; "
                "the derivatives of the platform leave without being named.",
            )
    return {name: app_dataset_name(name, known[name].version) for name in names}
