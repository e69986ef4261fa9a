"""The verdict on a figure that was measured again."""

import pytest

from scheduler.rules.intervals import half_width, sigma_range
from scheduler.rules.noise import Noise
from scheduler.rules.reproducing import Comparison, Figure, Verdict, compare

NOISE = {"cpu": Noise(squares=4 * 0.01**2, degrees=4)}  # sigma 0.01


def figures(*metrics: float, first: int = 1, hardware: str = "cpu") -> list[Figure]:
    return [Figure(n, n - 1, metric, hardware) for n, metric in enumerate(metrics, first)]


def judged(
    study: list[Figure],
    now: list[Figure],
    noise: dict[str, Noise] | None = None,
    *,
    baseline: bool = False,
    chosen: bool = True,
    exact: bool = False,
    differs: str = "",
) -> Comparison:
    return compare(
        study,
        now,
        NOISE if noise is None else noise,
        baseline=baseline,
        chosen=chosen,
        exact=exact,
        differs=differs,
    )


def test_intervals_are_those_of_students_t_and_chi_square() -> None:
    # Tables: t(0.975, 4) = 2.7764; chi-square(0.025, 4) = 0.48442, (0.975, 4) = 11.1433.
    assert half_width(NOISE["cpu"], 1) == pytest.approx(0.027764, rel=1e-4)
    assert half_width(NOISE["cpu"], 4, 2) == pytest.approx(0.027764 * 0.75**0.5, rel=1e-4)
    assert sigma_range(NOISE["cpu"]) == pytest.approx((0.0059913, 0.0287355), rel=1e-4)
    assert half_width(Noise(), 3) is None
    assert sigma_range(Noise()) is None


@pytest.mark.parametrize(
    ("metric", "verdict"),
    [(1.0, Verdict.WITHIN), (1.033, Verdict.WITHIN), (1.035, Verdict.OUTSIDE), (0.965, "outside")],
)
def test_a_figure_is_within_its_prediction_interval_or_outside(metric: float, verdict: str) -> None:
    # Two trials count, the new mean is of one: 2.7764 * 0.01 * sqrt(1 / 2 + 1) = 0.0340.
    found = judged(figures(0.9, 1.0, 1.0), figures(metric, first=9))
    assert (found.expected, found.counted) == (1.0, 2)
    assert found.half == pytest.approx(0.0340, abs=1e-4)
    assert found.verdict == verdict


def test_the_trial_that_a_kept_one_was_chosen_by_counts_only_where_there_is_no_other() -> None:
    found = judged(figures(0.9), figures(0.9, first=9))
    assert (found.expected, found.verdict) == (0.9, Verdict.WITHIN)
    assert "lucky" in found.why
    assert judged(figures(0.9, 1.0), figures(1.0, first=9)).why == ""
    assert judged(figures(0.9, 1.0), figures(1.0, first=9), baseline=True).expected == 0.95


def test_without_noise_there_is_no_verdict_but_a_difference() -> None:
    found = judged(figures(1.0), figures(1.5, first=9), {})
    assert (found.verdict, found.half, found.difference) == (Verdict.UNKNOWN, None, 0.5)
    assert "noise is not known" in found.why
    assert not found.verdict.is_reproduced


def test_several_trials_bring_the_noise_that_the_study_does_not_know() -> None:
    found = judged(figures(1.0), figures(0.99, 1.0, 1.01, first=9), {})
    assert found.own_noise
    assert found.noise.sigma == pytest.approx(0.01)
    assert found.verdict is Verdict.WITHIN
    assert not judged(figures(1.0), figures(0.9, 1.0, 1.1, first=9)).own_noise


def test_other_hardware_gets_no_verdict() -> None:
    found = judged(figures(1.0, hardware="2 x H100"), figures(1.0, first=9))
    assert (found.verdict, found.half) == (Verdict.UNKNOWN, None)
    assert "2 x H100" in found.why


def test_what_differs_forbids_a_verdict() -> None:
    found = judged(figures(1.0), figures(1.0), differs="the data are not the study's", exact=True)
    assert (found.verdict, found.why) == (Verdict.UNKNOWN, "the data are not the study's")


def test_steps_with_the_same_seed_are_equal_or_something_differs() -> None:
    same = judged(figures(1.0, 1.1), figures(1.1, first=2), {}, exact=True)
    assert (same.verdict, same.identical) == (Verdict.WITHIN, True)
    other = judged(figures(1.0, 1.1), figures(1.101, first=2), exact=True)
    assert (other.verdict, other.identical) == (Verdict.WITHIN, False)
    assert "same seed" in other.why
    fresh = judged(figures(1.0, 1.1), figures(1.1, 1.09, first=2), exact=True)
    assert "same seed" not in fresh.why
    assert not judged(figures(1.0), figures(1.001), {}, exact=True).verdict.is_reproduced


def test_equal_figures_of_a_time_budget_are_no_proof() -> None:
    assert judged(figures(1.0), figures(1.0), {}).verdict is Verdict.UNKNOWN
