"""What becomes of a person's instruction: used, served, withdrawn, expired.

It is served once an experiment that names it was kept or discarded: the person has an answer. One
that only crashed is none, and the next briefing holds the instruction still.
"""

from dataclasses import replace

from scheduler.rules import events as ev
from scheduler.rules.states import InstructionState
from scheduler.rules.turn import Turn


def move(turn: Turn, number: int, to: InstructionState) -> None:
    """Change the state of an open instruction; one that is over stays as it is."""
    entry = turn.state.instructions.get(number)
    if entry is None or entry.state is to:
        return
    if to.is_final:
        turn.change(instructions=turn.state.instructions.delete(number))
    else:
        turn.change(instructions=turn.state.instructions.set(number, replace(entry, state=to)))
    turn.facts.append(ev.InstructionMoved(number, to))


def follow_decision(turn: Turn, served: int | None) -> None:
    """One more experiment was decided, and may have served an instruction: what is over now?"""
    if served is not None:
        move(turn, served, InstructionState.SERVED)
    for entry in sorted(turn.state.instructions.values(), key=lambda e: e.id):
        if entry.expires is not None and turn.state.tally.decided >= entry.expires:
            move(turn, entry.id, InstructionState.EXPIRED)
