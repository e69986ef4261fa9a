"""A language model as an arm: prompt, call, reading of the answer, repair.

In: a briefing. Out: proposals whose edits apply and that passed the checks. What can't be used goes
back to the model with the exact reasons, at most `max_repairs` times, as long as less than half of
what was wanted has come: a repair costs as much as a new idea.
"""

import asyncio
from dataclasses import dataclass, field, replace

from agent.arm import Brought
from agent.briefing import Briefing, Code, Purpose
from agent.check import Checker, Refusal
from agent.errors import AgentError, EditError, ModelError, SpentError
from agent.llm.answer import parse_answer
from agent.llm.calls import Caller
from agent.llm.counting import Counts
from agent.llm.draft import Draft
from agent.llm.edits import apply_edits
from agent.llm.model import Model, Reply
from agent.llm.plan import make_plan
from agent.llm.prompt import write_prompt
from agent.llm.repair import write_repair
from agent.notebook import accept
from agent.proposal import Cost, Proposal
from agent.rebasing import as_rebase

ASKED_FOR_ITSELF = frozenset({Purpose.MEND, Purpose.REBASE})


@dataclass(frozen=True)
class Bounds:
    """Limits of one request to a model."""

    prompt_tokens: int = 32_000
    output_tokens: int = 8192
    repairs: int = 2


@dataclass
class _Harvest:
    """What one request has brought so far."""

    wants_notebook: bool
    proposals: list[Proposal] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notebook: str = ""
    cost: Cost = field(default_factory=Cost)

    def count(self, reply: Reply) -> None:
        """Add what an answer cost; calls that failed stand in the ledger alone."""
        cost = self.cost
        unknown = cost.dollars is None or reply.dollars is None
        self.cost = Cost(
            cost.seconds + reply.seconds,
            cost.input_tokens + reply.input_tokens,
            cost.output_tokens + reply.output_tokens,
            None if unknown else (cost.dollars or 0.0) + (reply.dollars or 0.0),
        )


class ModelArm:
    """One model."""

    def __init__(self, model: Model, caller: Caller, bounds: Bounds | None = None) -> None:
        self._model = model
        self._caller = caller
        self._bounds = bounds or Bounds()
        self._counts = Counts(model.count)

    @property
    def name(self) -> str:
        """The origin of its proposals: the model's name."""
        return self._model.name

    def trouble(self) -> str:
        """Why it can't be asked now."""
        breaker = self._caller.breaker
        return breaker.why if breaker.rest > 0 else ""

    async def propose(self, briefing: Briefing, checker: Checker) -> Brought:
        """See Arm. Raises ModelError where no attempt brought an answer, SpentError."""
        context = self._model.context_tokens
        most = min(self._bounds.output_tokens, context // 2)
        room = min(self._bounds.prompt_tokens, context - most)
        try:
            prompt = write_prompt(briefing, make_plan(briefing), count=self._counts, room=room)
        except AgentError as error:
            raise ModelError(f"{self.name}: {error}", lasting=True) from error
        messages = prompt.messages
        purpose = briefing.purpose if briefing.purpose in ASKED_FOR_ITSELF else Purpose.IMPROVE
        harvest = _Harvest(wants_notebook=prompt.notebook)
        for repair in range(self._bounds.repairs + 1):
            try:
                call, reply = await self._caller.ask(
                    briefing.request, "repair" if repair else purpose, messages, most_tokens=most
                )
            except (ModelError, SpentError):
                if harvest.proposals:
                    break  # what came before is paid for, and good
                raise
            harvest.count(reply)
            # In a thread: a hostile answer of 400 kB takes two seconds to read.
            problems = await asyncio.to_thread(self._take, reply, call, briefing, checker, harvest)
            harvest.refused += problems
            if not problems or 2 * len(harvest.proposals) >= briefing.count:
                break
            messages = write_repair(prompt, reply.text, problems)
            if sum(self._counts(each.text) for each in messages) > context - most:
                break
        return Brought(
            tuple(harvest.proposals), tuple(harvest.refused), harvest.notebook, harvest.cost
        )

    def _take(
        self, reply: Reply, call: int, briefing: Briefing, checker: Checker, harvest: _Harvest
    ) -> list[str]:
        """Take in what an answer holds; return what could not be used, for its author."""
        codes = briefing.codes()
        paths = {path for code in codes.values() for path in code.files}
        parsed = parse_answer(reply.text, sorted(paths), truncated=reply.truncated)
        if parsed.notebook and harvest.wants_notebook:
            harvest.notebook = accept(parsed.notebook) or harvest.notebook
        problems = list(parsed.problems)
        for draft in parsed.drafts:
            if len(harvest.proposals) == briefing.count:
                break
            taken = self._check(draft, call, briefing, checker)
            if isinstance(taken, Refusal):
                problems.append(str(taken))
            else:
                harvest.proposals.append(taken)
        if not parsed.drafts and not problems:
            problems.append("the answer holds no proposal")
        return problems

    def _check(
        self, draft: Draft, call: int, briefing: Briefing, checker: Checker
    ) -> Proposal | Refusal:
        base = _base(draft, briefing)
        if base is None:
            known = ", ".join(f"#{number}" for number in sorted(briefing.codes()))
            return Refusal(
                draft.title, f"there is no code of experiment {draft.parent} to edit, only {known}"
            )
        try:
            changed = apply_edits(base.files, draft.edits, briefing.editable.allows)
        except EditError as error:
            return Refusal(draft.title, str(error))
        combines = draft.combines if draft.combines in briefing.codes() else None
        proposal = Proposal(
            title=draft.title,
            hypothesis=draft.hypothesis,
            parent=base.experiment,
            files=changed,
            origin=self.name,
            expected=draft.expected,
            instruction=draft.instruction,
            combines=combines,
            call=call,
        )
        if briefing.broken is not None:
            proposal = _mended(proposal, briefing)
        elif briefing.purpose is Purpose.REBASE:
            proposal = as_rebase(proposal, briefing.wins)
        return checker.take(proposal)


def _base(draft: Draft, briefing: Briefing) -> Code | None:
    """The code that a draft edits: what is to be mended, else its parent, else the champion."""
    if briefing.broken is not None:
        return briefing.broken.code
    if draft.parent is None or briefing.purpose is Purpose.REBASE:
        return briefing.champion
    return briefing.codes().get(draft.parent)


def _mended(proposal: Proposal, briefing: Briefing) -> Proposal:
    """The same as a child of the parent that the broken one had, with all its files."""
    broken = briefing.broken
    assert broken is not None
    return replace(
        proposal,
        title=proposal.title or broken.title,
        hypothesis=proposal.hypothesis or broken.hypothesis,
        expected=proposal.expected or broken.expected,
        instruction=proposal.instruction or broken.instruction,
        parent=broken.parent,
        files={**broken.code.files, **proposal.files},
        mends=broken.code.experiment,
    )
