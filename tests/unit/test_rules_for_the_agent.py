"""The rules around the agent: idle slots, mending, limits of money, instructions."""

import pytest

from agent import Purpose
from scheduler.rules import events as ev
from scheduler.rules.states import ExperimentState, InstructionState, StopReason, StudyState
from scheduler.rules.stopping import AGENT_FAILURES, EMPTY_ANSWERS, MODEL_FAILURES
from tests.fixtures.play import Play, of_kind
from workers import OutcomeStatus


def states(play: Play) -> list[tuple[int, InstructionState]]:
    return [(f.id, f.state) for f in play.facts if isinstance(f, ev.InstructionMoved)]


# ---- idle slots -------------------------------------------------------------------------------


def test_while_a_model_thinks_the_tuner_is_asked_for_what_idle_slots_need() -> None:
    play = Play(slots=3, fill=True)
    assert play.asked_for(Purpose.FILL) == [2], "the baseline holds the third"
    assert play.asked_for(Purpose.IMPROVE)


def test_without_models_nobody_is_asked_to_fill() -> None:
    assert Play(slots=3).asked_for(Purpose.FILL) == []


def test_a_slot_that_has_something_to_run_is_not_filled() -> None:
    play = Play(slots=1, fill=True)
    play.answer(4, Purpose.IMPROVE, by_model=True)
    play.after_baseline()
    assert not play.state.free
    assert play.asked_for(Purpose.FILL) == []


def test_a_tuner_without_ideas_is_not_asked_again_at_once() -> None:
    play = Play(slots=2, fill=True)
    play.answer(0, Purpose.FILL)
    assert play.asked_for(Purpose.FILL) == []
    play.send(ev.Ticked(play.tick(60)))
    assert play.asked_for(Purpose.FILL) == [1]


def test_filling_does_not_pass_max_experiments() -> None:
    play = Play(slots=8, fill=True, max_experiments=3)
    assert sum(ask.count for ask in play.state.asked.values()) == 3


def test_an_answer_that_says_nothing_of_the_pace_does_not_change_it() -> None:
    play = Play(slots=1).after_baseline()
    play.answer(1, by_model=True, seconds=30.0)
    play.answer(1, seconds=None)
    assert play.state.pace.answer_seconds == 30.0


# ---- models that bring nothing ----------------------------------------------------------------


def test_answers_that_fail_by_a_fault_never_end_the_study() -> None:
    play = Play(slots=1).after_baseline()
    for _ in range(5 * EMPTY_ANSWERS):
        play.answer(0, troubled=True)
        play.send(ev.Ticked(play.tick(120.0)))
    assert play.state.study is StudyState.RUNNING
    assert play.state.asked


def test_a_model_that_writes_only_crashes_needs_longer_to_pause_the_study() -> None:
    play = Play(slots=1, failures_in_row=2).after_baseline()
    for failure in range(1, 2 * MODEL_FAILURES + 1):
        play.answer(1, by_model=True)
        play.failed(play.running()[0])
        paused = play.state.study is StudyState.PAUSED
        assert paused == (failure == 2 * MODEL_FAILURES)


def test_failures_of_code_that_no_model_wrote_pause_it_at_once() -> None:
    play = Play(slots=1, failures_in_row=2).after_baseline()
    for by_model in (True, False):
        play.answer(1, by_model=by_model)
        play.failed(play.running()[0])
    assert (play.state.study, play.state.reason) == (StudyState.PAUSED, StopReason.FAILURES)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("dollars", StopReason.MAX_DOLLARS),
        ("tokens", StopReason.MAX_TOKENS),
        ("calls", StopReason.MAX_CALLS),
    ],
)
def test_a_spent_limit_stops_the_study_where_that_is_wanted(limit: str, reason: StopReason) -> None:
    play = Play(slots=1, stop_when_spent=True).after_baseline()
    play.answer(1, spent=limit)
    assert play.state.study is StudyState.RUNNING, "what was paid for still runs"
    play.done(play.running()[0], 2.0)
    assert play.state.asked
    assert play.state.study is StudyState.RUNNING, "a call under way is paid for too"
    while play.state.asked:
        play.answer(0)
    assert (play.state.study, play.state.reason) == (StudyState.STOPPED, reason)


def test_else_the_study_goes_on_without_the_models() -> None:
    play = Play(slots=1).after_baseline()
    play.answer(1, spent="dollars")
    assert play.state.study is StudyState.RUNNING


def test_an_agent_that_dies_with_many_requests_under_way_has_failed_once() -> None:
    play = Play(slots=4, fill=True, proposals_per_call=1).after_baseline()
    assert len(play.state.asked) >= AGENT_FAILURES
    for request in list(play.state.asked):
        play.send(ev.AnswerFailed(play.tick(0.1), request, "its actor died"))
    assert play.state.study is StudyState.RUNNING
    assert play.state.tally.agent_failures_in_row == 1


def test_an_agent_that_fails_again_and_again_pauses_the_study() -> None:
    play = Play(slots=1).after_baseline()
    for _ in range(AGENT_FAILURES):
        assert play.state.study is StudyState.RUNNING
        play.send(ev.AnswerFailed(play.tick(), max(play.state.asked), "its actor died"))
        for request in list(play.state.asked):
            play.send(ev.AnswerFailed(play.tick(), request, "its actor died"))
        play.send(ev.Ticked(play.tick(120.0)))
    assert (play.state.study, play.state.reason) == (StudyState.PAUSED, StopReason.AGENT_FAILED)


