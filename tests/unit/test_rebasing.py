"""Wins that a new champion overtook are run again on it: claims about the rules."""

from statistics import fmean

import pytest

from agent import Purpose
from scheduler.rules import events as ev
from scheduler.rules.evidence import Criteria
from scheduler.rules.states import ExperimentState
from tests.fixtures.play import Play
from workers import OutcomeStatus


def play(wins: int = 3) -> Play:
    """A study in which so many experiments beat the baseline at once; the noise is 0.01."""
    made = Play(slots=16, baseline_repeats=3, criteria=Criteria(most_seeds=3, champion_seeds=1))
    for trial, metric in ((1, 1.0), (2, 1.01), (3, 0.99)):
        made.done(trial, metric)
    made.answer(wins)
    for experiment in range(1, wins + 1):  # each clearly better than the one before
        finish(made, experiment, 0.8 - 0.05 * experiment)
    return made


def finish(study: Play, experiment: int, metric: float) -> None:
    trials = [t for t in study.state.trials.values() if t.experiment == experiment]
    for trial in trials:
        if trial.id in study.state.trials and study.state.trials[trial.id].slot is not None:
            study.done(trial.id, metric)


def settle(study: Play, experiment: int, metric: float) -> ExperimentState:
    """Run the trials of an experiment, and the champion's, until it is decided."""
    for _ in range(20):
        if experiment not in study.state.experiments:
            break
        finish(study, experiment, metric)
        champion = study.state.champion
        if champion is not None and champion.experiment != experiment:
            finish(study, champion.experiment, champion.metric)
    return study.fate(experiment)


def wins(study: Play) -> list[tuple[int, ...]]:
    """What the agent is asked to carry over."""
    return [a.wins for a in study.state.asked.values() if a.purpose is Purpose.REBASE]


def reason(study: Play, experiment: int) -> str:
    moves = [f for f in study.facts if isinstance(f, ev.ExperimentMoved) and f.id == experiment]
    return moves[-1].reason


def numbers(study: Play, experiment: int) -> list[int]:
    planned = [f for f in study.facts if isinstance(f, ev.TrialPlanned)]
    return [f.number for f in planned if f.experiment == experiment]


def test_what_is_being_confirmed_when_another_is_kept_is_held_and_carried_over() -> None:
    study = play()
    assert settle(study, 1, 0.8) is ExperimentState.KEEP
    assert wins(study) == [(3, 2)]
    assert study.fate(2) is ExperimentState.CONFIRMING
    assert not [t for t in study.state.trials.values() if t.experiment in (2, 3)]


def test_their_edits_become_one_experiment_that_starts_with_its_second_seed() -> None:
    study = play()
    settle(study, 1, 0.8)
    study.answer(1, Purpose.REBASE)
    assert numbers(study, 4) == [2], "it was screened on its old base: no lucky first trial"
    assert settle(study, 4, 0.6) is ExperimentState.KEEP
    assert study.state.champion is not None
    assert study.state.champion.metric == pytest.approx(0.6)
    assert study.fate(2) is study.fate(3) is ExperimentState.DISCARD
    assert "gate" in reason(study, 2), "by its own trial, against the new champion"


def test_where_edits_hinder_each_other_the_better_one_is_not_lost() -> None:
    study = play()
    settle(study, 1, 0.8)
    study.answer(1, Purpose.REBASE)
    assert settle(study, 4, 0.75) is ExperimentState.KEEP  # 3 alone measured 0.65
    assert study.fate(3) is ExperimentState.CONFIRMING
    assert settle(study, 3, 0.65) is ExperimentState.KEEP


@pytest.mark.parametrize("how", ["is not better", "crashes"])
def test_what_is_not_kept_together_is_asked_for_one_by_one(how: str) -> None:
    study = play()
    settle(study, 1, 0.8)
    study.answer(1, Purpose.REBASE)
    if how == "crashes":
        study.failed(study.trial_of(4), OutcomeStatus.CRASH)
    else:
        settle(study, 4, 0.9)
    assert sorted(wins(study)) == [(2,), (3,)]
    study.answer(1, Purpose.REBASE)
    study.answer(1, Purpose.REBASE)
    assert settle(study, 5, 0.9) is ExperimentState.DISCARD
    assert settle(study, 6, 0.9) is ExperimentState.DISCARD
    assert not wins(study), "a single edit that is not kept is done with"


