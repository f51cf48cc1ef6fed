from __future__ import annotations

import pytest
from pydantic import ValidationError

from imaging_platform.intake.settings import IntakeSettings


def test_every_setting_has_a_default_and_says_what_it_is():
    settings = IntakeSettings()

    assert settings.quiet_s == 60
    assert all(field.description for field in IntakeSettings.model_fields.values())


@pytest.mark.parametrize(
    "wrong", [{"quiet_s": -1}, {"max_depth": 0}, {"quiet_seconds": 5}]
)
def test_a_setting_out_of_range_or_unknown_is_refused(wrong: dict[str, float]):
    with pytest.raises(ValidationError):
        IntakeSettings.model_validate(wrong)
