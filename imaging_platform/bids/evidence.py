"""What a sidecar proves about its image, in the words that the rules use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.outputs import Output

TIME_SERIES_VOLUMES = 20
"""From this many volumes on a series without diffusion or labelling is functional."""

B0_LIMIT_S_PER_MM2 = 50.0
"""b-values up to this count as unweighted; scanners write 5 or 10 for b = 0."""

_EPI_PREFIX = re.compile(r"ep(?!inav)|feepi|seepi|dwise|dwiepi|\d*depi")
_DIFFUSION_SEQUENCE = re.compile(
    r"ep_?b\d|(.*_)?(diff|dti|resolve|dwi)|dwise|dwiepi|re_b\d"
)
_NAMED_DIRECTION = r"(?:^|[^a-z]|dir|top-?up|rev|pe=?)(ap|pa|lr|rl|si|is)(?:[^a-z]|$)"
_TOKEN_SPLIT = re.compile(r"[^a-z0-9]+|(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])")


@dataclass(frozen=True)
class Evidence:
    """
    One output with its fields read once.

    Parameters
    ----------
    output
        The image and its sidecar.
    name
        Series description and protocol name, lower case, joined by a space.
    words
        The letters-only and digits-only parts of `name`.
    sequence
        Names of the pulse sequence, lower case, without vendor prefixes, the
        most specific last.
    image_type
        Parts of ImageType and ImageTypeText, upper case.
    """

    output: Output
    name: str
    words: frozenset[str]
    sequence: tuple[str, ...]
    image_type: frozenset[str]

    def text(self, field: str) -> str:
        """Return a sidecar field as text, parts joined by a backslash, or ``""``."""
        value = self.output.sidecar.get(field)
        if isinstance(value, list):
            return "\\".join(str(part) for part in value)
        return "" if value is None else str(value)

    def number(self, field: str) -> float | None:
        """Return a sidecar field as a number; None when missing or no number."""
        value = self.output.sidecar.get(field)
        return float(value) if isinstance(value, int | float) else None

    def has_word(self, pattern: str) -> bool:
        """Tell whether a regular expression is found in the series' names."""
        return re.search(pattern, self.name) is not None

    def has_sequence(self, pattern: str) -> bool:
        """Tell whether a sequence name begins with a regular expression."""
        return any(re.match(pattern, name) for name in self.sequence)

    @property
    def protocol(self) -> str:
        """The protocol name, or the description where a protocol is a whole exam."""
        if self.text("Manufacturer").startswith("GE"):
            return self.text("SeriesDescription") or self.text("ProtocolName")
        return self.text("ProtocolName") or self.text("SeriesDescription")

    @property
    def scanning(self) -> frozenset[str]:
        """Parts of ScanningSequence: SE, GR, IR, EP, RM."""
        return frozenset(re.split(r"[\\_/ ]", self.text("ScanningSequence").upper()))

    @property
    def is_derived(self) -> bool:
        """True when the scanner computed the image from others."""
        return "DERIVED" in self.image_type

    @property
    def is_phase(self) -> bool:
        """True for a phase image."""
        return bool({"P", "PHASE", "PHASE MAP"} & self.image_type)

    @property
    def is_epi(self) -> bool:
        """True for echo-planar readout; navigators inside a T1w do not count."""
        if self.has_sequence(r"tfl|spc|tse|fl3d|abcd3d"):
            return False
        named = (
            "GR" in self.scanning
            and not self.sequence
            and self.has_word(r"(^|[^a-z])(epi|fmri|bold)([^a-z]|$)")
        )
        return (
            named
            or "EP" in self.scanning
            or self.has_sequence(_EPI_PREFIX.pattern)
            or self.text("PulseSequenceType").upper().endswith("EPI")
        )

    @property
    def is_spin_echo(self) -> bool:
        """True for spin-echo excitation; ``epfid`` says free induction decay."""
        if self.has_sequence(r"epfid"):
            return False
        return (
            "SE" in self.scanning
            or self.has_sequence(r"epse|seepi|dwise|(.*_)?mbep2d_se|ep2d_se|tse|spc")
            or self.text("PulseSequenceType").lower().startswith("spin echo")
            or "spin echo epi" in self.text("PulseSequenceType").lower()
        )

    @property
    def is_time_series(self) -> bool:
        """True for several volumes, or for EPI whose size is unknown."""
        volumes = self.output.volumes
        return self.is_epi if volumes is None else volumes > 1

    @property
    def has_diffusion_weighting(self) -> bool:
        """True when some b-value is above `B0_LIMIT_S_PER_MM2`."""
        return any(b > B0_LIMIT_S_PER_MM2 for b in self.output.bvals or ())

    @property
    def is_diffusion_sequence(self) -> bool:
        """True when type, sequence or name say diffusion, whatever the b-values."""
        return (
            "DIFFUSION" in self.image_type
            or self.has_sequence(_DIFFUSION_SEQUENCE.pattern)
            or (
                self.is_spin_echo
                and not self.sequence
                and self.has_word(r"(^|[^a-z])s?b[ _-]?\d{3,4}([^0-9]|$)")
            )
            or (
                self.is_epi
                and (self.is_spin_echo or "GR" not in self.scanning)
                and self.has_word(r"\b(dwi|dti|dmri|hardi|noddi|dki|diff)|_(dwi|dti)")
            )
        )

    @property
    def is_labelling(self) -> bool:
        """True for arterial spin labelling, M0 included."""
        fields = ("ArterialSpinLabelingType", "PASLType", "PCASLType")
        return (
            "ASL" in self.image_type
            or any(self.text(field) for field in fields)
            or self.has_sequence(r"(.*_)?p?c?asl(_|$)|(.*_)?pcasl|tgse")
            or self.has_word(r"(^|[^a-z])(wip)?(p|pc|v|3d)?asl([^a-z]|$)|pcasl")
        )

    @property
    def moment(self) -> float | None:
        """Time of acquisition in s since an arbitrary day; None when not given."""
        return read_moment(self.output)

    @property
    def direction(self) -> str | None:
        """Phase-encoding direction such as AP, from polarity and orientation."""
        return read_direction(
            self.text("PhaseEncodingDirection"), self.output.axis_codes
        )

    @property
    def named_direction(self) -> str | None:
        """Phase-encoding direction that the name claims; None without a claim."""
        found = re.search(
            r"(?:^|[^a-z]|dir|top-?up|rev|pe=?)(ap|pa|lr|rl|si|is)(?:[^a-z]|$)",
            self.name,
        )
        if found:
            return found.group(1).upper()
        found = re.search(r"_a(ap|pa|pp)\b", self.name)
        return None if not found else {"ap": "AP", "pa": "PA"}.get(found.group(1))


