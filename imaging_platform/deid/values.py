"""
Rules by which a text may stay: the whole value must look like technique.

A rule takes one component of a value, already free of padding, and returns what
stays of it, or None. Everything here is ASCII; a rule never sees other text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.deid.patterns import OWN_RULE, matches_own

Rule = Callable[[str], str | None]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


def _any(words: str, *others: str) -> str:
    """
    Return a pattern for one or more of these, in any case, one after the other.

    The longest word comes first and nothing is tried twice (``++``), so that a
    hostile value cannot make the search take forever.
    """
    ordered = sorted((re.escape(word) for word in words.split("|")), key=len)
    return rf"(?i:{'|'.join([*reversed(ordered), *others])})++"


PATTERNS: dict[str, str] = {
    # PS3.5 section 6.2, CS; some write lower case and points.
    "code": r"[A-Za-z0-9_ .+\-/*%#]{0,16}",
    "number": rf" *{_NUMBER} *",
    "numbers_or_codes": rf"{_NUMBER}(?:[ ,]{_NUMBER})*|[A-Za-z_]{{1,10}}",
    "token": r"[A-Z0-9_*+./\-]{1,24}|[A-Za-z_]{1,6}\d[\w.\-]{0,12}|predicted|measured|"
    r"void|com|compose|normalized|none|Bore Local|Head|Body|DwiSE|SRT\.T-\w{5}\.Brain",
    "flag": r"(?i:yes|no|on|off|fast\*?|normal|whisper)",
    "maker": r"(?i:(?:siemens|ge medical|g\.e\.|ge health|philips|toshiba|canon|uih|"
    r"united imaging|bruker|hitachi|fuji|mediso|hyperfine|varian|agilent|mr solutions|"
    r"marconi|picker|elscint|cps|cti|shimadzu|neusoft|samsung|esaote|imris|aspect|"
    r"time medical|alltech|imaging_platform)[A-Za-z ,.&]{0,40})|TOSHIBA_MEC\w{0,6}",
    "model": r"[A-Za-z0-9_.+\-/()]{1,20}(?: [A-Za-z0-9_.+\-/()]{1,20}){0,5}",
    "version": r"[A-Za-z0-9_.:*+\-/]{1,40}(?: [A-Za-z0-9_.:*+\-/]{1,40}){0,5}",
    "sequence": r"(?=[^ \d]*\d)[*%#&A-Za-z0-9_.+\-\\/]{1,32}|(?i:\*?(?:epi|epirt|epi2|"
    r"ffe|tfe|ge|se|tse|ir|fse|frfse|fgre|efgre3d|feepi|seepi|dwise|grase|bravo|mprage|"
    r"space|cube|vibe|trufi|flash|haste|tir|flair|press|steam|swi|swan|ute|mixed|b_tfe|"
    r"t1tfe|t2tfe|gre|spgr|fspgr|fiesta|propeller|asl|pcasl|pasl))",
    "nucleus": r"\d{0,3}[A-Z][a-z]?\d{0,3}",
    "coil": _any(
        "head|neck|headneck|body|spine|matrix|knee|extremity|flex|large|small|shoulder|"
        "breast|cardiac|torso|array|coil|multi|dual|single|volume|surface|whole|quad|"
        "birdcage|channel|channels|ch|asset|nova|txrx|tx|rx|qd|cp|sense|nv|hns|hnu|tcs|"
        "spdr|ant|post|anterior|posterior|upper|lower|split|top|bottom|gem|us|uss|tr|"
        "tim|phased|loop",
        r"(?-i:[A-Z]{1,4}\d{0,3}|[A-Z][a-z]?\d{1,3})",
        r"\d{1,3}",
        r"[ _:;,.+/&()\-]",
    ),
    "reference": r"(?i:sn|om|ic|xy|brain|brain-mra|carotids|nasion|iliac crest)",
    "stack": r"[A-Za-z]?\d{1,4}",
    "rescale": r"(?i:us|hu|od|od rel|hz|normalized|bqml|mgml|pct|z_eff|ed|edw|hu_mod|"
    r"cnts|1/cm|propcps|m2/s|mm2/s|rad|ms|none)",
    "window": r"(?i:algo\d{1,2}|window\d{0,2}|user selection|normal|bone|brain|"
    r"minimum|maximum|mean|dflt)",
    "kernel": r"(?=[A-Za-z]*\d)[A-Za-z0-9.+\-]{1,16}|[A-Z][A-Z0-9_+]{1,15}|"
    r"XYZ Gauss ?\d+\.\d+|"
    r"(?i:standard|soft|bone|detail|lung|edge|none|all-pass filter)",
    "reconstruction": _any(
        "osem|op-osem|psf|tof|fbp|3d|2d|iterative|ramla|vpfx|vpfxs|q.clear|vuepoint|fx|"
        "hd|rebinning|back projection|dift|blob|nimble|fore|pli|osem2d|osem3d",
        r"\d{1,3}[is]?",
        r"[ +\-_,/:;()]",
    ),
    "attenuation": _any(
        "measured|ac|ct|mr|ctac|mrac|flt|none|calculated|cm|smoothed|4 sigma|wac|nac|"
        "breast|brain|mar|b30f",
        r"\d{1,4}\.?\d{0,4}",
        r"[/^,. +\-_]",
    ),
    "scatter": _any(
        "model-based|convolution subtraction|none|relative|absolute|scaling|singles|"
        "ss-simul|model|based",
        r"[ ,:\-]",
    ),
    "tracer": r"(?i:(?:\[?\^?\d{0,3}\^?(?:c|n|o|f|ga|cu|zr|i|rb|tc)\^?\d{0,3}\^?m?\]?"
    r"[ \-]?)?)"
    + _any(
        "fdg|fluorodeoxyglucose|raclopride|pib|florbetapir|florbetaben|flutemetamol|"
        "flortaucipir|av45|av1451|mk6240|fdopa|fet|fmiso|flt|dotatoc|dotatate|psma|"
        "water|ammonia|acetate|choline|methionine|dasb|way100635|pk11195|pbr28|ucb-j|"
        "sodium|fluoride|rubidium|solution",
        r"[\-^ ]",
    ),
    "asl": _any(
        "2d|3d|pseudo|continuous|pulsed|velocity selective|pcasl|pasl|casl|asl|ep2d|"
        "tgse|gre|epi|fair|picore|q2tips|quipss|ii",
        r"[ ()\-_/]",
    ),
    "metabolite": r"(?i:water|lipid|none|n-acetylaspartate|choline|creatine|lactate)",
    "dimension": _any(
        "stack id|in-stack position number|private scanning sequence|"
        "private imagetypemr|effective echo time|temporal position index|"
        "image position (patient)|imagepositionpatient|referencedsegmentnumber|"
        "diffusion b-value|diffusion gradient orientation|trigger delay time|slice|"
        "phase|echo|frame|time|position|index|number",
        r"[ /]",
    ),
    "creator": r"(?i:(?:siemens|philips|gems|ge|toshiba|canon|uih|image private)"
    r"[A-Za-z0-9_ .]{0,40})",
    "scheme": r"(?:DCM|SRT|SCT|SNM3|UCUM|LN|RFC3066|FMA|NCIt|RADLEX|MDC|SCPECG|"
    r"ISO639_2|RP|99SMS_CTMR|99PMP|99SDM|99GEMS|99PMSCT_BODY|I10|CD8)",
    "code_value": r"[A-Z]{0,2}-?[A-Z0-9]{1,6}(?:-[A-Z0-9]{1,5})?|\d{1,18}|"
    r"[A-Za-z]{1,4}\d?",
    "scheme_version": r"\d{1,8}(?:\.\d{1,4}){0,2}",
    "image_number": r"IMAGE NUM \d{1,2}|MR|SOM \d",
    # Siemens multi-band notes; Canon and Toshiba keep diffusion here.
    "comment": r"(?:Unaliased )?MB\d{1,2}/PE\d{1,2}(?:/LB|/SB|/NL)?(?: SENSE\d?)?|"
    r"Single-band reference(?: SENSE1?)?|(?:relCBF|CBF|Perfusion)(?: \(P?C?ASL\))?|"
    rf"b=\d+(?:\.\d+)?(?: ?\({_NUMBER}(?:,{_NUMBER}){{2}}\))?|None",
    # Siemens text lines, (0051,xx0a)..(0051,xx19).
    "acquisition_time": r"TA (?:\d{1,3}:)?\d{1,3}(?:\.\d+)?(?:\*\d{1,4})?",
    "matrix": r"\d{1,4}[psi]? ?\*\d{1,4}[psi]?(?:\*\d{1,4}[psi]?)?(?: [IPS])?",
    "field_of_view": r"FoV \d{1,4}(?:\.\d+)?\*\d{1,4}(?:\.\d+)?",
    "slice_position": r"SP [A-Z]?-?\d{1,4}(?:\.\d+)?",
    "orientation": r"(?:Sag|Cor|Tra)"
    r"(?:>?(?:Sag|Cor|Tra)?\(?-?\d{0,3}(?:\.\d{1,6})?\)?){0,2}",
    "coil_string": r"[A-Z]{0,2}:?[A-Z]{1,4}\d{0,3}(?:-\d{1,2})?"
    r"(?:[;,][A-Z]{0,2}:?[A-Z]{0,4}\d{0,3}(?:-\d{1,2})?){0,64}",
    "acceleration": r"p\d{1,2}(?:\*\d{1,2})?(?: ?s\d{1,2}(?:\*\d)?)?|s\d{1,2}",
    "table_position": r"TP (?:[A-Z]?-?\d{1,4}|0)",
    "patient_axes": r"[+-][LRAPHF]{3}",
    "image_type": r"(?:p\d ?(?:s\d )?)?[A-Z0-9_]{1,20}(?:/[A-Z0-9_]{1,20}){0,20}",
    "slice_thickness": r"SL \d{1,3}(?:\.\d+)?i?",
    "averages": r"A\d{1,3}(?:/[A-Z0-9]{1,6}){0,12}",
    "image_history": r"ChannelMixing:ND=(?:true|false)_CMM=\d_CDM=\d|ACC\d?|"
    r"CC:[A-Za-z]{1,10}|"
    r"[A-Z][A-Za-z]{1,20}(?:[:=_][A-Za-z0-9.\-]{1,10}){1,6}",
    "ice_dimensions": r"X?_?\d{1,6}(?:_\d{1,6}){0,40}",
    "channels": r"X+",
    "sequence_file": r"%?(?:SiemensSeq|CustomerSeq|USER)?%?"
    r"(?:\\{1,2}|/)?[A-Za-z][A-Za-z0-9_]{1,40}",
    "coil_id": r"(?i:(?=[_\-a-z0-9]*(?:head|body|neck|spine|knee|coil|breast|flex|"
    r"shoulder|extremity|ankle|wrist|hand|foot|array|loop))[_\-a-z0-9]{1,32})|"
    r"Multi_\w{0,10}",
    "baseline": r"[A-Z0-9]{2,6}_V[A-Z]\d{2}[A-Z]?\w{0,6}_LATEST_\d{8}(?:_P\d{1,3})?|"
    r"[4-7]\d{7}",
    "sex": r"[MFO]",
    "reuse": r"(?:[A-Z]{1,2}/[a-z]\d{1,3},?){1,16}",
}
"""Name of a rule to the pattern that a whole component must match."""

_COMPILED = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}
_LONG_DIGITS = re.compile(r"\d{6,}")
_NUMERIC_RULES = frozenset(
    {"number", "numbers_or_codes", "ice_dimensions", "code_value", "baseline"}
)
_DATE_LIKE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d{2}[-./_ ]?[01]\d[-./_ ]?[0-3]\d|"
    r"[0-3]?\d[-./][01]?\d[-./](?:19|20)\d{2})(?!\d)"
)
_ADDRESS_LIKE = re.compile(r"\S*(?:@|\^|\+\d{4,})\S*|\b\d{6,}\b|\d{7,}")
_UNUSUAL = re.compile(r"[^ -~]+")
MAX_DESCRIPTOR_CHARACTERS = 64
MAX_TEXT_CHARACTERS = 1024
"""Longer texts are no technique; this also bounds the time of a search."""


@functools.lru_cache(maxsize=1 << 16)
def keep_by_rule(rule: str, text: str, identifiers: Identifiers) -> str | None:
    """
    Return a component if a named rule lets it stay, else None.

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
    if not _matches(rule, text):
        return None
    if rule not in _NUMERIC_RULES and (
        _LONG_DIGITS.search(text) or _DATE_LIKE.search(text)
    ):
        return None
    if rule != "number" and identifiers.echoes_in(text):
        return None
    return text


def _matches(rule: str, text: str) -> bool:
    if rule.startswith(OWN_RULE):
        return matches_own(rule, text)
    return _COMPILED[rule].fullmatch(text) is not None


def clean_descriptor(text: str, identifiers: Identifiers) -> str:
    """
    Return a description without identifiers, dates, addresses and long numbers.

    Words of the protocol stay as they are, since conversion and naming read them
    (PS3.15 section E.3.5, Clean Descriptors). A name that is nowhere else in the
    session's headers cannot be told from a word.
    """
    cleaned = _UNUSUAL.sub("", text)
    for pattern in (_ADDRESS_LIKE, _DATE_LIKE):
        cleaned = pattern.sub("", cleaned)
    cleaned = identifiers.cut_from(cleaned)
    if cleaned != text:
        cleaned = re.sub(r"\s{2,}", " ", cleaned).strip(" ^_-,;:")
    return cleaned[:MAX_DESCRIPTOR_CHARACTERS]
