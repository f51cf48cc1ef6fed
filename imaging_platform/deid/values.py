"""
Rules by which a text may stay: the whole value must look like technique.

A rule takes one component of a value, already free of padding, and returns what
stays of it, or None. Everything here is ASCII; a rule never sees other text.

A rule asks two things of a value: the form that a reviewed pattern gives, and
that its words are technique (`vocabulary`), since a form that leaves letters open
would let a name pass. The rules in `CUT_RULES` cut what is neither and keep the
rest, so that a coil or a release keeps its name beside a serial number.
"""

from __future__ import annotations

import functools
import re
from typing import Protocol

from imaging_platform.deid.numerals import cut_numbers, tells_number
from imaging_platform.deid.patterns import OWN_RULE, matches_own
from imaging_platform.deid.tables import known_creators
from imaging_platform.deid.vocabulary import (
    MAX_DIGITS,
    MAX_UNKNOWN_LETTERS,
    is_common_name,
    is_known,
    is_known_code,
    is_known_word,
    is_technical,
    unknown_letters,
)


class Identity(Protocol):
    """What is known of the subject of a session, as far as a rule asks for it."""

    own_words: frozenset[str]

    def echoes_in(self, text: str) -> bool:
        """Return whether a text holds something of it."""
        ...

    def cut_from(self, text: str) -> str:
        """Return a text without it."""
        ...

    def shorten(self, number: str) -> str:
        """Return a number without the digits from where they spell one of it."""
        ...


_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?"
_SHORT_NUMBER = r"[+-]?(?:\d{1,7}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][+-]?\d{1,3})?"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


