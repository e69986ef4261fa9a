"""Whether the order of the champions holds, and which gains are in doubt: by hand-made figures."""

import random
from collections.abc import Sequence

import pytest
from scipy.stats import kendalltau

from scheduler.rules.order import Figure, OrderCheck, check_order
from scheduler.rules.states import TrialKind

USUAL, LONG = TrialKind.USUAL, TrialKind.LONG


def line(*champions: Sequence[tuple[float, float | None]]) -> list[Figure]:
    """Champions 0, 10, 20, ...: of each the metric and the audit of its trials."""
    return [
        Figure(place, 10 * (place - 1), number, USUAL, metric, audit)
        for place, trials in enumerate(champions, 1)
        for number, (metric, audit) in enumerate(trials, 1)
    ]


def repeated(metric: float, audit: float, gap: float = 0.0002) -> list[tuple[float, float]]:
    """Three seeds: the metrics are 0.002 apart, and the audit follows them but for the gap."""
    lucks = ((-0.002, -gap), (0.0, 0.0), (0.002, gap))
    return [(metric + luck, audit + luck + away) for luck, away in lucks]


def check(figures: list[Figure], *, minimize: bool = True) -> OrderCheck:
    return check_order(figures, minimize=minimize)


def test_nothing_measured_says_nothing() -> None:
    assert check([]) == OrderCheck()
    assert check(line([(1.0, None)], [(0.9, None)])).audit.words == "not measured"
    one = check(line([(1.0, 1.1)])).audit
    assert (one.tau, one.words) == (None, "one champion is measured: there is no order yet")


def test_a_gain_that_is_on_both_splits_is_not_doubted() -> None:
    found = check(line(repeated(1.0, 1.2), repeated(0.99, 1.189), repeated(0.98, 1.181)))
    assert found.warnings == ()
    assert found.audit.tau == pytest.approx(1.0)
    assert found.audit.words == "the order of 3 champions holds (Kendall's tau 1.00)"
    assert [(g.experiment, g.over) for g in found.audit.gains] == [(10, 0), (20, 10)]


def test_a_gain_that_is_not_on_the_audit_split_is_told_with_both_figures() -> None:
    found = check(line(repeated(1.0, 1.2), repeated(0.9959, 1.2003)))
    (warning,) = found.warnings
    assert warning.startswith("gain of #10 over #0 is -0.0041 on validation, +0.0003 on audit (")
    assert warning.endswith("it may live on the validation split only")
    assert found.about(10) == found.warnings
    assert found.about(0) == ()
    assert (found.audit.turned, found.audit.tau) == (1, None)


def test_a_gain_of_which_less_than_half_is_there_is_doubted_and_of_more_is_not() -> None:
    less = check(line(repeated(1.0, 1.2), repeated(0.99, 1.197)))
    assert less.warnings[0].endswith("for the most part")
    assert check(line(repeated(1.0, 1.2), repeated(0.99, 1.194))).warnings == ()


def test_what_lies_within_the_noise_is_no_warning() -> None:
    noisy = check(line(repeated(1.0, 1.2, gap=0.004), repeated(0.9959, 1.2003, gap=0.004)))
    assert noisy.warnings == ()
    assert noisy.audit.gains[0].noise == pytest.approx(0.004 * (2 / 3) ** 0.5)
    assert noisy.audit.turned == 1, "the pair is the other way round, and that is all"


def test_the_luck_of_a_seed_is_in_both_figures_and_makes_no_noise() -> None:
    found = check(line(repeated(1.0, 1.2, gap=0.0), repeated(0.9999, 1.2, gap=0.0)))
    assert found.audit.gains[0].noise == pytest.approx(0.0, abs=1e-9)
    assert found.warnings, "the metrics are 0.002 apart, but not their differences"


def test_where_nothing_was_run_twice_the_other_gains_say_how_much_is_usual() -> None:
    honest = [(1.0 - 0.01 * n, 1.2 - 0.01 * n + 0.001 * (n % 2)) for n in range(6)]
    fine = check(line(*[[each] for each in honest]))
    assert fine.warnings == ()
    bad = check(line(*[[each] for each in honest], [(0.93, 1.16)]))
    assert bad.about(60) == bad.warnings != ()
    few = check(line([(1.0, 1.2)], [(0.9, 1.3)]))
    assert few.warnings == ()
    assert "too little was run twice" in few.audit.words