# ---- mending ----------------------------------------------------------------------------------


def test_what_only_one_answer_can_mend_is_asked_for_again_when_the_agent_dies() -> None:
    play = Play(slots=1, mends=1).after_baseline()
    play.answer(1, by_model=True)
    crash(play, 1)
    for _ in range(AGENT_FAILURES):
        assert play.asked_for(Purpose.MEND) == [1]
        mending = max(n for n, ask in play.state.asked.items() if ask.purpose is Purpose.MEND)
        play.send(ev.AnswerFailed(play.tick(), mending, "its actor died"))
    assert play.asked_for(Purpose.MEND) == [], "not for ever"
    assert play.state.reason is StopReason.AGENT_FAILED


def crash(play: Play, experiment: int, *, early: bool = True) -> None:
    play.failed(play.trial_of(experiment), early=early)


def test_an_early_crash_goes_back_to_its_model_and_what_comes_back_runs_first() -> None:
    play = Play(slots=1, mends=1).after_baseline()
    play.answer(4, Purpose.IMPROVE, by_model=True)
    play.actions.clear()
    crash(play, 1)
    mending = [a for a in play.actions if isinstance(a, ev.RequestProposals)]
    assert (mending[0].purpose, mending[0].broken, mending[0].count) == (Purpose.MEND, 1, 1)
    play.answer(1, Purpose.MEND, by_model=True)
    added = [f for f in play.facts if isinstance(f, ev.ExperimentAdded)][-1]
    assert (added.mends, added.mended) == (1, 1)
    assert play.state.trials[play.state.ready[0]].experiment == added.id


def test_one_line_is_mended_no_more_often_than_configured() -> None:
    play = Play(slots=1, mends=2).after_baseline()
    play.answer(1, Purpose.IMPROVE, by_model=True)
    for experiment in (1, 2):
        crash(play, experiment)
        play.answer(1, Purpose.MEND, by_model=True)
    crash(play, 3)
    assert play.asked_for(Purpose.MEND) == []


@pytest.mark.parametrize(
    ("by_model", "early", "status"),
    [
        (False, True, OutcomeStatus.CRASH),
        (True, False, OutcomeStatus.CRASH),
        (True, True, OutcomeStatus.REJECTED),
    ],
    ids=["the tuner's", "a late one", "no crash"],
)
def test_what_is_dear_or_useless_to_mend_is_not_sent_back(
    by_model: bool, early: bool, status: OutcomeStatus
) -> None:
    play = Play(slots=1, mends=2).after_baseline()
    play.answer(1, by_model=by_model)
    play.failed(play.trial_of(1), status, early=early)
    assert play.asked_for(Purpose.MEND) == []


def test_a_mending_that_the_driver_took_to_its_grave_is_asked_for_again() -> None:
    play = Play(slots=1, mends=1).after_baseline()
    play.answer(1, by_model=True)
    crash(play, 1)
    play.actions.clear()
    play.send(ev.Opened(play.tick()))
    again = [a for a in play.actions if isinstance(a, ev.RequestProposals)]
    assert [(a.purpose, a.broken) for a in again] == [(Purpose.MEND, 1)]


# ---- instructions -----------------------------------------------------------------------------


def test_an_instruction_is_in_use_once_a_model_that_was_told_has_answered() -> None:
    play = Play(slots=1).after_baseline()
    play.send(ev.Instructed(play.tick()))
    play.answer(1, by_model=True, told=(1,))
    assert states(play) == [(1, InstructionState.IN_USE)]


def test_it_is_served_once_an_experiment_that_names_it_is_decided() -> None:
    play = Play(slots=1).after_baseline()
    play.send(ev.Instructed(play.tick()))
    play.answer(1, by_model=True, told=(1,), instruction=1)
    play.done(play.trial_of(1), 2.0)
    assert states(play)[-1] == (1, InstructionState.SERVED)
    assert not play.state.instructions


def test_a_crash_serves_no_instruction() -> None:
    play = Play(slots=1).after_baseline()
    play.send(ev.Instructed(play.tick()))
    play.answer(1, by_model=True, told=(1,), instruction=1)
    crash(play, 1)
    assert states(play) == [(1, InstructionState.IN_USE)]


def test_it_expires_after_so_many_decisions() -> None:
    play = Play(slots=1).after_baseline()
    play.send(ev.Instructed(play.tick(), lifetime=2))
    for experiment in (1, 2):
        assert states(play) == []
        play.answer(1)
        play.done(play.trial_of(experiment), 2.0)
    assert states(play) == [(1, InstructionState.EXPIRED)]


def test_a_withdrawn_instruction_stays_withdrawn() -> None:
    play = Play(slots=1).after_baseline()
    play.send(ev.Instructed(play.tick()))
    play.send(ev.Withdrawn(play.tick(), 1))
    play.answer(1, by_model=True, told=(1,), instruction=1)
    play.done(play.trial_of(1), 2.0)
    assert states(play) == [(1, InstructionState.WITHDRAWN)]


def test_decisions_are_numbered_without_gaps() -> None:
    play = Play(slots=1, mends=1).after_baseline()
    play.answer(3, by_model=True)
    crash(play, 1)
    play.done(play.trial_of(2), 0.5)
    moved = [f for f in play.facts if isinstance(f, ev.ExperimentMoved)]
    assert [f.decision for f in moved if f.state.is_final] == [1, 2, 3]
    assert all(f.decision is None for f in moved if f.state is ExperimentState.RUNNING)
    assert of_kind(play.facts, ev.Crowned)
