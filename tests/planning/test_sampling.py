"""Which sessions stand for all that are stale."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.planning.cells import Cell, State
from imaging_platform.planning.reasons import Reason
from imaging_platform.planning.sampling import choose_sample

cells = st.builds(
    lambda asset, n, kind: Cell(
        asset, f"sub-{n}_ses-1", State.STALE, (Reason(kind, kind),)
    ),
    st.sampled_from(["motion", "brain_mask"]),
    st.integers(0, 40),
    st.sampled_from(["code", "rules", "tool"]),
)


@given(found=st.lists(cells), n=st.integers(1, 10), data=st.data())
def test_a_sample_does_not_depend_on_the_order_of_the_plan(found, n, data):
    shuffled = data.draw(st.permutations(found))

    sample = choose_sample(found, n)

    assert choose_sample(shuffled, n) == sample
    assert len(sample) == min(n, len({cell.partition for cell in found}))


@given(found=st.lists(cells, min_size=1))
def test_a_sample_as_large_as_there_are_kinds_of_reason_has_one_of_each(found):
    kinds = {(cell.asset, cell.reasons[0].kind) for cell in found}

    sample = choose_sample(found, len(kinds))

    chosen = [cell for cell in found if cell.partition in sample]
    assert {(cell.asset, cell.reasons[0].kind) for cell in chosen} == kinds


def test_what_spans_all_sessions_is_no_session():
    cell = Cell("catalog", "", State.STALE, (Reason("code", "code"),))

    assert choose_sample([cell], 3) == []
