"""What the agent's actor runs: a briefing goes in, an answer of checked proposals comes out.

The Researcher holds its arms, the models and the tuner. For each briefing it draws one by what
each has achieved (`portfolio.py`); where that one can't be asked, or brings nothing, the others
follow and the tuner comes last, so that no slot waits for a provider's bad hour. It is a plain
class that knows nothing of Ray; the scheduler makes an actor of it, and may start it again at any
time, as it remembers nothing between briefings but which models did not answer lately.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.ablating import ablate
from agent.arm import Arm, Brought, TunerArm
from agent.briefing import Briefing, Purpose
from agent.check import Checker
from agent.errors import ModelError, SpentError
from agent.portfolio import FLOOR, TRIAL_DOLLARS, choose
from agent.proposal import Answer, Cost
from agent.rebasing import rebase


class Proposer(Protocol):
    """Answers a briefing. The seam at which the scheduler's tests put their own."""

    async def propose(self, briefing: Briefing) -> Answer:
        """At most `briefing.count` proposals, and what they cost."""
        ...


@dataclass(frozen=True)
class Shares:
    """How requests are shared among the arms; see agent.portfolio."""

    floor: float = FLOOR  # least share of each
    trial_dollars: float = TRIAL_DOLLARS  # what a trial is worth


class Researcher:
    """A Proposer that draws an arm for each briefing, and has others at hand."""

    def __init__(
        self,
        models: Sequence[Arm] = (),
        tuner: Arm | None = None,
        *,
        shares: Shares | None = None,
        stop_when_spent: bool = False,
    ) -> None:
        """`stop_when_spent`: nothing more is proposed once a limit keeps the models from it."""
        self._models = {arm.name: arm for arm in models}
        self._tuner = tuner or TunerArm()
        self._shares = shares or Shares()
        self._stop_when_spent = stop_when_spent

    async def propose(self, briefing: Briefing) -> Answer:
        """At most `briefing.count` proposals, all new; those refused are named with the reason.

        Fewer, or none, where the arms have no more ideas, or can't be asked: then `troubles` or
        `spent` say so. No failure of a model is raised. Raises SourceError if the champion's own
        code does not parse.
        """
        begun = time.monotonic()
        checker = Checker(briefing)
        if briefing.purpose is Purpose.REBASE:
            return await self._rebase(briefing, checker)
        if briefing.purpose is Purpose.ABLATE:
            made, refused = await asyncio.to_thread(ablate, briefing, checker)
            return Answer(briefing.request, tuple(made), refused=tuple(refused))
        down = {name: why for name, arm in self._models.items() if (why := arm.trouble())}
        answer = Answer(briefing.request, (), troubles=down)
        for arm in self._order(briefing, [name for name in self._models if name not in down]):
            if answer.spent and (arm is not self._tuner or self._stop_when_spent):
                continue
            try:
                brought = await arm.propose(briefing, checker)
            except ModelError as error:
                answer = _with_trouble(answer, arm.name, str(error))
                continue
            except SpentError as error:
                answer = replace(answer, spent=error.limit)
                answer = _with_trouble(answer, arm.name, str(error))
                continue
            answer = _with_brought(answer, arm.name, brought)
            if answer.proposals:
                break
        cost = replace(answer.cost, seconds=time.monotonic() - begun)
        return replace(answer, cost=cost)

    async def _rebase(self, briefing: Briefing, checker: Checker) -> Answer:
        """The edits of overtaken wins on today's champion; where texts clash, a model is asked."""
        begun = time.monotonic()
        found = await asyncio.to_thread(rebase, briefing, checker)
        answer = Answer(briefing.request, found.proposals, refused=found.refused)
        for win, conflict in found.clashing:
            alone = replace(briefing, wins=(win,), conflict=conflict, count=1)
            for arm in self._menders(
                win.origin, [n for n, a in self._models.items() if not a.trouble()]
            ):
                try:
                    brought = await arm.propose(alone, checker)
                except (ModelError, SpentError) as error:
                    answer = _with_trouble(answer, arm.name, str(error))
                    continue
                together = (*answer.proposals, *brought.proposals)
                answer = replace(_with_brought(answer, arm.name, brought), proposals=together)
                if brought.proposals:
                    break
            else:
                title = f"#{win.code.experiment} on #{briefing.champion.experiment}"
                answer = replace(answer, refused=(*answer.refused, f"{title}: their edits clash"))
        cost = replace(answer.cost, seconds=time.monotonic() - begun)
        return replace(answer, cost=cost)

    def _order(self, briefing: Briefing, up: Sequence[str]) -> Iterator[Arm]:
        """The arm that answers this briefing, then those that stand in for it.

        `up` are the models that can be asked now: what one that is down would have had is shared
        by all others, the tuner too.
        """
        if briefing.purpose is Purpose.MEND:
            yield from self._menders(briefing.broken.origin if briefing.broken else "", up)
            return  # the tuner mends nothing
        if briefing.purpose is Purpose.FILL or not up:
            yield self._tuner
            return
        drawn = self._draw([*up, self._tuner.name], briefing)
        yield self._models.get(drawn, self._tuner)
        others = [name for name in up if name != drawn]
        while others:
            name = self._draw(others, briefing)
            others.remove(name)
            yield self._models[name]
        if drawn != self._tuner.name:
            yield self._tuner

    def _draw(self, names: Sequence[str], briefing: Briefing) -> str:
        rules = self._shares
        return choose(
            briefing.arms,
            names,
            briefing.seed,
            floor=rules.floor,
            trial_dollars=rules.trial_dollars,
        )

    def _menders(self, origin: str, up: Sequence[str]) -> Iterator[Arm]:
        """Who wrote it first: it knows what it meant."""
        yield from (self._models[name] for name in sorted(up, key=lambda name: name != origin))


def _with_trouble(answer: Answer, name: str, why: str) -> Answer:
    return replace(answer, troubles={**answer.troubles, name: why.removeprefix(f"{name}: ")})


def _with_brought(answer: Answer, name: str, brought: Brought) -> Answer:
    cost, more = answer.cost, brought.cost
    return replace(
        answer,
        arm=name,
        proposals=brought.proposals,
        refused=(*answer.refused, *brought.refused),
        refused_by={**answer.refused_by, name: len(brought.refused)},
        notebook=brought.notebook or answer.notebook,
        cost=Cost(
            0.0,
            cost.input_tokens + more.input_tokens,
            cost.output_tokens + more.output_tokens,
            None if cost.dollars is None or more.dollars is None else cost.dollars + more.dollars,
        ),
    )
