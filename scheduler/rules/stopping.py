"""When a study ends by itself, and when it pauses because something is broken."""

from scheduler.rules.state import State
from scheduler.rules.states import StopReason

EMPTY_ANSWERS = 4  # requests in a row that bring nothing, with nothing running: out of ideas
AGENT_FAILURES = 4  # requests in a row that failed, with ever longer silences between them
LOSSES_IN_ROW = 10  # lost trials in a row without one outcome: the cluster is ill, not the code


def limit_reached(state: State, now: float) -> StopReason | None:
    """The limit of the study that is used up, if any. Running trials are still awaited."""
    policy, tally = state.policy, state.tally
    spent = tally.seconds_before + now - tally.opened_at
    if policy.max_seconds is not None and spent >= policy.max_seconds:
        return StopReason.MAX_HOURS
    if policy.plateau is not None and tally.since_champion >= policy.plateau:
        return StopReason.PLATEAU
    return None


def exhausted(state: State) -> StopReason | None:
    """Why nothing is left to run, where that is so."""
    if state.trials or state.waiting:
        return None
    policy, tally = state.policy, state.tally
    if policy.max_experiments is not None and tally.proposed >= policy.max_experiments:
        return StopReason.MAX_EXPERIMENTS
    if tally.empty_in_row >= EMPTY_ANSWERS and not state.asked:
        return StopReason.NO_PROPOSALS
    return None


def broken(state: State) -> StopReason | None:
    """Why the study should pause for a person, if it should."""
    if state.tally.failures_in_row >= state.policy.failures_in_row:
        return StopReason.FAILURES
    if state.tally.agent_failures_in_row >= AGENT_FAILURES:
        return StopReason.AGENT_FAILED
    if state.tally.losses_in_row >= LOSSES_IN_ROW:
        return StopReason.INFRASTRUCTURE
    return None
