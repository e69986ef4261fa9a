"""A limit of experiments below what a study has: nothing new begins, what began is decided."""

from dataclasses import replace

import pytest

from agent import Purpose
from scheduler.rules import events as ev
from scheduler.rules.states import ExperimentState, StopReason, StudyState
from tests.fixtures.play import Play
from tests.unit.test_rebasing import play, settle, wins


def again(study: Play, limit: int | None, slots: int = 16) -> None:
    """The driver died, and a new one opens the study with this limit."""
    policy = replace(study.state.policy, max_experiments=limit)
    study.state = replace(study.state, policy=policy)
    study.send(ev.Opened(study.tick()))
    study.send(ev.SlotsCounted(study.tick(), slots))


def queued() -> Play:
    """A study with two slots, and one more experiment in the queue."""
    study = Play(slots=2, max_experiments=14).after_baseline()
    study.answer(2)
    study.answer(1)
    assert study.state.tally.proposed == 3
    return study


def begun(study: Play) -> set[int]:
    return {study.state.trials[n].experiment for n in study.running()}


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_what_has_not_begun_waits_and_the_study_stops(limit: int) -> None:
    study = queued()
    again(study, limit)
    assert not begun(study)
    assert not study.state.asked
    assert (study.state.study, study.state.reason) == (
        StudyState.STOPPED,
        StopReason.MAX_EXPERIMENTS,
    )
    assert len(study.state.experiments) == 3, "none is given up"


def test_it_waits_as_long_as_the_limit_is_as_low_and_goes_on_with_a_higher_one() -> None:
    study = queued()
    for _ in range(2):
        again(study, 2)
        assert not begun(study)
    again(study, 3)
    assert begun(study) == {1, 2, 3}


def test_with_the_limit_that_it_had_what_is_queued_runs_and_a_persons_edit_beyond_it_too() -> None:
    study = Play(slots=1, max_experiments=2).after_baseline()
    study.answer(2)
    study.send(ev.Submitted(study.tick(), ev.Draft(0, 1)))
    assert study.state.tally.proposed == 3
    again(study, 2)
    assert begun(study) == {1, 2, 3}


def test_an_edit_that_is_submitted_meanwhile_runs() -> None:
    study = play()
    again(study, 2)
    study.send(ev.Submitted(study.tick(), ev.Draft(0, 1)))
    assert 4 in begun(study)


def test_what_is_being_confirmed_is_decided_and_nothing_is_merged() -> None:
    study = play()
    again(study, 2)
    assert settle(study, 1, 0.8) is ExperimentState.KEEP
    assert not wins(study)
    assert settle(study, 3, 0.65) is ExperimentState.KEEP
    assert settle(study, 2, 0.7) is ExperimentState.DISCARD
    assert not study.asked_for(Purpose.REBASE)
    assert max(f.id for f in study.facts if isinstance(f, ev.ExperimentAdded)) == 3
    for trial in study.running():
        study.done(trial, 0.65)
    assert study.state.reason is StopReason.MAX_EXPERIMENTS


def test_a_merge_that_was_asked_for_is_not_made_and_its_wins_face_the_champion() -> None:
    study = play()
    settle(study, 1, 0.8)
    assert wins(study) == [(3, 2)]
    again(study, 2)
    assert not study.state.asked
    assert settle(study, 3, 0.65) is ExperimentState.KEEP
    assert settle(study, 2, 0.7) is ExperimentState.DISCARD


def test_a_merge_that_has_not_begun_waits_with_its_wins() -> None:
    study = play()
    settle(study, 1, 0.8)
    study.answer(1, Purpose.REBASE)
    again(study, 2)
    champion = study.state.champion
    assert champion is not None
    for trial in study.running():
        study.done(trial, champion.metric)
    assert study.state.reason is StopReason.MAX_EXPERIMENTS
    assert {*study.state.experiments} == {2, 3, 4}
    again(study, None)
    assert settle(study, 4, 0.6) is ExperimentState.KEEP
