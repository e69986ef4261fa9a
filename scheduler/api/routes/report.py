"""The report of the study: a page to read, and the files of it to keep.

Made in a reader's thread where the study has changed since the last one, one at a time: it takes a
second or so. The page may load nothing and run nothing, whatever other people's text is in it.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import HTMLResponse

from scheduler.api.context import Context
from scheduler.api.routes.answers import NOT_FOUND
from scheduler.study.reader import Reader
from scheduler.study.report import FORMATS, report_files

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'; sandbox"
)
KINDS = {"html": "text/html", "md": "text/markdown", "png": "image/png"}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {kind: {} for kind in KINDS.values()}}
}


@dataclass(frozen=True)
class ReportFiles:
    """Names, for GET /report/files/{name}."""

    files: tuple[str, ...]


class _Reports:
    """The newest report, in every format."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._made: tuple[object, dict[str, bytes]] = (None, {})
        self._making = asyncio.Lock()

    async def newest(self) -> dict[str, bytes]:
        """Its files. Raises NothingYet where nothing is recorded yet."""
        async with self._making:
            of = await self._context.read(Reader.newest_event), self._context.is_running
            if self._made[0] != of:
                self._made = of, await self._context.read(self._make)
            return self._made[1]

    def _make(self, reader: Reader) -> dict[str, bytes]:
        return report_files(reader, self._context.folder, self._context.config, tuple(FORMATS))


def routes(context: Context) -> APIRouter:
    """The paths of the report."""
    router = APIRouter(tags=["report"])
    reports = _Reports(context)

    @router.get("/report", response_class=HTMLResponse)
    async def report() -> Response:
        """What a scientist wants to know of the study, on one page."""
        return _file(FORMATS["html"], (await reports.newest())[FORMATS["html"]])

    @router.get("/report/files")
    async def files(
        wanted: Annotated[
            list[Literal["html", "md"]],
            Query(alias="format", max_length=len(FORMATS), description="Default: all."),
        ] = [],  # noqa: B006 - never changed; FastAPI copies it
    ) -> ReportFiles:
        """The names of its files: the page, or the Markdown with its pictures."""
        chosen: list[str] = [*wanted] or list(FORMATS)
        names = [FORMATS[each] for each in chosen]
        if "md" in chosen:
            names += [name for name in await reports.newest() if name.endswith(".png")]
        return ReportFiles(tuple(names))

    @router.get("/report/files/{name}", response_class=Response, responses={**FILE, **NOT_FOUND})
    async def file(name: str) -> Response:
        """One of them."""
        found = (await reports.newest()).get(name)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"the report has no file {name}")
        return _file(name, found)

    return router


def _file(name: str, content: bytes) -> Response:
    kind = name.rpartition(".")[2]
    headers = {"Content-Security-Policy": POLICY} if kind == "html" else {}
    return Response(content, media_type=KINDS[kind], headers=headers)
