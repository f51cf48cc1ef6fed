"""The made-up people, scanners and visits, and every string that names one of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

UID_ROOT = "2.25.1984604127531"
"""First digits of every UID of the demo (PS3.5 B.2 form, made up): a canary."""

_UID_DIGITS = 25


@dataclass(frozen=True)
class Patient:
    """A made-up person, in the words of the Patient module (PS3.3 C.7.1.1)."""

    name: str
    patient_id: str
    birth_date: str
    sex: str
    size_m: float
    weight_kg: float
    phone: str
    address: str
    mothers_birth_name: str
    other_id: str
    occupation: str
    email: str


@dataclass(frozen=True)
class Scanner:
    """A made-up scanner and the people around it."""

    vendor: str
    manufacturer: str
    model: str
    software: str
    serial: str
    station: str
    ae_title: str
    institution: str
    address: str
    department: str
    operator: str
    referring_physician: str
    performing_physician: str
    requesting_physician: str


@dataclass(frozen=True)
class Visit:
    """
    One patient on one day on one scanner.

    Parameters
    ----------
    name
        Short name inside this package; appears in no file.
    order
        1 for the patient's first visit.
    quality
        ``good``, ``motion`` or ``low_snr``.
    start_s
        Seconds after midnight when the study begins.
    """

    name: str
    patient: Patient
    scanner: Scanner
    order: int
    quality: str
    date: str
    start_s: float
    age: str
    accession: str
    study_id: str
    procedure_id: str
    description: str
    comment: str

    def uid(self, *parts: object) -> str:
        """Return the UID of a thing of this visit: the same parts, the same UID."""
        text = "/".join([self.name, *map(str, parts)])
        return made_up_uid(text)


def made_up_uid(text: str) -> str:
    """Return a UID that begins with `UID_ROOT` and depends on `text` alone."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    return UID_ROOT + f"{number % 10**_UID_DIGITS:0{_UID_DIGITS}d}"


KESTREL = Patient(
    "KESTREL^ANNIKA",
    "KES-4471902X",
    "19610417",
    "F",
    1.68,
    63.0,
    "+49602755501347",
    "88 Larkspur Crescent, 91907 Brackenwold",
    "HOLLOWAYDEN",
    "MRN-HX-770132",
    "Beekeeper",
    "annika.kestrel@brackenpost.example",
)
OMBROSSI = Patient(
    "OMBROSSI^TIBERIO",
    "OMB-8830417Q",
    "19540928",
    "M",
    1.77,
    81.5,
    "+39047155582903",
    "Vicolo Ginestra 14, 39031 Montefalcato",
    "CASTELVERDI",
    "MRN-HX-770489",
    "Violin maker",
    "t.ombrossi@montefalcato.example",
)
QUILLFEATHER = Patient(
    "QUILLFEATHER^DESMOND",
    "QF7719460-B",
    "19730511",
    "M",
    1.83,
    92.0,
    "+44163296074418",
    "3 Saltmarsh Terrace, Wexcombe-on-Sea",
    "PENHALIGON",
    "MRN-TW-204417",
    "Farrier",
    "desmond.q@wexcombe.example",
)
VANTERPOOL = Patient(
    "VANTERPOOL^ISOLDE",
    "P1984-66203-VI",
    "19880309",
    "F",
    1.62,
    57.5,
    "+31057055519826",
    "Zwanenkade 201, 7411 Oudekerkwijk",
    "TEUNISSENAAR",
    "MRN-OZ-318845",
    "Cartographer",
    "isolde.vanterpool@zwanenmail.example",
)

