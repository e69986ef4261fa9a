"""What a study answers over HTTP: JSON of its records, read from its folder.

In: a study's folder. Out: a FastAPI application with GET paths only. It reads the database
read-only, with a connection of its own for each request, and never calls the results actor: a
hundred curious readers cost the study nothing. Errors are problem documents (RFC 9457). Writing,
events and tokens are not here; until there are tokens, only loopback addresses are served
(`serving.py`) and only under their own names (against DNS rebinding).
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from scheduler.errors import SchedulerError
from scheduler.rules.states import ExperimentState
from scheduler.study.folder import StudyFolder
from scheduler.study.live import read_live
from scheduler.study.reader import Reader
from scheduler.study.records import ChampionRecord, Experiment, SlotView, Study, TrialRecord

OWN_NAMES = ["localhost", "127.0.0.1", "[::1]"]
LONGEST_PAGE = 500
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
}

Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE)]


@dataclass(frozen=True)
class StudyAnswer:
    """The study as a whole; slots only while it runs."""

    name: str
    metric: str
    goal: str
    study: Study
    slots: tuple[SlotView, ...]


@dataclass(frozen=True)
class Page:
    """Some experiments in order of their ids; `next` is the cursor of the page that follows."""

    experiments: tuple[Experiment, ...]
    next: int | None


@dataclass(frozen=True)
class ExperimentAnswer:
    """One experiment with its trials and its files."""

    experiment: Experiment
    trials: tuple[TrialRecord, ...]
    files: dict[str, str]


@dataclass(frozen=True)
class ChampionAnswer:
    """The best confirmed experiment, with its files."""

    champion: ChampionRecord
    experiment: Experiment
    files: dict[str, str]


def make_app(path: Path) -> FastAPI:
    """The application for the study in this folder. Raises SchedulerError where there is none."""
    app = FastAPI(
        title="autoresearch-ray",
        summary="A study, read-only.",
        docs_url=None,  # these pages load scripts from the internet
        redoc_url=None,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=OWN_NAMES)
    _protect(app)
    _describe_errors(app)
    app.include_router(_paths(StudyFolder(path)))
    return app


def _paths(folder: StudyFolder) -> APIRouter:
    """Every path, for one study."""
    metric = folder.load_config().task.metric
    router = APIRouter()

    @contextmanager
    def reading() -> Iterator[Reader]:
        if not folder.database.exists():
            raise HTTPException(HTTPStatus.NOT_FOUND, "nothing has run in this study yet")
        with Reader(folder.database) as reader:
            yield reader

    def found(reader: Reader, number: int) -> Experiment:
        experiment = reader.experiment(number)
        if experiment is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"no experiment {number}")
        return experiment

    @router.get("/healthz")
    def healthz() -> dict[str, str]:
        """Whether this process answers."""
        return {"status": "ok"}

    @router.get("/study")
    def study() -> StudyAnswer:
        """State, counts, champion, cost; and the slots while it runs."""
        live = read_live(folder.live)
        with reading() as reader:
            return StudyAnswer(
                folder.name, metric.name, metric.goal, reader.study(), live.slots if live else ()
            )

    @router.get("/experiments")
    def experiments(
        state: ExperimentState | None = None,
        after: Annotated[int, Query(ge=-1)] = -1,
        limit: Limit = 100,
    ) -> Page:
        """Experiments in order of their ids, after the cursor."""
        with reading() as reader:
            page = tuple(reader.page(after=after, limit=limit, state=state))
        return Page(page, page[-1].id if len(page) == limit else None)

    @router.get("/experiments/{number}")
    def experiment(number: int) -> ExperimentAnswer:
        """One experiment with its trials and files."""
        with reading() as reader:
            one = found(reader, number)
            return ExperimentAnswer(one, tuple(reader.trials(number)), reader.files(number))

    @router.get("/experiments/{number}/diff", response_class=PlainTextResponse)
    def diff(number: int) -> str:
        """What it changed in its parent, as a patch."""
        with reading() as reader:
            found(reader, number)
        return _text(folder.experiment(number).diff)

    @router.get("/experiments/{number}/log", response_class=PlainTextResponse)
    def log(number: int, tail: Annotated[int | None, Query(ge=1)] = None) -> str:
        """What its newest trial printed: all of it, or the last lines."""
        with reading() as reader:
            found(reader, number)
        lines = _text(folder.experiment(number).log).splitlines(keepends=True)
        return "".join(lines if tail is None else lines[-tail:])

    @router.get("/leaderboard")
    def leaderboard(limit: Limit = 20) -> tuple[Experiment, ...]:
        """The best by metric, the best first."""
        with reading() as reader:
            return tuple(reader.leaders(limit, minimize=metric.goal == "minimize"))

    @router.get("/champion")
    def champion() -> ChampionAnswer:
        """The code to beat."""
        with reading() as reader:
            champions = reader.champions()
            if not champions:
                raise HTTPException(HTTPStatus.NOT_FOUND, "there is no champion yet")
            best = champions[-1]
            return ChampionAnswer(
                best, found(reader, best.experiment), reader.files(best.experiment)
            )

    return router


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.exists() else ""


def _protect(app: FastAPI) -> None:
    """Give every answer the headers that keep a browser from making more of it than text."""

    @app.middleware("http")
    async def protect(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await answer(request)
        response.headers.update(HEADERS)
        return response


def _describe_errors(app: FastAPI) -> None:
    """Answer every error with a problem document."""

    def problem(status: int, detail: str) -> JSONResponse:
        document = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        return JSONResponse(document, status, media_type="application/problem+json")

    @app.exception_handler(StarletteHTTPException)
    async def http_error(_: Request, error: StarletteHTTPException) -> Response:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def bad_request(_: Request, error: RequestValidationError) -> Response:
        parts = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(parts))

    @app.exception_handler(SchedulerError)
    async def unreadable(_: Request, error: SchedulerError) -> Response:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
