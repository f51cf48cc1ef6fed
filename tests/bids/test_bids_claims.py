"""How sure a decision is: independent sources that agree, or one, or a quarrel."""

from __future__ import annotations

from tests.bids.sidecars import BOLD, DWI, MPRAGE, decide, output

WEIGHTED = (0.0,) + (1000.0,) * 20


def test_physics_that_the_name_confirms_are_certain():
    assert decide(output("t1_mprage_sag", MPRAGE))[0].confidence == "high"


def test_physics_alone_are_likely():
    assert decide(output("x17", MPRAGE))[0].confidence == "medium"


def test_a_name_that_claims_something_else_makes_a_decision_doubtful():
    decision = decide(output("t2_tse_tra", MPRAGE))[0]

    assert (decision.suffix, decision.confidence) == ("T1w", "low")
    assert "T2w" in decision.why


def test_a_name_alone_is_doubtful():
    facts = {"ScanningSequence": "RM", "EchoTime": 0.02, "RepetitionTime": 0.5}

    decision = decide(output("PD weighted", facts))[0]

    assert (decision.suffix, decision.confidence) == ("PDw", "low")


def test_b_values_are_certain_without_a_name():
    one = output("x17", DWI, volumes=21, bvals=WEIGHTED)

    assert decide(one)[0].confidence == "high"


def test_diffusion_is_certain_only_with_its_b_values():
    one = output("dwi", DWI, volumes=21)

    assert decide(one)[0].confidence == "medium"


def test_a_run_is_certain_only_after_its_volumes_are_counted():
    counted = output("rest bold", BOLD, volumes=50)
    whole = decide(counted)[0]
    unseen = decide(type(counted)(counted.stem, counted.sidecar))[0]

    assert (whole.confidence, unseen.confidence) == ("high", "medium")


def test_a_convention_in_the_name_against_the_physics_is_not_certain():
    decision = decide(output("anat-T2w", MPRAGE))[0]

    assert (decision.suffix, decision.confidence) == ("T2w", "medium")


def test_a_convention_that_leaves_the_suffix_open_confirms_none():
    uniform = MPRAGE | {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "UNI"]}
    decision = decide(output("anat-mp2rage_run-01", uniform))[0]

    assert (decision.suffix, decision.confidence) == ("UNIT1", "medium")
