"""The probes: which questions are planned, and what is found in answers that don't agree."""

import math
from dataclasses import replace

import numpy as np
import pytest

from train_template.errors import DataError
from train_template.exam import Precision
from train_template.job import Settings
from train_template.probes import FEWEST, Plan, find_fault, foresight, make_plan
from train_template.score import Floats
from train_template.tokenizer import Ids

LENGTH, WINDOWS = 16, 8


def text(count: int = 5000, vocabulary: int = 50) -> Ids:
    return np.random.default_rng(3).integers(vocabulary, size=count).astype(np.uint16)


def plan_of(
    tokens: Ids, *, length: int = LENGTH, validation: int = 4000, windows: int = WINDOWS,
    secret: int = 1,
) -> Plan:  # fmt: skip
    return make_plan(tokens, Settings(length, validation, length * windows), windows, secret)


def equal_answers(plan: Plan) -> tuple[Floats, Floats]:
    """What a model answers that gives every token of a vocabulary of fifty the same chance."""
    own = np.full(plan.targets.shape, -math.log(50), dtype=np.float32)
    return own, own.copy()


@pytest.mark.parametrize("secret", range(5))
@pytest.mark.parametrize(
    ("length", "validation", "windows"),
    [(16, 4000, 8), (16, 5000, 8), (16, 40, 8), (64, 3000, 1), (5, 4000, 300), (1, 100, 7)],
)
def test_what_is_scored_depends_on_the_settings_alone(
    length: int, validation: int, windows: int, secret: int
) -> None:
    tokens = text()
    plan = plan_of(tokens, length=length, validation=validation, windows=windows, secret=secret)
    most = len(tokens) // (length + 1)
    count = min(validation // (length + 1), most - max(1, math.ceil(most / 16)))
    wanted = tokens[: count * (length + 1)].reshape(-1, length + 1)
    scored = plan.windows[plan.scored]
    assert sorted(map(tuple, scored.tolist())) == sorted(map(tuple, wanted.tolist()))
    assert len(plan.windows) % windows == 0
    assert len(plan.windows) >= 2 * windows


def test_the_secret_decides_order_and_places() -> None:
    one, same, other = (plan_of(text(), secret=secret) for secret in (1, 1, 2))
    np.testing.assert_array_equal(one.windows, same.windows)
    assert one.pairs == same.pairs
    assert one.pairs != other.pairs
    assert not np.array_equal(one.windows[:WINDOWS], other.windows[:WINDOWS])


def test_altered_windows_share_the_prefix_and_go_on_with_text_that_is_never_scored() -> None:
    tokens = text()
    plan = plan_of(tokens)
    unscored = tokens[4000 // (LENGTH + 1) * (LENGTH + 1) :].tobytes()
    assert len(plan.pairs) >= max(FEWEST, 0.05 * plan.scored.sum())
    for pair in plan.pairs:
        true, altered = plan.windows[pair.true], plan.windows[pair.altered]
        assert (plan.scored[pair.true], plan.scored[pair.altered]) == (True, False)
        np.testing.assert_array_equal(true[: pair.prefix], altered[: pair.prefix])
        assert true[pair.prefix] != altered[pair.prefix]
        np.testing.assert_array_equal(plan.genuine[pair.altered], true[1:])
        starts = [s.position + 1 for s in plan.seams if s.question == pair.altered]
        assert starts[0] == pair.prefix
        for start, end in zip(starts, [*starts[1:], LENGTH + 1], strict=True):
            assert altered[start:end].tobytes() in unscored * 2


def test_the_altered_version_comes_first_half_of_the_time_and_never_in_the_same_batch() -> None:
    pairs = [pair for secret in range(20) for pair in plan_of(text(), secret=secret).pairs]
    first = sum(pair.altered < pair.true for pair in pairs)
    assert first / len(pairs) == pytest.approx(0.5, abs=0.1)
    assert all(pair.altered // WINDOWS != pair.true // WINDOWS for pair in pairs)


def test_altered_windows_and_true_ones_stand_everywhere_in_the_stream() -> None:
    plans = [plan_of(text(), secret=secret) for secret in range(20)]
    places = [p.altered / (len(plan.windows)) for plan in plans for p in plan.pairs]
    halves = np.histogram(places, bins=4, range=(0, 1))[0] / len(places)
    assert halves.min() > 0.1


def test_windows_of_the_beginning_are_asked_again_at_the_end() -> None:
    plan = plan_of(text())
    again, first = np.array(plan.repeats).T
    np.testing.assert_array_equal(plan.windows[again], plan.windows[first])
    assert not plan.scored[again].any()
    assert len(again) >= FEWEST
    assert again.min() > first.max()
    assert (first < WINDOWS).mean() >= 0.5


def test_the_chance_of_a_drawn_token_is_that_of_the_places_it_was_drawn_from() -> None:
    # A reserve of two kinds of token, one three times as frequent: nothing else to draw.
    tokens = np.tile(np.array([0, 1, 1, 1], dtype=np.uint16), 1300)
    tokens[:4000] = 2
    chances = {
        (int(plan.windows[seam.question, seam.position + 1]), round(seam.chance, 2))
        for plan in (plan_of(tokens, secret=secret) for secret in range(5))
        for seam in plan.seams
        if plan.windows[seam.question, seam.position] == 2  # no place of the reserve agrees
    }
    assert chances == {(0, 0.25), (1, 0.75)}


def test_too_little_text_is_refused() -> None:
    with pytest.raises(DataError, match="too few for two windows of 16"):
        plan_of(text(33))
    with pytest.raises(DataError, match="too few"):
        plan_of(text(), validation=16)
    assert plan_of(text(34), validation=17).scored.sum() == 1


def test_equal_answers_have_no_fault() -> None:
    plan = plan_of(text())
    for precision in Precision:
        assert find_fault(plan, *equal_answers(plan), precision) is None


@pytest.mark.parametrize(
    ("precision", "passes", "fails"),
    [
        (Precision.FLOAT32, 0.004, 0.006),
        (Precision.BFLOAT16, 0.019, 0.021),
        (Precision.FLOAT16, 0.019, 0.021),
    ],
)
def test_a_small_change_of_every_token_is_found_beyond_the_tolerance(
    precision: Precision, passes: float, fails: float
) -> None:
    plan = plan_of(text())
    for change, found in ((passes, False), (fails, True)):
        own, genuine = equal_answers(plan)
        for again, _ in plan.repeats:
            own[again] += change
        assert bool(find_fault(plan, own, genuine, precision)) is found
        own, genuine = equal_answers(plan)
        for pair in plan.pairs:
            genuine[pair.altered] += change
        assert bool(find_fault(plan, own, genuine, precision)) is found


def test_a_change_is_reported_with_the_windows_and_nats_that_were_seen() -> None:
    plan = plan_of(text())
    own, genuine = equal_answers(plan)
    for pair in plan.pairs[:3]:
        genuine[pair.altered, pair.prefix - 1] -= 3.1
    assert find_fault(plan, own, genuine, Precision.FLOAT32) == (
        f"not causal: in 3 of {len(plan.pairs)} windows the log-probability of a token changed "
        "by up to 3.1 nats when only later text was changed"
    )
    own[plan.repeats[0][0], 4] -= 2.5
    assert find_fault(plan, own, genuine, Precision.FLOAT32) == (
        f"not stateless: in 1 of {len(plan.repeats)} windows the log-probability of a token "
        "changed by up to 2.5 nats when the same window was asked again"
    )


def test_a_change_at_the_last_place_of_each_prefix_is_not_diluted_by_the_others() -> None:
    tokens = text(20_000)
    plan = plan_of(tokens, length=256, validation=18_000)
    own, genuine = equal_answers(plan)
    for pair in plan.pairs:
        genuine[pair.altered, pair.prefix - 1] += 0.02
    assert str(find_fault(plan, own, genuine, Precision.FLOAT32)).startswith("not causal")


def test_what_follows_the_prefix_may_differ_as_it_likes() -> None:
    plan = plan_of(text())
    own, genuine = equal_answers(plan)
    for pair in plan.pairs:
        genuine[pair.altered, pair.prefix :] -= 9.0
    assert find_fault(plan, own, genuine, Precision.FLOAT32) is None


def test_foreseeing_what_was_drawn_is_a_fault_and_believing_anything_else_is_none() -> None:
    plan = plan_of(text())
    own, genuine = equal_answers(plan)
    knows = own.copy()
    for seam in plan.seams:
        knows[seam.question, seam.position] = math.log(0.9)
    assert "foresaw text" in str(find_fault(plan, knows, genuine, Precision.FLOAT32))
    doubts = own.copy()
    for seam in plan.seams:
        doubts[seam.question, seam.position] = -30.0
    assert foresight(plan, doubts) < 0
    assert find_fault(plan, doubts, genuine, Precision.FLOAT32) is None


def test_no_honest_belief_gains_by_the_bets_on_average() -> None:
    # Sharp beliefs that do not look at what was drawn: the factor of each bet is 1 at most.
    beliefs = np.random.default_rng(5).dirichlet(np.full(50, 0.05))
    factors = []
    for secret in range(40):
        plan = plan_of(text(vocabulary=50), secret=secret)
        for seam in plan.seams:
            drawn = plan.windows[seam.question, seam.position + 1]
            own = np.full(plan.targets.shape, math.log(max(beliefs[drawn], 1e-30)))
            factors.append(math.exp(foresight(replace(plan, seams=(seam,)), own)))
    assert np.mean(factors) < 1.1
