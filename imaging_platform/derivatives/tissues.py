"""Tissues of each T1-weighted brain: corrected signal, maps and volumes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from imaging_platform.derivatives.bias_field import estimate_bias
from imaging_platform.derivatives.brain import Brain, read_brain
from imaging_platform.derivatives.head_registration import resample_upright
from imaging_platform.derivatives.images import (
    Image,
    read_image,
    write_image,
    write_packed,
)
from imaging_platform.derivatives.scans import (
    DerivativeReport,
    Scan,
    Skipped,
    derived_path,
    find_scans,
    read_sidecar,
    source_uri,
)
from imaging_platform.derivatives.segmentation import (
    LABELS,
    measure_overlap,
    segment,
    template_prior,
)
from imaging_platform.derivatives.volumes import Volume, crop_to, resample
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.ids import SessionKey

NAMES = ("grey matter", "white matter", "cerebrospinal fluid")

OVERLAP_KEY = "TemplateOverlap"
"""Sidecar key of the fuzzy Jaccard index of each tissue with the template's."""

SMALLEST_VOXEL_MM = 0.8
WORK_MM = 1.0
"""Scans with smaller voxels are segmented at 1 mm: folds are not finer than that,
and memory and time grow with the third power."""


@dataclass(frozen=True)
class SegmentedBrain:
    """
    Tissues of one brain.

    Parameters
    ----------
    scan
        Name of the T1w without extension.
    segmentation
        Path of the ``dseg`` inside the target folder.
    gm_ml, wm_ml, csf_ml
        Volumes in millilitres, summed over the probabilities.
    icv_ml
        Volume inside the brain mask: the sum of the three.
    bias_range_percent
        Range of the bias field over the inner 90 % of the brain, percent of its mean.
    """

    scan: str
    segmentation: str
    gm_ml: float
    wm_ml: float
    csf_ml: float
    icv_ml: float
    bias_range_percent: float


