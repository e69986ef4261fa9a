"""The reference: on which kind of slot things are kept, and what happens when it is gone.

It is chosen once, when the first slots are counted, and recorded, so that it does not wander with
every node that comes or goes. Where its last slot has gone, other kinds go on screening, and what
beats the champion waits. A person is told after `SAY_SECONDS`. Where they have named no kind, the
reference moves after `MOVE_SECONDS` to the kind with the most slots: whoever sleeps wants a study
that goes on, on what there is. The champion is measured there, and what waited is considered again.
It does not move back by itself. A kind that a person has named is waited for.
"""

from dataclasses import replace

from scheduler.rules import events as ev
from scheduler.rules.decisions import reconsider
from scheduler.rules.fleet import REFERENCE
from scheduler.rules.state import free_slots
from scheduler.rules.states import StudyState
from scheduler.rules.trials import drop
from scheduler.rules.turn import Turn

SAY_SECONDS = 300.0  # one trial: a node that is replaced at once is no news
MOVE_SECONDS = 1800.0  # a spot market or a reboot gives a node back sooner, or not tonight


def take_slots(turn: Turn, event: ev.SlotsCounted) -> None:
    """Slots are numbers below the count; a number above it is not used again once it is free."""
    turn.change(slots=event.slots, free=free_slots(event.slots, turn.state.trials))
    fleet = turn.state.fleet
    if fleet.kinds != event.kinds:
        turn.change(fleet=replace(fleet, kinds=event.kinds))
    if not event.slots:
        return
    chosen = turn.state.policy.reference or fleet.reference
    if fleet.reference is None:
        chosen = chosen or turn.state.fleet.largest
        turn.change(fleet=replace(turn.state.fleet, reference=chosen))
    elif chosen is not None and chosen != fleet.reference:
        _move(turn, chosen)
    _note_presence(turn)


def forget_slots(turn: Turn) -> None:
    """A new driver counts anew."""
    fleet = replace(turn.state.fleet, kinds=(), gone_at=0.0, said=False)
    turn.change(slots=0, free=())
    if fleet != turn.state.fleet:
        turn.change(fleet=fleet)


def watch(turn: Turn) -> None:
    """Say that the reference is gone, or move it, once that has lasted."""
    state, fleet = turn.state, turn.state.fleet
    if not fleet.gone_at or state.study is not StudyState.RUNNING or not state.slots:
        return
    gone, named = turn.now - fleet.gone_at, state.policy.reference is not None
    if gone >= MOVE_SECONDS and not named:
        before, now = fleet.reference, fleet.largest
        _move(turn, now)
        words = f"the reference is {now or 'any slot'} now: there was no slot of {before} for "
        turn.move_study(StudyState.RUNNING, text=f"{words}{MOVE_SECONDS / 60:.0f} minutes")
    elif not fleet.said and (gone >= SAY_SECONDS or state.champion is None):
        turn.change(fleet=replace(fleet, said=True))
        waits = "the baseline" if state.champion is None else "what beats the champion elsewhere"
        then = (
            "keep.reference names another"
            if named
            else f"after {MOVE_SECONDS / 60:.0f} minutes another kind takes its place"
        )
        words = f"there is no slot of {fleet.reference}, the reference: {waits} waits; {then}"
        turn.move_study(StudyState.RUNNING, text=words)


def _note_presence(turn: Turn) -> None:
    fleet = turn.state.fleet
    if not fleet.has(fleet.reference or ""):
        if not fleet.gone_at:
            turn.change(fleet=replace(fleet, gone_at=turn.now))
    elif fleet.gone_at:
        turn.change(fleet=replace(fleet, gone_at=0.0, said=False))
        if fleet.said and turn.state.study is StudyState.RUNNING:
            turn.move_study(StudyState.RUNNING)  # what was said is over


def _move(turn: Turn, to: str) -> None:
    fleet = turn.state.fleet
    turn.change(fleet=replace(fleet, reference=to, gone_at=0.0, said=False, sought=()))
    reconsider(turn)


def drop_the_impossible(turn: Turn) -> None:
    """Trials of the champion on a kind that has left: who waits for them goes to the reference."""
    state = turn.state
    if not (state.fleet.sought and state.slots):
        return  # none was asked for
    gone = [
        number
        for number in state.ready
        if (wants := state.trials[number].wants) != REFERENCE and not state.fleet.has(wants)
    ]
    if gone:
        drop(turn, gone, "there is no slot of its kind any more")
        reconsider(turn)
