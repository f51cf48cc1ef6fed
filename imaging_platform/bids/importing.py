"""One session of an existing dataset, rewritten so that it can be published."""

from __future__ import annotations

import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from imaging_platform.bids.accounting import ScanRow, SeriesRow
from imaging_platform.bids.conversion_report import ConversionReport
from imaging_platform.bids.existing import (
    BidsFile,
    ExistingSession,
    merge_sidecars,
    nearest_gradients,
)
from imaging_platform.bids.nifti_header import copy_without_text
from imaging_platform.bids.participants import clean_columns, write_fragment
from imaging_platform.bids.pet import PET_REQUIRED
from imaging_platform.bids.sidecar_keys import KEPT_KEYS
from imaging_platform.bids.tables import clean_table, keep_columns, map_moments
from imaging_platform.files.digests import sorted_files
from imaging_platform.files.writing import write_bytes, write_json, write_text
from imaging_platform.model.errors import BadInput, IdentityLeak

IMPORTED_KEYS = (
    KEPT_KEYS
    | set(PET_REQUIRED)
    | {
        "Columns",
        "DelayAfterTrigger",
        "InfusionRadioactivity",
        "InfusionSpeed",
        "InfusionSpeedUnits",
        "InfusionStart",
        "InjectedVolume",
        "M0Estimate",
        "NumberOfVolumesDiscardedByScanner",
        "NumberOfVolumesDiscardedByUser",
        "NumberShots",
        "ReconFilterSize",
        "ReconMethodParameterUnits",
        "ReconMethodParameterValues",
        "SamplingFrequency",
        "StartTime",
        "VolumeTiming",
    }
)
"""Sidecar keys that an import keeps: those of conversion, and numbers of BIDS."""

WHY = "Imported from a BIDS dataset that was there before."
_FIELDS = ("B0FieldIdentifier", "B0FieldSource")
_MATRIX = re.compile(r"[0-9eE+.\s-]*")


@dataclass(frozen=True)
class ImportRules:
    """
    What decides about text, dates and metadata of an import.

    Parameters
    ----------
    is_technical
        Whether each word of a text is technique; other text is left out.
    shift
        Moves an ISO moment of a subject (its new label); empty when it goes.
    metadata
        Pattern over names without labels and extension, such as
        ``task-rest_bold`` -> sidecar keys that are added or replaced.
    """

    is_technical: Callable[[str], bool]
    shift: Callable[[str, str], str]
    metadata: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedSession:
    """
    What became of one session.

    Parameters
    ----------
    report
        As of a conversion, with a row for each image.
    left_out
        Name below the session -> why; for the terminal only.
    keys_left_out
        Sidecar key -> in how many sidecars it was left out.
    values_left_out
        Sidecar key -> what it said; never shown, only searched for.
    """

    report: ConversionReport
    left_out: Mapping[str, str]
    keys_left_out: Mapping[str, int]
    values_left_out: Mapping[str, frozenset[str]] = field(repr=False)


def import_session(
    session: ExistingSession,
    target: Path,
    *,
    participant: Mapping[str, str],
    rules: ImportRules,
) -> ImportedSession:
    """
    Write one session of an existing dataset into an empty folder.

    Images keep their voxels and lose the text of their headers; sidecars are merged
    (BIDS, inheritance principle) and keep allowed keys; tables keep numbers and
    conditions; dates move; names get the new labels.

    Parameters
    ----------
    session
        From `imaging_platform.bids.existing.read_existing`.
    target
        Existing empty folder that becomes ``sub-x/ses-y``.
    participant
        Row of the dataset's participants.tsv.
    rules
        See `ImportRules`.

    Raises
    ------
    BadInput
        No image of the session can be imported.
    IdentityLeak
        The old label of a subject that gets another one is still somewhere.
    """
    return _Importer(session, target, rules).run(participant)