PATTERNS: dict[str, str] = {
    # PS3.5 section 6.2, CS; some write lower case and points.
    "code": r"[A-Za-z0-9_ .+\-/*%#]{0,16}",
    # Longer integers are numbers of orders and people, and days.
    "number": rf" *(?![+-]?\d{{8}}){_NUMBER} *",
    # PS3.5 section 6.2, IS; some write a point behind.
    "integer": r" *[+-]?\d{1,7}(?:\.0*)? *",
    "large_number": r" *(?!(?:19|20)\d{2}[01]\d[0-3]\d *$)"
    r"[+-]?\d{1,10}(?:\.\d{0,12})?(?:[eE][+-]?\d{1,3})? *",
    # GE: (0043,xx39) has flags above the b-value.
    "ge_b_value": r"\d0000\d{5}|\d{1,7}",
    "numbers_or_codes": rf"{_SHORT_NUMBER}(?:[ ,]{_SHORT_NUMBER})*|[A-Za-z_]{{1,10}}",
    "token": r"[A-Za-z0-9_*+./\-:;,=#$%() ]{1,128}",
    "words": r"[A-Za-z0-9_*+./\-:;,=#$%()&\[\]<> ]{1,64}",
    "flag": r"(?i:yes|no|on|off|true|false|fast\*?|normal|whisper|performance|none)",
    "maker": r"[A-Za-z0-9 ,.&_\-^]{1,64}",
    "model": r"[A-Za-z0-9_.+\-/() ]{1,64}",
    "version": r"[A-Za-z0-9_.:*+\-/$ ]{1,64}",
    "sequence": r"[*%#&A-Za-z0-9_.+\-\\/ ]{1,64}",
    "nucleus": r"(?i:\d{1,3}(?:he?|li|c|n|o|f|na|si|p|cl|k|xe)|"
    r"(?:he?|li|c|n|o|f|na|si|p|cl|k|xe)\d{1,3}|[hcnofpk])",
    "coil": r"[A-Za-z0-9 _:;,.+/&()\-]{1,64}",
    "reference": r"(?i:sn|om|ic|xy|brain|brain-mra|carotids|nasion|iliac crest|"
    r"sternal notch|xiphoid|orbital meatal|knee|chest|nasion)",
    "stack": r"[A-Za-z]?\d{1,4}",
    "rescale": r"[A-Za-z0-9_/. ]{1,32}",
    "window": r"[A-Za-z0-9_ \-]{1,32}",
    "kernel": r"[A-Za-z0-9.+\- _/^]{1,32}",
    "reconstruction": r"[A-Za-z0-9 +\-_,./:;()]{1,64}",
    "attenuation": r"[A-Za-z0-9 +\-_,./:;()^]{1,64}",
    "scatter": r"[A-Za-z0-9 ,:\-]{1,64}",
    "tracer": r"[A-Za-z0-9 \-^\[\]()]{1,64}",
    "asl": r"[A-Za-z0-9 ()\-_/]{1,64}",
    "metabolite": r"(?i:water|lipid|none|n-acetylaspartate|choline|creatine|lactate)",
    "dimension": r"[A-Za-z0-9 /()\-]{1,64}",
    "creator": r"[A-Za-z0-9_ ./:^\-]{1,64}",
    "scheme": r"(?:DCM|SRT|SCT|SNM3|UCUM|LN|RFC3066|RFC5646|FMA|NCIt|RADLEX|MDC|"
    r"SCPECG|ISO639_2|ISO3166_1|RP|99SMS_CTMR|99PMP|99SDM|99GEMS|99PMSCT_BODY|I10|CD8|"
    r"UMLS|MSH|NEU|UBERON|BI|PUBCHEM_CID|99UNKNOWN)",
    "code_value": r"[A-Za-z0-9_.%/\-]{1,18}",
    "scheme_version": r"\d{1,2}(?:\.\d{1,2})?|20\d{6}",
    "image_number": r"IMAGE NUM \d{1,2}|MR|SOM \d",
    # Canon and Toshiba keep diffusion here; other comments lose unknown words.
    "comment": rf"b=\d+(?:\.\d+)?(?: ?\({_SHORT_NUMBER}(?:,{_SHORT_NUMBER}){{2}}\))?",
    # Siemens text lines, (0051,xx0a)..(0051,xx19).
    "acquisition_time": r"TA (?:\d{1,3}:)?\d{1,3}(?:[.:]\d+)?(?:\*\d{1,4})?",
    "matrix": r"\d{1,4}[psi]? ?\*\d{1,4}[psi]?(?:\*\d{1,4}[psi]?)?(?: [IPS])?",
    "field_of_view": r"FoV \d{1,4}(?:\.\d+)?\*\d{1,4}(?:\.\d+)?",
    "slice_position": r"SP [A-Z]?-?\d{1,4}(?:\.\d+)?",
    "orientation": r"(?:Sag|Cor|Tra)"
    r"(?:>?(?:Sag|Cor|Tra)?\(?-?\d{0,3}(?:\.\d{1,6})?\)?){0,2}",
    "coil_string": r"[A-Za-z]{0,2}:?(?:\d{0,2}[A-Z]{1,3}\d{0,3}(?:-\d{1,3})?)"
    r"(?:[;,+](?:[A-Za-z]:)?\d{0,2}[A-Z]{0,3}\d{0,3}(?:-\d{1,3})?){0,64}",
    "acceleration": r"(?=.)(?:p\d{1,2}(?:[*x]\d{1,2})?)?(?: ?s\d{1,2}(?:[*x]\d)?)?"
    r"(?: ?[a-z]{2,3}\d{1,2})?",
    "table_position": r"TP (?:[A-Z]?-?\d{1,4}|0)",
    "patient_axes": r"[+-][LRAPHF]{3}",
    "image_type": r"(?:p\d ?(?:s\d )?)?[A-Z0-9_]{1,20}(?:/[A-Z0-9_]{1,20}){0,20}",
    "slice_thickness": r"SL \d{1,3}(?:\.\d+)?i?",
    "averages": r"A\d{1,3}(?:/[A-Z0-9]{1,6}){0,12}",
    "image_history": r"[A-Z][A-Za-z]{1,20}\d{0,2}(?:[:=_][A-Za-z0-9.\-]{1,10}){0,6}",
    "ice_dimensions": r"X?_?\d{1,5}(?:_\d{1,5}){0,40}",
    "channels": r"X+",
    "sequence_file": r"[%\\/_A-Za-z0-9.\-]{1,64}",
    # Of a customer's sequence: its identifier and its revision, not who built it when.
    "sequence_note": rf"{_UUID}\|\|Sequence: (?:R\d{{1,4}} )?[a-z]{{0,2}}"
    r"[a-z]{2}\d{2}[a-z](?:/(?:master|main|develop))?(?: r/[0-9a-f]{6,12}\+?)?|"
    r"WIP_Identifier: WIP#\d{3,4}[A-Z]?",
    "coil_id": r"[A-Za-z0-9_\-]{1,32}",
    "baseline": r"[A-Z0-9]{2,6}_[VX]A?[A-Z]?\d{2}[A-Z]?\w{0,6}_LATEST_20\d{6}"
    r"(?:_P\d{1,3})?|[2-7]\d{3}[01]00\d",
    "sex": r"[MFO]",
    "reuse": r"(?:[A-Za-z]{1,6}/[a-z]\d{1,3},?){1,16}",
}
"""Name of a rule to the pattern that a whole component must match."""

CUT_RULES = frozenset(
    [
        "asl",
        "attenuation",
        "coil",
        "coil_id",
        "coil_string",
        "comment",
        "dimension",
        "image_history",
        "kernel",
        "maker",
        "model",
        "reconstruction",
        "rescale",
        "scatter",
        "sequence",
        "sequence_file",
        "sequence_note",
        "tracer",
        "version",
        "window",
        "words",
    ]
)
"""Rules that keep the words of technique of a value that has others too."""

