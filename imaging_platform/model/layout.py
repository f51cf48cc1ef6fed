"""Every key and path of the product. A key is relative to the home, with slashes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imaging_platform.model.ids import SessionKey

ZONES = (
    "inbox",
    "identified",
    "dicom",
    "bids",
    "derivatives",
    "reports",
    "catalog",
    "releases",
)
"""Top folders of a home; `IDENTIFIED_ZONES` hold identity, the others never do."""

IDENTIFIED_ZONES = ("inbox", "identified")

PARTICIPANT = ".participant.json"
"""File of a session's BIDS tree with its columns of the participants table; hidden."""

TO_BIDS = ("raw_session", "anonymized_dicom", "bids_session")
"""What a session becomes on its way to BIDS; an imported one begins with the last."""

PIPELINES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "brain_mask": ("bids_session",),
        "tissues": ("bids_session", "brain_mask"),
        "defaced_t1w": ("bids_session", "brain_mask"),
        "motion": ("bids_session",),
        "temporal_snr": ("motion",),
        "confounds": ("motion", "tissues"),
        "field_map": ("bids_session",),
        "diffusion_maps": ("bids_session",),
        "pet": ("bids_session", "brain_mask", "tissues"),
    }
)
"""Derivative datasets of a study, each named for the asset that fills it, with the
assets it is made from; upstream first."""

RELEASE = "release"
"""Name of the trees that hold what of a study may leave, one a version."""

NOTEBOOK = "_notebook"
"""Ends the name of an asset that is an executed notebook of that name."""


@dataclass(frozen=True)
class Home:
    """
    The folder that holds every study of a deployment (``IMAGING_HOME``).

    Parameters
    ----------
    root
        Absolute path.
    """

    root: Path

    def zone(self, zone: str, study: str) -> Path:
        """Return the folder of one study in one of `ZONES`."""
        return self.root / zone / study

    def study_file(self, study: str) -> Path:
        """Return the path of a study's ``study.yaml``."""
        return self.root / "studies" / study / "study.yaml"

    def notebooks(self, study: str) -> tuple[Path, Path]:
        """Return where notebooks that become assets stand: of every study, of one."""
        return product_file("notebooks"), self.root / "studies" / study / "notebooks"

    def decisions_file(self, study: str) -> Path:
        """Return the path of the list of accepted results and freezes of a study."""
        return self.root / "studies" / study / "decisions.jsonl"

    def citation_file(self, study: str) -> Path:
        """Return the path of a study's ``CITATION.cff``, which a person may write."""
        return self.root / "studies" / study / "CITATION.cff"

    def release_versions(self, study: str) -> list[str]:
        """Return the versions of a study that were released and stand, sorted."""
        folders = self.zone("releases", study).glob("[0-9]*")
        return sorted(each.name for each in folders if each.is_dir())

    def secret_file(self, study: str) -> Path:
        """Return the path of a study's secret key, outside every data tree."""
        return self.root / "keys" / f"{study}.key"

    def guard_file(self, study: str, key: SessionKey) -> Path:
        """Return the path of what must not be found in what is made of a session."""
        return self.zone("identified", study) / "guard" / f"{key}.json"

    def guard_files(self, study: str, partition: str = "") -> list[Path]:
        """Return what must not be found of one session, or of all, as far as known."""
        folder = self.zone("identified", study) / "guard"
        return sorted(folder.glob(f"{partition or '*'}.json"))

    def licence_file(self, name: str) -> Path:
        """Return the path of a licence that apps of every study may need."""
        return self.root / "licences" / name

    def edits(self, study: str, app: str, partition: str) -> Path:
        """Return the folder of what people corrected by hand for an app."""
        return self.root / "studies" / study / "edits" / app / partition

    def edited(self, study: str, app: str) -> list[str]:
        """Return of which partitions there are edits for an app, sorted."""
        folder = self.edits(study, app, "")
        return sorted(each.name for each in folder.glob("*") if each.is_dir())

    def app_datasets(self, study: str) -> list[str]:
        """Return the names of the derivative datasets of apps, sorted."""
        found = self.zone("derivatives", study).glob("*")
        return sorted(each.name for each in found if is_app_dataset(each.name))

    def app_logs(self, study: str, partition: str) -> list[Path]:
        """Return what the apps of a study have printed of a partition."""
        logs = self.root / app_log(study, "", partition)
        return sorted(logs.parent.glob(f"*/{logs.name}"))

    def released_file(self, study: str) -> Path:
        """Return the path of the list of series that a person let through."""
        return self.zone("identified", study) / "released.jsonl"

    def mapping_file(self, study: str) -> Path:
        """Return the path of a study's encrypted table of labels."""
        return self.root / "keys" / f"{study}.mapping"

    def fingerprint_files(self, study: str) -> tuple[Path, ...]:
        """Return where a study remembers the fingerprint of its key."""
        study_folder = self.study_file(study).parent
        folders = (study_folder, self.zone("identified", study))
        return tuple(folder / "key.fingerprint" for folder in folders)

    def canary(self, study: str) -> Path:
        """Return the root of the home in which `canary` works; gone afterwards."""
        return self.root / "canary" / study

    def canary_originals(self, study: str) -> Path:
        """Return what that home has of the identified zone, inside the real one."""
        return self.zone("identified", study) / ".canary"

    def canary_lock(self, study: str) -> Path:
        """Return the file that one `canary` of a study holds while it runs."""
        return self.root / "canary" / f".{study}.lock"

    @property
    def receive_lock(self) -> Path:
        """The file that `imaging-platform receive` holds while it runs."""
        return self.root / "inbox" / ".receive.lock"

    def studies(self) -> list[str]:
        """Return the names of the studies that have a study file, sorted."""
        return sorted(f.parent.name for f in self.root.glob("studies/*/study.yaml"))

    @property
    def dagster(self) -> Path:
        """The folder of the embedded Dagster instance (``DAGSTER_HOME``)."""
        return self.root / "dagster"

    @property
    def run_index(self) -> Path:
        """Where Dagster's SQLite keeps its runs."""
        return self.dagster / "history" / "runs.db"

    @property
    def event_index(self) -> Path:
        """Where Dagster's SQLite keeps the events of assets, of all runs."""
        return self.run_log("index")

    def run_log(self, run_id: str) -> Path:
        """Return where Dagster's SQLite keeps all events of one run."""
        return self.dagster / "history" / "runs" / f"{run_id}.db"

    @property
    def daemon_log(self) -> Path:
        """What Dagster said in the latest `reprocess`, and its code server."""
        return self.dagster / "reprocess.log"


