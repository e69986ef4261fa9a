"""Ablation: each kept edit is taken out of the champion in turn, to show what it contributes.

Once for a champion, where `keep.ablate` says so: when nothing else is to be run, on slots that
would stand idle, and before a study stops that has used up its experiments or has no more ideas.
Each is an experiment like any other, run with as many further seeds as a new champion, beside the
champion's. So an edit that contributes nothing is not only shown: the smaller code without it can
become champion, and what is left is tried without the other edits too.

Asks only; the agent makes the code, `decisions.py` decides.
"""

from dataclasses import replace

from agent import Purpose
from scheduler.rules import checks, shelving, stopping
from scheduler.rules.requests import request
from scheduler.rules.state import Ask, State
from scheduler.rules.turn import Turn


def is_due(state: State, now: float) -> bool:
    """Whether the champion's edits are to be taken out, or are being taken out now."""
    asked = any(ask.purpose is Purpose.ABLATE for ask in state.asked.values())
    return asked or (_is_wanted(state) and not stopping.is_out_of_time(state, now))


def ask(turn: Turn) -> None:
    """Ask the agent for the champion without each of its edits, where slots would stand idle."""
    state = turn.state
    champion = state.champion
    due = _is_wanted(state) and is_due(state, turn.now)
    if champion is not None and due and checks.idle_slots(state):
        turn.change(checks=replace(state.checks, ablated=champion.experiment))
        request(turn, Ask(champion.count - 1, Purpose.ABLATE))


def _is_wanted(state: State) -> bool:
    """Not before all else is decided, as the champion may change.

    The plain comparison would show nothing, and a baseline has no edits.
    """
    policy, champion = state.policy, state.champion
    return (
        policy.ablate
        and policy.criteria is not None
        and champion is not None
        and champion.count > 1
        and not shelving.has_experiments(state)
        and champion.experiment != state.checks.ablated
    )
