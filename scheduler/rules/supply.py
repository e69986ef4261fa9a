"""How many proposals to ask for, so that no slot ever waits for one and none grows stale.

While an answer is under way, slots x (answer seconds / trial seconds) trials end. The queue
must hold that many, rounded up, and one more; a deeper one only makes proposals older.
"""

import math

from scheduler.rules import stopping
from scheduler.rules.placing import ahead
from scheduler.rules.state import State


def depth(state: State) -> int:
    """How many proposals should lie ready beyond the slots that are free now."""
    pace = state.pace
    if pace.answer_seconds is None or not pace.trial_seconds:
        return 1  # nothing is measured yet
    return math.ceil(state.slots * min(1.0, pace.answer_seconds / pace.trial_seconds)) + 1


def missing(state: State, now: float) -> int:
    """How many proposals to ask for now, over all calls; 0 while the agent is left alone."""
    if now < state.tally.ask_after or state.tally.spent or stopping.is_level(state):
        return 0
    if _waits_for_the_baseline(state):
        return 0
    under_way = state.under_way.proposals
    wanted = state.slots - state.running + depth(state) - ahead(state) - under_way
    if state.policy.max_experiments is not None:
        left = state.policy.max_experiments - state.tally.proposed - under_way
        wanted = min(wanted, left)
    return max(0, wanted)


def calls(state: State, now: float) -> list[int]:
    """The sizes of the requests to send now.

    Where the answers are known to be quick, waiting to bundle saves nothing; so every
    shortage is asked for at once, in calls of at most `proposals_per_call`.
    """
    sizes = []
    wanted = missing(state, now)
    for _ in range(max(0, state.policy.calls_in_flight - state.under_way.calls)):
        if wanted <= 0:
            break
        sizes.append(min(wanted, state.policy.proposals_per_call))
        wanted -= sizes[-1]
    return sizes


def idle_slots(state: State, now: float) -> int:
    """How many slots wait for a proposal that the tuner should find at once; 0 where none may.

    A model needs half a minute for what the tuner does in a tenth of a second. So whatever is
    under way, a slot that stands idle is not made to wait for it.
    """
    policy = state.policy
    if stopping.is_level(state) or _waits_for_the_baseline(state):
        return 0
    if not policy.fill or ahead(state) or now < state.tally.fill_after or state.tally.spent:
        return 0
    idle = len(state.free) - state.under_way.filling
    if policy.max_experiments is not None:
        left = policy.max_experiments - state.tally.proposed - state.under_way.proposals
        idle = min(idle, left)
    return max(0, idle)


def _waits_for_the_baseline(state: State) -> bool:
    """Whether it is not known yet that the task can be run: edits of it would be wasted."""
    return state.policy.baseline_first and state.champion is None
