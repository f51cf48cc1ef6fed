"""Images that are no MR: PET by its modality, and what BIDS cannot name."""

from __future__ import annotations

import pytest

from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.tomography import REQUIRED_OF_PET
from tests.bids.sidecars import decide, output

PET = {"Modality": "PT", "TracerName": "[18F]FDG"}
COMPLETE = dict.fromkeys(REQUIRED_OF_PET, "x") | {
    "ReconMethodParameterLabels": ["none"],
    "ReconFilterType": "none",
}


def supplied(**metadata: object) -> BidsSettings:
    """Return a study that says of its PET all that the standard requires."""
    rule = {"match": {"Modality": "PT"}, "metadata": COMPLETE | metadata}
    return BidsSettings.model_validate({"rules": [rule]})


def test_pet_names_what_only_the_study_can_say_of_it():
    decision = decide(output("brain", PET, volumes=20))[0]

    assert (decision.outcome, decision.suffix) == ("incomplete", "pet")
    assert "InjectedRadioactivity" in decision.why


def test_pet_with_all_that_is_required_is_named_with_its_tracer():
    decision = decide(output("brain", PET, volumes=20), settings=supplied())[0]

    assert decision.is_converted
    assert decision.name("x") == "x_trc-18FFDG_pet"


def test_filters_and_infusions_need_more():
    settings = supplied(ModeOfAdministration="bolus-infusion", ReconFilterType="g")

    why = decide(output("brain", PET), settings=settings)[0].why

    assert "InfusionSpeed" in why
    assert "ReconFilterSize" in why


def test_the_uncorrected_copy_of_pet_is_told_apart():
    decisions = decide(
        output("brain", PET, number=1),
        output("brain NAC", PET, number=2),
        settings=supplied(),
    )

    assert [d.entities.get("rec") for d in decisions] == [None, "nac"]


@pytest.mark.parametrize("modality", ["CT", "US", "NM", "CR", "SEG"])
def test_other_modalities_are_kept_beside_and_say_why(modality):
    decision = decide(output("head", {"Modality": modality}))[0]

    assert decision.outcome == "unknown"
    assert "BIDS" in decision.why


def test_a_study_rule_may_exclude_what_bids_cannot_name():
    rule = {"match": {"Modality": "CT"}, "exclude": "Attenuation map only."}
    settings = BidsSettings.model_validate({"rules": [rule]})

    decision = decide(output("head", {"Modality": "CT"}), settings=settings)[0]

    assert decision.why == "Attenuation map only."
