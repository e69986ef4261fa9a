"""Trials come and go: planned, ended, planned again."""

from collections.abc import Iterable
from dataclasses import replace

from scheduler.rules import events as ev
from scheduler.rules.state import ExperimentEntry, TrialEntry
from scheduler.rules.states import ExperimentState, TrialKind, TrialState
from scheduler.rules.turn import Turn


def plan(
    turn: Turn,
    experiment: int,
    number: int,
    *,
    first: bool = False,
    kind: TrialKind = TrialKind.USUAL,
) -> None:
    """Queue a trial. Equal numbers share a seed over all experiments: they can be paired."""
    state = turn.state
    trial = TrialEntry(state.next_trial, experiment, number, kind=kind)
    turn.change(
        next_trial=trial.id + 1,
        trials=state.trials.set(trial.id, trial),
        ready=(trial.id, *state.ready) if first else (*state.ready, trial.id),
    )
    _note(turn, trial, is_open=True)
    seed = state.policy.seed + number - 1
    turn.facts.append(ev.TrialPlanned(trial.id, experiment, number, seed, first, kind))


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
    _note(turn, trial, is_open=False)
    turn.facts.append(ev.TrialMoved(trial.id, to, reason=reason, blamed=blamed))


def drop(turn: Turn, trials: Iterable[int], reason: str) -> None:
    """End trials that nobody needs any more, also those that run."""
    for trial in [turn.state.trials[n] for n in trials if n in turn.state.trials]:
        if trial.slot is not None:
            turn.actions.append(ev.CancelTrial(trial.id))
        else:
            turn.change(ready=tuple(n for n in turn.state.ready if n != trial.id))
        end_trial(turn, trial, TrialState.CANCELLED, reason=reason)


def _note(turn: Turn, trial: TrialEntry, *, is_open: bool) -> None:
    """Keep count of a trial with its experiment: one that is not decided, or the champion."""
    if trial.kind is not TrialKind.USUAL:
        return
    owner = turn.state.experiments.get(trial.experiment) or turn.state.champion
    if owner is None:
        return
    now_open = tuple(n for n in owner.open if n != trial.id) + (trial.id,) * is_open
    if isinstance(owner, ExperimentEntry):
        turn.put(replace(owner, open=now_open))
    elif owner.experiment == trial.experiment:
        turn.change(champion=replace(owner, open=now_open))


def plan_again(turn: Turn, trial: TrialEntry) -> None:
    """Put a new trial in the place of one that gave no outcome, at the front of the queue."""
    if trial.kind is not TrialKind.USUAL:
        return  # its leader is due again
    champion, entry = turn.state.champion, turn.state.experiments.get(trial.experiment)
    if entry is None and (champion is None or champion.experiment != trial.experiment):
        return
    plan(turn, trial.experiment, trial.number, first=True)
    entry = turn.state.experiments.get(trial.experiment)
    if (
        entry is not None
        and not entry.results
        and all(turn.state.trials[n].slot is None for n in entry.open)
    ):
        turn.put(replace(entry, state=ExperimentState.QUEUED))