_CLOSED_RULES = frozenset(
    [
        "acquisition_time",
        "baseline",
        "comment",
        "field_of_view",
        "flag",
        "ge_b_value",
        "ice_dimensions",
        "image_number",
        "integer",
        "channels",
        "large_number",
        "matrix",
        "metabolite",
        "nucleus",
        "number",
        "orientation",
        "patient_axes",
        "reference",
        "scheme",
        "scheme_version",
        "sequence_note",
        "sex",
        "slice_position",
        "slice_thickness",
        "stack",
        "table_position",
    ]
)
"""Rules whose pattern leaves no room for a name, so that no word is looked up."""

_COMPILED = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}
_LONG_DIGITS = re.compile(r"\d{6,}")
NUMBER_RULES = frozenset(
    ["number", "integer", "large_number", "ge_b_value", "numbers_or_codes"]
)
"""Rules for numbers written as text; a list may name one for DS and IS."""

_NUMERIC_RULES = NUMBER_RULES | {"ice_dimensions", "baseline"}
# Of Type 1 where they are (PS3.3 sections 8.1, C.7.5.2, C.8.13), so never empty.
_STAND_INS = {
    "code_value": "UNKNOWN",
    "coil": "UNKNOWN",
    "kernel": "UNKNOWN",
    "maker": "UNKNOWN",
    "model": "UNKNOWN",
    "scheme": "99UNKNOWN",
    "sequence": "UNKNOWN",
    "version": "UNKNOWN",
}
_ADDRESS_LIKE = re.compile(
    r"\S*(?:@|\^|\+\d{4,})\S*|"
    r"(?i:\b(?:mr|mrs|ms|dr|prof|herr|frau|mme)\.? +)(?=[A-Z][a-z])\S+"
)
_UNUSUAL = re.compile(r"[^ -~]+")
_WORD = re.compile(r"[A-Za-z0-9]+")
_RUN = re.compile(r"[A-Za-z]+|\d+")
_WHOLE = re.compile(r" *([+-]?)(\d{1,10})(?:\.\d*)? *")
_MAX_PLAIN_DIGITS = 7
_MEASURED_DIGITS = 6
MAX_DESCRIPTOR_CHARACTERS = 64
MAX_TEXT_CHARACTERS = 1024
"""Longer texts are no technique; this also bounds the time of a search."""


@functools.lru_cache(maxsize=1 << 12)
def keep_by_rule(rule: str, text: str, identifiers: Identity) -> str | None:
    """
    Return what a named rule lets stay of a component, None if nothing.

    Parameters
    ----------
    rule
        A name in `PATTERNS`, ``descriptor`` (see `clean_descriptor`), or a study's
        own (`patterns.OWN_RULE` and its pattern).
    text
        One component, without padding.
    identifiers
        Of the session; what echoes one never stays.
    """
    if not text:
        return text
    if len(text) > MAX_TEXT_CHARACTERS and rule not in _NUMERIC_RULES:
        return None
    if rule == "descriptor":
        return clean_descriptor(text, identifiers)
    if rule == "remark":
        return clean_remark(text, identifiers)
    if _is_of_rule(rule, text) and not _echoes(rule, text, identifiers):
        if rule == "number":
            return identifiers.shorten(text) or None
        return _rounded(text) if rule == "large_number" else text
    kept = _cut(rule, text, identifiers) if rule in CUT_RULES else None
    return _STAND_INS.get(rule) if kept is None else kept


def clean_descriptor(text: str, identifiers: Identity) -> str:
    """
    Return a description with the words of a protocol and nothing else.

    Conversion and naming read them (PS3.15 section E.3.5, Clean Descriptors). Days,
    addresses, titles, long numbers and the subject's own words go; so does a word
    that neither the reviewed list nor the study file (`DeidSettings.words`) knows.
    """

    def known_part(match: re.Match[str]) -> str:
        is_own = match[0].lower() in identifiers.own_words
        return match[0] if is_own else _known_part(match[0])

    cleaned = _WORD.sub(known_part, _without_identity(text, identifiers))
    return _tidy(cleaned, text)


def clean_remark(text: str, identifiers: Identity) -> str:
    """
    Return a remark that a study asked for without what is known to identify.

    Its words may be any (a drug, an allergy), so a name that stands nowhere else in
    the session's headers stays: only a study that opts in has remarks
    (PS3.15 section E.3.7, Retain Patient Characteristics, action C).
    """
    cleaned = _LONG_DIGITS.sub("", _without_identity(text, identifiers))
    return _tidy(cleaned, text)


