"""Which image holds each instance: every SOP instance UID has exactly one fate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imaging_platform.bids.accounting import Fate, ScanRow
from imaging_platform.bids.outputs import Output
from imaging_platform.dicom.completeness import SourceFile

NOT_IMAGE = "Not an image of the body: a report, spectrum, screenshot or raw data."


@dataclass(frozen=True)
class Image:
    """
    An image that the converter made of a series.

    Parameters
    ----------
    output
        Its facts; None when it has no readable sidecar.
    row
        Its row of the report.
    used
        How many files the converter says it took, 0 when it did not say.
    """

    output: Output | None
    row: ScanRow
    used: int


def find_fates(
    files: Sequence[SourceFile],
    images: Sequence[Image],
    left_out: Mapping[str, str],
    *,
    absence: str,
) -> tuple[Fate, ...]:
    """
    Return what became of each instance of a series.

    Instances that differ in echo, image type, size or orientation may be in
    different images. Each such part goes to the image whose sidecar agrees with it;
    where several do, to the one that took as many files as the part has; else all
    of these images are named.

    Parameters
    ----------
    files
        All files of the series.
    images
        What was made of them.
    left_out
        SOP instance UIDs that were kept from the converter -> the reason.
    absence
        Why there is no image, for the case that there is none.
    """
    gathered: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    parts: dict[tuple[object, ...], list[SourceFile]] = defaultdict(list)
    for file in files:
        uid = file.header.sop_uid
        if uid in left_out:
            gathered["incomplete", left_out[uid], ()].append(uid)
        elif not file.is_image:
            gathered["excluded", NOT_IMAGE, ()].append(uid)
        else:
            parts[_part(file)].append(file)
    for members in parts.values():
        uids = [file.header.sop_uid for file in members]
        chosen = _choose_images(members, images)
        if not chosen:
            gathered["failed", absence, ()].extend(uids)
            continue
        outcome = chosen[0].row.outcome
        why = " ".join(dict.fromkeys(image.row.why for image in chosen))
        names = sorted({name for image in chosen for name in _nifti(image.row)})
        gathered[outcome, why, tuple(names)].extend(uids)
    return tuple(
        Fate(outcome, why, names, tuple(sorted(uids)))
        for (outcome, why, names), uids in sorted(gathered.items())
    )


def _part(file: SourceFile) -> tuple[object, ...]:
    header = file.header
    return (
        header.echo_number,
        header.echo_time_ms,
        header.image_type,
        header.rows,
        header.columns,
        header.image_orientation,
    )


def _nifti(row: ScanRow) -> list[str]:
    return [name for name in row.files if name.endswith(".nii.gz")]


def _choose_images(
    members: Sequence[SourceFile], images: Sequence[Image]
) -> list[Image]:
    if len(images) < 2:
        return list(images)
    scores = [_agreement(members[0], image.output) for image in images]
    best = [
        image
        for image, score in zip(images, scores, strict=True)
        if score == max(scores)
    ]
    of_size = [image for image in best if image.used == len(members)]
    return of_size if len(of_size) == 1 else best


def _agreement(file: SourceFile, output: Output | None) -> int:
    """Count what a sidecar and a header say alike; disagreement weighs more."""
    if output is None:
        return -4
    header, sidecar = file.header, output.sidecar
    score = 0
    echo_s = sidecar.get("EchoTime")
    if isinstance(echo_s, int | float) and header.echo_time_ms:
        score += 1 if _is_near(header.echo_time_ms, echo_s * 1000) else -3
    types = sidecar.get("ImageType")
    if isinstance(types, list):
        said = set(header.image_type.split("\\"))
        score += 1 if said <= set(map(str, types)) else -1
    if output.series_uid and output.series_uid != header.series_uid:
        score -= 1
    cosines = sidecar.get("ImageOrientationPatientDICOM")
    if isinstance(cosines, list):
        pairs = zip(header.image_orientation.split("\\"), cosines, strict=False)
        score += 1 if all(_is_near(text, number) for text, number in pairs) else -2
    return score


def _is_near(text: str, number: object) -> bool:
    try:
        return abs(float(text) - float(str(number))) < 0.01
    except ValueError:
        return False
