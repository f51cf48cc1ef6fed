"""Every key and path of the product. A key is relative to the home, with slashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

PIPELINES = (
    "brain_mask",
    "defaced_t1w",
    "motion",
    "temporal_snr",
    "diffusion_maps",
)
"""Derivative datasets of a study, each named for the asset that fills it."""


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

    def secret_file(self, study: str) -> Path:
        """Return the path of a study's secret key, outside every data tree."""
        return self.root / "keys" / f"{study}.key"

    def guard_file(self, study: str, key: SessionKey) -> Path:
        """Return the path of what must not be found in what is made of a session."""
        return self.zone("identified", study) / "guard" / f"{key}.json"

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

    def studies(self) -> list[str]:
        """Return the names of the studies that have a study file, sorted."""
        return sorted(f.parent.name for f in self.root.glob("studies/*/study.yaml"))

    @property
    def dagster(self) -> Path:
        """The folder of the embedded Dagster instance (``DAGSTER_HOME``)."""
        return self.root / "dagster"


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


def derivative_dataset(study: str, pipeline: str) -> str:
    """Return the key of one derivative dataset (`PIPELINES`)."""
    return f"derivatives/{study}/{pipeline}"


def session_quality(study: str, key: SessionKey) -> str:
    """Return the key of a session's quality metrics and verdict."""
    return f"catalog/{study}/quality/{key}"


def session_report(study: str, key: SessionKey) -> str:
    """Return the key of a session's executed notebook and its HTML."""
    return f"reports/{study}/sessions/{key}"


def study_report(study: str) -> str:
    """Return the key of the study's executed notebook and its HTML."""
    return f"reports/{study}/study"


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
        case _:
            return ""


def catalog(study: str) -> str:
    """Return the key of the study's tables."""
    return f"catalog/{study}/tables"


def dataset_index(study: str) -> str:
    """Return the key of the pybids index of the study's BIDS dataset."""
    return f"catalog/{study}/layout"


def dataset_validation(study: str) -> str:
    """Return the key of what the validator said of the study's datasets."""
    return f"catalog/{study}/validation"


def _entities(key: SessionKey) -> str:
    return f"sub-{key.subject}/ses-{key.session}"


def product_file(name: str) -> Path:
    """
    Return a file that the product ships beside its code, such as ``notebooks/x.ipynb``.

    In a checkout it stands in the top folder; a wheel carries it inside the package.
    """
    package = Path(__file__).resolve().parents[1]
    packed = package / "shipped" / name
    return packed if packed.exists() else package.parent / name
