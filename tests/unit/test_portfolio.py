"""How requests are shared among arms, given what each arm did."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import portfolio
from agent.briefing import ArmRecord

NAMES = ("tuner", "model-a", "model-b")

names = st.sampled_from(NAMES)
things = st.one_of(
    st.tuples(st.just("called"), names, st.none() | st.floats(0, 5), st.booleans()),
    st.tuples(st.just("refused"), names, st.integers(1, 4)),
    st.tuples(st.just("added"), names, st.integers(1, 4)),
    st.tuples(st.just("decided"), names, st.floats(-1, 1), st.booleans()),
)
histories = st.lists(things, max_size=60)


def after(
    history: list[tuple[object, ...]], records: Mapping[str, ArmRecord] | None = None
) -> Mapping[str, ArmRecord]:
    """The records once all of it has happened."""
    records = records or {}
    for thing in history:
        match thing:
            case ("called", str(arm), None | float() as dollars, bool(failed)):
                records = portfolio.called(records, arm, tokens=10, dollars=dollars, failed=failed)
            case ("refused", str(arm), int(count)):
                records = portfolio.refused(records, arm, count)
            case ("added", str(arm), int(count)):
                records = portfolio.added(records, arm, count)
            case ("decided", str(arm), float(gain), bool(kept)):
                records = portfolio.decided(records, arm, gain=gain, kept=kept)
    return records


def trials(
    records: Mapping[str, ArmRecord], arm: str, gains: list[float]
) -> Mapping[str, ArmRecord]:
    """The records after experiments of an arm; those with a gain of 0 are discarded."""
    for gain in gains:
        records = portfolio.decided(records, arm, gain=gain, kept=gain > 0)
    return records


@given(histories, st.floats(0, 0.5), st.floats(0.01, 10), st.sets(names, min_size=1))
def test_shares_sum_to_one_and_none_is_below_the_floor(
    history: list[tuple[object, ...]], floor: float, dollars: float, arms: set[str]
) -> None:
    shares = portfolio.shares(after(history), sorted(arms), floor=floor, trial_dollars=dollars)
    assert shares.keys() == arms
    assert math.fsum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) >= min(floor, 1 / len(arms)) - 1e-12


@given(histories, st.permutations(NAMES), st.integers(0, 2**32))
def test_the_order_in_which_arms_are_named_decides_nothing(
    history: list[tuple[object, ...]], order: list[str], seed: int
) -> None:
    records = after(history)
    turned = {name: records[name] for name in order if name in records}
    assert portfolio.shares(records, NAMES) == portfolio.shares(turned, order)
    assert portfolio.choose(records, NAMES, seed) == portfolio.choose(turned, order, seed)


@given(histories, histories)
def test_records_that_were_stored_and_read_go_on_as_if_nothing_had_happened(
    before: list[tuple[object, ...]], later: list[tuple[object, ...]]
) -> None:
    kept = after(before)
    text = json.dumps({name: asdict(record) for name, record in kept.items()})
    read = {name: ArmRecord(**fields) for name, fields in json.loads(text).items()}
    assert after(later, read) == after(later, kept) == after([*before, *later])


@given(histories)
def test_what_does_not_fade_is_a_plain_count(history: list[tuple[object, ...]]) -> None:
    records = after(history)
    decided = Counter(thing[1] for thing in history if thing[0] == "decided")
    for name, record in records.items():
        assert record.decided == decided[name]
        assert record.kept <= record.decided
        assert record.proposals == record.refused + record.experiments
        assert 0 <= record.won <= record.kept


def test_without_any_win_all_arms_are_alike() -> None:
    records = trials({}, "tuner", [0.0] * 20)
    assert portfolio.shares(records, ["tuner", "new"]) == {"new": 0.5, "tuner": 0.5}


def test_an_arm_that_wins_more_for_the_same_trials_gets_more() -> None:
    records = trials({}, "good", [0.0, 0.004, 0.0, 0.0, 0.003] * 4)
    records = trials(records, "poor", [0.0, 0.0, 0.0, 0.0, 0.001] * 4)
    shares = portfolio.shares(records, ["good", "poor"])
    assert shares["good"] > 2 * shares["poor"]


def test_of_two_arms_that_win_alike_the_cheaper_gets_more() -> None:
    records: Mapping[str, ArmRecord] = {}
    for _ in range(10):
        for arm, price in (("cheap", 0.01), ("dear", 0.5)):
            records = portfolio.called(records, arm, tokens=1, dollars=price)
            records = trials(records, arm, [0.002])
    cheap, dear = portfolio.shares(records, ["cheap", "dear"]).values()
    assert cheap > 2 * dear


def test_the_dearer_a_trial_the_less_the_price_of_a_call_matters() -> None:
    paid = portfolio.called({}, "dear", tokens=1, dollars=1.0)
    records = trials(paid, "dear", [0.002])
    records = trials(records, "tuner", [0.002])
    low, high = (
        portfolio.shares(records, ["dear", "tuner"], trial_dollars=price)["dear"]
        for price in (0.1, 10.0)
    )
    assert low < high


def test_an_unknown_price_counts_by_its_trials_and_is_never_shown_as_a_sum() -> None:
    records = portfolio.called({}, "local", tokens=900, dollars=None)
    records = portfolio.called(records, "local", tokens=900, dollars=0.2)
    assert records["local"].dollars is None
    assert (records["local"].tokens, records["local"].spent) == (1800, 0.2)


def test_an_untried_arm_is_tried() -> None:
    records = trials({}, "tuner", [0.0, 0.003] * 10)
    assert portfolio.shares(records, ["tuner", "new"])["new"] > 0.3


def test_one_lucky_leap_does_not_outweigh_many_later_wins() -> None:
    records = trials({}, "lucky", [0.05])
    for _ in range(12):
        records = trials(records, "lucky", [0.0] * 5)
        records = trials(records, "steady", [0.0, 0.0, 0.002, 0.0, 0.0])
    assert records["lucky"].gain > records["steady"].gain  # by the sum it still leads
    shares = portfolio.shares(records, ["lucky", "steady"])
    assert shares["steady"] > shares["lucky"]


def test_an_arm_that_ran_dry_makes_room() -> None:
    records = trials({}, "dry", [0.01] * 10)
    records = trials(records, "other", [0.0] * 10)
    early = portfolio.shares(records, ["dry", "other"])["dry"]
    for _ in range(60):
        records = trials(records, "dry", [0.0] * 4)
        records = trials(records, "other", [0.0, 0.0, 0.001])
    assert portfolio.shares(records, ["dry", "other"])["dry"] < 0.5 < early


def test_the_longer_nobody_wins_the_more_alike_the_shares() -> None:
    records = trials({}, "a", [0.01, 0.0] * 10)
    records = trials(records, "b", [0.0] * 20)
    before = portfolio.shares(records, ["a", "b"])["a"]
    for _ in range(400):
        records = trials(trials(records, "a", [0.0]), "b", [0.0])
    assert 0.5 <= portfolio.shares(records, ["a", "b"])["a"] < 0.55 < before


def test_wins_that_have_faded_to_almost_nothing_are_none() -> None:
    records = {"a": ArmRecord("a", gain=1e-310, won=1e-309, tried=50.0)}
    assert portfolio.shares(records, ["a", "b"]) == {"a": 0.5, "b": 0.5}


def test_a_model_whose_proposals_never_pass_the_checks_loses_its_share() -> None:
    records = trials({}, "tuner", [0.0, 0.003] * 10)
    before = portfolio.shares(records, ["tuner", "broken"])["broken"]
    for _ in range(100):
        records = portfolio.refused(records, "broken", 4)
    assert portfolio.shares(records, ["tuner", "broken"])["broken"] < before / 2


def test_a_gain_counts_only_where_it_was_kept() -> None:
    records = portfolio.decided({}, "tuner", gain=0.5, kept=False)
    assert (records["tuner"].gain, records["tuner"].best_gain, records["tuner"].won) == (0, 0, 0)


def test_every_decided_experiment_fades_what_all_arms_did_before() -> None:
    records = trials({}, "a", [0.01])
    records = trials(records, "b", [0.0] * round(portfolio.HALF_LIFE))
    assert records["a"].gain == pytest.approx(0.005)
    assert (records["a"].best_gain, records["a"].decided) == (0.01, 1)


def test_weights_tip_the_shares() -> None:
    shares = portfolio.shares({}, ["a", "b"], floor=0.0, weights={"a": 3.0})
    assert shares == {"a": 0.75, "b": 0.25}


def test_choices_follow_the_shares() -> None:
    records = trials({}, "good", [0.0, 0.004] * 10)
    records = trials(records, "poor", [0.0] * 20)
    shares = portfolio.shares(records, ["good", "poor"])
    drawn = Counter(portfolio.choose(records, ["good", "poor"], seed) for seed in range(2000))
    assert drawn["good"] / 2000 == pytest.approx(shares["good"], abs=0.04)


@pytest.mark.parametrize("arms", [[], ["a", "a"]])
def test_arms_must_be_named_each_once(arms: list[str]) -> None:
    with pytest.raises(ValueError, match="each once"):
        portfolio.shares({}, arms)


def test_a_weight_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        portfolio.shares({}, ["a"], weights={"a": 0.0})
