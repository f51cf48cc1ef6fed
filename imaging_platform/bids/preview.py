"""What rules would do to sessions that are converted, before they take effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imaging_platform.bids.planned import Planned
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.stored import StoredImage, StoredSession
from imaging_platform.model.ids import SessionKey


@dataclass(frozen=True)
class PreviewedImage:
    """
    One image under other rules.

    Parameters
    ----------
    series_number, description
        As the scanner named its series, de-identified.
    before, after
        Path below the session's folder without extension, or the outcome when it
        has no place there.
    why
        The reason under the other rules.
    warnings
        Contradictions under the other rules, such as a run that is taken.
    is_changed
        True when name, sidecar, outcome or the reason of an exclusion differ.
    """

    series_number: int
    description: str
    before: str
    after: str
    why: str
    warnings: tuple[str, ...]
    is_changed: bool


@dataclass(frozen=True)
class PreviewedSession:
    """
    One session under other rules.

    Parameters
    ----------
    session
        Session key.
    images
        Its images, in order of time; empty when `unknown_fields` is not.
    unknown_fields
        Fields that the rules name and that were not kept: a conversion must tell.
    is_changed
        True when converting again would make something else; also when unknown.
    """

    session: str
    images: tuple[PreviewedImage, ...]
    unknown_fields: tuple[str, ...]
    is_changed: bool

    @property
    def changed_images(self) -> tuple[PreviewedImage, ...]:
        """The images whose name, sidecar or outcome differ."""
        return tuple(image for image in self.images if image.is_changed)


def preview_session(
    stored: StoredSession, key: SessionKey, settings: BidsSettings
) -> PreviewedSession:
    """
    Return what rules make of a converted session; nothing is converted.

    Parameters
    ----------
    stored
        The facts that were kept of it.
    key
        Its subject and session.
    settings
        The rules to try.
    """
    unknown = stored.missing_fields(settings)
    if unknown:
        return PreviewedSession(str(key), (), unknown, True)
    planned = stored.decide_again(key, settings)
    images = tuple(
        _preview_image(output.sidecar, made, one)
        for output, made, one in zip(stored.outputs, stored.made, planned, strict=True)
    )
    return PreviewedSession(str(key), images, (), any(i.is_changed for i in images))


def describe_changes(preview: PreviewedSession) -> str:
    """Return in one line what rules change in a session, naming the first image."""
    if preview.unknown_fields:
        listed = ", ".join(preview.unknown_fields)
        return f"rules: {listed} must be read from the images"
    changed = preview.changed_images
    if not changed:
        return "rules: the same is decided"
    first = changed[0]
    what = "image is" if len(changed) == 1 else "images are"
    told = f"{first.before} becomes {first.after}"
    if first.before == first.after:
        told = f"the sidecar or the reason of {first.before} differs"
    return (
        f"rules: {len(changed)} {what} decided differently, first series "
        f"{first.series_number}: {told} ({first.why})"
    )


def _preview_image(
    sidecar: Mapping[str, object], made: StoredImage, planned: Planned
) -> PreviewedImage:
    decision = planned.decision
    number = sidecar.get("SeriesNumber")
    return PreviewedImage(
        series_number=number if isinstance(number, int) else 0,
        description=str(sidecar.get("SeriesDescription") or ""),
        before=made.base or made.outcome,
        after=planned.base or decision.outcome,
        why=decision.why,
        warnings=decision.warnings,
        is_changed=made.digest != planned.digest,
    )
