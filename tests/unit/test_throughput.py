"""What trials cost beside their training, and how many of them fit into an hour."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.rules.throughput import Edit, Startups, Trained, costs, paces, spread


def trained(outside: float, edit: Edit = Edit.CONSTANTS, train: float = 20.5) -> Trained:
    phases = {"startup": outside / 2, "train": train}
    return Trained(edit, outside + train - 0.5, phases, budget=20.0)


def test_the_overrun_of_the_last_step_is_no_training_of_the_budget() -> None:
    assert trained(8.0).outside == pytest.approx(8.0)
    told_in_steps = Trained(Edit.CODE, 30.0, {"train": 22.0}, None)
    assert told_in_steps.outside == 8.0
    cut_short = Trained(Edit.CODE, 30.0, {"train": 19.0}, 20.0)
    assert cut_short.outside == 11.0


def test_each_kind_of_edit_is_told_apart() -> None:
    found = costs([trained(4.0), trained(6.0), trained(30.0, Edit.CODE)])
    assert [(each.edit, each.trials) for each in found] == [
        (None, 3),
        (Edit.CONSTANTS, 2),
        (Edit.CODE, 1),
    ]
    assert found[1].outside.median == pytest.approx(5.0)
    assert found[2].outside.median == pytest.approx(30.0)
    assert found[2].outside.low == found[2].outside.high == found[2].outside.median
    assert found[2].phases["startup"].median == 15.0


def test_at_five_minutes_what_is_outside_of_the_budget_stays_as_it_was_measured() -> None:
    everything, constants, code = paces(
        costs([trained(0.0), trained(0.0, Edit.CODE), trained(60.0, Edit.CODE)]), 300.0
    )
    assert constants.per_hour.median == pytest.approx(12.0)  # the limit
    assert code.per_hour.median == pytest.approx(3600 / 330)
    assert code.per_hour.low < code.per_hour.median < code.per_hour.high
    assert everything.trials == 3


def test_where_all_trials_began_alike_no_start_ups_are_told_apart() -> None:
    cold, warm = trained(8.0), replace(trained(2.0), warm=True)
    for some in ([cold, cold], [warm, warm]):
        (everything, _) = costs(some)
        assert (everything.warm, everything.cold) == (None, None)
    (everything, _) = costs([cold, warm, warm])
    assert everything.warm == Startups(2, spread([1.0, 1.0]))
    assert everything.cold == Startups(1, spread([4.0]))


def test_without_trials_there_are_no_figures() -> None:
    assert costs([]) == []
    assert paces([], 300.0) == []


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_median_lies_between_the_quartiles(values: list[float]) -> None:
    found = spread(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
