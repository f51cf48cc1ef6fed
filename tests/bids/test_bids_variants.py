"""Scans that were acquired in another way are found, and only those."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imaging_platform.bids.acquisition import (
    Scan,
    describe_tilt,
    name_kind,
    read_parameters,
    read_scans,
)
from imaging_platform.bids.outputs import sort_key
from imaging_platform.bids.planned import plan_session
from imaging_platform.bids.protocol import PARAMETERS, ProtocolSettings
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.stored import store_session
from imaging_platform.bids.variant_tables import compare_sessions
from imaging_platform.bids.variants import (
    cluster_values,
    find_deviations,
    find_variants,
    is_equal,
)
from imaging_platform.model.ids import SessionKey
from tests.bids.sidecars import BOLD, MPRAGE, output

KIND = "func/task-rest_bold"
NONE = ProtocolSettings()


def scan(session: str, kind: str = KIND, **values: object) -> Scan:
    plain = read_parameters(output("x", BOLD, volumes=9))
    return Scan(session, kind, f"{kind}-{session}", {**plain, **values})


def deviations(scans: list[Scan], protocol: ProtocolSettings = NONE):
    sessions = sorted({one.session for one in scans})
    variants = find_variants(scans, protocol)
    return find_deviations(sessions, scans, variants, protocol)


def expecting(**series: object) -> ProtocolSettings:
    return ProtocolSettings.model_validate({"series": [{"scan": KIND, **series}]})


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        ("EchoTime", 0.035, "0.035 s"),
        ("RepetitionTime", 2.2, "2.2 s"),
        ("FlipAngle", 70.0, "70 degrees"),
        ("VoxelSize", (3.0, 3.0, 3.3), "3 x 3 x 3.3 mm"),
        ("Matrix", (64.0, 64.0, 31.0), "64 x 64 x 31 voxels"),
        ("Volumes", 8, "8 volumes"),
        ("PhaseEncodingDirection", "j", "j"),
        ("SliceTiming", True, "given"),
        ("Obliquity", "oblique", "oblique"),
        ("TotalReadoutTime", None, "not given"),
    ],
)
def test_a_planted_deviation_is_found_and_nothing_else(parameter, value, said):
    scans = [scan(f"s{n}") for n in range(5)] + [scan("odd", **{parameter: value})]

    (found,) = deviations(scans)

    assert (found.session, found.parameter, found.found) == ("odd", parameter, said)
    assert found.against == "majority"


@pytest.mark.parametrize(
    ("parameter", "step"),
    [("EchoTime", 0.0004), ("RepetitionTime", 0.004), ("LargestB", 20.0)],
)
def test_a_difference_within_the_tolerance_is_none(parameter, step):
    scans = [scan(f"s{n}", **{parameter: 1.0}) for n in range(3)]
    scans.append(scan("near", **{parameter: 1.0 + step}))

    assert deviations(scans) == ()
    assert len(find_variants(scans, NONE)) == 1


def test_small_steps_do_not_chain_to_a_large_one():
    values = [1.0, 1.0, 1.0, 1.004, 1.004, 1.008]
    scans = [scan(f"s{n}", RepetitionTime=v) for n, v in enumerate(values)]

    assert [d.session for d in deviations(scans)] == ["s5"]


def test_without_a_majority_no_session_deviates():
    scans = [scan("a", EchoTime=0.03), scan("b", EchoTime=0.04)]

    variants = find_variants(scans, NONE)

    assert [v.is_dominant for v in variants] == [False, False]
    assert deviations(scans) == ()


def test_a_tolerance_of_the_study_counts():
    wide = ProtocolSettings.model_validate({"tolerances": {"EchoTime": 0.01}})
    scans = [scan("a"), scan("b"), scan("c", EchoTime=0.035)]

    assert len(deviations(scans)) == 1
    assert deviations(scans, wide) == ()


def test_what_the_protocol_gives_is_judged_by_it_and_not_by_the_majority():
    protocol = expecting(parameters={"EchoTime": 0.03})
    scans = [scan("a", EchoTime=0.04), scan("b", EchoTime=0.04), scan("c")]

    found = deviations(scans, protocol)

    assert [(d.session, d.against, d.expected) for d in found] == [
        ("a", "protocol", "0.03 s"),
        ("b", "protocol", "0.03 s"),
    ]


@pytest.mark.parametrize(
    ("series", "counts", "told"),
    [
        ({}, {"a": 1, "b": 0}, [("b", "at least 1", "0")]),
        ({"min": 2, "max": 2}, {"a": 2, "b": 3}, [("b", "2", "3")]),
        ({"min": 0, "max": 1}, {"a": 0, "b": 2}, [("b", "0 to 1", "2")]),
        ({"min": 0}, {"a": 0, "b": 7}, []),
    ],
)
def test_missing_and_repeated_series_are_told(series, counts, told):
    scans = [scan(key) for key, n in counts.items() for _ in range(n)]
    variants = find_variants(scans, NONE)

    found = find_deviations(list(counts), scans, variants, expecting(**series))

    assert [(d.session, d.expected, d.found) for d in found] == told
    assert all(d.parameter == "count" for d in found)


@pytest.mark.parametrize(
    ("wanted", "values", "is_right"),
    [
        ({"Volumes": {"min": 9}}, {}, True),
        ({"Volumes": {"min": 10}}, {}, False),
        ({"Volumes": {"max": 8}}, {}, False),
        ({"VoxelSize": [3, 3, 3]}, {}, True),
        ({"VoxelSize": [3, 3]}, {}, False),
        ({"PhaseEncodingDirection": "j-"}, {}, True),
        ({"SliceTiming": True}, {}, False),
        ({"RepetitionTime": 2}, {}, True),
        ({"RepetitionTime": {"min": 1, "max": 3}}, {"RepetitionTime": None}, False),
    ],
)
def test_a_parameter_of_the_protocol_is_a_value_a_list_or_bounds(
    wanted, values, is_right
):
    found = deviations([scan("a", **values)], expecting(parameters=wanted))

    assert (found == ()) == is_right


@pytest.mark.parametrize(
    "series",
    [
        {"scan": "bold"},
        {"scan": KIND, "parameters": {"EchoTyme": 1}},
        {"scan": KIND, "parameters": {"EchoTime": {}}},
        {"scan": KIND, "parameters": {"EchoTime": {"min": 2, "max": 1}}},
        {"scan": KIND, "min": 2, "max": 1},
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused(series):
    with pytest.raises(ValidationError):
        ProtocolSettings.model_validate({"series": [series]})


def test_an_unknown_parameter_is_told_with_the_nearest_known():
    with pytest.raises(ValidationError, match="did you mean EchoTime"):
        ProtocolSettings.model_validate({"tolerances": {"EchoTyme": 1}})


SCANS = st.lists(
    st.tuples(st.sampled_from([0.03, 0.0304, 0.031, None]), st.integers(8, 9)),
    min_size=1,
    max_size=8,
)


@given(values=SCANS, data=st.data())
def test_neither_order_nor_names_of_sessions_matter(values, data):
    scans = [scan(f"s{n}", EchoTime=te, Volumes=v) for n, (te, v) in enumerate(values)]
    shuffled = data.draw(st.permutations(scans))
    renamed = [replace(one, session=f"t{9 - n}") for n, one in enumerate(scans)]

    plain, other = find_variants(scans, NONE), find_variants(shuffled, NONE)
    named = find_variants(renamed, NONE)

    assert plain == other
    assert [(v.values, len(v.scans)) for v in plain] == [
        (v.values, len(v.scans)) for v in named
    ]
    assert sum(len(v.scans) for v in plain) == len(scans)


@given(
    values=st.lists(st.floats(0, 10) | st.none(), max_size=12),
    tolerance=st.floats(0, 1),
)
def test_each_value_lies_within_the_tolerance_of_what_stands_for_it(values, tolerance):
    stands = cluster_values(values, tolerance)

    assert len(stands) == len(set(map(str, values)))
    for text, anchor in stands.items():
        value = None if text == "null" else float(text)
        assert is_equal(value, anchor, tolerance)
        assert anchor in values


@pytest.mark.parametrize(
    ("orientation", "tilt"),
    [
        ([1, 0, 0, 0, 1, 0], "straight"),
        ([0, 1, 0, 0, 0, -1], "straight"),
        ([1, 0, 0, 0, 0.98, -0.2], "oblique"),
        ([0.999, 0.0447, 0, -0.0447, 0.999, 0], "oblique"),
        (None, None),
        ([1, 0, 0], None),
        ([1, 0, 0, 0, 1, "x"], None),
    ],
)
def test_slices_are_straight_or_oblique(orientation, tilt):
    assert describe_tilt(orientation) == tilt


def test_every_parameter_is_read_from_an_image():
    image = output("x", BOLD, volumes=9, bvals=(0.0, 1000.0), SliceTiming=[0.0])

    found = read_parameters(image)

    assert set(found) == set(PARAMETERS)
    assert found["VoxelSize"] == (3.0, 3.0, 3.0)
    assert found["Matrix"] == (64.0, 64.0, 30.0)
    assert (found["Volumes"], found["SliceTiming"]) == (9, True)
    assert (found["LargestB"], found["EchoTime"]) == (1000.0, 0.03)


def test_runs_of_a_series_are_one_kind():
    assert name_kind("anat/sub-1_ses-1_T1w") == "anat/T1w"
    assert name_kind("func/sub-1_ses-1_task-a_run-2_bold") == "func/task-a_bold"


def test_rows_of_the_catalog_say_variants_and_deviations_in_words():
    def session(label: str, echo_time: float):
        images = sorted(
            [
                output("t1", MPRAGE, number=1),
                output("rest", BOLD | {"EchoTime": echo_time}, volumes=9, number=2),
                output("odd", {"ImageType": ["ORIGINAL"]}, number=3),
            ],
            key=sort_key,
        )
        key, settings = SessionKey(label, "1"), BidsSettings()
        planned = plan_session(images, key=key, settings=settings)
        return str(key), store_session(images, planned, settings)

    sessions = [session("1", 0.03), session("2", 0.04), session("3", 0.03)]

    variants, found = compare_sessions(iter(sessions), NONE)

    assert [(v.scan, v.variant, v.n_sessions, v.differs) for v in variants] == [
        ("anat/T1w", 1, 3, ""),
        (KIND, 1, 2, ""),
        (KIND, 2, 1, "EchoTime 0.04 s instead of 0.03 s"),
    ]
    assert [(d.session_key, d.file, d.expected, d.found) for d in found] == [
        ("sub-2_ses-1", "func/sub-2_ses-1_task-rest_bold", "0.03 s", "0.04 s")
    ]
    assert len(read_scans(*sessions[0])) == 2
