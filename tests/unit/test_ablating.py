"""What each kept edit contributes, and smaller code that is no worse: claims about the rules."""

from typing import Any

import pytest

from agent import Purpose
from scheduler.rules import events as ev
from scheduler.rules.evidence import Criteria
from scheduler.rules.states import ExperimentState, StopReason, StudyState
from tests.fixtures.play import Play
from tests.unit.test_rebasing import finish, numbers, reason, settle

CRITERIA = Criteria(most_seeds=16, champion_seeds=4)


def play(experiments: int = 1, *, size: int = 100, **policy: Any) -> Play:
    """A study of a baseline of size 1000 whose experiments were kept, and then stops."""
    made = Play(
        slots=8,
        size=1000,
        baseline_repeats=3,
        max_experiments=experiments,
        criteria=CRITERIA,
        **policy,
    )
    for trial, metric in ((1, 1.0), (2, 1.01), (3, 0.99)):
        made.done(trial, metric)
    for experiment in range(1, experiments + 1):
        made.answer(1, Purpose.IMPROVE, size=size, parent=experiment - 1)
        assert settle(made, experiment, 1.0 - 0.2 * experiment) is ExperimentState.KEEP
    drain(made)
    return made


def drain(study: Play) -> None:
    """End what runs of the champion's."""
    champion = study.state.champion
    assert champion is not None
    for _ in range(9):
        finish(study, champion.experiment, champion.metric)


def ablations(study: Play) -> list[int]:
    return study.asked_for(Purpose.ABLATE)


def test_once_nothing_else_is_to_be_run_each_kept_edit_is_taken_out() -> None:
    study = play(2, ablate=True)
    assert study.state.study is StudyState.RUNNING, "it waits for them"
    assert ablations(study) == [2]
    study.answer(2, Purpose.ABLATE)
    assert numbers(study, 3) == numbers(study, 4) == [2, 3, 4, 5], "beside the champion's seeds"
    assert settle(study, 3, 0.9) is ExperimentState.DISCARD
    assert settle(study, 4, 0.7) is ExperimentState.DISCARD
    assert reason(study, 3).startswith("discarded: +0.3")
    assert "over 4 seeds" in reason(study, 3)
    assert (study.state.study, study.state.reason) == (
        StudyState.STOPPED,
        StopReason.MAX_EXPERIMENTS,
    )


def test_without_the_wish_the_study_just_stops() -> None:
    study = play(1)
    assert not ablations(study)
    assert study.state.study is StudyState.STOPPED


def test_a_champion_is_looked_into_once_also_after_a_resume() -> None:
    study = play(1, ablate=True)
    study.answer(1, Purpose.ABLATE)
    settle(study, 2, 1.0)
    assert study.state.study is StudyState.STOPPED
    study.send(ev.Opened(study.tick()))
    assert not ablations(study)


def test_an_interrupted_request_is_sent_again() -> None:
    study = play(1, ablate=True)
    study.send(ev.Opened(study.tick()))
    assert ablations(study) == [1]
    study.send(ev.AnswerFailed(study.tick(), max(study.state.asked), "its actor died"))
    assert ablations(study) == [1]


def test_smaller_code_without_an_edit_that_contributes_nothing_becomes_champion() -> None:
    study = play(2, ablate=True, size=1000)
    request = next(n for n, a in study.state.asked.items() if a.purpose is Purpose.ABLATE)
    champion = study.state.champion
    assert champion is not None
    drafts = tuple(ev.Draft(champion.experiment, 3, ablates=n, size=900) for n in (1, 2))
    study.send(ev.Answered(study.tick(), request, drafts, None))
    assert settle(study, 3, champion.metric) is ExperimentState.KEEP
    assert "its code is smaller" in reason(study, 3)
    (asked,) = [a for a in study.state.asked.values() if a.purpose is Purpose.REBASE]
    assert asked.wins == (4,), "the other edit is taken out of what is left"
    study.answer(0, Purpose.REBASE)
    settle(study, 4, 0.9)
    assert not ablations(study), "once is enough"


def test_a_new_champion_ends_what_was_taken_out_of_the_old_one() -> None:
    study = play(1, ablate=True)
    study.answer(1, Purpose.ABLATE)
    study.send(ev.Submitted(study.tick(), ev.Draft(1, 2)))  # a person adds an edit meanwhile
    assert settle(study, 3, 0.5) is ExperimentState.KEEP
    assert study.fate(2) is ExperimentState.CANCELLED
    drain(study)
    assert ablations(study) == [2], "of the new one"


def test_smaller_code_that_wins_is_confirmed_while_the_noise_is_unknown() -> None:
    study = Play(slots=8, size=1000, criteria=CRITERIA)
    study.done(1, 1.0)
    study.answer(1, size=900)
    study.done(study.trial_of(1), 0.5)
    assert study.fate(1) is ExperimentState.CONFIRMING


def test_by_the_plain_comparison_nothing_is_taken_out() -> None:
    study = Play(slots=2, max_experiments=1, ablate=True).after_baseline()
    study.answer(1)
    study.done(study.trial_of(1), 0.5)
    assert not ablations(study)
    assert study.state.study is StudyState.STOPPED


@pytest.mark.parametrize(
    ("size", "metric", "fate"),
    [
        (900, 1.0, ExperimentState.KEEP),
        (900, 1.05, ExperimentState.DISCARD),
        (1000, 1.0, ExperimentState.DISCARD),
        (995, 1.0, ExperimentState.DISCARD),  # a trifle
        (0, 1.0, ExperimentState.DISCARD),  # not counted
    ],
)
def test_smaller_code_is_kept_if_it_is_not_worse(
    size: int, metric: float, fate: ExperimentState
) -> None:
    study = Play(slots=8, size=1000, baseline_repeats=3, criteria=CRITERIA)
    for trial, value in ((1, 1.0), (2, 1.01), (3, 0.99)):
        study.done(trial, value)
    study.answer(1, size=size)
    assert settle(study, 1, metric) is fate
