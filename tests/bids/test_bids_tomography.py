"""Images that are no MR: PET by its modality, and what BIDS cannot name."""

from __future__ import annotations

import pytest

from imaging_platform.bids.settings import BidsSettings
from tests.bids.sidecars import decide, output

PET = {"Modality": "PT", "TracerName": "[18F]FDG"}


def test_pet_is_told_by_its_modality_and_named_with_its_tracer():
    decision = decide(output("brain", PET, volumes=20))[0]

    assert (decision.datatype, decision.suffix) == ("pet", "pet")
    assert decision.entities == {"trc": "18FFDG"}


def test_a_tracer_tells_pet_where_a_sidecar_has_no_modality():
    decision = decide(output("brain", PET | {"Modality": ""}))[0]

    assert decision.suffix == "pet"


def test_the_uncorrected_copy_of_pet_is_told_apart():
    decisions = decide(
        output("brain", PET, number=1), output("brain NAC", PET, number=2)
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

    assert decision.outcome == "excluded"
    assert decision.why.startswith("Attenuation map only.")
