"""The rules of a study as a pure state machine: `step(state, event) -> Transition`.

Every decision is taken here: what runs next, what is kept, what is tried again, when the agent
is asked, when the study ends. No I/O, no clock, no Ray: the results actor calls it and stores
what follows, the tests and the simulation call it in virtual time. Its cost depends on the
number of slots and on the queue, never on the length of the study.
"""

from dataclasses import dataclass, replace
from functools import singledispatch

from agent import Purpose
from scheduler.rules import commands, instructions, reference, stopping, supply
from scheduler.rules import events as ev
from scheduler.rules.decisions import (
    consider,
    fail,
    learn,
    lose,
    mend,
    request,
    take_repeat,
    try_on_reference,
)
from scheduler.rules.fleet import REFERENCE
from scheduler.rules.placing import next_start
from scheduler.rules.state import (
    Ask,
    ExperimentEntry,
    InstructionEntry,
    Result,
    State,
)
from scheduler.rules.states import (
    ExperimentState,
    InstructionState,
    StopReason,
    StudyState,
    TrialState,
)
from scheduler.rules.trials import end_trial, plan
from scheduler.rules.turn import Turn
from workers import OutcomeStatus

SMOOTHING = 0.2  # weight of the newest measurement in the averages of `Pace`
NOTE_SECONDS = 30.0  # of open time that a killed study may forget
LONGEST_SILENCE = 60.0  # seconds for which an agent without ideas is left alone

FAILURES = {
    OutcomeStatus.CRASH: ExperimentState.CRASH,
    OutcomeStatus.TIMEOUT: ExperimentState.TIMEOUT,
    OutcomeStatus.OOM: ExperimentState.OOM,
    OutcomeStatus.REJECTED: ExperimentState.REJECTED,
}


@dataclass(frozen=True)
class Transition:
    """What an event led to."""

    state: State
    facts: tuple[ev.Fact, ...]
    actions: tuple[ev.Action, ...]


def step(state: State, event: ev.Event) -> Transition:
    """Take in one event. Deterministic; events about things long decided change nothing."""
    turn = Turn(state, event.at)
    if not commands.objection(state, event):
        _take(event, turn)
    if turn.state.study.is_open and turn.now - turn.state.tally.seen_at >= NOTE_SECONDS:
        turn.tally(seen_at=turn.now)
    reference.watch(turn)
    _stop_where_due(turn)
    _start_trials(turn)
    _ask(turn)
    _finish(turn)
    return Transition(turn.state, tuple(turn.facts), tuple(turn.actions))


# ---- events ---------------------------------------------------------------------------------


@singledispatch
def _take(event: object, turn: Turn) -> None:  # noqa: ARG001
    raise TypeError(f"no rule for {event!r}")


@_take.register
def _(event: ev.Opened, turn: Turn) -> None:
    """Nothing runs yet in this session: what ran in the last one is lost and goes first.

    Slots are forgotten too, until the new driver has counted them.
    """
    state = turn.state
    reference.forget_slots(turn)
    turn.change(asked=state.asked.__class__())
    tally = state.tally
    # A study that was killed has counted its time up to the last note.
    forgotten = max(0.0, tally.seen_at - tally.opened_at) if state.study.is_open else 0.0
    turn.tally(
        seconds_before=tally.seconds_before + forgotten, opened_at=event.at, seen_at=event.at
    )
    commands.forgive(turn)
    turn.move_study(StudyState.RUNNING)
    for trial in sorted(
        (t for t in state.trials.values() if t.slot is not None), key=lambda t: t.id, reverse=True
    ):
        lose(turn, trial, "the study was interrupted while it ran", blamed=False)
    for ask in state.asked.values():  # what only one answer can bring is asked for again
        if ask.purpose is Purpose.MEND:
            request(turn, ask)
    baseline_alive = any(e.parent is None for e in turn.state.experiments.values())
    if turn.state.champion is None and not baseline_alive:
        _add_baseline(turn)


@_take.register
def _(event: ev.SlotsCounted, turn: Turn) -> None:
    reference.take_slots(turn, event)


@_take.register
def _(event: ev.Answered, turn: Turn) -> None:
    if event.request not in turn.state.asked:
        return  # asked in an earlier session, or answered twice
    state = turn.state
    ask = state.asked[event.request]
    turn.change(asked=state.asked.delete(event.request))
    if event.seconds is not None:
        answer_seconds = _average(state.pace.answer_seconds, event.seconds)
        turn.change(pace=replace(state.pace, answer_seconds=answer_seconds))
    turn.tally(agent_failures_in_row=0, agent_failure="")
    for number in event.told:
        instructions.move(turn, number, InstructionState.IN_USE)
    _note_emptiness(turn, ask, event)
    limit = state.policy.max_experiments
    for number, draft in enumerate(event.drafts):
        if limit is not None and turn.state.tally.proposed >= limit:
            break
        turn.tally(proposed=turn.state.tally.proposed + 1)
        _add_experiment(turn, number, draft, ask)
    if event.spent and state.policy.stop_when_spent:
        turn.tally(spent=event.spent)  # what was paid for still runs


