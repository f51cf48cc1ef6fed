"""How a study takes drops in: how long it waits, how far it unpacks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from imaging_platform.model.config import Section


class IntakeSettings(Section):
    """Settings of the intake, ``intake:`` in ``study.yaml``."""

    quiet_s: float = Field(
        default=60.0,
        ge=0,
        description=(
            "Seconds without any change after which a drop counts as whole. A file "
            "named .complete in the drop, or <drop>.complete beside it, ends the "
            "wait at once. Longer than the longest pause of the slowest upload."
        ),
    )
    max_archive_members: int = Field(
        default=200_000,
        ge=1,
        description="Members that one archive may have; more are a sign of attack.",
    )
    max_archive_bytes: int = Field(
        default=200 << 30,
        ge=1,
        description="Bytes that one archive may unpack to; protects the disk.",
    )
    max_archive_ratio: float = Field(
        default=200.0,
        gt=1,
        description=(
            "Bytes unpacked for a byte of archive. Real images stay below 20; the "
            "first 16 MiB are free, so that small empty images pass."
        ),
    )
    min_free_bytes: int = Field(
        default=256 << 20,
        ge=0,
        description=(
            "Bytes that stay free on the disk of the identified zone. A drop that "
            "would leave less, also by what its archives unpack to, waits in the "
            "inbox."
        ),
    )
    max_depth: int = Field(
        default=16,
        ge=1,
        le=64,
        description="Nested sequences in one DICOM file; real ones stay below 8.",
    )
    max_elements: int = Field(
        default=4_000_000,
        ge=1,
        description="Elements and items in one DICOM file, at all depths.",
    )
    max_inflated_bytes: int = Field(
        default=256 << 20,
        ge=1,
        description="Bytes that a deflated DICOM file may inflate to.",
    )
    parallel_from_files: int = Field(
        default=1000,
        ge=1,
        description=(
            "Files in one arrival from which headers are read by several "
            "processes; below, one process of limited memory reads them all."
        ),
    )

    merge_within_hours: float = Field(
        default=0.0,
        ge=0,
        le=24,
        description=(
            "Studies of one subject and one scanner (serial number, else station) "
            "that began within so many hours are one session, also through a study "
            "between them; a scanner that is restarted begins a new study. 0: each "
            "study is a session of its own. Sessions that the site names stay apart."
        ),
    )


AeTitle = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,16}$")]
"""An application entity title (PS3.5 section 6.2, VR AE), without spaces."""


class ReceiveSettings(Section):
    """Receiving over the network, ``receive:`` in ``study.yaml``."""

    called_titles: tuple[AeTitle, ...] = Field(
        default=(),
        description=(
            "AE titles by which a scanner or archive sends to this study; each "
            "belongs to one study only. None: nothing is received."
        ),
    )
    calling_titles: tuple[AeTitle, ...] = Field(
        default=(),
        description="AE titles of those who may send; everybody else is refused.",
    )
    idle_s: float = Field(
        default=30.0,
        ge=0,
        description=(
            "Seconds after the last association of a sender after which what it "
            "sent is one drop. Longer than a scanner pauses between two series."
        ),
    )


class S3InboxSettings(Section):
    """A prefix of a bucket as a second inbox, ``s3_inbox:`` in ``study.yaml``."""

    bucket: str = Field(
        default="",
        description=(
            "Name of the bucket; empty: none. Access keys come from where boto3 "
            "finds them (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, a profile, a "
            "role) and may list, read and delete below the prefix."
        ),
    )
    prefix: str = Field(
        default="",
        description=(
            "Folder of the bucket whose entries are drops. They leave it when their "
            "copies are proved."
        ),
    )
    url: str = Field(
        default="", description="Address of the server; empty for Amazon S3."
    )
    region: str = Field(
        default="us-east-1", description="Region that requests are signed for."
    )