def raw_session(study: str, key: SessionKey) -> str:
    """Return the key of a session's original DICOM (identified zone)."""
    return f"identified/{study}/sessions/{key}"


def anonymized_dicom(study: str, key: SessionKey) -> str:
    """Return the key of a session's de-identified DICOM."""
    return f"{anonymized_dicoms(study)}{key}"


def anonymized_dicoms(study: str) -> str:
    """Return what the keys of all sessions' de-identified DICOM begin with."""
    return f"dicom/{study}/"


def bids_session(study: str, key: SessionKey) -> str:
    """Return the key of a session inside the study's BIDS dataset."""
    return f"{bids_dataset(study)}/{_entities(key)}"


def bids_dataset(study: str) -> str:
    """Return the key of the study's BIDS dataset."""
    return f"bids/{study}"


def derivative(study: str, pipeline: str, key: SessionKey) -> str:
    """Return the key of a session inside one of the study's derivative datasets."""
    return f"{derivative_dataset(study, pipeline)}/{_entities(key)}"


def dataset_of(study: str, asset: str) -> str:
    """Return the key of the dataset in which an asset of sessions is published."""
    if asset == "bids_session":
        return bids_dataset(study)
    return derivative_dataset(study, asset)


def _derivative_of(pipeline: str, study: str, key: SessionKey) -> str:
    return derivative(study, pipeline, key)


def derivative_dataset(study: str, pipeline: str) -> str:
    """Return the key of one derivative dataset (`PIPELINES`)."""
    return f"derivatives/{study}/{pipeline}"


