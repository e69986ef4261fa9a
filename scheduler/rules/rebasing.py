"""Wins that a new champion overtook: held until the agent has carried their edits over to its code.

An experiment that is being confirmed when another one is kept was measured against yesterday's
champion. So was one that ran meanwhile and beats its parent, today's champion or not. Their edits
are merged onto today's champion, all in one experiment where they allow it, which is confirmed like
any other but for its first trial: it was screened on its old base. What is not kept together is
asked for one by one. The overtaken ones are held meanwhile, and face the champion as they are in
the end, in case their edits hinder each other. Without all this, the more slots a study has the
fewer of its gains add up (benchmarks/keep.py).

Holds and asks only: what follows is decided in `decisions.py`.
"""

from collections.abc import Iterable
from statistics import fmean

from agent import Purpose
from scheduler.rules.evidence import Decision, Evidence, screen
from scheduler.rules.noise import SCREENING, Noise
from scheduler.rules.ranking import by_number
from scheduler.rules.requests import request
from scheduler.rules.state import Ask, ExperimentEntry, State
from scheduler.rules.trials import drop
from scheduler.rules.turn import Turn


def held(state: State) -> frozenset[int]:
    """The experiments whose edits are being carried over: nothing is decided of them meanwhile."""
    asked = (ask.wins for ask in state.asked.values())
    tried = (entry.rebases for entry in state.experiments.values())
    return frozenset(number for wins in (*asked, *tried) for number in wins)


def contenders(state: State) -> list[ExperimentEntry]:
    """What is being confirmed, or waits for it, in order of its ids."""
    away = held(state)
    return [
        entry
        for number, entry in sorted(state.experiments.items())
        if entry.confirms and number not in state.waiting and number not in away
    ]


def carried_by(state: State, entry: ExperimentEntry) -> frozenset[int]:
    """The overtaken wins whose edits it has, also by way of others that were overtaken."""
    wins = [state.experiments[number] for number in entry.rebases if number in state.experiments]
    return frozenset(entry.rebases).union(*(carried_by(state, win) for win in wins))


def beats_an_overtaken_parent(state: State, entry: ExperimentEntry, evidence: Evidence) -> bool:
    """Whether a first trial won against the champion that it was written for, which is no more."""
    criteria = state.policy.criteria
    parent = next((c for c in state.overtaken if c.experiment == entry.parent), None)
    first = len(entry.results) == 1 and entry.results[0].number == SCREENING
    undecided = evidence.verdict is not Decision.KEEP
    if criteria is None or parent is None or not (first and undecided):
        return False
    won = entry.results[0]
    before = by_number(parent.results, won.hardware)
    noise = state.noise.get(won.hardware, Noise())
    return bool(before) and screen(
        won.metric, before, noise, criteria, minimize=state.policy.minimize
    )


def run_again(turn: Turn, entries: Iterable[ExperimentEntry]) -> None:
    """Have the edits of these carried over to today's champion; their own trials end."""
    sign = 1.0 if turn.state.policy.minimize else -1.0
    numbers = []
    for entry in sorted(entries, key=lambda each: (sign * _metric(each, sign), each.id)):
        drop(turn, entry.open, "overtaken: its edit is to run on the new champion")
        now = turn.state.experiments[entry.id]
        turn.hold(now)
        numbers.append(entry.id)
    if numbers:
        request(turn, Ask(len(numbers), Purpose.REBASE, wins=tuple(numbers)))


def run_apart(turn: Turn, entry: ExperimentEntry) -> None:
    """What was not kept together is asked for one by one."""
    for number in entry.rebases:
        if number in turn.state.experiments:
            request(turn, Ask(1, Purpose.REBASE, wins=(number,)))


def give_back(turn: Turn, experiment: int) -> None:
    """An experiment that was cancelled: its edit is not carried over any more."""
    for number, ask in turn.state.asked.items():
        if experiment in ask.wins:
            wins = tuple(win for win in ask.wins if win != experiment)
            left = Ask(len(wins), Purpose.REBASE, wins=wins)
            turn.note_ask(number, left if wins else None)


def _metric(entry: ExperimentEntry, sign: float) -> float:
    """The mean of what it measured; the worst where that is nothing."""
    return fmean(r.metric for r in entry.results) if entry.results else sign * float("inf")
