"""The rules of a study as a pure state machine: `step(state, event) -> Transition`.

Every decision is taken here: what runs next, what is kept, what is tried again, when the agent
is asked, when the study ends. No I/O, no clock, no Ray: the results actor calls it and stores
what follows, the tests and the simulation call it in virtual time. Its cost depends on the
number of slots and on the queue, never on the length of the study.
"""

from dataclasses import dataclass, replace
from functools import singledispatch

from scheduler.rules import events as ev
from scheduler.rules import stopping, supply
from scheduler.rules.ranking import judge
from scheduler.rules.state import Champion, ExperimentEntry, State, TrialEntry, free_slots
from scheduler.rules.states import ExperimentState, StopReason, StudyState, TrialState
from workers import OutcomeStatus

SMOOTHING = 0.2  # weight of the newest measurement in the averages of `Pace`
LOSSES_ALLOWED = 1  # per experiment; the second one is taken for its own fault
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


class Turn:
    """One step under way: the state so far, and the facts and actions collected."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.facts: list[ev.Fact] = []
        self.actions: list[ev.Action] = []

    def change(self, **fields: object) -> None:
        """Replace fields of the state."""
        self.state = replace(self.state, **fields)  # type: ignore[arg-type]

    def tally(self, **fields: float | str) -> None:
        """Replace counters of the state."""
        self.change(tally=replace(self.state.tally, **fields))  # type: ignore[arg-type]

    def put(self, entry: ExperimentEntry) -> None:
        """Store an undecided experiment, and record its state if that changed."""
        before = self.state.experiments.get(entry.id)
        self.change(experiments=self.state.experiments.set(entry.id, entry))
        if before is not None and before.state is not entry.state:
            self.facts.append(ev.ExperimentMoved(entry.id, entry.state))

    def move_study(self, to: StudyState, reason: StopReason | None = None, text: str = "") -> None:
        """Change the state of the study."""
        self.change(study=to, reason=reason)
        self.facts.append(ev.StudyMoved(to, reason, text))


def step(state: State, event: ev.Event) -> Transition:
    """Take in one event. Deterministic; events about things long decided change nothing."""
    turn = Turn(state, event.at)
    _take(event, turn)
    if turn.now - turn.state.tally.seen_at >= NOTE_SECONDS:
        turn.tally(seen_at=turn.now)
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
    turn.change(slots=0, free=(), asked=state.asked.__class__())
    tally = state.tally
    turn.tally(
        seconds_before=tally.seconds_before + max(0.0, tally.seen_at - tally.opened_at),
        opened_at=event.at,
        seen_at=event.at,
        failures_in_row=0,
        losses_in_row=0,
        empty_in_row=0,
        agent_failures_in_row=0,
        agent_failure="",
        ask_after=0.0,
    )
    turn.move_study(StudyState.RUNNING)
    for trial in sorted(
        (t for t in state.trials.values() if t.slot is not None), key=lambda t: t.id, reverse=True
    ):
        _lose(turn, trial, "the study was interrupted while it ran", blamed=False)
    baseline_alive = any(e.parent is None for e in turn.state.experiments.values())
    if turn.state.champion is None and not baseline_alive:
        _add_experiment(turn, draft=None, parent=None, champions=0)


@_take.register
def _(event: ev.SlotsCounted, turn: Turn) -> None:
    """Slots are numbers below the count; a number above it is not used again once it is free."""
    turn.change(slots=event.slots, free=free_slots(event.slots, turn.state.trials))


@_take.register
def _(event: ev.Answered, turn: Turn) -> None:
    if event.request not in turn.state.asked:
        return  # asked in an earlier session, or answered twice
    state = turn.state
    turn.change(
        asked=state.asked.delete(event.request),
        pace=replace(state.pace, answer_seconds=_average(state.pace.answer_seconds, event.seconds)),
    )
    turn.tally(agent_failures_in_row=0, agent_failure="")
    if not event.drafts:
        turn.tally(empty_in_row=turn.state.tally.empty_in_row + 1)
        _hush(turn, turn.state.tally.empty_in_row)
        return
    turn.tally(empty_in_row=0)
    limit = state.policy.max_experiments
    for number, draft in enumerate(event.drafts):
        if limit is not None and turn.state.tally.proposed >= limit:
            break
        turn.tally(proposed=turn.state.tally.proposed + 1)
        _add_experiment(turn, draft=number, parent=draft.parent, champions=draft.champions)


@_take.register
def _(event: ev.AnswerFailed, turn: Turn) -> None:
    if event.request in turn.state.asked:
        turn.change(asked=turn.state.asked.delete(event.request))
        failures = turn.state.tally.agent_failures_in_row + 1
        turn.tally(agent_failures_in_row=failures, agent_failure=event.reason)
        _hush(turn, failures)


@_take.register
def _(event: ev.Reported, turn: Turn) -> None:
    trial = turn.state.trials.get(event.trial)
    if trial is None or trial.slot is None:
        return  # recorded already, or given up as lost
    if event.status is OutcomeStatus.LOST:
        _lose(turn, trial, event.reason, blamed=True)
        return
    _end_trial(turn, trial, TrialState.DONE)
    pace = turn.state.pace
    turn.change(pace=replace(pace, trial_seconds=_average(pace.trial_seconds, event.seconds)))
    turn.tally(losses_in_row=0, ask_after=0)
    entry = turn.state.experiments.get(trial.experiment)
    if entry is None:
        return  # a repeat of an experiment that another repeat has decided
    if event.metric is None:
        _fail(turn, entry, FAILURES[event.status], event.reason)
        return
    entry = replace(entry, metrics=(*entry.metrics, event.metric))
    if len(entry.metrics) < entry.wanted:
        turn.put(entry)
    elif turn.state.champion is None and entry.parent is not None:
        turn.put(replace(entry, state=ExperimentState.CONFIRMING))
        turn.change(waiting=(*turn.state.waiting, entry.id))
    else:
        _decide(turn, entry)


@_take.register
def _(event: ev.Lost, turn: Turn) -> None:
    trial = turn.state.trials.get(event.trial)
    if trial is not None and trial.slot is not None:
        _lose(turn, trial, event.reason, blamed=event.blamed, memory=event.out_of_memory)


@_take.register
def _(_event: ev.DrainAsked, turn: Turn) -> None:
    if turn.state.study is StudyState.RUNNING:
        turn.move_study(StudyState.DRAINING, StopReason.SIGNAL)


@_take.register
def _(_event: ev.CancelAsked, turn: Turn) -> None:
    """The trials are cut short; their experiments stay queued, first in line."""
    if turn.state.study in (StudyState.RUNNING, StudyState.DRAINING):
        turn.move_study(StudyState.DRAINING, StopReason.SIGNAL)
    for trial in sorted(
        (t for t in turn.state.trials.values() if t.slot is not None),
        key=lambda t: t.id,
        reverse=True,
    ):
        turn.actions.append(ev.CancelTrial(trial.id))
        _end_trial(turn, trial, TrialState.CANCELLED, reason="the study was cancelled")
        _plan_again(turn, trial)


@_take.register
def _(_event: ev.Ticked, _turn: Turn) -> None:
    """Only the time has changed: limits and silences are looked at after every event."""


# ---- experiments and trials -----------------------------------------------------------------


def _add_experiment(turn: Turn, *, draft: int | None, parent: int | None, champions: int) -> None:
    state = turn.state
    wanted = state.policy.baseline_repeats if parent is None else 1
    entry = ExperimentEntry(state.next_experiment, parent, champions, wanted=wanted)
    turn.change(next_experiment=entry.id + 1)
    turn.put(entry)
    turn.facts.append(ev.ExperimentAdded(entry.id, draft, parent, wanted))
    for number in range(1, wanted + 1):
        _plan(turn, entry.id, number)


def _plan(turn: Turn, experiment: int, number: int, *, first: bool = False) -> None:
    """Queue a trial. Equal numbers share a seed over all experiments: they can be paired."""
    state = turn.state
    trial = TrialEntry(state.next_trial, experiment, number)
    turn.change(
        next_trial=trial.id + 1,
        trials=state.trials.set(trial.id, trial),
        ready=(trial.id, *state.ready) if first else (*state.ready, trial.id),
    )
    entry = state.experiments[experiment]
    turn.put(replace(entry, open=(*entry.open, trial.id)))
    seed = state.policy.seed + number - 1
    turn.facts.append(ev.TrialPlanned(trial.id, experiment, number, seed, first))


def _end_trial(
    turn: Turn, trial: TrialEntry, to: TrialState, reason: str = "", *, blamed: bool = False
) -> None:
    state = turn.state
    free = state.free
    if trial.slot is not None and trial.slot < state.slots:
        # In the order of `free_slots`, so that a state read back from the store is the same.
        free = tuple(sorted((*free, trial.slot), reverse=True))
    turn.change(trials=state.trials.delete(trial.id), free=free)
    entry = state.experiments.get(trial.experiment)
    if entry is not None:
        turn.put(replace(entry, open=tuple(n for n in entry.open if n != trial.id)))
    turn.facts.append(ev.TrialMoved(trial.id, to, reason=reason, blamed=blamed))


def _plan_again(turn: Turn, trial: TrialEntry) -> None:
    """Put a new trial in the place of one that gave no outcome, at the front of the queue."""
    if trial.experiment not in turn.state.experiments:
        return
    _plan(turn, trial.experiment, trial.number, first=True)
    entry = turn.state.experiments[trial.experiment]
    if all(turn.state.trials[n].slot is None for n in entry.open):
        turn.put(replace(entry, state=ExperimentState.QUEUED))


def _lose(
    turn: Turn, trial: TrialEntry, reason: str, *, blamed: bool, memory: bool = False
) -> None:
    """Run a lost trial again, first in line; an experiment that is lost twice is set aside."""
    _end_trial(turn, trial, TrialState.LOST, reason, blamed=blamed)
    entry = turn.state.experiments.get(trial.experiment)
    if entry is None:
        return  # decided by another of its trials
    if blamed:
        entry = replace(entry, losses=entry.losses + 1)
        turn.put(entry)
        turn.tally(losses_in_row=turn.state.tally.losses_in_row + 1)
    if entry.losses > LOSSES_ALLOWED:
        state = ExperimentState.OOM if memory else ExperimentState.CRASH
        _fail(turn, entry, state, f"its worker was lost {entry.losses} times: {reason}")
    else:
        _plan_again(turn, trial)


# ---- decisions ------------------------------------------------------------------------------


def _decide(turn: Turn, entry: ExperimentEntry) -> None:
    """Keep or discard an experiment that has all its outcomes."""
    state = turn.state
    verdict = judge(entry.metrics, state.champion, minimize=state.policy.minimize)
    _forget(turn, entry)
    to = ExperimentState.KEEP if verdict.keep else ExperimentState.DISCARD
    turn.facts.append(ev.ExperimentMoved(entry.id, to, verdict.metric, verdict.reason))
    turn.tally(failures_in_row=0)
    if verdict.keep:
        turn.change(champion=Champion(entry.id, verdict.metric, state.champions + 1))
        turn.facts.append(ev.Crowned(entry.id, verdict.metric))
    _count_decision(turn, entry, new_champion=verdict.keep)
    if entry.parent is None:
        _decide_waiting(turn)


def _decide_waiting(turn: Turn) -> None:
    """Decide what ended before the baseline did, in the order in which it ended."""
    waiting = turn.state.waiting
    turn.change(waiting=())
    for experiment in waiting:
        _decide(turn, turn.state.experiments[experiment])


def _fail(turn: Turn, entry: ExperimentEntry, to: ExperimentState, reason: str) -> None:
    _forget(turn, entry)
    turn.facts.append(ev.ExperimentMoved(entry.id, to, None, reason))
    turn.tally(failures_in_row=turn.state.tally.failures_in_row + 1)
    _count_decision(turn, entry, new_champion=False)
    if entry.parent is None and turn.state.champion is None:
        text = f"the baseline failed ({to}): {reason}"
        turn.move_study(StudyState.PAUSED, StopReason.BASELINE_FAILED, text)


def _count_decision(turn: Turn, entry: ExperimentEntry, *, new_champion: bool) -> None:
    if new_champion:
        turn.tally(since_champion=0)
    elif entry.parent is not None:
        turn.tally(since_champion=turn.state.tally.since_champion + 1)


def _forget(turn: Turn, entry: ExperimentEntry) -> None:
    """Drop a decided experiment, and the trials that its decision made superfluous."""
    turn.change(experiments=turn.state.experiments.delete(entry.id))
    for trial in [turn.state.trials[n] for n in entry.open if n in turn.state.trials]:
        if trial.slot is not None:
            turn.actions.append(ev.CancelTrial(trial.id))
        else:
            turn.change(ready=tuple(n for n in turn.state.ready if n != trial.id))
        _end_trial(turn, trial, TrialState.CANCELLED, reason="its experiment is decided")


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
    while turn.state.free and turn.state.ready:
        state = turn.state
        slot, trial = state.free[-1], state.trials[state.ready[0]]
        started = replace(trial, slot=slot, state=TrialState.RUNNING)
        turn.change(
            free=state.free[:-1], ready=state.ready[1:], trials=state.trials.set(trial.id, started)
        )
        turn.facts.append(ev.TrialMoved(trial.id, TrialState.RUNNING, slot=slot))
        entry = state.experiments[trial.experiment]
        if entry.state is ExperimentState.QUEUED:
            turn.put(replace(entry, state=ExperimentState.RUNNING))
            staleness = state.champions - entry.champions
            turn.facts.append(ev.ExperimentStarted(entry.id, staleness))
        turn.actions.append(ev.StartTrial(trial.id))


def _ask(turn: Turn) -> None:
    if turn.state.study is not StudyState.RUNNING:
        return
    for count in supply.calls(turn.state, turn.now):
        request = turn.state.next_request
        turn.change(next_request=request + 1, asked=turn.state.asked.set(request, count))
        turn.actions.append(ev.RequestProposals(request, count))


def _finish(turn: Turn) -> None:
    """End the loop once nothing runs that the study waits for."""
    state = turn.state
    if state.study is StudyState.DRAINING and state.running == 0:
        turn.move_study(StudyState.STOPPED, state.reason)
    over = turn.state.study is StudyState.STOPPED
    if over or (state.study is StudyState.PAUSED and state.running == 0):
        spent = state.tally.seconds_before + turn.now - state.tally.opened_at
        turn.tally(seconds_before=spent, opened_at=turn.now, seen_at=turn.now)
        turn.actions.append(ev.Finish())


def _hush(turn: Turn, times: int) -> None:
    """The agent brought nothing, so many times in a row: leave it alone, longer each time."""
    turn.tally(ask_after=turn.now + min(LONGEST_SILENCE, 2.0 ** (times - 1)))


def _average(before: float | None, newest: float) -> float:
    return newest if before is None else before + SMOOTHING * (newest - before)
