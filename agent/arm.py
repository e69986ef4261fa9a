"""An arm: one way of finding proposals, such as a model or the tuner.

The seam between the Researcher, who decides which arm answers a briefing, and whoever does.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from agent.briefing import Briefing
from agent.check import Checker, Refusal
from agent.proposal import TUNER, Cost, Proposal
from agent.tuner import Tuner


@dataclass(frozen=True)
class Brought:
    """What an arm brought: proposals that passed the checks, and what became of the others."""

    proposals: tuple[Proposal, ...] = ()
    refused: tuple[str, ...] = ()  # "title: reason"
    notebook: str = ""
    cost: Cost = field(default_factory=Cost)


class Arm(Protocol):
    """One way of finding proposals."""

    @property
    def name(self) -> str:
        """The origin of its proposals."""
        ...

    def trouble(self) -> str:
        """Why it can't be asked now; "" where it can."""
        ...

    async def propose(self, briefing: Briefing, checker: Checker) -> Brought:
        """At most `briefing.count` proposals. Raises ModelError, SpentError."""
        ...


class TunerArm:
    """The tuner, beside the calls of others: it computes for a tenth of a second."""

    name = TUNER

    def __init__(self, tuner: Tuner | None = None) -> None:
        self._tuner = tuner or Tuner()

    def trouble(self) -> str:
        """Nothing can keep it from work."""
        return ""

    async def propose(self, briefing: Briefing, checker: Checker) -> Brought:
        """See Arm. Equal briefings give equal proposals."""
        begun = time.monotonic()
        found = await asyncio.to_thread(self._tuner.propose, briefing)
        taken = [checker.take(proposal) for proposal in found[: briefing.count]]
        return Brought(
            tuple(each for each in taken if isinstance(each, Proposal)),
            tuple(str(each) for each in taken if isinstance(each, Refusal)),
            cost=Cost(seconds=time.monotonic() - begun),
        )