@dataclass(frozen=True)
class Surroundings:
    """
    The session around one image, for rules that compare.

    Parameters
    ----------
    images
        Evidence of every image of the session, in order of time.
    """

    images: Sequence[Evidence]

    def others(self, one: Evidence) -> list[Evidence]:
        """Return all images but `one`."""
        return [other for other in self.images if other is not one]


Rule = Callable[[Evidence, Surroundings], Verdict | None]
"""A question to one image; None when it does not apply."""


def read_evidence(output: Output) -> Evidence:
    """Return the fields of `output` normalised across vendors and versions."""
    sidecar = output.sidecar
    description = str(sidecar.get("SeriesDescription") or "")
    protocol = str(sidecar.get("ProtocolName") or "")
    name = f"{description} {protocol}".lower().strip()
    return Evidence(
        output=output,
        name=name,
        words=frozenset(part for part in _TOKEN_SPLIT.split(name) if part),
        sequence=tuple(_sequence_names(sidecar)),
        image_type=frozenset(_image_type(sidecar)),
    )


def _sequence_names(sidecar: Mapping[str, object]) -> list[str]:
    fields = (
        "SequenceName",
        "PulseSequenceName",
        "InternalPulseSequenceName",
        "PulseSequenceDetails",
    )
    names = []
    for field in fields:
        text = str(sidecar.get(field) or "").lower()
        text = re.sub(r"^%?(siemensseq|customerseq|serviceseq)%?[\\_]", "", text)
        text = re.split(r"[\\/]", text.lstrip("*_"))[-1]
        if text:
            names.append(text)
    return names


def _image_type(sidecar: Mapping[str, object]) -> list[str]:
    parts: list[str] = []
    for field in ("ImageType", "ImageTypeText"):
        value = sidecar.get(field)
        listed = (
            value if isinstance(value, list) else re.split(r"[\\_]", str(value or ""))
        )
        parts.extend(str(part).upper() for part in listed if part)
    return parts


def read_moment(output: Output) -> float | None:
    """Return the time of acquisition in s; only differences have a meaning."""
    whole = output.sidecar.get("AcquisitionDateTime")
    if isinstance(whole, str):
        try:
            moment = datetime.fromisoformat(whole)
        except ValueError:
            moment = None
        if moment:
            return (moment.replace(tzinfo=None) - datetime(2000, 1, 1)).total_seconds()  # noqa: DTZ001
    clock = re.fullmatch(
        r"(\d+):(\d+):(\d+(?:\.\d+)?)", str(output.sidecar.get("AcquisitionTime") or "")
    )
    if not clock:
        return None
    hours, minutes, seconds = (float(part) for part in clock.groups())
    return hours * 3600 + minutes * 60 + seconds


def read_direction(phase_encoding: str, axis_codes: tuple[str, ...]) -> str | None:
    """
    Return the anatomical phase-encoding direction, from start to end.

    Parameters
    ----------
    phase_encoding
        ``i``, ``j`` or ``k``, with ``-`` when the axis runs backwards (BIDS,
        PhaseEncodingDirection).
    axis_codes
        Directions to which the axes grow.

    Examples
    --------
    >>> read_direction("j-", ("L", "A", "S"))
    'AP'
    """
    axis = {"i": 0, "j": 1, "k": 2}.get(phase_encoding[:1])
    if axis is None or len(axis_codes) <= axis:
        return None
    end = axis_codes[axis]
    start = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}.get(end)
    if start is None:
        return None
    return end + start if phase_encoding.endswith("-") else start + end