class _Importer:
    """Writes one session, file by file."""

    def __init__(
        self, session: ExistingSession, target: Path, rules: ImportRules
    ) -> None:
        self._session = session
        self._target = target
        self._rules = rules
        self._fields = self._rename_fields()
        self.left_out: dict[str, str] = {}
        self.keys: Counter[str] = Counter()
        self.values: dict[str, set[str]] = defaultdict(set)
        self.images: dict[str, dict[str, object]] = {}

    def run(self, participant: Mapping[str, str]) -> ImportedSession:
        for file in self._session.files:
            why = self._write(file)
            if why:
                self.left_out[f"{file.datatype}/{file.path.name}"] = why
        if not self.images:
            raise BadInput(
                f"No image of {self._session.key} can be imported.",
                fix="Look at the list of what was left out and why.",
            )
        self._write_scans()
        write_fragment(self._target, clean_columns(participant))
        self._refuse_old_label()
        values = {key: frozenset(found) for key, found in self.values.items()}
        return ImportedSession(self._report(), self.left_out, dict(self.keys), values)

    def _write(self, file: BidsFile) -> str:
        """Write one image or table; return why it is left out, empty when not."""
        base = f"{file.datatype}/{file.name(self._session.key)}"
        if not _is_valid_name(self._session, base, file):
            return "no name of the BIDS standard"
        try:
            if file.extension in (".nii", ".nii.gz"):
                return self._write_image(file, base)
            return self._write_table(file, base)
        except BadInput as error:
            return str(error)

    def _write_image(self, file: BidsFile, base: str) -> str:
        given = self._given(file)
        merged = merge_sidecars(self._session, file)
        if not merged and not given:
            return "no sidecar, and no metadata was given for it"
        sidecar = self._clean(merged, file) | given
        gradients = self._read_gradients(file)
        place = self._target / f"{base}.nii.gz"
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_without_text(file.path, place)
        write_json(self._target / f"{base}.json", sidecar)
        for ending, text in gradients.items():
            write_text(self._target / f"{base}{ending}", text)
        self.images[f"{base}.nii.gz"] = sidecar
        return ""

    def _read_gradients(self, file: BidsFile) -> dict[str, str]:
        """Return the nearest bval and bvec of an image by their endings."""
        near = nearest_gradients(self._session, file)
        texts = {end: path.read_text(errors="replace") for end, path in near.items()}
        if not all(map(_MATRIX.fullmatch, texts.values())):
            raise BadInput(
                "Its b-values or directions are more than numbers.",
                fix="Correct the file, or leave the image out.",
            )
        return texts

    def _write_table(self, file: BidsFile, base: str) -> str:
        if file.extension == ".tsv.gz":
            return self._write_recording(file, base)
        text = file.path.read_text(encoding="utf-8", errors="replace")
        required = ("onset", "duration") if file.suffix == "events" else ()
        cleaned = clean_table(text, required=required)
        if not cleaned.columns:
            return "no column of it may pass"
        for reason, count in cleaned.left_out.items():
            self.left_out[f"{base}.tsv, {count} column(s)"] = reason
        write_text(self._target / f"{base}.tsv", cleaned.text)
        return ""

    def _write_recording(self, file: BidsFile, base: str) -> str:
        """Copy numbers sampled in time, which have no heading (BIDS, physio)."""
        text = gzip.decompress(file.path.read_bytes()).decode("latin-1")
        if not re.fullmatch(r"([0-9eE+.\t\n\r-]|n/a|nan|NaN)*", text):
            return "it holds more than numbers"
        sidecar = self._clean(merge_sidecars(self._session, file), file)
        if not sidecar:
            return "no sidecar, and no metadata was given for it"
        packed = gzip.compress(text.encode(), 6, mtime=0)
        write_bytes(self._target / f"{base}.tsv.gz", packed)
        write_json(self._target / f"{base}.json", sidecar)
        return ""

    def _given(self, file: BidsFile) -> dict[str, object]:
        name = file.name(self._session.key).removeprefix(f"{self._session.key}_")
        given: dict[str, object] = {}
        for pattern, metadata in self._rules.metadata.items():
            if fnmatchcase(name, pattern):
                given |= metadata
        return given

    def _clean(self, merged: Mapping[str, object], file: BidsFile) -> dict[str, object]:
        """Return the allowed keys with allowed values, and count the others."""
        kept: dict[str, object] = {}
        for key, value in merged.items():
            if key in _FIELDS:
                kept[key] = self._renamed(value)
            elif key == "IntendedFor":
                if links := self._intended(value):
                    kept[key] = links
            elif key == "TaskName" and "task" in file.entities:
                kept[key] = file.entities["task"]
            elif key in IMPORTED_KEYS and self._may_pass(value):
                kept[key] = value
            else:
                self.keys[key] += 1
                self.values[key] |= {str(one) for one in _as_list(value)}
        return kept

    def _may_pass(self, value: object) -> bool:
        if isinstance(value, list):
            return all(self._may_pass(one) for one in value)
        if isinstance(value, str):
            return self._rules.is_technical(value)
        return isinstance(value, bool | int | float) and not _reads_as_day(value)

    def _intended(self, value: object) -> list[str]:
        """Return the images of this session that a sidecar points to, as BIDS URIs."""
        key = self._session.key
        named = {f.path.name: f for f in self._session.files}
        listed = value if isinstance(value, list) else [value]
        found = [named.get(str(one).rpartition("/")[2]) for one in listed]
        return [
            f"bids::sub-{key.subject}/ses-{key.session}/{f.datatype}/{f.name(key)}.nii.gz"
            for f in found
            if f is not None
        ]

    def _rename_fields(self) -> dict[str, str]:
        """Return a name of the session's own for each field of its sidecars."""
        key = self._session.key
        names = {
            str(one)
            for file in self._session.files
            for field_name in _FIELDS
            for one in _as_list(merge_sidecars(self._session, file).get(field_name))
        }
        return {
            name: f"field{number}_sub{key.subject}_ses{key.session}"
            for number, name in enumerate(sorted(names), start=1)
        }

    def _renamed(self, value: object) -> object:
        new = [self._fields[str(one)] for one in _as_list(value)]
        return new if isinstance(value, list) else new[0]

    def _write_scans(self) -> None:
        """Write the table of images, with moved times where the dataset has them."""
        key = self._session.key
        times: dict[str, str] = {}
        if self._session.scans is not None:
            text = self._session.scans.read_text(encoding="utf-8", errors="replace")
            named = {f"{f.datatype}/{f.path.name}": f for f in self._session.files}
            rows = keep_columns(text, ("filename", "acq_time"))
            for row in map_moments(
                rows, lambda moment: self._rules.shift(moment, key.subject)
            ):
                file = named.get(row.get("filename", ""))
                if file is not None:
                    new = f"{file.datatype}/{file.name(key)}.nii.gz"
                    times[new] = row["acq_time"]
        lines = ["filename\tacq_time"]
        lines += [f"{name}\t{times.get(name, 'n/a')}" for name in sorted(self.images)]
        write_text(self._target / f"{key}_scans.tsv", "\n".join(lines) + "\n")

    def _refuse_old_label(self) -> None:
        old = self._session.subject
        if old == self._session.key.subject:
            return
        for path in sorted_files(self._target):
            if path.name.endswith((".nii.gz", ".tsv.gz")):
                continue
            if re.search(rf"sub-?{re.escape(old)}(?![A-Za-z0-9])", path.read_text()):
                raise IdentityLeak(
                    f"The old label of the subject is still in {self._session.key}.",
                    fix="Correct the sidecars or tables of this session.",
                )

    def _report(self) -> ConversionReport:
        rows = tuple(
            SeriesRow(
                series_number=_series_number(sidecar),
                description=str(sidecar.get("SeriesDescription", "")),
                series_uids=(),
                instances=0,
                outcome="converted",
                why=WHY,
                scans=(_scan_row(name),),
            )
            for name, sidecar in sorted(self.images.items())
        )
        return ConversionReport(
            session=str(self._session.key),
            instances=0,
            series=rows,
            outcomes={"converted": len(rows)},
            files=tuple(
                p.relative_to(self._target).as_posix()
                for p in sorted_files(self._target)
            ),
            duplicates=0,
            unreadable={},
            others=len(self.left_out),
            warnings=(),
            dcm2niix_version="",
        )


def _is_valid_name(session: ExistingSession, base: str, file: BidsFile) -> bool:
    from bids_validator import BIDSValidator

    key = session.key
    extension = ".nii.gz" if file.extension == ".nii" else file.extension
    path = f"/sub-{key.subject}/ses-{key.session}/{base}{extension}"
    return bool(BIDSValidator().is_bids(path))


def _scan_row(name: str) -> ScanRow:
    datatype, _, file = name.partition("/")
    parts = file.removesuffix(".nii.gz").split("_")
    return ScanRow(
        outcome="converted",
        files=(name,),
        datatype=datatype,
        suffix=parts[-1],
        entities=dict(part.split("-", 1) for part in parts[2:-1]),
        why=WHY,
        rule="existing_dataset",
        evidence=(),
        confidence="high",
        warnings=(),
        bids_guess="",
        rule_hint="",
    )


def _series_number(sidecar: Mapping[str, object]) -> int:
    value = sidecar.get("SeriesNumber")
    return value if isinstance(value, int) else 0


def _reads_as_day(value: float) -> bool:
    """Return whether a number is a day of our time, written YYYYMMDD."""
    try:
        return date.fromisoformat(f"{value:.0f}").year in range(1900, 2100)
    except ValueError:
        return False


def _as_list(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