def test_an_edit_that_cannot_be_carried_over_faces_the_champion_as_it_is() -> None:
    study = play()
    settle(study, 1, 0.8)
    study.answer(0, Purpose.REBASE)
    assert numbers(study, 2)[0] == 1
    assert settle(study, 2, 0.5) is ExperimentState.KEEP
    assert wins(study) == [(3,)], "overtaken once more"


def test_an_answer_for_a_champion_that_was_overtaken_is_asked_for_anew() -> None:
    study = play()
    settle(study, 1, 0.8)
    (request,) = (n for n, a in study.state.asked.items() if a.purpose is Purpose.REBASE)
    ask = study.state.asked[request]
    drafts = study.rebases(ask, 1, stale=True)
    study.send(ev.Answered(study.tick(), request, drafts, 1.0))
    assert wins(study) == [(3, 2)]
    assert 4 not in study.state.experiments


def test_a_first_trial_that_beats_an_overtaken_parent_is_carried_over() -> None:
    study = play(wins=2)
    settle(study, 1, 0.8)
    study.answer(0, Purpose.REBASE)
    settle(study, 2, 0.9)
    study.answer(1, Purpose.IMPROVE)  # written for the baseline, and late
    late = max(study.state.experiments)
    finish(study, late, 0.9)  # better than the baseline by ten sigmas, worse than the champion
    assert wins(study) == [(late,)]
    study.answer(0, Purpose.REBASE)
    assert study.fate(late) is ExperimentState.DISCARD
    assert "gate" in reason(study, late)


def test_a_late_win_that_beats_todays_champion_too_is_carried_over_first() -> None:
    study = play(wins=2)
    settle(study, 1, 0.8)
    study.answer(0, Purpose.REBASE)
    settle(study, 2, 0.9)
    study.answer(1, Purpose.IMPROVE)  # written for the baseline
    late = max(study.state.experiments)
    finish(study, late, 0.7)
    assert wins(study) == [(late,)], "as it is it would take the champion's edit back"
    study.answer(0, Purpose.REBASE)
    assert settle(study, late, 0.7) is ExperimentState.KEEP


def test_a_win_that_a_person_gave_up_is_not_carried_over() -> None:
    study = play()
    settle(study, 1, 0.8)
    before = study.state
    study.send(ev.Cancelled(study.tick(), 2))
    assert wins(study) == [(3,)]
    request = next(iter(n for n, a in before.asked.items() if a.wins == (3, 2)))
    late = study.rebases(before.asked[request], 1)  # written before the person gave it up
    study.send(ev.Answered(study.tick(), request, late, 1.0))
    assert wins(study) == [(3,)]
    study.send(ev.Cancelled(study.tick(), 3))
    assert not wins(study)


def test_a_rebase_whose_request_failed_or_was_interrupted_is_asked_for_again() -> None:
    study = play()
    settle(study, 1, 0.8)
    request = next(iter(n for n, a in study.state.asked.items() if a.wins))
    study.send(ev.AnswerFailed(study.tick(), request, "its actor died"))
    assert wins(study) == [(3, 2)]
    study.send(ev.Opened(study.tick()))
    assert wins(study) == [(3, 2)]


def test_a_limit_of_experiments_waits_for_what_is_carried_over() -> None:
    study = Play(slots=8, baseline_repeats=3, max_experiments=2, criteria=Criteria(most_seeds=3))
    for trial, metric in ((1, 1.0), (2, 1.01), (3, 0.99)):
        study.done(trial, metric)
    study.answer(2)
    finish(study, 1, 0.8)
    finish(study, 2, 0.8)
    settle(study, 1, 0.8)
    while running := study.running():
        study.done(running[0], 0.8)
    assert wins(study) == [(2,)]
    assert not study.state.study.is_over
    study.answer(1, Purpose.REBASE)
    assert study.running()


def test_the_more_are_overtaken_at_once_the_more_is_gained_by_one_trial() -> None:
    study = play(wins=6)
    settle(study, 1, 0.8)
    assert wins(study) == [(6, 5, 4, 3, 2)], "the best first"
    study.answer(1, Purpose.REBASE)
    assert settle(study, 7, 0.3) is ExperimentState.KEEP
    champion = study.state.champion
    assert champion is not None
    assert fmean(r.metric for r in champion.results) == pytest.approx(0.3)