def write_tissues(
    bids_session: str, brain_mask_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write the tissues of each T1w of a session.

    In ``anat``: ``*_desc-preproc_T1w`` (bias-corrected signal in the brain mask, 0
    outside of it), ``*_desc-biasfield_T1w`` (the field, mean 1 in the mask),
    ``*_dseg`` (1 grey matter, 2 white matter, 3 fluid; with its table),
    ``*_label-{GM,WM,CSF}_probseg`` and ``*_desc-volumes_dseg.tsv`` (ml), whose
    sidecar says how far the tissues cover those of the template.

    Parameters
    ----------
    bids_session
        ``.../sub-X/ses-Y`` of a BIDS dataset.
    brain_mask_session
        What `write_brain_mask` wrote for the same session.
    target
        Existing empty folder: content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.

    Returns
    -------
    dict
        A `DerivativeReport` of `SegmentedBrain`; its note may be ``no T1w``.

    Raises
    ------
    BadInput
        A scan or a mask cannot be read, or the two do not fit.
    MissingInput
        The session folder is not there.
    """
    key = SessionKey(subject, session)
    done: list[SegmentedBrain] = []
    skipped: list[Skipped] = []
    found = find_scans(Path(bids_session), "anat", "T1w")
    for scan in found:
        image = read_image(scan.path)
        brain = read_brain(Path(brain_mask_session), key, scan, image)
        if brain is None or not brain.mask.any():
            skipped.append(Skipped(scan.name, "it has no brain mask"))
        else:
            done.append(_write_brain(scan, image, brain, Path(target), key))
    note = "" if found else "no T1w"
    return asdict(DerivativeReport(tuple(done), tuple(skipped), note))


def segment_brain(image: Image, brain: Brain) -> Volume:
    """
    Return the probability of each tissue of a head without bias field.

    Parameters
    ----------
    image
        Three dimensions, any orientation and voxel size.
    brain
        Its mask, not empty, and its way to the template.

    Returns
    -------
    numpy.ndarray
        Shape (3, x, y, z) in the order of `LABELS`; sums to 1 in the mask, 0 outside.
    """
    box, affine = crop_to(brain.mask, image.affine)
    part, inside = Image(image.data[box], affine), brain.mask[box]
    if float(part.voxel_mm.min()) < SMALLEST_VOXEL_MM:
        belief = _segment_coarse(part, Brain(inside, brain.to_template))
    else:
        prior = template_prior(part, brain.to_template)
        belief = segment(part.data, inside, part.voxel_mm, prior)
    whole = np.zeros((3, *image.data.shape), dtype=np.float32)
    whole[:, *box] = belief
    return whole


def _segment_coarse(image: Image, brain: Brain) -> Volume:
    data, affine = resample_upright(image, WORK_MM)
    coarse = Image(data, affine)
    pull = np.linalg.inv(image.affine) @ affine
    level = resample(brain.mask.astype(np.float32), pull, data.shape, order=1)
    prior = template_prior(coarse, brain.to_template)
    # Wider than the mask, so that each fine voxel of it gets a belief.
    belief = segment(data, level > 0.01, coarse.voxel_mm, prior)
    back = np.linalg.inv(affine) @ image.affine
    fine = np.stack([resample(b, back, image.data.shape, order=1) for b in belief])
    total = fine.sum(axis=0)
    known = brain.mask & (total > 1e-3)
    fine = np.divide(fine, total, out=np.zeros_like(fine), where=known)
    # What is left lies at the rim, where fluid is.
    fine[2][brain.mask & ~known] = 1
    return fine


def _write_brain(
    scan: Scan, image: Image, brain: Brain, target: Path, key: SessionKey
) -> SegmentedBrain:
    bias = estimate_bias(image, brain.mask)
    corrected = np.where(brain.mask, image.data / bias, 0).astype(np.float32)
    belief = segment_brain(Image(corrected, image.affine), brain)
    writer = _Writer(scan, image, target, key)
    writer.write_signal("preproc", corrected, _SIGNAL_WORDS)
    writer.write_signal("biasfield", np.round(bias, 3), _BIAS_WORDS)
    for label, name, tissue in zip(LABELS, NAMES, belief, strict=True):
        writer.write_probability(label, name, tissue)
    segmentation = writer.write_labels(brain, belief)
    voxel_ml = abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000
    volumes = [float(tissue.sum(dtype=np.float64)) * voxel_ml for tissue in belief]
    writer.write_volumes(volumes, measure_overlap(belief, image, brain.to_template))
    low, high = np.percentile(bias[brain.mask], [5, 95])
    return SegmentedBrain(
        scan=scan.name,
        segmentation=segmentation,
        gm_ml=round(volumes[0], 2),
        wm_ml=round(volumes[1], 2),
        csf_ml=round(volumes[2], 2),
        icv_ml=round(sum(volumes), 2),
        bias_range_percent=round(100 * float(high - low), 2),
    )


_SIGNAL_WORDS = "T1-weighted signal in the brain mask, bias field removed by N4."
_BIAS_WORDS = "Bias field by N4; the signal divided by it is the corrected signal."
_VOLUME_ROWS = (
    *zip(NAMES, LABELS, strict=True),
    ("grey and white matter", "brain"),
    ("inside the brain mask", "ICV"),
)
_VOLUME_COLUMNS = {
    "index": {"Description": "Label in the segmentation; 4 and 5 are sums of labels."},
    "name": {"Description": "Name of the tissue, or of the sum."},
    "abbreviation": {"Description": "Short name of it."},
    "volume": {"Description": "Sum over the tissue's probability.", "Units": "mL"},
}


@dataclass(frozen=True, eq=False)
class _Writer:
    """Writes the files of one scan."""

    scan: Scan
    image: Image
    target: Path
    key: SessionKey

    def write_signal(self, desc: str, data: Volume, words: str) -> None:
        path = self._path(desc, "T1w", ".nii.gz")
        write_packed(path, data, self.image.affine, repetition_time_s=0)
        raw = read_sidecar(self.scan) if desc == "preproc" else {}
        kept = {**raw, "SkullStripped": desc == "preproc"}
        self._describe(desc, "T1w", words, kept)

    def write_probability(self, label: str, name: str, tissue: Volume) -> None:
        path = self._path("", "probseg", ".nii.gz", label)
        # A thousandth is what metrics round to, and makes the file 4 times smaller.
        rounded = np.round(tissue, 3)
        write_packed(path, rounded, self.image.affine, repetition_time_s=0)
        words = f"Probability of {name}, 0 to 1."
        self._describe("", "probseg", words, {"Manual": False}, label)

    def write_labels(self, brain: Brain, belief: Volume) -> str:
        labels = np.where(brain.mask, belief.argmax(axis=0) + 1, 0).astype(np.uint8)
        path = self._path("", "dseg", ".nii.gz")
        write_image(path, labels, self.image.affine)
        self._describe("", "dseg", "Most probable tissue.", {"Manual": False})
        rows = [
            f"{index}\t{name}\t{label}"
            for index, (name, label) in enumerate(zip(NAMES, LABELS, strict=True), 1)
        ]
        table = "\n".join(["index\tname\tabbreviation", *rows]) + "\n"
        write_text(self._path("", "dseg", ".tsv"), table)
        return path.relative_to(self.target).as_posix()

    def write_volumes(self, volumes_ml: list[float], overlap: list[float]) -> None:
        sums = (sum(volumes_ml[:2]), sum(volumes_ml))
        rows = zip(_VOLUME_ROWS, (*volumes_ml, *sums), strict=True)
        lines = [
            f"{index}\t{name}\t{label}\t{volume:.3f}"
            for index, ((name, label), volume) in enumerate(rows, 1)
        ]
        table = "\n".join(["index\tname\tabbreviation\tvolume", *lines]) + "\n"
        write_text(self._path("volumes", "dseg", ".tsv"), table)
        words = "Volumes of the tissues."
        covered = {
            label: round(value, 4)
            for label, value in zip(LABELS, overlap, strict=True)
            if not math.isnan(value)
        }
        more = {"Manual": False, OVERLAP_KEY: covered, **_VOLUME_COLUMNS}
        self._describe("volumes", "dseg", words, more)

    def _describe(
        self,
        desc: str,
        suffix: str,
        words: str,
        more: dict[str, object],
        label: str = "",
    ) -> None:
        sidecar: dict[str, object] = {
            **more,
            "Description": words,
            "Sources": [source_uri(self.key, self.scan)],
        }
        write_json(self._path(desc, suffix, ".json", label), sidecar)

    def _path(self, desc: str, suffix: str, extension: str, label: str = "") -> Path:
        return derived_path(
            self.target, self.key, self.scan, desc, suffix, extension, label=label
        )