@_take.register
def _(event: ev.AnswerFailed, turn: Turn) -> None:
    if (ask := turn.state.asked.get(event.request)) is not None:
        turn.change(asked=turn.state.asked.delete(event.request))
        tally = turn.state.tally
        # An agent that dies takes all its requests with it: that is one failure, not many.
        if event.request >= tally.failed_before:
            failures = tally.agent_failures_in_row + 1
            turn.tally(
                agent_failures_in_row=failures,
                agent_failure=event.reason,
                failed_before=turn.state.next_request,
            )
            _hush(turn, failures)
        if ask.purpose is Purpose.FILL:
            turn.tally(fill_after=turn.state.tally.ask_after)
        elif ask.purpose is Purpose.MEND and stopping.broken(turn.state) is None:
            request(turn, ask)  # what only one answer can bring


@_take.register
def _(event: ev.Reported, turn: Turn) -> None:
    trial = turn.state.trials.get(event.trial)
    if trial is None or trial.slot is None:
        return  # recorded already, or given up as lost
    if event.status is OutcomeStatus.LOST:
        lose(turn, trial, event.reason, blamed=True)
        return
    end_trial(turn, trial, TrialState.DONE)
    pace = turn.state.pace
    turn.change(pace=replace(pace, trial_seconds=_average(pace.trial_seconds, event.seconds)))
    turn.tally(losses_in_row=0, ask_after=0)
    result = None
    if event.metric is not None:
        result = Result(trial.number, event.metric, event.hardware, trial.accelerator)
    entry = turn.state.experiments.get(trial.experiment)
    if entry is None:
        take_repeat(turn, trial, result)
        return
    if result is None:
        if event.status is OutcomeStatus.OOM and try_on_reference(turn, trial):
            return
        fail(turn, entry, FAILURES[event.status], event.reason)
        if event.early and event.status is OutcomeStatus.CRASH:
            mend(turn, entry)
        return
    learn(turn, entry.results, result, baseline=entry.parent is None)
    entry = replace(turn.state.experiments[entry.id], results=(*entry.results, result))
    if len(entry.results) < entry.wanted:
        turn.put(entry)
    elif turn.state.champion is None and entry.parent is not None:
        turn.put(replace(entry, state=ExperimentState.CONFIRMING))
        turn.change(waiting=(*turn.state.waiting, entry.id))
    else:
        consider(turn, entry)


@_take.register
def _(event: ev.Lost, turn: Turn) -> None:
    trial = turn.state.trials.get(event.trial)
    if trial is not None and trial.slot is not None:
        lose(turn, trial, event.reason, blamed=event.blamed, memory=event.out_of_memory)


@_take.register
def _(event: ev.Instructed, turn: Turn) -> None:
    """A model reads it in its next briefing, which is due soon: the queue is short."""
    state = turn.state
    expires = None if event.lifetime is None else state.tally.decided + event.lifetime
    entry = InstructionEntry(state.next_instruction, expires=expires)
    turn.change(next_instruction=entry.id + 1, instructions=state.instructions.set(entry.id, entry))
    turn.facts.append(ev.InstructionAdded(entry.id, expires))


@_take.register
def _(event: ev.Withdrawn, turn: Turn) -> None:
    instructions.move(turn, event.instruction, InstructionState.WITHDRAWN)


@_take.register
def _(event: ev.Submitted, turn: Turn) -> None:
    """It goes first: a person waits for it. A limit of experiments does not refuse it."""
    turn.tally(proposed=turn.state.tally.proposed + 1)
    draft = event.draft
    entry = ExperimentEntry(
        turn.state.next_experiment, draft.parent, draft.champions, instruction=draft.instruction
    )
    _add(turn, entry, 0, first=True)


@_take.register
def _(event: ev.Cancelled, turn: Turn) -> None:
    commands.cancel(turn, event.experiment)


@_take.register
def _(_event: ev.Paused, turn: Turn) -> None:
    commands.pause(turn)


@_take.register
def _(_event: ev.Unpaused, turn: Turn) -> None:
    commands.unpause(turn)


@_take.register
def _(event: ev.DrainAsked, turn: Turn) -> None:
    commands.drain(turn, event.reason)


@_take.register
def _(event: ev.CancelAsked, turn: Turn) -> None:
    commands.cut_short(turn, event.reason)


@_take.register
def _(_event: ev.Ticked, _turn: Turn) -> None:
    """Only the time has changed: limits and silences are looked at after every event."""


# ---- new experiments -----------------------------------------------------------------------


def _add_baseline(turn: Turn) -> None:
    state = turn.state
    wanted = state.policy.baseline_repeats
    _add(turn, ExperimentEntry(state.next_experiment, None, 0, wanted=wanted), None)


