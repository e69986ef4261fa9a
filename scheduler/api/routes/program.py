"""What the study looks for: its research directions."""

from http import HTTPStatus

from fastapi import APIRouter, HTTPException
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool

from scheduler.api.context import Context
from scheduler.api.routes.answers import NOT_FOUND
from scheduler.errors import StudyError


class MarkdownResponse(PlainTextResponse):
    """Markdown, which a browser shows as it is."""

    media_type = "text/markdown"


def routes(context: Context) -> APIRouter:
    """The path of the research directions."""
    router = APIRouter(tags=["study"])

    @router.get("/program", response_class=MarkdownResponse, responses=NOT_FOUND)
    async def program() -> MarkdownResponse:
        """`program.md`, as the next briefing will hold it."""
        try:
            return MarkdownResponse(await run_in_threadpool(context.folder.read_program))
        except StudyError as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no program.md to read") from error

    return router
