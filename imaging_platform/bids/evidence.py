"""What a sidecar proves about its image, in the words that the rules use."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.directions import (
    read_axes,
    read_direction,
    read_named_direction,
)
from imaging_platform.bids.outputs import Output

TIME_SERIES_VOLUMES = 20
"""From this many volumes on a series without diffusion or labelling is functional."""

B0_LIMIT_S_PER_MM2 = 50.0
"""b-values up to this count as unweighted; scanners write 5 or 10 for b = 0."""

GRADIENT_ECHO_LIMIT_S = 0.045
"""No spin echo of a whole brain's EPI is shorter; gradient echoes of BOLD are."""

SHORTEST_EPI_S = 0.03
"""No echo train of EPI fits into a shorter repetition, whatever the sequence says."""

_EPI_SPACING_S = (5e-5, 2e-3)
"""Gradients allow no denser echoes, T2* no sparser ones, even with acceleration."""

_EPI_PREFIX = re.compile(
    r"ep(?!inav)|(fe|ge|se)_?epi|dwise|dwiepi|\d*depi|(.*_)?mbep|.*_ep[23]d"
)
_NO_EPI = re.compile(
    r"tfl|spc|tse|fse|frfse|f[il][23]d|fl_|abcd3d|efgre|bravo|mp_?rage|fm[23]d|t1tfe"
    r"|gre(?!_?epi)|(3d)?b0(map|rf)|se2d|tir|me[23]d|haste|tfi|ci3d|t1ffe|ffe$|gra?se|cube"
)
_DIFFUSION_SEQUENCE = re.compile(
    r"ep_?b\d|(.*_)?(diff|dti|resolve|dwi)|dwise|dwiepi|re_b\d"
)
_DIFFUSION_WORDS = (
    r"(^|[^a-z])(dwi|dti|dmri|hardi|noddi|dki|dsi|diff|ivim)|diffusion|mddw|tensor"
)
_GLUED_WORDS = re.compile(r"(?<=^WIP)(?=[^\W_])|(?<=[^\W_])(?=(?:SENSE|CLEAR)$)")
"""Where Philips glues what the console adds to the name that the operator gave."""

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
        Parts of ImageType and ImageTypeText, upper case, and each two neighbours
        joined by an underscore.
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

    @functools.cached_property
    def protocol(self) -> str:
        """The protocol name, or the description where a protocol is a whole exam."""
        texts = [self.text("ProtocolName"), self.text("SeriesDescription")]
        if self.text("Manufacturer").startswith("GE"):
            texts.reverse()
        return _part_words(texts[0] or texts[1])

    @functools.cached_property
    def scanning(self) -> frozenset[str]:
        """Parts of ScanningSequence: SE, GR, IR, EP, RM."""
        return frozenset(re.split(r"[\\_/ ]", self.text("ScanningSequence").upper()))

    @functools.cached_property
    def is_derived(self) -> bool:
        """True when the scanner computed the image from others."""
        return "DERIVED" in self.image_type

    @functools.cached_property
    def is_phase(self) -> bool:
        """True for a phase image."""
        return bool({"P", "PHASE", "PHASE MAP"} & self.image_type)

    @functools.cached_property
    def is_epi(self) -> bool:
        """True for echo-planar readout; navigators inside a T1w do not count."""
        if (self.number("RepetitionTime") or 1.0) < SHORTEST_EPI_S:
            return False
        if self.has_sequence(_EPI_PREFIX.pattern):
            return True
        if self.has_sequence(_NO_EPI.pattern):
            return False
        return (
            "EP" in self.scanning
            or self.text("PulseSequenceType").upper().endswith("EPI")
            or self._is_named_epi
            or self._is_timed_like_epi
        )

    @property
    def _is_named_epi(self) -> bool:
        """Tell whether a name says EPI where nothing else names the readout."""
        return (
            bool({"GR", "SE"} & self.scanning)
            and not self.sequence
            and self.has_word(r"(^|[^a-z])(epi|fmri|bold)([^a-z]|$)")
        )

    @property
    def _is_timed_like_epi(self) -> bool:
        """
        Tell whether timing allows nothing but EPI.

        dcm2niix writes an echo spacing for EPI alone, but for GE, whose field maps
        have one too; other converters write one for any image, then out of EPI's
        reach. Philips calls EPI a plain gradient echo: there, long TE and TR with a
        large flip angle give it away.
        """
        spacing = self.number("EffectiveEchoSpacing")
        is_spaced = (
            spacing is not None and _EPI_SPACING_S[0] <= spacing <= _EPI_SPACING_S[1]
        )
        if is_spaced and self._may_be_epi_of_ge:
            return "IR" not in self.scanning and self.text("MRAcquisitionType") != "3D"
        return (
            self.scanning == {"GR"}
            and self.text("MRAcquisitionType") == "2D"
            and self._earliest_epi_s <= (self.number("EchoTime") or 0.0) <= 0.07
            and (self.number("RepetitionTime") or 0.0) >= 0.4
            and (self.number("EchoTrainLength") or 0.0) >= 9
        )

    @property
    def _may_be_epi_of_ge(self) -> bool:
        """Tell whether GE's own flag of EPI is set, or nothing is known of flags."""
        flags = self.text("ScanOptions")
        ge = self.text("Manufacturer").startswith("GE")
        return not (ge and flags) or "EPI_GEMS" in flags

    @property
    def _earliest_epi_s(self) -> float:
        """How early an echo of EPI may be: with a long train, the first of several."""
        return 0.005 if (self.number("EchoTrainLength") or 0.0) >= 30 else 0.015

    @functools.cached_property
    def is_spin_echo(self) -> bool:
        """True for spin-echo excitation; ``epfid`` says free induction decay."""
        if self.has_sequence(r"epfid|feepi|epi_(fid|bold)|(.*_)?ep2d_(bold|pace)"):
            return False
        named = self.has_sequence(
            r"epse|se_?epi|epi_se|dwise|(.*_)?mbep2d_se|(.*_)?ep2d_se|tse|fse|spc|se$"
        )
        kind = self.text("PulseSequenceType").lower()
        if named or kind.startswith("spin echo") or "spin echo epi" in kind:
            return True
        echo = self.number("EchoTime")
        if "EP" in self.scanning and echo is not None:
            return self._is_spin_echo_epi(echo)
        # Siemens wrote SE\\EP for gradient-echo EPI before VD.
        return "SE" in self.scanning

    def _is_spin_echo_epi(self, echo: float) -> bool:
        single = self.number("EchoNumber") in (None, 1)
        said = "SE" in self.scanning or not (
            "GR" in self.scanning or self.has_word(r"fmri|bold")
        )
        return said and single and echo >= GRADIENT_ECHO_LIMIT_S

    @functools.cached_property
    def is_inverted(self) -> bool:
        """True when an inversion pulse prepares the image."""
        return "IR" in self.scanning or self.has_sequence(r"tir|spcir")

    @functools.cached_property
    def has_transfer_pulse(self) -> bool:
        """
        True when a pulse for magnetization transfer is played.

        Versions of dcm2niix that do not write MTState copy the DICOM elements that
        say it: SequenceVariant MTC (PS3.3, C.8.3.1) and the option MT of Siemens
        and GE. Classic files of Philips say it in the name alone.
        """
        stated = self.output.sidecar.get("MTState")
        if isinstance(stated, bool):
            return stated
        variant = re.split(r"[\\_/ ]", self.text("SequenceVariant").upper())
        options = re.split(r"[\\_/ ]", self.text("ScanOptions").upper())
        named = self.has_word(r"(^|[^a-z])mtc([^a-z]|$)|(^|[^a-z])mt[-_ ]?on([^a-z]|$)")
        return "MTC" in variant or "MT" in options or named

    @functools.cached_property
    def is_volumetric(self) -> bool:
        """True for 3-D encoding."""
        kind = self.text("MRAcquisitionType")
        return kind == "3D" or (not kind and self.has_sequence(r"tfl|spc|\w*3d"))

    @property
    def is_time_series(self) -> bool:
        """True for several volumes, or for EPI whose size is unknown."""
        volumes = self.output.volumes
        return self.is_epi if volumes is None else volumes > 1

    @functools.cached_property
    def has_diffusion_weighting(self) -> bool:
        """True when some b-value is above `B0_LIMIT_S_PER_MM2`."""
        return any(b > B0_LIMIT_S_PER_MM2 for b in self.output.bvals or ())

    @functools.cached_property
    def is_diffusion_sequence(self) -> bool:
        """True when type, sequence or name say diffusion, whatever the b-values."""
        if "DIFFUSION" in self.image_type or self.has_sequence(
            _DIFFUSION_SEQUENCE.pattern
        ):
            return True
        if self.has_sequence(_NO_EPI.pattern) or "GR" in self.scanning:
            return False
        untold = not self.text("ScanningSequence") and self.output.volumes != 1
        if not (self.is_epi or "SE" in self.scanning or untold):
            return False
        # Philips hides the readout of diffusion behind SE: there, the name tells.
        return self.has_word(_DIFFUSION_WORDS) or (
            self.is_spin_echo
            and not self.sequence
            and self.has_word(r"(^|[^a-z])s?b[ _-]?\d{3,4}([^0-9]|$)")
        )

    @functools.cached_property
    def is_labelling(self) -> bool:
        """True for arterial spin labelling, M0 included."""
        fields = ("ArterialSpinLabelingType", "PASLType", "PCASLType")
        return (
            "ASL" in self.image_type
            or any(self.text(field) for field in fields)
            or self.has_sequence(
                r".*(^|_|3d|p|pc)asl(_|\d|$)|.*pcasl|tgse3d|.*tgse_asl"
            )
            or self.has_word(r"(^|[^a-z])(p|pc|v|e|3d|fair)?asl([^a-z]|$)|pcasl")
            or self.has_word(r"arterial.?spin|pulsed.?arterial")
        )

    @functools.cached_property
    def moment(self) -> float | None:
        """Time of acquisition in s since an arbitrary day; None when not given."""
        return read_moment(self.output)

    @functools.cached_property
    def direction(self) -> str | None:
        """Phase-encoding direction such as AP, from polarity and orientation."""
        axes = self.output.axis_codes or read_axes(
            self.output.sidecar.get("ImageOrientationPatientDICOM")
        )
        return read_direction(self.text("PhaseEncodingDirection"), axes)

    @property
    def named_direction(self) -> str | None:
        """Phase-encoding direction that the name claims; None without a claim."""
        philips = self.text("Manufacturer").startswith("Philips")
        return read_named_direction(self.name, philips=philips)


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
    name = f"{_part_words(description)} {_part_words(protocol)}".lower().strip()
    return Evidence(
        output=output,
        name=name,
        words=frozenset(part for part in _TOKEN_SPLIT.split(name) if part),
        sequence=tuple(_sequence_names(sidecar)),
        image_type=frozenset(_image_type(sidecar)),
    )


def _part_words(name: str) -> str:
    return _GLUED_WORDS.sub(" ", name)


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
        words = [str(part).upper() for part in listed if part]
        # dcm2niix takes values apart at their underscores, such as FLOW_ENCODED.
        parts += [*words, *("_".join(pair) for pair in pairwise(words))]
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
