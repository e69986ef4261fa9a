"""When a study ends by itself, and when it pauses because something is broken."""

from scheduler.rules import rebasing, shelving
from scheduler.rules.state import State
from scheduler.rules.states import StopReason

EMPTY_ANSWERS = 4  # requests in a row that bring nothing, with nothing running: out of ideas
AGENT_FAILURES = 4  # requests in a row that failed, with ever longer silences between them
MODEL_FAILURES = 4  # so many times as many failures in a row, where only models' code failed
# Lost trials in a row for each slot, without one outcome: the cluster is ill, not the code. One
# dead GPU of several does not get so far while the others bring outcomes.
LOSSES_IN_ROW = 10
SPENT = {
    "dollars": StopReason.MAX_DOLLARS,
    "tokens": StopReason.MAX_TOKENS,
    "calls": StopReason.MAX_CALLS,
}


def limit_reached(state: State, now: float) -> StopReason | None:
    """The limit of the study that is used up, if any. Running trials are still awaited."""
    if is_out_of_time(state, now):
        return StopReason.MAX_HOURS
    if is_level(state) and not any(e.confirms for e in state.experiments.values()):
        return StopReason.PLATEAU
    return None


def is_level(state: State) -> bool:
    """Whether so many experiments in a row brought no champion that nothing new is tried."""
    policy = state.policy
    return policy.plateau is not None and state.tally.since_champion >= policy.plateau


def is_out_of_time(state: State, now: float) -> bool:
    """Whether the hours of the study are used up."""
    spent = state.tally.seconds_before + now - state.tally.opened_at
    return state.policy.max_seconds is not None and spent >= state.policy.max_seconds


def exhausted(state: State) -> StopReason | None:
    """Why nothing is left to run, where that is so."""
    away = shelving.shelved(state)
    if shelving.has_trials(state) or state.waiting or rebasing.held(state) - away:
        return None
    policy, tally = state.policy, state.tally
    if tally.spent and not state.asked:  # what is under way is paid for
        return SPENT[tally.spent]
    if policy.max_experiments is not None and tally.proposed >= policy.max_experiments:
        return StopReason.MAX_EXPERIMENTS
    if tally.empty_in_row >= EMPTY_ANSWERS and not state.asked:
        return StopReason.NO_PROPOSALS
    return None


def broken(state: State) -> StopReason | None:
    """Why the study should pause for a person, if it should."""
    if _task_looks_broken(state):
        return StopReason.FAILURES
    if state.tally.agent_failures_in_row >= AGENT_FAILURES:
        return StopReason.AGENT_FAILED
    if state.tally.losses_in_row >= LOSSES_IN_ROW * max(1, state.slots):
        return StopReason.INFRASTRUCTURE
    return None


def waits_for_a_person(state: State) -> bool:
    """Whether a paused study stays, so that a person can unpause it.

    One that a person paused always does. A baseline that failed would fail again: it ends.
    """
    if state.reason is StopReason.INSTRUCTION:
        return True
    return state.policy.wait_when_paused and state.reason is not StopReason.BASELINE_FAILED


def _task_looks_broken(state: State) -> bool:
    """Whether so many failures in a row are the task's or the machine's rather than the edits'.

    A model may well write eight programs in a row that crash. Where code that only moves constants
    fails among them, it is not the model; where there is no such code, patience is longer.
    """
    tally, limit = state.tally, state.policy.failures_in_row
    if tally.plain_failures_in_row:
        return tally.failures_in_row >= limit
    return tally.failures_in_row >= MODEL_FAILURES * limit
