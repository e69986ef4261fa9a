"""What an experiment is made of: its files, its difference to another, its prompts and answers."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import PlainTextResponse

from scheduler.api.context import Context
from scheduler.api.routes.answers import LARGEST_ID, NOT_FOUND, Id, found_experiment
from scheduler.study.calls import CallRecord
from scheduler.study.listing import calls_of
from scheduler.study.patch import unified_diff
from scheduler.study.reader import Reader


class PatchResponse(PlainTextResponse):
    """A patch, as `git apply` reads it."""

    media_type = "text/x-diff"


@dataclass(frozen=True)
class FilesAnswer:
    """The editable files of an experiment: relative path -> text."""

    files: dict[str, str]


@dataclass(frozen=True)
class PromptAnswer:
    """The calls to a model that an experiment came from; none where no model had a part in it."""

    calls: tuple[CallRecord, ...]


def routes(context: Context) -> APIRouter:
    """The paths below one experiment, but for its log."""
    router = APIRouter(tags=["experiments"], responses=NOT_FOUND)

    @router.get("/experiments/{number}/files")
    async def files(number: Id) -> FilesAnswer:
        """Its editable files."""

        def question(reader: Reader) -> dict[str, str]:
            found_experiment(reader, number)
            return reader.files(number)

        return FilesAnswer(await context.read(question))

    @router.get("/experiments/{number}/diff", response_class=PatchResponse)
    async def diff(
        number: Id,
        against: Annotated[
            int | None,
            Query(ge=0, le=LARGEST_ID, description="Another experiment. Default: the parent."),
        ] = None,
    ) -> PatchResponse:
        """What it changed in its parent, or how it differs from another, as a patch."""

        def question(reader: Reader) -> str:
            one = found_experiment(reader, number)
            other = one.parent if against is None else found_experiment(reader, against).id
            if other is None:
                detail = f"experiment {number} is a baseline: it has no parent to differ from"
                raise HTTPException(HTTPStatus.NOT_FOUND, detail)
            return unified_diff(reader.files(other), reader.files(number))

        return PatchResponse(await context.read(question))

    @router.get("/experiments/{number}/prompt")
    async def prompt(number: Id) -> PromptAnswer:
        """What a model was asked when it proposed this, and what it answered."""
        return PromptAnswer(
            await context.read(
                lambda reader: tuple(calls_of(reader, found_experiment(reader, number)))
            )
        )

    return router