SIEMENS_SCANNER = Scanner(
    "Siemens",
    "SIEMENS",
    "Prisma_fit",
    "syngo MR E11",
    "40718264",
    "AWP40718264",
    "PRISMABRACK",
    "Brackenwold Neurology Institute",
    "17 Alderney Quay, 91907 Brackenwold, DE",
    "Neuroradiology Suite Tamarisk",
    "MARCHETTI^ROSALIND",
    "HALLORAN^PEREGRINE",
    "OKONKWOSKI^BERTRAM",
    "FAIRWEATHER^LUCASTA",
)
GE_SCANNER = Scanner(
    "GE",
    "GE MEDICAL SYSTEMS",
    "DISCOVERY MR750",
    "27\\LX\\MR Software release:DV26.0_R01_1725.a",
    "0009913307MR3T7QX",
    "wexmr3tb",
    "WEXMR3TBAE",
    "Wexcombe Royal Infirmary",
    "Harbour Parade 9, Wexcombe-on-Sea, UK",
    "Imaging Pavilion Guillemot",
    "THORNBURROW^MAVIS",
    "ABERNATHIE^CORMAC",
    "LINDQVISTON^ASTRID",
    "DELACOMBE^HORATIO",
)
PHILIPS_SCANNER = Scanner(
    "Philips",
    "Philips",
    "Ingenia Elition X",
    "5.7.1\\5.7.1.2",
    "77281945",
    "OUDEKMR02",
    "OUDEKMR02AE",
    "Ziekenhuis Oudekerkwijk",
    "Singelplein 55, 7411 Oudekerkwijk, NL",
    "Afdeling Radiologie Korenbloem",
    "STEENBERGHE^JORIS",
    "VERMEULENS^CATHARINA",
    "HOOGENDIJKER^MATTHIJS",
    "BRANDSMAER^WILLEMIJN",
)

VISITS = (
    Visit(
        "kestrel-1",
        KESTREL,
        SIEMENS_SCANNER,
        1,
        "good",
        "20231114",
        33153.125,
        "062Y",
        "ACC-BR-5520871",
        "SID-640071",
        "RPID-640071-A",
        "NEURO^BRAIN RESEARCH",
        "Claustrophobic, sister Solveig waits outside",
    ),
    Visit(
        "ombrossi-1",
        OMBROSSI,
        SIEMENS_SCANNER,
        1,
        "low_snr",
        "20231121",
        50412.5,
        "069Y",
        "ACC-BR-5521390",
        "SID-640118",
        "RPID-640118-C",
        "NEURO^BRAIN RESEARCH",
        "Referred after the Montefalcato accident",
    ),
    Visit(
        "quillfeather-1",
        QUILLFEATHER,
        GE_SCANNER,
        1,
        "motion",
        "20240206",
        39780.0,
        "050Y",
        "ACC-WX-7712046",
        "SID-270193",
        "RPID-270193-M",
        "BRAIN RESEARCH",
        "Restless, tremor since the Guillemot study",
    ),
    Visit(
        "vanterpool-1",
        VANTERPOOL,
        PHILIPS_SCANNER,
        1,
        "good",
        "20220518",
        35120.25,
        "034Y",
        "ACC-OZ-3304417",
        "SID-662738",
        "RPID-662738-K",
        "MRI HERSENEN ONDERZOEK",
        "Proband van de Korenbloem cohort",
    ),
    Visit(
        "vanterpool-2",
        VANTERPOOL,
        PHILIPS_SCANNER,
        2,
        "good",
        "20230607",
        41277.75,
        "035Y",
        "ACC-OZ-3391185",
        "SID-701192",
        "RPID-701192-K",
        "MRI HERSENEN ONDERZOEK",
        "Tweede bezoek, Korenbloem cohort",
    ),
)


def planted_identities() -> tuple[str, ...]:
    """
    Return each string of the demo that names a person, a place, a device or a day.

    Every one is at least 6 characters long and unlikely to occur by chance. Names
    are given whole and in parts; UIDs as their common root and as the study UIDs.
    """
    found: set[str] = {UID_ROOT}
    for visit in VISITS:
        patient, scanner = visit.patient, visit.scanner
        people = (
            patient.name,
            patient.mothers_birth_name,
            scanner.operator,
            scanner.referring_physician,
            scanner.performing_physician,
            scanner.requesting_physician,
        )
        for person in people:
            found.add(person)
            found.update(part for part in person.split("^") if len(part) >= 6)
        found |= {
            patient.patient_id,
            patient.birth_date,
            patient.phone,
            patient.address,
            patient.other_id,
            patient.email,
            scanner.serial,
            scanner.station,
            scanner.ae_title,
            scanner.institution,
            scanner.address,
            scanner.department,
            visit.date,
            visit.accession,
            visit.study_id,
            visit.procedure_id,
            visit.comment,
            visit.uid("study"),
        }
    return tuple(sorted(found))