def _without_identity(text: str, identifiers: Identity) -> str:
    cleaned = _UNUSUAL.sub("", text)
    return identifiers.cut_from(cut_numbers(_ADDRESS_LIKE.sub("", cleaned)))


def _tidy(cleaned: str, text: str) -> str:
    """Take out the marks that stand about for nothing, and what is too long."""
    if cleaned != text:
        cleaned = re.sub(r"\s{2,}", " ", cleaned)
        cleaned = re.sub(r"([_\-]){2,}", r"\1", cleaned).strip(" ^_-,;:")
    if len(cleaned) > MAX_DESCRIPTOR_CHARACTERS:
        cleaned = cleaned[:MAX_DESCRIPTOR_CHARACTERS].rstrip(" ^_-,;:")
    return cleaned


def _is_of_rule(rule: str, text: str) -> bool:
    if rule.startswith(OWN_RULE):
        return matches_own(rule, text) and not _is_long(rule, text)
    if not _COMPILED[rule].fullmatch(text):
        return False
    if rule == "code_value":
        return is_known_code(text)
    if rule == "creator":
        return text.strip().lower() in known_creators()
    may_be_long = rule in _NUMERIC_RULES | {"sequence_note", "scheme_version"}
    if not may_be_long and _is_long(rule, text):
        return False
    if "^" in text and any(map(unknown_letters, _WORD.findall(text))):
        return False
    return rule in _CLOSED_RULES or is_technical(text)


def _is_long(rule: str, text: str) -> bool:
    """Return whether a text has a number that may be a person's."""
    return bool(_LONG_DIGITS.search(text)) or tells_number(
        text, with_releases=rule == "version"
    )


def _rounded(text: str) -> str:
    """
    Return a long number with six digits that count, which is all one can measure.

    So no number of a person hides in a dose, and a dose in becquerel stays.
    """
    whole = _WHOLE.fullmatch(text)
    if not whole or len(whole[2].lstrip("0")) <= _MAX_PLAIN_DIGITS:
        return text
    digits = whole[2].lstrip("0")
    return f"{whole[1]}{round(int(digits), _MEASURED_DIGITS - len(digits))}"


def _echoes(rule: str, text: str, identifiers: Identity) -> bool:
    return rule not in ("number", "integer", "sex") and identifiers.echoes_in(text)


def _cut(rule: str, text: str, identifiers: Identity) -> str | None:
    """Return the words of technique of a text, None if there is none of a list."""
    if rule == "sequence_note":
        found = _COMPILED[rule].match(text)
        return found[0] if found else _cut("comment", text, identifiers)
    # Twice: what stood apart may stand together then, and be a day.
    kept = cut_numbers(_UNUSUAL.sub("", text), with_releases=rule == "version")
    kept = identifiers.cut_from(kept)
    kept = re.sub(r"[^A-Za-z0-9_*+./:;,=#$%()&\[\]<>\\ -]|\S*[@^]\S*", "", kept)
    most = 0 if rule == "comment" else MAX_UNKNOWN_LETTERS
    words = [word for word in _WORD.findall(kept) if not _is_cut(word, most)]
    if not any(len(word) > 1 and is_known_word(word) for word in words):
        return None
    # Conversion takes the maker from the first letters.
    if rule == "maker" and not text.strip().startswith(words[0]):
        return None
    kept = _WORD.sub(lambda m: "" if _is_cut(m[0], most) else m[0], kept)
    kept = re.sub(r"([ _*+/:;,=#$%()&<>-])(?:\1)+", r"\1", kept).strip(" _,;:-+/")
    return kept if kept and not identifiers.echoes_in(kept) else None


def _is_cut(word: str, most: int) -> bool:
    unknown = unknown_letters(word)
    return (
        unknown > most
        or is_common_name(word)
        or (word.isdigit() and len(word) > MAX_DIGITS)
    )


def _known_part(word: str) -> str:
    """Return what stays of a word of a description."""
    if unknown_letters(word) <= MAX_UNKNOWN_LETTERS:
        return "" if is_common_name(word) else word
    runs = _RUN.findall(word)
    kept = [run for run in runs if _is_kept_run(run)]
    n_open = sum(len(run) for run in kept if run.isalpha() and not is_known(run))
    if n_open > MAX_UNKNOWN_LETTERS:
        kept = [run for run in kept if run.isdigit() or is_known(run)]
    return "".join(kept)


def _is_kept_run(run: str) -> bool:
    if run.isdigit():
        return len(run) <= MAX_DIGITS
    return is_known(run) or len(run) <= MAX_UNKNOWN_LETTERS
