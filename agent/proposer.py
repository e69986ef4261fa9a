"""What the agent's actor runs: a briefing goes in, an answer of checked proposals comes out.

The Researcher holds its arms, the ways of finding proposals, in order of preference: what one
leaves open the next one fills, so that no slot waits for the first. Every proposal is checked
before it is handed over. It is a plain class that knows nothing of Ray; the scheduler makes an
actor of it, and may start it again at any time, as it remembers nothing between briefings.
"""

import time
from dataclasses import replace
from typing import Protocol

from agent.briefing import Briefing
from agent.check import Refusal, check, known_code
from agent.proposal import Answer, Cost, Proposal
from agent.tuner import Tuner


class Proposer(Protocol):
    """Answers a briefing. The seam at which the scheduler's tests put their own."""

    def propose(self, briefing: Briefing) -> Answer:
        """At most `briefing.count` proposals, and what they cost."""
        ...


class Arm(Protocol):
    """One way of finding proposals, such as the tuner."""

    def propose(self, briefing: Briefing) -> tuple[Proposal, ...]:
        """At most `briefing.count` proposals, unchecked. Equal briefings give equal proposals."""
        ...


class Researcher:
    """A Proposer that asks its arms in turn and checks what they bring."""

    def __init__(self, *arms: Arm) -> None:
        """Take the arms in order of preference; without any, the tuner is the only one."""
        self._arms = arms or (Tuner(),)

    def propose(self, briefing: Briefing) -> Answer:
        """At most `briefing.count` proposals, all new; those refused are named with the reason.

        Fewer, or none, where the arms have no more ideas. Raises SourceError if the champion's
        own code does not parse.
        """
        begun = time.monotonic()
        known = known_code(briefing)
        accepted: list[Proposal] = []
        refused: list[str] = []
        for arm in self._arms:
            wanted = briefing.count - len(accepted)
            if wanted <= 0:
                break
            for proposal in arm.propose(replace(briefing, count=wanted))[:wanted]:
                result = check(proposal, briefing, known)
                if isinstance(result, Refusal):
                    refused.append(str(result))
                else:
                    known[result.fingerprint] = f'"{result.title}", proposed just before'
                    accepted.append(result)
        return Answer(
            request=briefing.request,
            proposals=tuple(accepted),
            cost=Cost(seconds=time.monotonic() - begun),
            refused=tuple(refused),
        )
