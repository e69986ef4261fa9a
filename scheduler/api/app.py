"""What a study answers over HTTP: JSON of its records, read from its folder.

In: a study's folder. Out: a FastAPI application with GET and HEAD only. It reads the database
read-only, with a connection of its own for each request, and never calls the results actor: a
hundred curious readers cost the study nothing. Errors are problem documents (`problems.py`).
Writing, events and tokens are not here; until there are tokens, only loopback addresses are
served (`serving.py`) and only under their own names (against DNS rebinding).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Query
from fastapi import Path as PathParameter
from fastapi.responses import PlainTextResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from scheduler.api.problems import RESPONSES, Guard, describe_errors
from scheduler.rules.states import ExperimentState
from scheduler.study.artifacts import unified_diff
from scheduler.study.folder import StudyFolder
from scheduler.study.live import read_live
from scheduler.study.reader import Reader
from scheduler.study.records import ChampionRecord, Experiment, SlotView, Study, TrialRecord

OWN_NAMES = ["localhost", "127.0.0.1", "[::1]"]
LONGEST_PAGE = 500
LARGEST_ID = 2**63 - 1  # SQLite has no larger integer

Id = Annotated[int, PathParameter(ge=0, le=LARGEST_ID)]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE)]


class PatchResponse(PlainTextResponse):
    """A patch, as `git apply` reads it."""

    media_type = "text/x-diff"


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
        responses=RESPONSES,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=OWN_NAMES)
    app.add_middleware(Guard)
    describe_errors(app)
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
        after: Annotated[int, Query(ge=-1, le=LARGEST_ID)] = -1,
        limit: Limit = 100,
    ) -> Page:
        """Experiments in order of their ids, after the cursor."""
        with reading() as reader:
            page = tuple(reader.page(after=after, limit=limit, state=state))
        return Page(page, page[-1].id if len(page) == limit else None)

    @router.get("/experiments/{number}")
    def experiment(number: Id) -> ExperimentAnswer:
        """One experiment with its trials and files."""
        with reading() as reader:
            one = found(reader, number)
            return ExperimentAnswer(one, tuple(reader.trials(number)), reader.files(number))

    @router.get("/experiments/{number}/diff", response_class=PatchResponse)
    def diff(number: Id) -> str:
        """What it changed in its parent, as a patch."""
        with reading() as reader:
            parent = found(reader, number).parent
            if parent is None:
                detail = f"experiment {number} is a baseline: it has no parent to differ from"
                raise HTTPException(HTTPStatus.NOT_FOUND, detail)
            return unified_diff(reader.files(parent), reader.files(number))

    @router.get("/experiments/{number}/log", response_class=PlainTextResponse)
    def log(number: Id, tail: Annotated[int | None, Query(ge=1)] = None) -> str:
        """What its newest trial printed: all of it, or the last lines."""
        with reading() as reader:
            found(reader, number)
            lines = _log(folder, reader, number).splitlines(keepends=True)
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
            best = reader.champion()
            if best is None:
                raise HTTPException(HTTPStatus.NOT_FOUND, "there is no champion yet")
            return ChampionAnswer(
                best, found(reader, best.experiment), reader.files(best.experiment)
            )

    return router


def _log(folder: StudyFolder, reader: Reader, number: int) -> str:
    """The log's file; without one, the tail that the database keeps of the newest outcome."""
    path = folder.experiment(number).log
    if path.exists():
        return path.read_text("utf-8", errors="replace")
    outcomes = [t.outcome for t in reader.trials(number) if t.outcome is not None]
    return outcomes[-1].log if outcomes else ""
