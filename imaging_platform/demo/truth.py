"""What is known about the demo study because it was planted: frozen, plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class SeriesTruth:
    """
    One series and what conversion should make of it.

    Parameters
    ----------
    number, description
        SeriesNumber and SeriesDescription.
    datatype, suffixes
        Expected BIDS datatype and suffixes (a Philips field map gives two); empty
        when the series does not belong in the data set.
    entities
        Expected BIDS entities that follow from the data, such as
        ``(("task", "rest"),)``.
    excluded
        Why the series is left out; empty when it is not.
    shape
        Voxels of the converted image: columns, rows, slices in the order of
        DICOM, and volumes; 1 volume for a 3-D image.
    bvalues
        s/mm^2, one a volume; empty unless diffusion weighted.
    """

    number: int
    description: str
    datatype: str
    suffixes: tuple[str, ...]
    entities: tuple[tuple[str, str], ...]
    excluded: str
    shape: tuple[int, int, int, int]
    bvalues: tuple[float, ...] = ()


@dataclass(frozen=True)
class DemoSession:
    """
    One visit: who, where, how well, and what was planted.

    Parameters
    ----------
    name
        Short name of the visit, used in no file.
    vendor
        ``Siemens``, ``GE`` or ``Philips``.
    patient_id, patient_name, study_date
        As in the files: identifying.
    visit
        1 for the first visit of this patient.
    quality
        ``good``, ``motion`` or ``low_snr``.
    series
        In the order of acquisition.
    motion
        Planted motion of the resting run: rows of translations x, y, z (RAS, mm)
        and rotations about x, y, z (rad), relative to the first volume, about the
        centre of the acquired volume (`motion.draw_motion`).
    mean_fd_mm
        Mean of Power's framewise displacement over all volumes but the first.
    median_tsnr
        Expected median temporal SNR of the brain without motion and realignment
        (`bold.expected_tsnr`).
    marker_ras_mm
        Centre of the oil capsule at the right temple, scanner RAS mm.
    """

    name: str
    vendor: str
    patient_id: str
    patient_name: str
    study_date: str
    visit: int
    quality: str
    series: tuple[SeriesTruth, ...]
    motion: tuple[tuple[float, ...], ...]
    mean_fd_mm: float
    median_tsnr: float
    marker_ras_mm: tuple[float, float, float]


@dataclass(frozen=True)
class DemoDrop:
    """
    One arrival: a folder or a zip file directly under the target.

    Parameters
    ----------
    name
        File or folder name, as people give them: it names a person.
    path
        Where it stands.
    sessions
        Names of the sessions of which it holds series.
    """

    name: str
    path: Path
    sessions: tuple[str, ...]


@dataclass(frozen=True)
class DemoStudy:
    """
    The whole study.

    Parameters
    ----------
    identities
        Every string that was planted to identify somebody (`identities`).
    """

    drops: tuple[DemoDrop, ...]
    sessions: tuple[DemoSession, ...]
    identities: tuple[str, ...]


def truth_as_json(study: DemoStudy) -> dict[str, object]:
    """Return the study as plain values for `json.dumps`; paths become their names."""
    value = asdict(study)
    for drop in value["drops"]:
        drop["path"] = drop["path"].name
    return value
