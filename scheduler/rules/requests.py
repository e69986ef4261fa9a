"""Requests to the agent: sending one, and those that only one answer can bring.

A mend carries on an experiment that crashed early. A rebase carries the edits of wins that a new
champion overtook over to its code (`rebasing.py`), an ablation takes edits out (`ablating.py`).
"""

from agent import Purpose
from scheduler.rules import events as ev
from scheduler.rules.state import Ask, ExperimentEntry
from scheduler.rules.turn import Turn

UNIQUE = frozenset({Purpose.MEND, Purpose.REBASE, Purpose.ABLATE})
"""Purposes of requests that are sent again where their answer was lost."""


def request(turn: Turn, ask: Ask) -> None:
    """Ask the agent."""
    number = turn.state.next_request
    turn.change(next_request=number + 1)
    turn.note_ask(number, ask)
    turn.actions.append(ev.RequestProposals(number, ask.count, ask.purpose, ask.broken, ask.wins))


def mend(turn: Turn, entry: ExperimentEntry) -> None:
    """Send an early crash back to who wrote it, if it may be sent and there is room for more."""
    policy, tally = turn.state.policy, turn.state.tally
    full = policy.max_experiments is not None and tally.proposed >= policy.max_experiments
    if entry.by_model and entry.mended < policy.mends and not full:
        request(turn, Ask(1, Purpose.MEND, entry.id, entry.mended + 1))
