"""Which planned trial starts next, and on which kind of slot.

In order of the queue; a trial that wants a kind without a free slot lets those behind it pass.
Where all slots are of one kind, as they nearly always are, it is the first in line, at no cost.
"""

from collections import Counter

from scheduler.rules.shelving import ready
from scheduler.rules.state import State


def next_start(state: State) -> tuple[int, str] | None:
    """The trial to start on a free slot, and the kind that it is given; None where none can."""
    fleet, kinds = state.fleet, state.fleet.kinds
    if len(kinds) <= 1:
        only = fleet.largest
        chosen = next((n for n in ready(state) if _wish(state, n) in ("", only)), None)
        return None if chosen is None else (chosen, only)
    taken = Counter(t.accelerator for t in state.trials.values() if t.slot is not None)
    room = {kind: left for kind, count in kinds if (left := count - taken[kind]) > 0}
    if not room:
        return None
    roomiest = max(room, key=lambda kind: room[kind])
    for number in ready(state):
        kind = _wish(state, number) or roomiest
        if kind in room:
            return number, kind
    return None


def ahead(state: State) -> int:
    """How many planned trials stand ready for whatever slot comes free.

    On a mixed cluster what wants a kind is not among them: it may wait while others stand idle.
    """
    if len(state.fleet.kinds) <= 1 and state.fleet.has(state.fleet.reference or ""):
        return len(state.ready)
    return sum(not _wish(state, number) for number in state.ready)


def _wish(state: State, number: int) -> str:
    return state.fleet.wish(state.trials[number].wants)
