"""Experiments: the list with its filters, one of them, a person's own, and giving one up."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from scheduler.api import asking
from scheduler.api.context import Context
from scheduler.api.cursors import read_mark, write_mark
from scheduler.api.routes.answers import (
    LARGEST_ID,
    NOT_FOUND,
    ExperimentAnswer,
    Id,
    Limit,
    Number,
    answer_experiment,
    as_json,
    found_experiment,
)
from scheduler.rules.states import ExperimentState
from scheduler.study import listing
from scheduler.study.letters import LONGEST_TEXT, LONGEST_TITLE, Cancel, Submit
from scheduler.study.listing import Filter, Order
from scheduler.study.records import Experiment


class SubmitBody(BaseModel):
    """A person's own edit, or that of another agent."""

    model_config = ConfigDict(extra="forbid", strict=True)
    title: str = Field(min_length=1, max_length=LONGEST_TITLE)
    files: Mapping[str, str] = Field(
        min_length=1, description="The changed files whole, by their path in the task."
    )
    hypothesis: str = Field(default="", max_length=LONGEST_TEXT)
    parent: Number | None = Field(default=None, description="What was edited. Null: the champion.")
    expected: str = Field(default="", max_length=LONGEST_TITLE)
    instruction: Number | None = Field(
        default=None, description="The open instruction that it serves."
    )


@dataclass(frozen=True)
class Page:
    """Some experiments in the order asked for; `next` is the cursor of the page that follows."""

    experiments: tuple[Experiment, ...]
    next: str | None


class Wanted(BaseModel):
    """Which experiments, in which order."""

    model_config = ConfigDict(extra="forbid")
    state: list[ExperimentState] = Field(default=[], max_length=20)
    kept: bool | None = Field(default=None, description="Only those that were kept, or not.")
    origin: str | None = Field(
        default=None, description="baseline, tuner, person, or a model's name."
    )
    instruction: int | None = Field(default=None, ge=0, le=LARGEST_ID)
    since: float | None = Field(
        default=None, allow_inf_nan=False, description="Decided at this Unix time or later."
    )
    text: str = Field(default="", max_length=200, description="In the title or the hypothesis.")
    sort: Order = Field(
        default=Order.ID, description="By metric or decided_at: only those that have one."
    )
    order: Literal["asc", "desc"] = "asc"
    cursor: str | None = Field(default=None, max_length=500)
    limit: Limit = 100

    def filter(self) -> Filter | None:
        """As the database is asked; None where `state` and `kept` exclude each other."""
        states = set(self.state or ExperimentState)
        if self.kept is not None:
            states = {each for each in states if (each is ExperimentState.KEEP) == self.kept}
        if not states:
            return None
        every = len(states) == len(ExperimentState)
        return Filter(
            states=() if every else states,
            origin=self.origin,
            instruction=self.instruction,
            since=self.since,
            text=self.text,
        )


def routes(context: Context) -> APIRouter:
    """The paths of experiments."""
    router = APIRouter(tags=["experiments"])

    @router.get("/experiments", response_model=Page)
    async def experiments(wanted: Annotated[Wanted, Query()]) -> Response:
        """The experiments that match, page by page."""
        descending, after = wanted.order == "desc", None
        if wanted.cursor is not None:
            after = read_mark(wanted.cursor, wanted.sort, descending=descending)
        if (matching := wanted.filter()) is None:
            return as_json(Page((), None))
        page = await context.read(
            lambda reader: listing.experiments(
                reader,
                matching,
                wanted.sort,
                descending=descending,
                after=after,
                limit=wanted.limit,
            )
        )
        if len(page) < wanted.limit:
            return as_json(Page(tuple(page), None))
        mark = listing.mark_of(page[-1], wanted.sort)
        cursor = write_mark(mark, wanted.sort, descending=descending)
        return as_json(Page(tuple(page), cursor))

    @router.post(
        "/experiments",
        status_code=HTTPStatus.CREATED,
        response_model=ExperimentAnswer,
        responses=asking.RESPONSES,
    )
    async def submit(
        request: Request, response: Response, body: SubmitBody, key: asking.Key = None
    ) -> ExperimentAnswer | Response:
        """Queue an edit of one's own: first in the queue, checked and measured like any other."""
        reply = await asking.ask(context, request, Submit(**dict(body)), key)
        if isinstance(reply, Response):
            return reply
        number = asking.number_of(reply)
        response.headers["Location"] = f"/experiments/{number}"
        return await context.read(lambda reader: answer_experiment(reader, number))

    @router.get("/experiments/{number}", response_model=ExperimentAnswer, responses=NOT_FOUND)
    async def experiment(number: Id) -> Response:
        """One experiment with its trials and files."""
        return as_json(await context.read(lambda reader: answer_experiment(reader, number)))

    @router.delete(
        "/experiments/{number}",
        response_model=ExperimentAnswer,
        responses={**asking.RESPONSES, **NOT_FOUND},
    )
    async def cancel(
        request: Request, number: Id, key: asking.Key = None
    ) -> ExperimentAnswer | Response:
        """Give up an experiment that is not decided yet. What it has shown so far stays."""
        await context.read(lambda reader: found_experiment(reader, number))
        reply = await asking.ask(context, request, Cancel(experiment=number), key)
        if isinstance(reply, Response):
            return reply
        return await context.read(lambda reader: answer_experiment(reader, number))

    return router
