import dagster as dg
import pytest

from imaging_platform.definitions import define_study
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import PIPELINES
from imaging_platform.settings import Study, parse_study


def code_versions(study: Study) -> dict[str, str | None]:
    """Code version of each asset of a study by its name."""
    assets = define_study(study).assets or ()
    found = [a for a in assets if isinstance(a, dg.AssetsDefinition)]
    return {s.key.path[-1]: s.code_version for asset in found for s in asset.specs}


def test_a_study_makes_every_derivative_unless_it_says_otherwise():
    study = parse_study({"name": "s"})

    assert study.pipelines == tuple(PIPELINES)
    assert set(PIPELINES) <= set(code_versions(study))


def test_a_derivative_that_is_off_is_no_asset_and_leaves_the_others_as_they_are():
    whole = code_versions(parse_study({"name": "s"}))
    part = code_versions(
        parse_study({"name": "s", "derivatives": {"skip": ["diffusion_maps"]}})
    )

    assert part == {n: v for n, v in whole.items() if n != "diffusion_maps"}


def test_an_unknown_derivative_is_refused_and_the_nearest_is_named():
    with pytest.raises(BadConfig, match="did you mean tissues"):
        parse_study({"name": "s", "derivatives": {"skip": ["tissue"]}})


def test_what_another_derivative_needs_cannot_be_off_alone():
    with pytest.raises(BadConfig, match="temporal_snr is made from motion"):
        parse_study({"name": "s", "derivatives": {"skip": ["motion"]}})


def test_each_derivative_is_made_from_what_stands_before_it():
    known = {"bids_session"}
    for name, needed in PIPELINES.items():
        assert set(needed) <= known
        known.add(name)
