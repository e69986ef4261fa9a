"""An experiment is kept on evidence, repeats of it and of the champion: claims about the rules."""

import pytest

from scheduler.rules import events as ev
from scheduler.rules.evidence import Criteria
from scheduler.rules.noise import SCREENING
from scheduler.rules.states import ExperimentState, StopReason, StudyState, TrialState
from tests.fixtures.play import Play, of_kind
from workers import OutcomeStatus

SEEDS = 3


def play(slots: int = 4) -> Play:
    """A study whose noise is known: three repeats of the baseline, 0.01 apart."""
    made = Play(slots=slots, baseline_repeats=3, criteria=Criteria(most_seeds=SEEDS))
    for trial, metric in ((1, 1.0), (2, 1.01), (3, 0.99)):
        made.done(trial, metric)
    return made


def trials_of(study: Play, experiment: int) -> dict[int, int]:
    """The running trials of an experiment: id -> number, which is its seed."""
    return {
        t.id: t.number
        for t in study.state.trials.values()
        if t.experiment == experiment and t.slot is not None
    }


def finish(study: Play, experiment: int, metric: float) -> None:
    for trial in trials_of(study, experiment):
        study.done(trial, metric)


def reason(study: Play, experiment: int) -> str:
    return next(
        f.reason
        for f in reversed(study.facts)
        if isinstance(f, ev.ExperimentMoved) and f.id == experiment and f.state.is_final
    )


def test_a_first_trial_that_does_not_pass_the_gate_is_all_that_it_gets() -> None:
    study = play()
    study.answer(1)
    finish(study, 1, 0.995)  # better, and by less than the noise
    assert study.fate(1) is ExperimentState.DISCARD
    assert "gate" in reason(study, 1)
    assert (
        len([t for t in study.facts if isinstance(t, ev.TrialPlanned) and t.experiment == 1]) == 1
    )


def test_a_win_is_confirmed_with_further_seeds_and_kept_with_its_evidence() -> None:
    study = play()
    study.answer(1)
    finish(study, 1, 0.8)
    assert study.fate(1) is ExperimentState.CONFIRMING
    assert set(trials_of(study, 1).values()) == {2}, "the champion has this seed already"
    rounds = 0
    while study.fate(1) is ExperimentState.CONFIRMING:
        rounds += 1
        assert rounds < 10
        finish(study, 0, 1.0)
        finish(study, 1, 0.8)
    assert study.fate(1) is ExperimentState.KEEP
    assert reason(study, 1).startswith("kept: -0.2")
    assert "p = " in reason(study, 1)
    (judged,) = [f for f in study.facts if isinstance(f, ev.Judged) and f.id == 1]
    assert judged.evidence.p is not None
    assert judged.evidence.p < 0.02
    assert study.state.champion is not None
    assert study.state.champion.experiment == 1


def test_a_lucky_first_trial_is_found_out() -> None:
    study = play()
    study.answer(1)
    finish(study, 1, 0.9)
    while study.fate(1) is ExperimentState.CONFIRMING:
        finish(study, 0, 1.0)
        finish(study, 1, 1.0)
    assert study.fate(1) is ExperimentState.DISCARD
    assert study.state.champion is not None
    assert study.state.champion.experiment == 0


def test_repeats_go_before_what_is_new() -> None:
    study = play(slots=1)
    study.answer(3)
    finish(study, 1, 0.5)
    (running,) = study.running()
    assert study.state.trials[running].experiment in (0, 1)


def test_a_repeat_of_its_own_that_fails_twice_decides() -> None:
    study = play()
    study.answer(1)
    finish(study, 1, 0.8)
    (first,) = trials_of(study, 1)
    study.failed(first, OutcomeStatus.TIMEOUT)
    (again,) = trials_of(study, 1)
    assert study.fate(1) is ExperimentState.CONFIRMING, "a busy machine is slow at times"
    assert trials_of(study, 1)[again] == 2, "the same seed"
    study.failed(again, OutcomeStatus.TIMEOUT)
    assert study.fate(1) is ExperimentState.TIMEOUT


def play_with_a_weak_champion(failing: int) -> Play:
    """One win after the other, while the champion fails with so many of its further seeds."""
    study = Play(slots=8, criteria=Criteria(most_seeds=4, champion_seeds=1))
    study.done(1, 1.0)
    left = failing
    study.answer(1)
    for _ in range(40):
        for trial in sorted(study.running()):
            if trial not in study.state.trials:
                continue
            entry = study.state.trials[trial]
            if entry.experiment == 0 and left:
                left -= 1
                study.failed(trial, OutcomeStatus.TIMEOUT)
            else:
                study.done(trial, (1.0 if entry.experiment == 0 else 0.5) + entry.number / 1000)
        if study.fate(1).is_final:
            break
        if study.state.study is StudyState.PAUSED:
            study.send(ev.Unpaused(study.tick()))
    return study


def test_a_baseline_that_fails_with_most_of_its_seeds_pauses_the_study_once() -> None:
    study = Play(slots=8, criteria=Criteria(most_seeds=4, champion_seeds=2))
    study.done(1, 1.0)
    first, second = trials_of(study, 0)
    study.failed(first, OutcomeStatus.REJECTED)
    assert study.state.study is StudyState.RUNNING, "one may be luck"
    study.failed(second, OutcomeStatus.REJECTED)
    assert (study.state.study, study.state.reason) == (StudyState.PAUSED, StopReason.FAILURES)
    (said,) = [f.text for f in study.facts if isinstance(f, ev.StudyMoved) and f.text]
    assert "the baseline fails with 2 of its 3 seeds (rejected: it broke)" in said
    study.send(ev.Unpaused(study.tick()))
    study.answer(1)
    finish(study, 1, 0.5)  # it asks for further seeds of the baseline
    for trial in trials_of(study, 0):
        study.failed(trial, OutcomeStatus.REJECTED)
    assert study.state.study is StudyState.RUNNING


