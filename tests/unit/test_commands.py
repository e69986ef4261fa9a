"""What a person may ask of a running study, as claims about the rules."""

import pytest

from scheduler.rules import events as ev
from scheduler.rules.commands import objection
from scheduler.rules.states import ExperimentState, StopReason, StudyState, TrialState
from tests.fixtures.play import Play, of_kind

# ---- pause and unpause ------------------------------------------------------------------------


def paused(play: Play) -> Play:
    play.send(ev.Paused(play.tick()))
    return play


def test_a_paused_study_starts_nothing_keeps_what_comes_back_and_does_not_end() -> None:
    play = Play().after_baseline()
    play.answer(4)
    paused(play)
    before = len(play.actions)
    for trial in play.running():
        play.done(trial, 0.9)
    play.send(ev.Ticked(play.tick(1000.0)))
    assert play.running() == []
    assert len(play.state.ready) == 2
    assert play.actions[before:] == []
    assert (play.state.study, play.state.reason) == (StudyState.PAUSED, StopReason.INSTRUCTION)


def test_what_is_answered_while_it_is_paused_runs_when_it_goes_on() -> None:
    play = paused(Play().after_baseline())
    play.answer(2)
    assert play.running() == []
    play.send(ev.Unpaused(play.tick()))
    assert len(play.running()) == 2


def test_the_time_of_a_pause_does_not_count() -> None:
    play = Play(max_seconds=100.0).after_baseline()
    play.answer(4)
    paused(play)
    play.send(ev.Ticked(play.tick(5000.0)))
    play.send(ev.Unpaused(play.tick()))
    assert play.state.study is StudyState.RUNNING
    play.send(ev.Ticked(play.tick(97.0)))
    assert play.state.reason is StopReason.MAX_HOURS


def test_a_study_that_was_killed_while_it_was_paused_has_not_counted_the_pause() -> None:
    play = paused(Play(max_seconds=100.0).after_baseline())
    play.send(ev.Ticked(play.tick(5000.0)))
    play.send(ev.Opened(play.tick()))
    assert play.state.tally.seconds_before < 10
    assert play.state.study is StudyState.RUNNING


def test_one_that_paused_by_itself_waits_where_it_is_told_to_and_is_forgiven() -> None:
    play = Play(slots=1, failures_in_row=2, wait_when_paused=True).after_baseline()
    play.answer(4)
    for _ in range(2):
        play.failed(play.running()[0])
    assert (play.state.study, play.state.reason) == (StudyState.PAUSED, StopReason.FAILURES)
    assert not of_kind(play.actions, ev.Finish)
    play.send(ev.Unpaused(play.tick()))
    play.failed(play.running()[0])
    assert play.state.study is StudyState.RUNNING, "one more failure is not two in a row"


def test_a_baseline_that_failed_ends_the_study_whoever_waits() -> None:
    play = Play(wait_when_paused=True)
    play.failed(1)
    assert play.actions[-1] == ev.Finish()


# ---- stop -------------------------------------------------------------------------------------


def test_a_stop_lets_the_running_trials_end_and_names_who_asked() -> None:
    play = Play().after_baseline()
    play.answer(4)
    play.send(ev.DrainAsked(play.tick(), StopReason.INSTRUCTION))
    for trial in play.running():
        play.done(trial, 1.5)
    assert (play.state.study, play.state.reason) == (StudyState.STOPPED, StopReason.INSTRUCTION)
    assert play.actions[-1] == ev.Finish()


@pytest.mark.parametrize("asked", [ev.DrainAsked, ev.CancelAsked])
def test_a_paused_study_can_be_stopped(asked: type) -> None:
    play = paused(Play().after_baseline())
    play.send(asked(play.tick()))
    assert play.state.study is StudyState.STOPPED
    assert play.actions[-1] == ev.Finish()


def test_a_stop_at_once_cuts_short_and_leaves_the_experiments_queued() -> None:
    play = Play().after_baseline()
    play.answer(2)
    held = play.running()
    play.send(ev.CancelAsked(play.tick(), StopReason.INSTRUCTION))
    assert [a for a in play.actions if isinstance(a, ev.CancelTrial)] == [
        ev.CancelTrial(n) for n in reversed(held)
    ]
    assert play.state.study is StudyState.STOPPED
    assert {e.state for e in play.state.experiments.values()} == {ExperimentState.QUEUED}


# ---- an experiment ----------------------------------------------------------------------------


def test_a_cancelled_experiment_ends_its_trial_and_frees_the_slot() -> None:
    play = Play().after_baseline()
    play.answer(3)
    play.send(ev.Cancelled(play.tick(), 1))
    assert play.fate(1) is ExperimentState.CANCELLED
    assert len(play.running()) == 2, "the queued one has its slot"
    moved = [f for f in play.facts if isinstance(f, ev.TrialMoved)]
    assert moved[-2].state is TrialState.CANCELLED


def test_a_queued_experiment_that_is_cancelled_never_runs() -> None:
    play = Play(slots=1).after_baseline()
    play.answer(2)
    play.send(ev.Cancelled(play.tick(), 2))
    play.done(play.running()[0], 0.9)
    assert 2 not in {play.state.trials[n].experiment for n in play.running()}


def test_a_cancelled_experiment_says_nothing_of_progress_nor_of_its_instruction() -> None:
    play = Play(plateau=1).after_baseline()
    play.send(ev.Instructed(play.tick()))
    play.answer(1, instruction=1)
    play.send(ev.Cancelled(play.tick(), 1))
    assert play.state.tally.since_champion == 0
    assert play.state.study is StudyState.RUNNING
    assert 1 in play.state.instructions


def test_one_that_waits_for_the_baseline_can_be_cancelled() -> None:
    play = Play(slots=3)
    play.answer(1)
    play.done(play.trial_of(1), 0.5)
    play.send(ev.Cancelled(play.tick(), 1))
    play.done(1, 1.0)
    assert play.fate(1) is ExperimentState.CANCELLED
    assert play.state.champion is not None
    assert play.state.champion.experiment == 0


def test_a_persons_edit_goes_first_and_past_the_limit_of_experiments() -> None:
    play = Play(slots=1, max_experiments=1).after_baseline()
    play.answer(1)
    play.send(ev.Submitted(play.tick(), ev.Draft(0, 1)))
    play.send(ev.Submitted(play.tick(), ev.Draft(0, 1)))
    play.done(play.running()[0], 1.5)
    assert play.state.trials[play.running()[0]].experiment == 3
    play.done(play.running()[0], 1.5)
    play.done(play.running()[0], 0.5)
    assert play.state.champion is not None
    assert play.state.champion.experiment == 2
    assert play.state.reason is StopReason.MAX_EXPERIMENTS


# ---- what can't be done -----------------------------------------------------------------------


def test_each_command_that_makes_no_sense_has_an_objection_in_words() -> None:
    play = Play()
    words: dict[str, ev.Event] = {
        "not paused": ev.Unpaused(play.now),
        "baseline": ev.Cancelled(play.now, 0),
        "decided already": ev.Cancelled(play.now, 7),
        "not open": ev.Withdrawn(play.now, 7),
    }
    for word, event in words.items():
        assert word in objection(play.state, event)
        assert play.send(event).facts == ()
    paused(play)
    assert "paused" in objection(play.state, ev.Paused(play.now))
    play.send(ev.CancelAsked(play.tick()))
    assert "stopped" in objection(play.state, ev.DrainAsked(play.now))