def app_dataset_name(app: str, version: str) -> str:
    """Return the name of the derivative dataset of one version of an app."""
    return f"{app}-{version}"


def app_dataset(study: str, app: str, version: str) -> str:
    """Return the key of the derivative dataset of one version of an app."""
    return derivative_dataset(study, app_dataset_name(app, version))


def is_app_dataset(name: str) -> bool:
    """
    Return whether a derivative dataset is of an app: its version stands in its name.

    Examples
    --------
    >>> is_app_dataset("mriqc-24.0.2"), is_app_dataset("motion"), is_app_dataset(".x-y")
    (True, False, False)
    """
    return "-" in name and not name.startswith(".")


def app_session(study: str, app: str, version: str, key: SessionKey) -> str:
    """Return the key of a session inside the derivative dataset of an app."""
    return f"{app_dataset(study, app, version)}/{_entities(key)}"


def app_subject(study: str, app: str, version: str, subject: str) -> str:
    """Return the key of a subject inside the derivative dataset of an app."""
    return f"{app_dataset(study, app, version)}/sub-{subject}"


def app_log(study: str, app: str, partition: str) -> str:
    """Return the key of what an app printed in its latest attempt."""
    return f"reports/{study}/apps/{app}/{partition}.log"


def session_tree(study: str, asset: str, key: SessionKey) -> str:
    """Return the key of what an asset publishes of a session outside the originals."""
    named = {
        "anonymized_dicom": anonymized_dicom,
        "bids_session": bids_session,
        "session_quality": session_quality,
        "session_report": session_report,
    }
    if asset in named:
        return named[asset](study, key)
    if asset.endswith(NOTEBOOK):
        return notebook(study, asset, str(key))
    return derivative(study, asset, key)


def session_quality(study: str, key: SessionKey) -> str:
    """Return the key of a session's quality metrics and verdict."""
    return f"catalog/{study}/quality/{key}"


def session_report(study: str, key: SessionKey) -> str:
    """Return the key of a session's executed notebook and its HTML."""
    return f"reports/{study}/sessions/{key}"


def study_report(study: str) -> str:
    """Return the key of the study's executed notebook and its HTML."""
    return f"reports/{study}/study"


def notebook(study: str, asset: str, partition: str = "") -> str:
    """Return the key of an executed notebook: of a session, a subject or the study."""
    name = asset.removesuffix(NOTEBOOK)
    return f"reports/{study}/notebooks/{name}/{partition or 'study'}"


def partial_report(study: str, asset: str, partition: str = "") -> str:
    """Return the key of what a notebook had made when it failed."""
    return f"reports/{study}/partial/{asset}/{partition or 'study'}"


def release(study: str, version: str) -> str:
    """Return the key of a release: what of a study may leave, as it was then."""
    return f"releases/{study}/{version}"


def release_record(study: str, version: str) -> str:
    """Return the key of what is known of a release and does not leave with it."""
    return f"catalog/{study}/releases/{version}"


def deid_report(study: str, key: SessionKey) -> str:
    """Return the key of what was done to de-identify a session."""
    return f"catalog/{study}/deid/{key}"


def bids_evidence(study: str, key: SessionKey) -> str:
    """Return the key of the facts on which a session's BIDS names rest."""
    return f"{bids_evidence_folder(study)}/{key}"


def bids_evidence_folder(study: str) -> str:
    """Return the folder of the facts of all converted sessions of a study."""
    return f"catalog/{study}/evidence"


def companions(study: str, key: SessionKey) -> str:
    """Return the key where files that came beside a session's images are sorted."""
    return f"identified/{study}/companions/{key}"


def attachments(study: str, key: SessionKey) -> str:
    """Return the key of events, answers and recordings that people brought."""
    return f"catalog/{study}/attachments/{key}"


