"""What the study has learned: its notebook, and the lessons since."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from scheduler.api.context import Context
from scheduler.api.routes.answers import LARGEST_ID, Limit
from scheduler.study.reader import Reader
from scheduler.study.records import NotebookRecord


@dataclass(frozen=True)
class NotebookAnswer:
    """The newest notebook, null before the first, and lessons in the order of their decisions."""

    notebook: NotebookRecord | None
    lessons: tuple[str, ...]


def routes(context: Context) -> APIRouter:
    """The path of the notebook."""
    router = APIRouter(tags=["study"])

    @router.get("/notebook")
    async def notebook(
        after: Annotated[
            int | None,
            Query(
                ge=0,
                le=LARGEST_ID,
                description="Lessons of later decisions. Default: those that it does not cover.",
            ),
        ] = None,
        limit: Limit = 100,
    ) -> NotebookAnswer:
        """What has been learned, condensed, and the newest lessons beside it."""

        def question(reader: Reader) -> NotebookAnswer:
            found = reader.notebook()
            begin = after if after is not None else found.upto if found else 0
            return NotebookAnswer(found, tuple(reader.lessons(after=begin, limit=limit)))

        return await context.read(question)

    return router
