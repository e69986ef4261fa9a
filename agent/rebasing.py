"""Rebases overtaken wins: their edits on today's champion, all in one proposal where they allow it.

In: a briefing whose purpose is to rebase, with the wins, the best first. Out: one proposal that
carries over every edit that merges with those before it, one for each other edit that merges with
the champion alone, and the wins whose text clashes with the champion's, for a model to carry over.
One trial then asks of all whether they add up; the rules ask of each where they don't.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.briefing import Briefing, Constants, Win
from agent.check import Checker, Refusal
from agent.errors import SourceError
from agent.merging import Merged, carry
from agent.proposal import REBASE, Proposal

MOST_TITLE = 160
CARRIED = re.compile(r"^(#\d+,? ?)+(again|together), on #\d+: ")


@dataclass(frozen=True)
class Rebased:
    """What the wins of a briefing gave."""

    proposals: tuple[Proposal, ...] = ()
    refused: tuple[str, ...] = ()  # "title: reason"
    clashing: tuple[tuple[Win, str], ...] = ()  # with the stretches that clash


@dataclass
class _Pile:
    """Edits on top of each other, on the champion's code."""

    files: Mapping[str, str]
    constants: Constants = field(default_factory=dict)
    wins: tuple[Win, ...] = ()

    def take(self, win: Win) -> bool:
        """Put one more edit on top, unless it clashes with what others of the pile did."""
        merged = _carry(win, self.files)
        set_twice = merged.constants.keys() & self.constants.keys()
        if not merged.is_clean or any(
            merged.constants[name] != self.constants[name] for name in set_twice
        ):
            return False
        self.files, self.wins = merged.files, (*self.wins, win)
        self.constants = {**self.constants, **merged.constants}
        return True


def rebase(briefing: Briefing, checker: Checker) -> Rebased:
    """See above. Equal briefings give equal results."""
    champion = briefing.champion
    pile = _Pile(champion.files)
    left = [win for win in briefing.wins if not pile.take(win)]
    piles = [pile] if pile.wins else []
    clashing = []
    for win in left:
        alone = _Pile(champion.files)
        if alone.take(win):
            piles.append(alone)
        else:
            clashing.append((win, _carry(win, champion.files).conflicts))
    proposals, refused = [], []
    for each in piles:
        changed = {
            path: text for path, text in each.files.items() if champion.files.get(path) != text
        }
        taken = checker.take(as_rebase(_proposal(champion.experiment, changed), each.wins))
        if isinstance(taken, Refusal):
            refused.append(str(taken))
        else:
            proposals.append(taken)
    return Rebased(tuple(proposals), tuple(refused), tuple(clashing))


def as_rebase(proposal: Proposal, wins: Sequence[Win]) -> Proposal:
    """The proposal as one that carries over the edits of these wins, in their authors' words."""
    numbers = tuple(win.code.experiment for win in wins)
    origins = {win.origin for win in wins}
    instructions = {win.instruction for win in wins}
    if len(wins) == 1:
        title = f"#{numbers[0]} again, on #{proposal.parent}: {_own(wins[0].code.title)}"
        hypothesis, expected = wins[0].hypothesis, wins[0].expected
    else:
        titles = "; ".join(_own(win.code.title) for win in wins)
        listed = ", ".join(f"#{number}" for number in numbers)
        title = f"{listed} together, on #{proposal.parent}: {titles}"
        hypothesis = "\n".join(f"#{win.code.experiment}: {win.hypothesis}" for win in wins)
        expected = ""
    return replace(
        proposal,
        title=title if len(title) <= MOST_TITLE else title[: MOST_TITLE - 1] + "…",
        hypothesis=hypothesis,
        expected=expected,
        origin=origins.pop() if len(origins) == 1 else REBASE,
        instruction=instructions.pop() if len(instructions) == 1 else None,
        rebases=numbers,
    )


def _own(title: str) -> str:
    """A title without what an earlier rebase put before it."""
    return CARRIED.sub("", title)


def _proposal(parent: int, files: Mapping[str, str]) -> Proposal:
    return Proposal(title="", hypothesis="", parent=parent, files=files, origin=REBASE)


def _carry(win: Win, files: Mapping[str, str]) -> Merged:
    try:
        return carry(win.base, win.code.files, files)
    except SourceError as error:
        return Merged(conflicts=str(error))
