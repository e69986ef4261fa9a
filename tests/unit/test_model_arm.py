"""A model as an arm: what can't be used goes back with the reasons, and not for ever."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.arm import Brought
from agent.briefing import Briefing, Broken, Code, Instruction, Purpose
from agent.check import Checker
from agent.errors import ModelError, SpentError
from agent.ledger import Limits, MemoryLedger, Message
from agent.llm.arm import Bounds, ModelArm
from agent.llm.breaker import Breaker
from agent.llm.calls import Caller
from agent.llm.model import Reply

SCRIPT = "LR = 0.02\nDEPTH = 4\n\n\ndef train(session):\n    return session\n"
BASE = Briefing(
    request=3, count=2, seed=1, program="Improve it.", metric="val_bpb", minimize=True,
    budget="300 s", champion=Code(9, {"train.py": SCRIPT}, 1.0, "the best"),
    contract={"train.py": ("train",)}, instructions=(Instruction(4, "Try a tied head."),),
)  # fmt: skip
CRASHED = SCRIPT.replace("return session", "return sesion")
BROKEN = Broken(
    Code(11, {"train.py": CRASHED}, None, "A typo"), "A typo", "It helps.",
    "NameError: sesion", "Traceback", "lower by 0.1", instruction=4, parent=7, origin="a/model",
)  # fmt: skip


class Scripted:
    """A Model that says what it was given, in order; an exception is a failed attempt."""

    name = "a/model"

    def __init__(self, *answers: str | Reply, context_tokens: int = 100_000) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Message, ...]] = []
        self.context_tokens = context_tokens

    def count(self, text: str) -> int:
        return len(text) // 4

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return (input_tokens + output_tokens) * 1e-6

    async def ask(self, messages: Sequence[Message], *, most_tokens: int) -> Reply:
        self.asked.append(tuple(messages))
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Reply) else Reply(answer, 1000, 100, 0.01, 2.0)


def edit(title: str, old: str, new: str, more: str = "") -> str:
    return (
        f"<proposal>\ntitle: {title}\nhypothesis: it helps\nexpected: lower\n{more}\ntrain.py\n"
        f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n</proposal>\n"
    )


GOOD = edit("Faster", "LR = 0.02", "LR = 0.04")
OTHER = edit("Deeper", "DEPTH = 4", "DEPTH = 6")
STALE = edit("Stale", "LR = 0.03", "LR = 0.05")


def propose(
    model: Scripted, briefing: Briefing = BASE, repairs: int = 2, ledger: MemoryLedger | None = None
) -> Brought:
    caller = Caller(model, ledger or MemoryLedger(), Breaker(time.monotonic), attempts=1)
    arm = ModelArm(model, caller, Bounds(repairs=repairs))
    return asyncio.run(arm.propose(briefing, Checker(briefing)))


def test_proposals_that_apply_come_complete_with_the_call_that_they_came_from() -> None:
    model = Scripted(GOOD + OTHER)
    brought = propose(model)
    assert [p.title for p in brought.proposals] == ["Faster", "Deeper"]
    assert {(p.origin, p.parent, p.call) for p in brought.proposals} == {("a/model", 9, 1)}
    assert brought.proposals[0].constants == {"LR": 0.04, "DEPTH": 4}
    assert brought.refused == ()
    assert brought.cost.dollars == pytest.approx(0.01)


def test_an_edit_that_does_not_apply_goes_back_with_the_reason_and_the_nearest_match() -> None:
    ledger, model = MemoryLedger(), Scripted(STALE, GOOD + OTHER)
    brought = propose(model, ledger=ledger)
    assert [p.call for p in brought.proposals] == [2, 2]
    assert len(brought.refused) == 1
    first, repair = model.asked
    assert repair[: len(first)] == first, "the same beginning, for the provider's cache"
    assert repair[-2].text.strip() == STALE.strip()
    assert "LR = 0.03" in repair[-1].text
    assert "LR = 0.02" in repair[-1].text
    assert [intent.purpose for intent, _ in ledger.calls] == ["improve", "repair"]
    assert brought.cost.input_tokens == 2000


def test_repairs_end_at_their_limit_and_every_refusal_is_told() -> None:
    model = Scripted(STALE, STALE, STALE, GOOD)
    brought = propose(model)
    assert len(model.asked) == 3
    assert brought.proposals == ()
    assert len(brought.refused) == 3


def test_half_of_what_was_wanted_is_enough() -> None:
    assert len(propose(Scripted(GOOD + STALE)).proposals) == 1
    model = Scripted(GOOD + STALE, OTHER)
    assert len(propose(model, replace(BASE, count=3)).proposals) == 2
    assert len(model.asked) == 2, "one of three is less than half"


def test_what_came_before_a_repair_is_not_taken_again() -> None:
    brought = propose(Scripted(GOOD + STALE, GOOD + OTHER), replace(BASE, count=3))
    assert [p.title for p in brought.proposals] == ["Faster", "Deeper"]
    assert any("same code" in reason for reason in brought.refused)


def test_more_than_was_asked_for_is_left() -> None:
    third = edit("Both", "LR = 0.02\nDEPTH = 4", "LR = 0.08\nDEPTH = 8")
    assert len(propose(Scripted(GOOD + OTHER + third)).proposals) == 2


@pytest.mark.parametrize("answer", ["", "Sorry, no.", "{}", "<proposal>"])
def test_an_answer_without_a_proposal_is_a_refusal(answer: str) -> None:
    brought = propose(Scripted(answer), repairs=0)
    assert brought.proposals == ()
    assert brought.refused


def test_a_parent_that_is_queued_or_unknown_is_refused_with_what_there_is() -> None:
    model = Scripted(edit("On a queued one", "LR = 0.02", "LR = 0.04", "parent: 12\n"))
    brought = propose(model, repairs=0)
    assert brought.refused == (
        "On a queued one: there is no code of experiment 12 to edit, only #9",
    )


def test_an_instruction_that_is_not_open_is_not_named() -> None:
    served, strange = (
        edit("A", "LR = 0.02", "LR = 0.04", "instruction: 4\n"),
        edit("B", "LR = 0.02", "LR = 0.08", "instruction: 5\n"),
    )
    assert [p.instruction for p in propose(Scripted(served + strange)).proposals] == [4, None]


NOTEBOOK = "<notebook>\n# What we know\n\n- LR is too low.\n</notebook>"


@pytest.mark.parametrize("asked", [True, False])
def test_a_notebook_is_taken_only_where_it_was_asked_for(asked: bool) -> None:
    lessons = ("#12 kept: A 1 -> 2; got 0.1 lower than #1 (1 -> 0.9: better)",)
    briefing = replace(BASE, condense=asked, lessons=lessons, notebook="Depth is exhausted.")
    brought = propose(Scripted(GOOD + OTHER + NOTEBOOK), briefing)
    assert ("LR is too low" in brought.notebook) == asked


def test_a_mended_proposal_carries_the_broken_idea_on() -> None:
    briefing = replace(BASE, count=1, purpose=Purpose.MEND, broken=BROKEN)
    ledger = MemoryLedger()
    model = Scripted(edit("", "    return sesion", "    return session + 1", "parent: 9\n"))
    (mended,) = propose(model, briefing, ledger=ledger).proposals
    assert (mended.mends, mended.parent, mended.instruction) == (11, 7, 4)
    assert (mended.title, mended.hypothesis) == ("A typo", "it helps")
    assert mended.files["train.py"] == CRASHED.replace("sesion", "session + 1", 2).replace(
        "train(session + 1)", "train(session)"
    )
    assert [intent.purpose for intent, _ in ledger.calls] == ["mend"]


def test_failed_attempts_are_raised_and_are_in_the_books() -> None:
    ledger = MemoryLedger()
    with pytest.raises(ModelError, match="it broke"):
        propose(Scripted(Reply("", 10, 0, 0.001, 1.0, error="it broke")), ledger=ledger)
    assert ledger.account.calls == 1
    assert ledger.account.dollars == pytest.approx(0.001)


def test_a_limit_that_is_reached_by_a_repair_is_raised() -> None:
    with pytest.raises(SpentError):
        propose(Scripted(STALE, GOOD), ledger=MemoryLedger(Limits(calls=1)))


@pytest.mark.parametrize("end", ["limit", "failure"])
def test_what_came_before_a_repair_that_failed_is_kept(end: str) -> None:
    ledger = MemoryLedger(Limits(calls=1 if end == "limit" else None))
    model = Scripted(GOOD + STALE, Reply("", 0, 0, 0.0, 1.0, error="it broke"))
    brought = propose(model, replace(BASE, count=3), ledger=ledger)
    assert [p.title for p in brought.proposals] == ["Faster"]
    assert len(brought.refused) == 1


def test_a_prompt_that_can_not_fit_a_small_model_is_its_lasting_trouble() -> None:
    with pytest.raises(ModelError) as raised:
        propose(Scripted(context_tokens=500))
    assert raised.value.lasting
