"""What holds for the BIDS dataset of a study that settles nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from imaging_platform.bids.settings import BidsSettings, ReleaseNote, StudyRule


@dataclass(frozen=True)
class BidsDefaults:
    """
    The default of each setting of `bids.settings.BidsSettings`, which describes them.

    They are plain values: what checks a study file takes as long to load as a small
    session to convert, and a session without a study file needs none of it.
    """

    rules: tuple[StudyRule, ...] = ()
    bids_version: str = "1.11.1"
    dataset_name: str = ""
    description: str = ""
    authors: tuple[str, ...] = ()
    license: str = ""
    acknowledgements: str = ""
    funding: tuple[str, ...] = ()
    ethics_approvals: tuple[str, ...] = ()
    releases: tuple[ReleaseNote, ...] = ()
    default_task: str = "unnamed"
    scanner_maps: Literal["keep", "exclude"] = "keep"
    maximum_fieldmap_gap_s: float = 5400.0
    convert_timeout_s: float = 3600.0


DEFAULTS = BidsDefaults()

Conventions: TypeAlias = "BidsSettings | BidsDefaults"
"""How sessions become a BIDS dataset: as a study says, or by default."""