def guarding(key: str) -> str:
    """
    Return the key of the de-identified DICOM that stands behind a session's tree.

    What is made of a session can be read only while its de-identification is
    proved. Empty for keys of a whole study and of the identified zone.

    Examples
    --------
    >>> guarding("derivatives/demo/motion/sub-01/ses-2")
    'dicom/demo/sub-01_ses-2'
    >>> guarding("bids/demo")
    ''
    """
    match key.split("/"):
        case ["dicom", _, _]:
            return key
        case ["bids", study, subject, session]:
            return f"dicom/{study}/{subject}_{session}"
        case ["derivatives", study, _, subject, session]:
            return f"dicom/{study}/{subject}_{session}"
        case [
            "catalog",
            study,
            "quality" | "deid" | "evidence" | "attachments",
            session,
        ]:
            return f"dicom/{study}/{session}"
        case ["reports", study, "sessions", session]:
            return f"dicom/{study}/{session}"
        case ["reports", study, "notebooks" | "partial", _, partition] if (
            "_ses-" in partition
        ):
            return f"dicom/{study}/{partition}"
        case _:
            return ""


def catalog(study: str) -> str:
    """Return the key of the study's tables."""
    return f"catalog/{study}/tables"


def dataset_index(study: str) -> str:
    """Return the key of the pybids index of the study's BIDS dataset."""
    return f"catalog/{study}/layout"


def processing_plan(study: str) -> str:
    """Return the key of the state of every result of a study."""
    return f"catalog/{study}/plan"


def dataset_validation(study: str) -> str:
    """Return the key of what the validator said of the study's datasets."""
    return f"catalog/{study}/validation"


def _entities(key: SessionKey) -> str:
    return f"sub-{key.subject}/ses-{key.session}"


SESSION_TREES: Mapping[str, Callable[[str, SessionKey], str]] = MappingProxyType(
    {
        "raw_session": raw_session,
        "anonymized_dicom": anonymized_dicom,
        "deid_report": deid_report,
        "attachments": attachments,
        "bids_session": bids_session,
        "bids_evidence": bids_evidence,
        **{p: functools.partial(_derivative_of, p) for p in PIPELINES},
        "session_quality": session_quality,
        "session_report": session_report,
    }
)
"""Key of each tree that a session can have, by its name, upstream first."""

STUDY_TREES: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "bids_dataset": dataset_index,
        "catalog": catalog,
        "study_report": study_report,
        "processing_plan": processing_plan,
    }
)
"""Key of each tree of a whole study, by its name, upstream first."""

BESIDE = frozenset({"deid_report", "attachments", "bids_evidence"})
"""Trees that are no asset of their own: they stand beside one, or people bring them."""


def is_tree(name: str) -> bool:
    """Return whether trees of this name are published."""
    known = name in SESSION_TREES or name in STUDY_TREES or name == RELEASE
    return known or name.endswith(NOTEBOOK) or is_app_dataset(name)


def session_pages(home: Path, study: str, key: SessionKey) -> list[str]:
    """
    Return the keys of notebooks about a session, or about its subject.

    Those of the subject show this session too; they are made again without it.
    """
    top = home / "reports" / study
    found = {*top.glob(f"*/*/{key}"), *top.glob(f"*/*/sub-{key.subject}")}
    return sorted(page.relative_to(home).as_posix() for page in found)


def dataset_files(study: str) -> tuple[str, ...]:
    """Return patterns of the files that ``bids_dataset`` writes beside its sessions."""
    top, derived = bids_dataset(study), derivative_dataset(study, "*")
    return f"{top}/*.*", f"{top}/sub-*/*.*", f"{derived}/*.*"


def tree_key(study: str, name: str, partition: str) -> str:
    """
    Return the key of a tree by its name.

    Parameters
    ----------
    name
        One of `SESSION_TREES` or `STUDY_TREES`, or the dataset of an app.
    partition
        Session key, or version of a release; empty for a tree of the whole study.

    Examples
    --------
    >>> tree_key("demo", "motion", "sub-01_ses-2")
    'derivatives/demo/motion/sub-01/ses-2'
    >>> tree_key("demo", "catalog", "")
    'catalog/demo/tables'
    """
    if name in STUDY_TREES:
        return STUDY_TREES[name](study)
    if name == RELEASE:
        return release(study, partition)
    if name.endswith(NOTEBOOK):
        return notebook(study, name, partition)
    key = SessionKey.parse(partition)
    if is_app_dataset(name):
        return derivative(study, name, key)
    return SESSION_TREES[name](study, key)


