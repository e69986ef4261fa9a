"""The verdict on a figure that was measured again."""

from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.cli.reproduce import _sentences
from scheduler.reproduction import pace, recorded
from scheduler.rules.intervals import half_width, sigma_range
from scheduler.rules.noise import Noise
from scheduler.rules.reproducing import Comparison, Figure, Verdict, compare
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.sections import BudgetSection
from tests.synthetic import make_study

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


def test_an_interval_that_says_little_is_said_to() -> None:
    few = {"cpu": Noise(squares=0.2**2, degrees=1)}
    found = judged(figures(4.05, 4.05), figures(3.24, first=9), few)
    assert found.verdict is Verdict.WITHIN
    assert "sigma rests on 1 degree of freedom only" in found.caution
    assert "of the figure to each side: being within it says little" in found.caution
    words = _sentences("val_bpb", found, found.verdict)
    assert words[1].endswith("within the interval: reproduced, as far as such an interval can tell")
    assert words[2] == f"note: {found.caution}"
    many = judged(figures(4.0, 4.0), figures(4.0, first=9), {"cpu": Noise(19 * 0.01**2, 19)})
    assert many.caution == ""
    assert _sentences("loss", many, many.verdict)[-1].endswith("within the interval: reproduced")


def test_no_interval_reaches_below_what_a_metric_can_be() -> None:
    wide = {"cpu": Noise(squares=0.2**2, degrees=1)}
    low, high = judged(figures(1.0, 1.0), figures(1.0, first=9), wide).interval or (0.0, 0.0)
    assert low < 0
    found = compare(
        *(figures(1.0, 1.0), figures(1.0, first=9), wide),
        baseline=False,
        chosen=True,
        exact=False,
        least=0.0,
    )
    assert found.interval == (0.0, high)
    assert "between 0 and" in _sentences("val_bpb", found, found.verdict)[0]


def test_another_number_of_steps_in_the_same_seconds_is_told(tmp_path: Path) -> None:
    study = StudyFolder(make_study(tmp_path / "s", 2, seed=3))
    with Reader(study.database) as reader:
        held = recorded(reader, 0)
    theirs = next(t.outcome for t in held.trials if t.outcome is not None)
    assert theirs.steps
    more = replace(theirs, steps=2 * theirs.steps)
    config = study.load_config()
    words = f"this machine trained {more.steps:,} steps, and the study's {theirs.steps:,}"
    assert words in pace(config, held, [more])
    assert pace(config, held, [theirs]) == ""
    assert pace(config, held, [replace(more, device="another")]) == ""
    steps = config.model_copy(update={"budget": BudgetSection(steps=9, seconds=None)})
    assert pace(steps, held, [more]) == ""
