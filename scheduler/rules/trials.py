"""Trials come and go: planned, ended, planned again."""

from dataclasses import replace

from scheduler.rules import events as ev
from scheduler.rules.state import TrialEntry
from scheduler.rules.states import ExperimentState, TrialState
from scheduler.rules.turn import Turn


def plan(turn: Turn, experiment: int, number: int, *, first: bool = False) -> None:
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


def end_trial(
    turn: Turn, trial: TrialEntry, to: TrialState, reason: str = "", *, blamed: bool = False
) -> None:
    """End a trial, planned or running, and give its slot back."""
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


def plan_again(turn: Turn, trial: TrialEntry) -> None:
    """Put a new trial in the place of one that gave no outcome, at the front of the queue."""
    if trial.experiment not in turn.state.experiments:
        return
    plan(turn, trial.experiment, trial.number, first=True)
    entry = turn.state.experiments[trial.experiment]
    if all(turn.state.trials[n].slot is None for n in entry.open):
        turn.put(replace(entry, state=ExperimentState.QUEUED))