def find_tree(key: str) -> tuple[str, str, str] | None:
    """
    Return study, name and partition of the tree that stands at a key, or above it.

    What lies at the top of a BIDS dataset belongs to ``bids_dataset``, which makes
    it. None for what no tree holds.

    Examples
    --------
    >>> find_tree("derivatives/demo/motion/sub-01/ses-2/func/x.tsv")
    ('demo', 'motion', 'sub-01_ses-2')
    >>> find_tree("bids/demo/participants.tsv")
    ('demo', 'bids_dataset', '')
    >>> find_tree("studies/demo/study.yaml")
    """
    match key.split("/"):
        case ["identified", study, "sessions", session, *_]:
            found = study, "raw_session", session
        case ["dicom", study, session, *_]:
            found = study, "anonymized_dicom", session
        case ["bids", study, subject, session, *_] if session.startswith("ses-"):
            found = study, "bids_session", f"{subject}_{session}"
        case ["derivatives", study, pipeline, subject, session, *_] if (
            pipeline in PIPELINES
            or (is_app_dataset(pipeline) and session.startswith("ses-"))
        ):
            found = study, pipeline, f"{subject}_{session}"
        case ["releases", study, version, *_]:
            found = study, RELEASE, version
        case ["catalog", study, "quality", session, *_]:
            found = study, "session_quality", session
        case ["catalog", study, "deid", session, *_]:
            found = study, "deid_report", session
        case ["catalog", study, "evidence", session, *_]:
            found = study, "bids_evidence", session
        case ["catalog", study, "attachments", session, *_]:
            found = study, "attachments", session
        case ["reports", study, "sessions", session, *_]:
            found = study, "session_report", session
        case ["reports", study, "notebooks", name, partition, *_]:
            whole = partition == "study"
            found = study, f"{name}{NOTEBOOK}", "" if whole else partition
        case ["catalog", study, "plan", *_]:
            found = study, "processing_plan", ""
        case ["catalog", study, "tables", *_]:
            found = study, "catalog", ""
        case ["reports", study, "study", *_]:
            found = study, "study_report", ""
        case ["catalog", study, "layout", *_] | ["bids", study, *_]:
            found = study, "bids_dataset", ""
        case ["derivatives", study, _, _]:
            found = study, "bids_dataset", ""
        case _:
            found = None
    return found


QUALITY_DATASET = "quality"
"""Dataset of a release that holds what `session_quality` says."""


def find_released(file: str, defaced: str = "") -> tuple[str, str, str] | None:
    """
    Return name and partition of the tree that a file of a release is of, and its path.

    The path is empty where the file is made of the whole tree. None for a file at
    the top of a dataset, or of a subject.

    Parameters
    ----------
    file
        Path below the release.
    defaced
        Path below the tree ``defaced_t1w`` for a scan that stands for one with a face.

    Examples
    --------
    >>> find_released("sub-1/ses-2/func/x.json")
    ('bids_session', 'sub-1_ses-2', 'func/x.json')
    >>> find_released("derivatives/motion/sub-1/ses-2/func/x.tsv")
    ('motion', 'sub-1_ses-2', 'func/x.tsv')
    >>> find_released("participants.tsv")
    """
    match file.split("/"):
        case ["derivatives", str(name), subject, session, *rest] if rest:
            is_quality = name == QUALITY_DATASET
            path = "" if is_quality else "/".join(rest)
            name = "session_quality" if is_quality else name
        case [subject, session, *rest] if rest and subject.startswith("sub-"):
            name = "defaced_t1w" if defaced else "bids_session"
            path = defaced or "/".join(rest)
        case _:
            return None
    return name, f"{subject}_{session}", path


def product_file(name: str) -> Path:
    """
    Return a file that the product ships beside its code, such as ``notebooks/x.ipynb``.

    In a checkout it stands in the top folder; a wheel carries it inside the package.
    """
    package = Path(__file__).resolve().parents[1]
    packed = package / "shipped" / name
    return packed if packed.exists() else package.parent / name
