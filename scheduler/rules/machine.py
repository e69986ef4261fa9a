"""The rules of a study as a pure state machine: `step(state, event) -> Transition`.

Every decision is taken here: what runs next, what is kept, what is tried again, when the agent
is asked, when the study ends. No I/O, no clock, no Ray: the results actor calls it and stores
what follows, the tests and the simulation call it in virtual time. Its cost depends on the
number of slots and on the queue, never on the length of the study.
"""

from dataclasses import dataclass, replace
from functools import singledispatch

from agent import Purpose
from scheduler.rules import (
    ablating,
    answers,
    checks,
    commands,
    instructions,
    reference,
    shelving,
    stopping,
    supply,
)
from scheduler.rules import events as ev
from scheduler.rules.decisions import (
    consider,
    face_the_champion,
    fail,
    learn,
    lose,
    take_repeat,
    try_again,
    try_on_reference,
)
from scheduler.rules.placing import next_start
from scheduler.rules.requests import UNIQUE, mend, request
from scheduler.rules.state import (
    Ask,
    InstructionEntry,
    Result,
    State,
    TrialEntry,
    UnderWay,
)
from scheduler.rules.states import (
    ExperimentState,
    InstructionState,
    StopReason,
    StudyState,
    TrialKind,
    TrialState,
)
from scheduler.rules.trials import end_trial
from scheduler.rules.turn import Turn
from workers import OutcomeStatus

NOTE_SECONDS = 30.0  # of open time that a killed study may forget

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
    reference.drop_the_impossible(turn)
    if turn.state.study.is_open and turn.now - turn.state.tally.seen_at >= NOTE_SECONDS:
        turn.tally(seen_at=turn.now)
    reference.watch(turn)
    _stop_where_due(turn)
    _start_trials(turn)
    _ask(turn)
    ablating.ask(turn)
    checks.plan_long(turn)
    _start_trials(turn)
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
    turn.change(asked=state.asked.__class__(), under_way=UnderWay())
    tally = state.tally
    # A study that was killed has counted its time up to the last note.
    forgotten = max(0.0, tally.seen_at - tally.opened_at) if state.study.is_open else 0.0
    turn.tally(
        seconds_before=tally.seconds_before + forgotten, opened_at=event.at, seen_at=event.at
    )
    shelving.open_shelf(turn)
    commands.forgive(turn)
    turn.move_study(StudyState.RUNNING)
    for trial in sorted(
        (t for t in state.trials.values() if t.slot is not None), key=lambda t: t.id, reverse=True
    ):
        lose(turn, trial, "the study was interrupted while it ran", blamed=False)
    for ask in state.asked.values():  # what only one answer can bring is asked for again
        if turn.state.tally.shelved and ask.purpose is Purpose.REBASE:
            face_the_champion(turn, ask.wins)
        elif ask.purpose in UNIQUE and not (turn.state.tally.shelved and ask.broken is not None):
            request(turn, ask)
    baseline_alive = any(e.parent is None for e in turn.state.experiments.values())
    if turn.state.champion is None and not baseline_alive:
        answers.add_baseline(turn, event.size)


@_take.register
def _(event: ev.SlotsCounted, turn: Turn) -> None:
    reference.take_slots(turn, event)


@_take.register
def _(event: ev.Answered, turn: Turn) -> None:
    answers.take(turn, event)


@_take.register
def _(event: ev.AnswerFailed, turn: Turn) -> None:
    answers.take_failure(turn, event)


@_take.register
def _(event: ev.Reported, turn: Turn) -> None:
    trial = turn.state.trials.get(event.trial)
    if trial is None or trial.slot is None:
        return  # recorded already, or given up as lost
    if event.status is OutcomeStatus.LOST:
        lose(turn, trial, event.reason, blamed=not event.node_fault)
        if event.node_fault:  # on another node it may do well; where none is left, that shows
            losses = turn.state.tally.losses_in_row + 1
            turn.tally(losses_in_row=losses, loss=event.reason)
    elif trial.kind is TrialKind.LONG:
        checks.take_long(turn, trial)
    else:
        _take_outcome(turn, trial, event)


def _take_outcome(turn: Turn, trial: TrialEntry, event: ev.Reported) -> None:
    """A usual trial has ended."""
    end_trial(turn, trial, TrialState.DONE)
    pace = turn.state.pace
    turn.change(
        pace=replace(pace, trial_seconds=answers.average(pace.trial_seconds, event.seconds))
    )
    turn.tally(losses_in_row=0, ask_after=0)
    result = None
    if event.metric is not None:
        result = Result(trial.number, event.metric, event.hardware, trial.accelerator)
    entry = turn.state.experiments.get(trial.experiment)
    if entry is None:
        # Out of time may be a busy machine's fault; whatever else ends a trial is the task's.
        told = result is None and event.status is not OutcomeStatus.TIMEOUT
        take_repeat(turn, trial, result, why=f"{event.status}: {event.reason}" if told else "")
        return
    if result is None:
        if event.status is OutcomeStatus.OOM and try_on_reference(turn, trial):
            return
        if try_again(turn, entry, trial):
            return
        fail(turn, entry, FAILURES[event.status], event.reason, counts=not event.over_limit)
        if event.early and event.status is OutcomeStatus.CRASH:
            mend(turn, entry)
        return
    learn(turn, entry.results, result, baseline=entry.parent is None)
    entry = replace(turn.state.experiments[entry.id], results=(*entry.results, result))
    turn.put(entry)
    if len(entry.results) < entry.wanted:
        return
    if turn.state.champion is None and entry.parent is not None:
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
    answers.add(turn, answers.entry_of(turn.state, event.draft), 0, first=True)


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


# ---- what follows every event ---------------------------------------------------------------


def _stop_where_due(turn: Turn) -> None:
    if turn.state.study is not StudyState.RUNNING:
        return
    if reason := stopping.broken(turn.state):
        turn.move_study(StudyState.PAUSED, reason, _what_is_broken(turn.state, reason))
    elif reason := stopping.limit_reached(turn.state, turn.now):
        turn.move_study(StudyState.DRAINING, reason)
    elif (reason := stopping.exhausted(turn.state)) and not _closing_work(turn):
        turn.move_study(StudyState.STOPPED, reason)


def _closing_work(turn: Turn) -> bool:
    """Whether something is due before a study that has nothing else to run may stop."""
    return bool(checks.due(turn.state, turn.now)) or ablating.is_due(turn.state, turn.now)


def _what_is_broken(state: State, reason: StopReason) -> str:
    if reason is StopReason.FAILURES:
        return f"{state.tally.failures_in_row} experiments in a row failed"
    if reason is StopReason.AGENT_FAILED:
        count, last = state.tally.agent_failures_in_row, state.tally.agent_failure
        return f"the agent failed {count} times in a row: {last}"
    count, last = state.tally.losses_in_row, state.tally.loss
    return f"{count} trials in a row were lost by the cluster; the last: {last}"


def _start_trials(turn: Turn) -> None:
    while turn.state.free and (chosen := next_start(turn.state)):
        state, (number, kind) = turn.state, chosen
        slot, trial = state.free[-1], state.trials[number]
        if not checks.may_start(state, trial):
            return
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