def _add_experiment(turn: Turn, number: int, draft: ev.Draft, ask: Ask) -> None:
    entry = ExperimentEntry(
        turn.state.next_experiment,
        draft.parent,
        draft.champions,
        by_model=draft.by_model,
        instruction=draft.instruction,
        mended=ask.mended,
    )
    _add(turn, entry, number, mends=ask.broken)


def _add(
    turn: Turn,
    entry: ExperimentEntry,
    draft: int | None,
    mends: int | None = None,
    *,
    first: bool = False,
) -> None:
    """Take an experiment in and queue its trials; who mends goes before what is new."""
    turn.change(next_experiment=entry.id + 1)
    turn.put(entry)
    turn.facts.append(
        ev.ExperimentAdded(entry.id, draft, entry.parent, entry.wanted, mends, entry.mended)
    )
    for number in range(1, entry.wanted + 1):
        wants = REFERENCE if entry.parent is None else ""
        plan(turn, entry.id, number, first=first or mends is not None, wants=wants)


# ---- what follows every event ---------------------------------------------------------------


def _stop_where_due(turn: Turn) -> None:
    if turn.state.study is not StudyState.RUNNING:
        return
    if reason := stopping.broken(turn.state):
        turn.move_study(StudyState.PAUSED, reason, _what_is_broken(turn.state, reason))
    elif reason := stopping.limit_reached(turn.state, turn.now):
        turn.move_study(StudyState.DRAINING, reason)
    elif reason := stopping.exhausted(turn.state):
        turn.move_study(StudyState.STOPPED, reason)


def _what_is_broken(state: State, reason: StopReason) -> str:
    if reason is StopReason.FAILURES:
        return f"{state.tally.failures_in_row} experiments in a row failed"
    if reason is StopReason.AGENT_FAILED:
        count, last = state.tally.agent_failures_in_row, state.tally.agent_failure
        return f"the agent failed {count} times in a row: {last}"
    return f"{state.tally.losses_in_row} trials in a row were lost by the cluster"


def _start_trials(turn: Turn) -> None:
    if turn.state.study is not StudyState.RUNNING:
        return
    while turn.state.free and (chosen := next_start(turn.state)):
        state, (number, kind) = turn.state, chosen
        slot, trial = state.free[-1], state.trials[number]
        started = replace(trial, slot=slot, state=TrialState.RUNNING, accelerator=kind)
        place = state.ready.index(number)
        turn.change(
            free=state.free[:-1],
            ready=state.ready[:place] + state.ready[place + 1 :],
            trials=state.trials.set(trial.id, started),
        )
        turn.facts.append(ev.TrialMoved(trial.id, TrialState.RUNNING, slot=slot, accelerator=kind))
        entry = state.experiments.get(trial.experiment)  # None: a repeat of the champion
        if entry is not None and entry.state is ExperimentState.QUEUED:
            turn.put(replace(entry, state=ExperimentState.RUNNING))
            staleness = state.champions - entry.champions
            turn.facts.append(ev.ExperimentStarted(entry.id, staleness))
        turn.actions.append(ev.StartTrial(trial.id))


def _ask(turn: Turn) -> None:
    if turn.state.study is not StudyState.RUNNING:
        return
    for count in supply.calls(turn.state, turn.now):
        request(turn, Ask(count))
    if idle := supply.idle_slots(turn.state, turn.now):
        request(turn, Ask(idle, Purpose.FILL))


def _finish(turn: Turn) -> None:
    """End the loop once nothing runs that the study waits for."""
    state = turn.state
    if state.study is StudyState.DRAINING and state.running == 0:
        turn.move_study(StudyState.STOPPED, state.reason)
    over = turn.state.study is StudyState.STOPPED
    paused = state.study is StudyState.PAUSED and not stopping.waits_for_a_person(state)
    if over or (paused and state.running == 0):
        turn.actions.append(ev.Finish())


def _note_emptiness(turn: Turn, ask: Ask, event: ev.Answered) -> None:
    """Leave an agent that brought nothing alone for a while; where that was no fault, count it."""
    tally = turn.state.tally
    if ask.purpose is Purpose.FILL:
        empty = 0 if event.drafts else tally.empty_fills + 1
        turn.tally(empty_fills=empty, fill_after=turn.now + _silence(empty) if empty else 0.0)
    elif ask.purpose is Purpose.IMPROVE:
        if event.drafts:
            turn.tally(empty_in_row=0, troubled_in_row=0)
        elif event.troubled:
            turn.tally(troubled_in_row=tally.troubled_in_row + 1)
            _hush(turn, tally.troubled_in_row + 1)
        else:
            turn.tally(empty_in_row=tally.empty_in_row + 1)
            _hush(turn, tally.empty_in_row + 1)


def _hush(turn: Turn, times: int) -> None:
    """The agent brought nothing, so many times in a row: leave it alone, longer each time."""
    turn.tally(ask_after=turn.now + _silence(times))


def _silence(times: int) -> float:
    return min(LONGEST_SILENCE, 2.0 ** min(times - 1, 16))


def _average(before: float | None, newest: float) -> float:
    return newest if before is None else before + SMOOTHING * (newest - before)
