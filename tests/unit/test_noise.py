"""Noise and evidence: against scipy, as properties, and by simulation of the error rates."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, variance

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from scheduler.rules.evidence import (
    Criteria,
    Decision,
    Evidence,
    champion_due,
    not_worse,
    screen,
    weigh,
)
from scheduler.rules.fleet import Ground
from scheduler.rules.noise import SCREENING, Noise, repeats
from scheduler.rules.policy import Policy
from scheduler.rules.ranking import judge
from scheduler.rules.state import Champion, Result

SIGMA = 0.002
CRITERIA = Criteria()
KNOWN = Noise(SIGMA * SIGMA * 1000, 1000)
metric = st.floats(-10, 10, allow_nan=False)
several = st.lists(metric, min_size=0, max_size=6)


# ---- noise ----------------------------------------------------------------------------------


@given(st.lists(several, max_size=6))
def test_repeats_one_by_one_or_at_once_give_the_pooled_variance(groups: list[list[float]]) -> None:
    at_once, one_by_one = Noise(), Noise()
    for group in groups:
        at_once = at_once.taking_all(group)
        for n, value in enumerate(group):
            one_by_one = one_by_one.taking(group[:n], value)
    expected = sum(variance(g) * (len(g) - 1) for g in groups if len(g) > 1)
    assert at_once.degrees == one_by_one.degrees == sum(max(0, len(g) - 1) for g in groups)
    assert at_once.squares == pytest.approx(expected, abs=1e-9)
    assert one_by_one.squares == pytest.approx(expected, abs=1e-9)


def test_sigma_is_unknown_until_an_experiment_was_run_twice() -> None:
    assert Noise().taking([], 1.0).taking_all([2.0]).sigma is None
    assert Noise().taking([1.0], 1.2).sigma == pytest.approx(0.1 * 2**0.5)


def test_pairs_count_at_the_upper_bound_of_their_variance() -> None:
    ours = {1: 9.0, 2: 1.0, 3: 1.1, 4: 1.3, 5: 1.2, 6: 0.9, 7: 1.0, 8: 1.4}
    theirs = {n: 1.0 + 0.01 * n * n for n in range(1, 9)}
    noise = Noise().taking_pairs(ours, theirs)
    gaps = [ours[n] - theirs[n] for n in range(2, 9)]
    low = scipy.stats.chi2.ppf(0.1, 6)
    assert noise.pair_variance == pytest.approx(variance(gaps) * 6 / low)
    assert Noise().taking_pairs({2: 1.0, 3: 2.0}, {2: 1.0, 3: 1.0}).pair_variance is None


# ---- one decision ---------------------------------------------------------------------------


def test_p_is_that_of_students_test_over_the_looks_share() -> None:
    ours = {1: 0.5, 2: 0.991, 3: 0.994}
    theirs = {1: 1.7, 2: 1.002, 3: 0.999, 4: 1.004, 5: 0.998}
    noise = Noise().taking_all([*repeats(ours).values()]).taking_all([*repeats(theirs).values()])
    evidence = weigh(ours, theirs, noise, CRITERIA, minimize=True)
    test = scipy.stats.ttest_ind(
        [*repeats(ours).values()], [*repeats(theirs).values()], alternative="less"
    )
    share = 2 / (1 + 2 + 4 + 8 + 16)
    assert evidence.p == pytest.approx(test.pvalue / share)
    assert evidence.effect is not None
    assert evidence.standard_error is not None
    assert evidence.effect / evidence.standard_error == pytest.approx(test.statistic)


def test_the_looks_double_up_to_the_cap_and_their_shares_make_up_the_rate() -> None:
    for most in range(1, 40):
        criteria = Criteria(most_seeds=most)
        assert criteria.looks[-1] == most
        assert sum(map(criteria.share, criteria.looks)) == pytest.approx(1)


def test_the_words_hold_the_effect_its_error_the_seeds_and_p() -> None:
    theirs = dict.fromkeys(range(1, 6), 1.0)
    kept = weigh({1: 0.99, 2: 0.99}, theirs, KNOWN, CRITERIA, minimize=True)
    assert kept.verdict is Decision.KEEP
    assert kept.words.startswith(
        "kept: -0.0100 ± 0.0022 over 1 seed against the champion's 4 (first trials left out), p = "
    )
    lost = weigh({1: 0.99, 2: 1.01}, theirs, KNOWN, CRITERIA, minimize=True)
    assert lost.verdict is Decision.DISCARD
    assert lost.words == (
        "discarded: +0.0100 ± 0.0022 over 1 seed against the champion's 4 (first trials left out), "
        "p = 1: unlikely to be better by 0.001"
    )


def test_where_pairs_decide_the_words_say_so() -> None:
    noise = Noise(squares=0.01, degrees=100.0, pair_squares=1e-6, pair_degrees=40)
    theirs = dict.fromkeys(range(1, 6), 1.0)
    found = weigh({1: 0.99, 2: 0.99}, theirs, noise, CRITERIA, minimize=True)
    assert " over the seed that both ran, p = " in found.words


@pytest.mark.parametrize(
    ("theirs", "which"),
    [({1: 1.0, 2: 0.9, 3: 0.9}, "mean without its first trial"), ({1: 0.9}, "first trial")],
)
def test_what_the_gate_stops_says_what_it_was_compared_with(
    theirs: dict[int, float], which: str
) -> None:
    champion = Champion(0, 1.0, 1, tuple(Result(n, value) for n, value in theirs.items()))
    policy = Policy(max_experiments=9, criteria=CRITERIA)
    found = judge((Result(1, 0.95),), champion, {"": KNOWN}, policy, Ground())
    words = f"discarded: +0.050000 in its first trial against the champion's {which}, not better"
    assert found.words.startswith(words)


def test_the_screening_trials_of_both_are_no_evidence() -> None:
    theirs = {1: 1.0, 2: 1.001, 3: 0.999}
    one = weigh({1: 0.9, 2: 0.998}, theirs, KNOWN, CRITERIA, minimize=True)
    other = weigh({1: 0.99, 2: 0.998}, theirs | {1: 3.0}, KNOWN, CRITERIA, minimize=True)
    assert one == other


def test_it_asks_for_the_champions_seeds_first_and_for_what_the_champion_lacks() -> None:
    alone = weigh({1: 0.99}, {1: 1.0}, Noise(), CRITERIA, minimize=True)
    assert (alone.candidate_needs, alone.champion_needs) == ((2,), (2,))
    ahead = weigh({1: 0.99}, {1: 1.0, 2: 1.0, 3: 1.0}, KNOWN, CRITERIA, minimize=True)
    assert (ahead.candidate_needs, ahead.champion_needs) == ((2,), ())
    ours = {1: 0.99, 2: 0.9977, 3: 0.9977}
    further = weigh(ours, {1: 1.0, 2: 1.0, 3: 1.0}, KNOWN, CRITERIA, minimize=True)
    assert further.verdict is Decision.MORE
    assert (further.candidate_needs, further.champion_needs) == ((4, 5), (4, 5))
    behind = weigh({**ours, 4: 0.99}, {1: 1.0, 2: 1.0}, KNOWN, CRITERIA, minimize=True)
    assert (behind.p, behind.candidate_needs) == (None, (5,))
    assert set(behind.champion_needs) == {3, 4, 5}


def test_an_incomplete_look_is_not_tested() -> None:
    theirs = dict.fromkeys(range(1, 10), 1.0)
    for count in range(1, 6):
        ours = dict.fromkeys(range(1, 2 + count), 0.9)
        tested = weigh(ours, theirs, KNOWN, CRITERIA, minimize=True).p is not None
        assert tested == (count in CRITERIA.looks)


def test_without_any_noise_it_asks_until_the_cap_and_then_says_that_it_compares_plainly() -> None:
    criteria = Criteria(most_seeds=2)
    ours, theirs = {1: 0.9, 2: 0.9}, {1: 1.0, 2: 1.0}
    assert screen(0.9999, theirs, Noise(), criteria, minimize=True)
    asked = weigh(ours, theirs, Noise(), criteria, minimize=True)
    assert (asked.verdict, asked.candidate_needs) == (Decision.MORE, (3,))
    assert "the noise is unknown" in asked.words
    ended = weigh(ours | {3: 0.9}, theirs | {3: 1.0}, Noise(), criteria, minimize=True)
    assert ended.verdict is Decision.KEEP
    assert ended.p is None
    assert "by a plain comparison" in ended.words
    assert "noise is unknown" in ended.words


def test_without_confirmations_the_words_say_that_luck_can_win() -> None:
    criteria = Criteria(most_seeds=0)
    for ours, verdict in [(0.999, Decision.KEEP), (1.0, Decision.DISCARD)]:
        evidence = weigh({1: ours}, {1: 1.0}, KNOWN, criteria, minimize=True)
        assert evidence.verdict is verdict
        assert "plain comparison, which luck can win" in evidence.words
    assert weigh({}, {1: 1.0}, KNOWN, criteria, minimize=True).candidate_needs == (1,)


def test_the_words_say_so_where_sigma_is_hardly_known() -> None:
    noise = Noise().taking_all([1.0, 1.001])
    evidence = weigh({1: 0.9, 2: 0.9}, {1: 1.0, 2: 1.0}, noise, CRITERIA, minimize=True)
    assert "sigma rests on 1 degree of freedom only" in evidence.words


def test_repeats_that_are_all_equal_leave_no_doubt_and_give_no_p() -> None:
    noise = Noise().taking_all([0.1] * 9)
    theirs = dict.fromkeys(range(1, 6), 0.1)
    for ours, verdict in [(0.099, Decision.KEEP), (0.1, Decision.DISCARD), (0.2, Decision.DISCARD)]:
        evidence = weigh({1: 0.09, 2: ours}, theirs, noise, CRITERIA, minimize=True)
        assert evidence.verdict is verdict
        assert (evidence.p, evidence.is_exact) == (None, True)
        assert "the seed changes nothing, so no p" in evidence.words
        assert "±" not in evidence.words
    three = dict.fromkeys(range(1, 4), 0.1)  # whose mean is 0.1 and an error of rounding
    assert weigh({1: 0.2, 2: 0.1}, three, noise, CRITERIA, minimize=False).verdict is (
        Decision.DISCARD
    )


@given(metric, st.integers(2, 30))
def test_equal_repeats_give_no_noise_not_even_by_rounding(value: float, count: int) -> None:
    one_by_one = Noise()
    for n in range(count):
        one_by_one = one_by_one.taking([value] * n, value)
    assert one_by_one.is_nil
    assert Noise().taking_all([value] * count).is_nil
    # An older version left an error of rounding in the database.
    left = weigh({1: 0.2, 2: 0.2}, {1: 0.3, 2: 0.3}, Noise(1e-33, 2), CRITERIA, minimize=True)
    assert left.is_exact


def test_criteria_without_a_meaning_are_refused() -> None:
    for rate, miss, most in [(0.0, 0.4, 8), (0.05, 0.9, 8), (0.05, 0.4, -1)]:
        with pytest.raises(ValueError, match=r"must lie|can't be negative"):
            Criteria(false_keep_rate=rate, miss_rate=miss, most_seeds=most)


def test_what_a_new_champion_is_still_to_be_run_with() -> None:
    assert champion_due({1: 1.0, 3: 1.0}, Criteria(champion_seeds=3)) == (2, 4)


seeds = st.dictionaries(st.integers(1, 20), metric, min_size=1, max_size=20)


@given(seeds, seeds, st.integers(1, 9), st.booleans())
def test_a_metric_to_maximize_is_the_mirror_of_one_to_minimize(
    ours: dict[int, float], theirs: dict[int, float], most: int, simpler: bool
) -> None:
    criteria = Criteria(most_seeds=most)
    test = not_worse if simpler else weigh
    noise = Noise(0.25 * 7, 7)
    down = test(ours, theirs, noise, criteria, minimize=True)
    up = test(
        {n: -x for n, x in ours.items()},
        {n: -x for n, x in theirs.items()},
        noise,
        criteria,
        minimize=False,
    )
    assert (down.verdict, down.p, down.seeds) == (up.verdict, up.p, up.seeds)
    assert down.candidate_needs == up.candidate_needs


@given(seeds, seeds, st.integers(1, 9))
def test_what_is_asked_for_is_new_and_enough_to_go_on(
    ours: dict[int, float], theirs: dict[int, float], most: int
) -> None:
    evidence = weigh(ours, theirs, KNOWN, Criteria(most_seeds=most), minimize=True)
    asked = evidence.candidate_needs + evidence.champion_needs
    assert bool(asked) == (evidence.verdict is Decision.MORE)
    assert not set(evidence.candidate_needs) & ours.keys()
    assert not set(evidence.champion_needs) & theirs.keys()
    assert SCREENING not in asked
    looks = [evidence]
    for _ in range(2):  # what the champion lacks may be known only with the candidate's trials
        ours |= dict.fromkeys(evidence.candidate_needs, 1.0)
        theirs |= dict.fromkeys(evidence.champion_needs, 1.0)
        evidence = weigh(ours, theirs, KNOWN, Criteria(most_seeds=most), minimize=True)
        looks.append(evidence)
    # A look that decides nothing leads to the next, which may lack the champion's trials again.
    assert any(each.p is not None for each in looks)


@given(metric, st.floats(0.001, 1), st.floats(0, 3))
def test_the_gate_lets_in_what_is_better_by_so_many_sigmas(
    champion: float, sigma: float, gate: float
) -> None:
    noise, criteria = Noise(sigma * sigma * 9, 9), Criteria(gate=gate)
    for factor, expected in [(gate + 0.01, True), (gate - 0.01, False)]:
        for sign, minimize in [(-1, True), (1, False)]:
            first = champion + sign * factor * sigma
            assert screen(first, {1: champion}, noise, criteria, minimize=minimize) is expected


# ---- error rates ----------------------------------------------------------------------------


@dataclass
class Trials:
    """Simulated candidates, and what became of them."""

    effect: float = 0.0
    repeats_known: int = 20  # of another experiment, from which sigma is estimated
    correlation: float = 0.0  # of trials with equal seeds
    champion_seeds: int = 4
    criteria: Criteria = CRITERIA
    test: Callable[..., Evidence] = weigh

    def __post_init__(self) -> None:
        self.chance = random.Random(20261125)
        self.screened = 0
        self.kept: list[Evidence] = []
        self.spent: list[int] = []

    def run(self, candidates: int) -> "Trials":
        """Take so many candidates through screening and confirmation, each with a new champion."""
        for _ in range(candidates):
            self._candidate()
        return self

    def _candidate(self) -> None:
        common: dict[int, float] = {}
        part = math.sqrt(self.correlation)

        def measure(value: float, number: int) -> float:
            seed = common.setdefault(number, self.chance.gauss(0, 1))
            own = math.sqrt(1 - self.correlation) * self.chance.gauss(0, 1)
            return value + SIGMA * (part * seed + own)

        others = [self.chance.gauss(1, SIGMA) for _ in range(self.repeats_known)]
        champion = {n: measure(1.0, n) for n in range(1, 2 + self.champion_seeds)}
        noise = Noise().taking_all(others).taking_all([*repeats(champion).values()])
        for _ in range(4 if self.correlation else 0):  # earlier pairs on these seeds
            other = {n: measure(1.0, n) for n in champion}
            noise = noise.taking_pairs(other, champion)
        first = measure(1 + self.effect, SCREENING)
        if not screen(first, champion, noise, self.criteria, minimize=True):
            return
        self.screened += 1
        ours = {SCREENING: first}
        while True:
            evidence = self.test(ours, champion, noise, self.criteria, minimize=True)
            if evidence.verdict is not Decision.MORE:
                break
            for number in evidence.champion_needs:
                new = measure(1.0, number)
                noise = noise.taking([*repeats(champion).values()], new)
                champion[number] = new
            for number in evidence.candidate_needs:
                new = measure(1 + self.effect, number)
                noise = noise.taking([*repeats(ours).values()], new)
                ours[number] = new
        self.spent.append(len(ours) - 1)
        if evidence.verdict is Decision.KEEP:
            self.kept.append(evidence)


ALWAYS = Criteria(gate=-100.0)  # every candidate is tested
PATIENT = Criteria(gate=-100.0, miss_rate=0.0001)  # and none is given up early


@pytest.mark.parametrize("repeats_known", [2, 20])
@pytest.mark.parametrize("champion_seeds", [1, 4])
def test_no_more_candidates_without_an_effect_are_kept_than_the_rate_says(
    repeats_known: int, champion_seeds: int
) -> None:
    """Even where all are tested and none is given up: 0.08 at most, three sigmas allowed."""
    null = Trials(repeats_known=repeats_known, champion_seeds=champion_seeds, criteria=PATIENT).run(
        1500
    )
    assert 0.01 < len(null.kept) / 1500 < 0.08 + 0.021


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_luck_that_comes_with_the_seed_does_not_raise_the_rate(correlation: float) -> None:
    null = Trials(correlation=correlation, criteria=ALWAYS).run(1500)
    assert len(null.kept) / 1500 < 0.08 + 0.021


def test_with_the_gate_far_fewer_are_kept() -> None:
    null = Trials().run(8000)
    assert 0.1 < null.screened / 8000 < 0.35
    assert 0.001 < len(null.kept) / 8000 < 0.025


def test_large_effects_are_kept_with_few_seeds_and_small_ones_often_missed() -> None:
    large = Trials(effect=-5 * SIGMA).run(400)
    assert len(large.kept) / 400 > 0.95
    assert fmean(large.spent) < 2.5
    small = Trials(effect=-0.5 * SIGMA).run(400)
    assert len(small.kept) / 400 < 0.5
    assert max(small.spent) <= CRITERIA.most_seeds


def test_pairs_with_much_in_common_show_effects_that_independent_trials_do_not() -> None:
    effect = -1.0 * SIGMA
    alone = Trials(effect=effect, criteria=ALWAYS).run(400)
    paired = Trials(effect=effect, criteria=ALWAYS, correlation=0.95).run(400)
    assert len(paired.kept) > 1.3 * len(alone.kept)


def test_a_kept_effect_is_overstated_by_less_than_a_sigma_and_less_the_larger_it_is() -> None:
    over = []
    for sigmas in (1, 2, 4):
        kept = Trials(effect=-sigmas * SIGMA).run(800).kept
        over.append(-fmean(e.effect for e in kept if e.effect is not None) / SIGMA - sigmas)
    assert 1 > over[0] > over[1] > over[2] > 0


def test_smaller_code_that_is_worse_by_the_margin_is_seldom_kept_and_an_equal_one_mostly() -> None:
    criteria = Criteria(gate=-100.0, simplicity_margin=1.5, relative=False)
    worse = Trials(effect=1.5 * SIGMA, criteria=criteria, test=not_worse).run(1000)
    assert len(worse.kept) / 1000 < 0.08 + 0.026
    equal = Trials(criteria=criteria, test=not_worse).run(400)
    assert len(equal.kept) / 400 > 0.7
    assert "not worse by 0.003" in equal.kept[0].words