def test_gains_upwards_are_doubted_alike() -> None:
    up = line(repeated(0.5, 0.4), repeated(0.51, 0.3999))
    assert check(up, minimize=False).warnings
    assert check(up, minimize=True).warnings == (), "it is no gain"


def drawn(luck: random.Random, seeds: int, gain: float, *, false: bool) -> list[Figure]:
    """Six champions of which each gains so much; with `false`, the last one on validation alone.

    The luck of a seed, 0.002, is in both figures; their difference varies by 0.001 besides.
    """
    champions = []
    for place in range(6):
        metric, audit = 1.0 - gain * place, 1.2 - gain * (place - (false and place == 5))
        lucks = [luck.gauss(0, 0.002) for _ in range(seeds)]
        gaps = [luck.gauss(0, 0.001) for _ in range(seeds)]
        champions.append(
            [(metric + a, audit + a + gap) for a, gap in zip(lucks, gaps, strict=True)]
        )
    return line(*champions)


@pytest.mark.parametrize(
    ("seeds", "power"), [(1, 0.4), (3, 0.9)], ids=["by the other gains", "by repeats"]
)
def test_of_gains_that_hold_one_in_forty_is_doubted_at_most_and_false_ones_are_found(
    seeds: int, power: float
) -> None:
    luck, studies = random.Random(seeds), 300
    doubted = found = 0
    for _ in range(studies):
        doubted += len(check(drawn(luck, seeds, 0.004, false=False)).warnings)
        found += bool(check(drawn(luck, seeds, 0.004, false=True)).about(50))
    assert doubted / (5 * studies) < 0.025
    assert found / studies > power


def longer(metrics: Sequence[float]) -> list[Figure]:
    return [Figure(n, 10 * (n - 1), 1, LONG, metric) for n, metric in enumerate(metrics, 1)]


def test_a_gain_that_a_longer_training_turns_round_is_doubted_and_a_smaller_one_is_not() -> None:
    usual = line(repeated(1.0, 1.2), repeated(0.98, 1.18))
    turned = check(usual + longer([0.9, 0.91]))
    (warning,) = turned.warnings
    assert "-0.019 as usual, +0.01 with the longer budget" in warning
    assert warning.endswith("it may live in short trainings only")
    assert check(usual + longer([0.9, 0.899])).warnings == ()
    assert check(usual + longer([0.9, 0.9001])).warnings, "no gain at all, and no noise as large"
    close = line(repeated(1.0, 1.2), repeated(0.997, 1.197)) + longer([0.9, 0.901])
    assert check(close).warnings == (), "within the noise"
    assert check(close).long.turned == 1
    unknown = line([(1.0, None)], [(0.98, None)]) + longer([0.9, 0.91])
    assert check(unknown).warnings == ()
    assert "1 of 1 pairs" in check(unknown).long.words


def test_a_long_trial_does_not_enter_the_usual_figures() -> None:
    usual = line(repeated(1.0, 1.2), repeated(0.98, 1.18))
    assert check(usual + longer([5.0, 4.0])).audit == check(usual).audit
    assert [each.usual for each in check(usual + longer([5.0, 4.0])).long.leaders] == [
        pytest.approx(1.0),
        pytest.approx(0.981),  # without its first trial, by which it was chosen
    ]


def test_figures_compare_within_the_newest_champions_hardware() -> None:
    here = [Figure(1, 0, 1, USUAL, 1.0, 1.2, "a"), Figure(2, 7, 1, USUAL, 0.9, 1.1, "a")]
    there = [Figure(1, 0, 2, USUAL, 5.0, 5.0, "b")]
    assert check(here + there) == check(here)


@pytest.mark.parametrize("seed", range(5))
def test_the_correlation_is_that_of_scipy(seed: int) -> None:
    luck = random.Random(seed)
    both = [(luck.randint(0, 9) / 10, luck.randint(0, 9) / 10) for _ in range(8)]
    found = check(line(*[[pair] for pair in both])).audit.tau
    assert found == pytest.approx(kendalltau(*zip(*both, strict=True)).statistic)
