"""A function that de-identifies a folder as the pipeline does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from imaging_platform.deid.session import DeidReport, anonymize_session
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.model.ids import SessionKey
from tests.deid.originals import SECRET

KEY = SessionKey("AB12", "1")


@dataclass(frozen=True)
class Result:
    """A report and the folder that was written."""

    report: DeidReport
    target: Path

    @property
    def files(self) -> list[FileDataset]:
        """The written files, in order of their paths."""
        return [dcmread(path) for path in sorted(self.target.rglob("*.dcm"))]


Anonymize = Callable[..., Result]


@pytest.fixture
def anonymize(tmp_path_factory: pytest.TempPathFactory) -> Anonymize:
    def run(
        source: Path,
        *,
        settings: DeidSettings | None = None,
        secret: bytes = SECRET,
        key: SessionKey = KEY,
        jobs: int = 1,
    ) -> Result:
        target = tmp_path_factory.mktemp("deid") / "target"
        target.mkdir()
        report = anonymize_session(
            source,
            target,
            key=key,
            settings=settings or DeidSettings(),
            secret=secret,
            jobs=jobs,
        )
        return Result(report, target)

    return run
