"""
The facts of a session that decisions rest on, kept so that it can be decided again.

Conversion costs minutes, a decision milliseconds. So what dcm2niix said of each image
is kept beside what was made of it, and changed rules are asked about exactly this.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.metadata import KEPT_KEYS
from imaging_platform.bids.outputs import Output
from imaging_platform.bids.planned import Planned, outcome_digest, plan_session
from imaging_platform.bids.settings import DATASET_FIELDS, BidsSettings
from imaging_platform.bids.study_rules import (
    DICOM_PREFIX,
    IMAGE_FIELDS,
    effects_digest,
)
from imaging_platform.files.digests import digest_bytes, digest_json
from imaging_platform.model.ids import SessionKey

DECISION_KEYS = frozenset(
    {
        "AcquisitionDateTime",
        "BidsGuess",
        "DecayCorrection",
        "ImageComments",
        "MixingTime",
        "ModeOfAdministration",
        "NumberShots",
        "RawImage",
        "ReconFilterType",
        "ReconMethodParameterLabels",
        "SeriesInstanceUID",
        "StudyInstanceUID",
        "TaskName",
        "TracerName",
    }
)
"""Sidecar keys that decisions read and that a published sidecar need not have."""

STORED_KEYS = KEPT_KEYS | DECISION_KEYS
"""Sidecar keys that are kept of every image; those that a rule names come to them."""

_UNDECIDING = DATASET_FIELDS | {"convert_timeout_s"}


@dataclass(frozen=True)
class StoredImage:
    """
    What was made of one image.

    Parameters
    ----------
    base
        Path below the session's folder without extension; empty when left out.
    outcome
        As in the series report.
    digest
        `Planned.digest`.
    effects
        What the rules of the study did to it (`study_rules.effects_digest`).
    """

    base: str
    outcome: str
    digest: str
    effects: str


@dataclass(frozen=True)
class StoredSession:
    """
    Facts of one converted session.

    Parameters
    ----------
    outputs
        Its images in the order in which they are decided; of the sidecars only
        `STORED_KEYS` and what the rules of that time named.
    asked
        Fields beyond `STORED_KEYS` that the rules of that time named, sorted.
    made
        What was made of each image, in the same order.
    product
        Digest of all that decided but the study's rules (`product_digest`).
    lens, outcome
        Digests of all that decided (`lens_digest`) and of what it made.
    """

    outputs: tuple[Output, ...]
    asked: tuple[str, ...]
    made: tuple[StoredImage, ...]
    product: str
    lens: str
    outcome: str

    @property
    def version(self) -> str:
        """What stands for the decisions among the inputs of a converted session."""
        return f"{self.lens}.{self.outcome}"

    def missing_fields(self, settings: BidsSettings) -> tuple[str, ...]:
        """Return the fields that rules name and that were not kept, sorted."""
        return tuple(sorted(set(_asked(settings)) - set(self.asked)))

    def is_treated_alike(self, settings: BidsSettings) -> bool:
        """Tell whether rules do the same to each image; cheaper than deciding."""
        return product_digest(settings) == self.product and all(
            effects_digest(settings.rules, read_evidence(output)) == made.effects
            for output, made in zip(self.outputs, self.made, strict=True)
        )

    def decide_again(
        self, key: SessionKey, settings: BidsSettings
    ) -> tuple[Planned, ...]:
        """Return what these rules make of the session; nothing is converted."""
        return plan_session(self.outputs, key=key, settings=settings)

    def to_dict(self) -> dict[str, Any]:  # JSON
        """Return the facts as JSON holds them."""
        return {
            "outputs": [_dump_output(output) for output in self.outputs],
            "asked": list(self.asked),
            "made": [list(astuple(one)) for one in self.made],
            "product": self.product,
            "lens": self.lens,
            "outcome": self.outcome,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StoredSession:  # JSON
        """Return the facts that `to_dict` wrote."""
        return cls(
            outputs=tuple(map(_load_output, content["outputs"])),
            asked=tuple(content["asked"]),
            made=tuple(StoredImage(*one) for one in content["made"]),
            product=content["product"],
            lens=content["lens"],
            outcome=content["outcome"],
        )


def store_session(
    outputs: Sequence[Output], planned: Sequence[Planned], settings: BidsSettings
) -> StoredSession:
    """
    Return the facts of a session that was just decided.

    Parameters
    ----------
    outputs, planned
        Its images and what is written of them, in the same order.
    settings
        The rules that decided.
    """
    asked = _asked(settings)
    return StoredSession(
        outputs=tuple(_reduce(output, asked) for output in outputs),
        asked=asked,
        made=tuple(
            StoredImage(
                base=one.base,
                outcome=one.decision.outcome,
                digest=one.digest,
                effects=effects_digest(settings.rules, read_evidence(output)),
            )
            for output, one in zip(outputs, planned, strict=True)
        ),
        product=product_digest(settings),
        lens=lens_digest(settings),
        outcome=outcome_digest(planned),
    )


def rules_version(
    stored: StoredSession, key: SessionKey, settings: BidsSettings
) -> str:
    """
    Return the version of a session's decisions under the rules of now.

    It equals `StoredSession.version` exactly when these rules make the same of the
    session, whatever else changed in them. A field that was not kept makes another
    version: only a conversion can tell.

    Parameters
    ----------
    stored
        Facts of the session.
    key
        Its subject and session.
    settings
        The rules of now.
    """
    lens = lens_digest(settings)
    if lens == stored.lens:
        return stored.version
    if stored.missing_fields(settings):
        return f"{lens}.unknown"
    if stored.is_treated_alike(settings):
        return stored.version
    outcome = outcome_digest(stored.decide_again(key, settings))
    return stored.version if outcome == stored.outcome else f"{lens}.{outcome}"


@functools.lru_cache(maxsize=64)
def _dump_digest(dumped: str) -> str:
    return digest_json([dumped, _digest_code()])[:12]


def lens_digest(settings: BidsSettings) -> str:
    """
    Return 12 hex digits over all that decides: settings and the code of the rules.

    Equal digests decide alike. Different ones may, too: `rules_version` looks.
    """
    return _dump_digest(settings.model_dump_json(exclude={*_UNDECIDING}))


def product_digest(settings: BidsSettings) -> str:
    """Return 12 hex digits over all that decides but the rules of the study."""
    return lens_digest(settings.model_copy(update={"rules": ()}))


def stored_keys_digest() -> str:
    """Return 8 hex digits over `STORED_KEYS`: what was not kept cannot be judged."""
    return digest_json(sorted(STORED_KEYS))[:8]


@functools.cache
def _digest_code() -> str:
    """Return the digest of the source of this package; a comment counts, too."""
    folder = Path(__file__).parent
    return digest_json(
        {path.name: digest_bytes(path.read_bytes()) for path in folder.glob("*.py")}
    )


def _asked(settings: BidsSettings) -> tuple[str, ...]:
    named = {field for rule in settings.rules for field in rule.match}
    return tuple(sorted(named - STORED_KEYS - set(IMAGE_FIELDS)))


def _reduce(output: Output, asked: Sequence[str]) -> Output:
    kept = STORED_KEYS | set(asked)
    sidecar = {k: v for k, v in output.sidecar.items() if k in kept}
    fields = {k: v for k, v in output.fields.items() if f"{DICOM_PREFIX}{k}" in kept}
    return replace(output, sidecar=sidecar, fields=fields)


def _dump_output(output: Output) -> dict[str, Any]:  # JSON
    return {
        "stem": output.stem,
        "sidecar": dict(output.sidecar),
        "shape": output.shape,
        "zooms": output.zooms,
        "axis_codes": output.axis_codes,
        "bvals": output.bvals,
        "center_mm": output.center_mm,
        "fields": dict(output.fields),
    }


def _load_output(content: Mapping[str, Any]) -> Output:  # JSON
    bvals = content["bvals"]
    return Output(
        stem=content["stem"],
        sidecar=content["sidecar"],
        shape=tuple(content["shape"]),
        zooms=tuple(content["zooms"]),
        axis_codes=tuple(content["axis_codes"]),
        bvals=None if bvals is None else tuple(bvals),
        center_mm=tuple(content["center_mm"]),
        fields=content["fields"],
    )