def test_a_baseline_that_is_out_of_time_is_not_doubted() -> None:
    study = Play(slots=8, criteria=Criteria(most_seeds=4, champion_seeds=2))
    study.done(1, 1.0)
    for trial in trials_of(study, 0):
        study.failed(trial, OutcomeStatus.TIMEOUT)
    assert study.state.study is StudyState.RUNNING, "a busy machine is slow at times"


def test_a_baseline_that_mostly_does_well_is_not_doubted() -> None:
    study = Play(slots=8, criteria=Criteria(most_seeds=4, champion_seeds=4))
    study.done(1, 1.0)
    first, second, third, fourth = trials_of(study, 0)
    study.done(first, 1.01)
    study.done(second, 0.99)
    study.failed(third)
    study.failed(fourth)
    assert study.state.study is StudyState.RUNNING


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_champion_that_fails_with_a_seed_is_run_with_another(failing: int) -> None:
    study = play_with_a_weak_champion(failing)
    assert study.fate(1) is ExperimentState.KEEP
    numbers = [
        f.number for f in study.facts if isinstance(f, ev.TrialPlanned) and f.experiment == 0
    ]
    assert len(set(numbers)) == len(numbers), "none is asked for twice"


def test_a_champion_that_fails_with_every_seed_confirms_nothing() -> None:
    study = play_with_a_weak_champion(100)
    assert study.fate(1) is ExperimentState.DISCARD
    assert "could not be measured once more" in reason(study, 1)


def test_a_lost_repeat_of_the_champion_runs_again_once() -> None:
    study = play()
    study.answer(1)
    finish(study, 1, 0.8)
    for _ in range(9):
        if owned := trials_of(study, 0):
            break
        finish(study, 1, 0.985)
    (trial,) = list(owned)[:1]
    number = owned[trial]
    study.lost(trial)
    (again,) = [t for t, n in trials_of(study, 0).items() if n == number]
    assert study.fate(1) is ExperimentState.CONFIRMING
    study.lost(again)
    assert number not in trials_of(study, 0).values()
    champion = study.state.champion
    assert champion is not None
    assert champion.barred == {number}


def test_at_a_plateau_what_has_won_is_confirmed_and_nothing_new_is_tried() -> None:
    study = Play(slots=4, baseline_repeats=3, plateau=2, criteria=Criteria(most_seeds=SEEDS))
    for trial, metric in ((1, 1.0), (2, 1.01), (3, 0.99)):
        study.done(trial, metric)
    study.answer(3)
    finish(study, 1, 0.985)
    finish(study, 2, 1.5)
    asked = len(study.state.asked)
    finish(study, 3, 1.5)
    assert study.fate(1) is ExperimentState.CONFIRMING
    assert study.state.study is StudyState.RUNNING
    assert len(study.state.asked) <= asked, "nothing more is asked for"
    while running := study.running():
        study.done(running[0], 1.0)
    assert study.fate(1) is ExperimentState.DISCARD
    assert study.state.reason is StopReason.PLATEAU


def test_a_new_champion_ends_the_repeats_of_the_old_one_and_of_what_was_confirmed() -> None:
    study = play(slots=8)
    study.answer(2)
    finish(study, 2, 0.985)
    first = next(iter(trials_of(study, 1)))
    study.done(first, 0.5)
    for _ in range(10):
        if study.fate(1) is not ExperimentState.CONFIRMING:
            break
        finish(study, 1, 0.5)
        if study.fate(1) is ExperimentState.CONFIRMING:
            finish(study, 0, 1.0)
    assert study.fate(1) is ExperimentState.KEEP
    champion = study.state.champion
    assert champion is not None
    assert champion.experiment == 1
    assert not trials_of(study, 0), "nobody needs them any more"
    assert not trials_of(study, 2), "its edit is to be run on the new champion instead"


def test_every_repeat_teaches_the_noise() -> None:
    study = play()
    before = study.state.noise[""].degrees
    assert before == 2
    study.answer(1)
    finish(study, 1, 0.8)
    while study.fate(1) is ExperimentState.CONFIRMING:
        finish(study, 0, 1.0)
        finish(study, 1, 0.8)
    assert study.state.noise[""].degrees > before


def test_the_metric_of_a_champion_is_the_mean_of_its_trials_but_the_one_it_was_chosen_by() -> None:
    study = play()
    study.answer(1)
    finish(study, 1, 0.97)
    for _ in range(10):
        if study.fate(1) is not ExperimentState.CONFIRMING:
            break
        finish(study, 1, 0.985)
        finish(study, 0, 1.04)
    measured = of_kind(study.facts, ev.Measured)
    for fact in measured:
        assert isinstance(fact, ev.Measured)
    if measured:
        champion = study.state.champion
        assert champion is not None
        values = [r.metric for r in champion.results if r.number != SCREENING]
        assert champion.metric == pytest.approx(sum(values) / len(values))
    assert not [t for t in study.state.trials.values() if t.state is TrialState.LOST]
