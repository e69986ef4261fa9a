"""Instructions: what people ask of the study, and what came of each."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from scheduler.api import asking
from scheduler.api.context import Context
from scheduler.api.cursors import read_number, write_number
from scheduler.api.routes.answers import (
    NOT_FOUND,
    WHOLE,
    Id,
    InstructionAnswer,
    Limit,
    answer_instruction,
    with_results,
)
from scheduler.rules.states import InstructionState
from scheduler.study import listing
from scheduler.study.letters import Instruct, Text, Withdraw
from scheduler.study.reader import Reader


class InstructBody(BaseModel):
    """An instruction."""

    model_config = ConfigDict(extra="forbid", strict=True)
    text: Text = Field(description="What the study should look into.")
    priority: Annotated[int, Field(ge=-1000, le=1000), WHOLE] = Field(
        default=0, description="Higher goes first."
    )
    lifetime: Annotated[int, Field(ge=1, lt=2**31), WHOLE] | None = Field(
        default=None, description="Experiments decided after which it expires."
    )


@dataclass(frozen=True)
class WaitingInstruction:
    """One that lies in the mailbox: the study takes it up when it runs."""

    key: str
    text: str
    priority: int
    at: float


@dataclass(frozen=True)
class InstructionPage:
    """Some instructions in order of their numbers; `next` is the cursor of the page after it."""

    instructions: tuple[InstructionAnswer, ...]
    waiting: tuple[WaitingInstruction, ...]  # on the first page
    next: str | None


def routes(context: Context) -> APIRouter:
    """The paths of instructions."""
    router = APIRouter(tags=["instructions"])

    @router.get("/instructions")
    async def instructions(
        state: Annotated[list[InstructionState], Query(max_length=10)] = [],  # noqa: B006
        cursor: str | None = None,
        limit: Limit = 100,
    ) -> InstructionPage:
        """What people asked for, in the order in which it came, with what came of each."""
        after = -1 if cursor is None else read_number(cursor)

        def question(reader: Reader) -> tuple[InstructionAnswer, ...]:
            found = listing.instructions(reader, set(state), after=after, limit=limit)
            return tuple(with_results(reader, each) for each in found)

        page = await context.read(question)
        first = cursor is None and not state
        letters = await run_in_threadpool(context.desk.waiting) if first else []
        lying = tuple(
            WaitingInstruction(each.key, each.text, each.priority, each.at)
            for each in letters
            if isinstance(each, Instruct)
        )
        more = len(page) == limit
        return InstructionPage(page, lying, write_number(page[-1].instruction.id) if more else None)

    @router.post(
        "/instructions",
        status_code=HTTPStatus.CREATED,
        response_model=InstructionAnswer,
        responses=asking.RESPONSES,
    )
    async def instruct(
        request: Request, response: Response, body: InstructBody, key: asking.Key = None
    ) -> InstructionAnswer | Response:
        """Queue an instruction: the next briefing of a language model holds it."""
        letter = Instruct(text=body.text, priority=body.priority, lifetime=body.lifetime)
        reply = await asking.ask(context, request, letter, key)
        if isinstance(reply, Response):
            return reply
        number = asking.number_of(reply)
        response.headers["Location"] = f"/instructions/{number}"
        return await context.read(lambda reader: answer_instruction(reader, number))

    @router.get("/instructions/{number}", responses=NOT_FOUND)
    async def instruction(number: Id) -> InstructionAnswer:
        """One instruction, and every experiment that it led to with its result."""
        return await context.read(lambda reader: answer_instruction(reader, number))

    @router.delete(
        "/instructions/{number}",
        response_model=InstructionAnswer,
        responses={**asking.RESPONSES, **NOT_FOUND},
    )
    async def withdraw(
        request: Request, number: Id, key: asking.Key = None
    ) -> InstructionAnswer | Response:
        """Take an instruction back; experiments that it led to stay."""
        await context.read(lambda reader: answer_instruction(reader, number))
        reply = await asking.ask(context, request, Withdraw(instruction=number), key)
        if isinstance(reply, Response):
            return reply
        return await context.read(lambda reader: answer_instruction(reader, number))

    return router
