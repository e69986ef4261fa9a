"""A limit of experiments that was lowered below what a study has: what has not begun waits.

Seen when the study is opened (`open_shelf`). Nothing new is made then, no merges of overtaken wins
either; what was measured already is decided, with the repeats that takes. What is queued keeps its
place, for a session with a higher limit. A limit that is reached while a study runs shelves
nothing: all that it counted runs, and a person's edit may pass it.
"""

from scheduler.rules import rebasing
from scheduler.rules.state import ExperimentEntry, State
from scheduler.rules.states import ExperimentState
from scheduler.rules.turn import Turn


def open_shelf(turn: Turn) -> None:
    """Note, as a session begins, which experiments wait: those below a number."""
    state, tally = turn.state, turn.state.tally
    limit = state.policy.max_experiments
    if limit is None:
        turn.tally(limit=-1, shelved=0)
        return
    lowered = tally.shelved > 0 or not 0 <= tally.limit <= limit
    shelved = state.next_experiment if lowered and tally.proposed > limit else 0
    turn.tally(limit=limit, shelved=shelved)


def shelved(state: State) -> frozenset[int]:
    """The experiments that wait: not begun, or held by a merge that has not begun."""
    if not state.tally.shelved:
        return frozenset()
    waits = [entry for entry in state.experiments.values() if _waits(state, entry)]
    inside = (rebasing.carried_by(state, entry) for entry in waits)
    return frozenset(entry.id for entry in waits).union(*inside)


def ready(state: State) -> tuple[int, ...]:
    """The planned trials that may start, the next one first."""
    if not (away := shelved(state)):
        return state.ready
    return tuple(n for n in state.ready if state.trials[n].experiment not in away)


def has_trials(state: State) -> bool:
    """Whether a trial runs or may start."""
    return state.running > 0 or bool(ready(state))


def has_experiments(state: State) -> bool:
    """Whether one is to be decided in this session."""
    return len(state.experiments) > len(shelved(state))


def _waits(state: State, entry: ExperimentEntry) -> bool:
    """Baselines and edits taken out of the champion are no ideas, which a limit counts."""
    counted = entry.parent is not None and entry.ablates is None
    is_new = entry.state is ExperimentState.QUEUED and not entry.results
    return counted and is_new and entry.id < state.tally.shelved
