"""Siemens CSA headers: the tables in (0029,xx10) and (0029,xx20), and Phoenix."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from imaging_platform.demo.identities import Visit
from imaging_platform.demo.protocol import Acquisition

_CHECK = 77
_SYNGO_TYPES = {
    "IS": 6,
    "DS": 3,
    "FD": 4,
    "US": 10,
    "UL": 9,
    "SL": 7,
    "SS": 8,
    "LO": 19,
    "SH": 22,
    "ST": 23,
    "CS": 16,
    "UN": 0,
}

Entry = tuple[str, Sequence[str]]
"""Value representation and the values as text."""


def encode_csa(entries: Mapping[str, Entry]) -> bytes:
    """
    Return a CSA2 table: a head, then one record of 84 bytes and its items a name.

    The layout is the one nibabel's documentation of the format describes: magic
    ``SV10``, number of records and a check value; a record holds the name (64
    bytes), multiplicity, representation, type number and item count; an item
    holds four lengths and its text padded to four bytes.
    """
    parts = [b"SV10\x04\x03\x02\x01", struct.pack("<II", len(entries), _CHECK)]
    for name, (representation, values) in entries.items():
        count = max(6, len(values)) if values else 0
        parts.append(
            struct.pack(
                "<64si4siii",
                name.encode("ascii"),
                len(values),
                representation.encode("ascii"),
                _SYNGO_TYPES[representation],
                count,
                _CHECK,
            )
        )
        padded = [*values, *[""] * (count - len(values))]
        parts.extend(_item(value) for value in padded)
    return b"".join(parts)


def _item(value: str) -> bytes:
    data = value.encode("latin-1") + b"\0" if value else b""
    lengths = struct.pack("<iiii", len(data), len(data), _CHECK, len(data))
    return lengths + data + b"\0" * (-len(data) % 4)


def phoenix_protocol(
    visit: Visit, acquisition: Acquisition, references: Sequence[str]
) -> str:
    """
    Return the protocol text that the scanner stores with a series.

    An XProtocol map that repeats who was scanned, when and where, and the
    ASCCONV list of sequence parameters.
    """
    patient, scanner = visit.patient, visit.scanner
    known = {
        "tPatientName": patient.name,
        "PatientID": patient.patient_id,
        "PatientBirthDay": patient.birth_date,
        "DeviceSerialNumber": scanner.serial,
        "InstitutionName": scanner.institution,
        "StudyDate": visit.date,
        "OperatorsName": scanner.operator,
        "FrameOfReference": visit.uid("frame of reference"),
    }
    lines = ["<XProtocol> ", "{", '  <Name> "PhoenixMetaProtocol" ', "  <ID> 1000002 "]
    for name, value in known.items():
        lines += [f'  <ParamString."{name}"> ', "  {", f'    "{value}" ', "  }"]
    lines += ["}", "### ASCCONV BEGIN ###"]
    lines += [f"{name} = {value}" for name, value in _parameters(acquisition).items()]
    lines += [
        f'tReferenceImage{index} = ""{uid}""' for index, uid in enumerate(references)
    ]
    lines += [
        f'sProtConsistencyInfo.tSystemType = ""{scanner.serial}""',
        "### ASCCONV END ###",
        "",
    ]
    return "\n".join(lines)


def _parameters(acquisition: Acquisition) -> dict[str, str]:
    columns, rows, slices = acquisition.grid.shape
    echoes = [acquisition.te_ms, acquisition.second_te_ms]
    parameters = {
        "ulVersion": "51130001",
        "tSequenceFileName": f'""%SiemensSeq%\\\\{_sequence(acquisition)}""',
        "tProtocolName": f'""{acquisition.description}""',
        "lRepetitions": str(acquisition.n_volumes - 1),
        "lContrasts": "2" if acquisition.second_te_ms else "1",
        "alTR[0]": str(round(acquisition.tr_ms * 1000)),
        "sKSpace.lBaseResolution": str(columns),
        "sKSpace.lPhaseEncodingLines": str(rows),
        "sKSpace.ucPhasePartialFourier": "0x10",
        "sSliceArray.lSize": str(slices),
        "sSliceArray.ucMode": "0x4",
        "sPat.lAccelFactPE": "1",
        "sPat.ucPATMode": "1",
        "ucReadOutMode": "0x1",
        "sGRADSPEC.ucMode": "1",
    }
    parameters |= {
        f"alTE[{index}]": str(round(echo * 1000))
        for index, echo in enumerate(echoes)
        if echo
    }
    return parameters


def _sequence(acquisition: Acquisition) -> str:
    return {
        "localizer": "gre",
        "t1w": "tfl",
        "bold": "ep2d_bold",
        "dwi": "ep2d_diff",
        "magnitude": "gre_field_mapping",
        "phasediff": "gre_field_mapping",
    }[acquisition.kind]
