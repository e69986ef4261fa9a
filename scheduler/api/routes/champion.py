"""The best: the leaderboard, the champion and its files."""

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, HTTPException
from fastapi.responses import PlainTextResponse

from scheduler.api.context import Context
from scheduler.api.routes.answers import NOT_FOUND, Limit, found_experiment
from scheduler.study.reader import Reader
from scheduler.study.records import ChampionRecord, Experiment


@dataclass(frozen=True)
class ChampionAnswer:
    """The best confirmed experiment, with its files."""

    champion: ChampionRecord
    experiment: Experiment
    files: dict[str, str]


def routes(context: Context) -> APIRouter:
    """The paths of the best."""
    router = APIRouter(tags=["champion"])

    @router.get("/leaderboard")
    async def leaderboard(limit: Limit = 20) -> tuple[Experiment, ...]:
        """The best by metric, the best first."""
        return await context.read(
            lambda reader: tuple(reader.leaders(limit, minimize=context.minimize))
        )

    def best(reader: Reader) -> ChampionAnswer:
        champion = reader.champion()
        if champion is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no champion yet")
        experiment = found_experiment(reader, champion.experiment)
        return ChampionAnswer(champion, experiment, reader.files(experiment.id))

    @router.get("/champion", responses=NOT_FOUND)
    async def champion() -> ChampionAnswer:
        """The code to beat."""
        return await context.read(best)

    @router.get(
        "/champion/files/{path:path}", response_class=PlainTextResponse, responses=NOT_FOUND
    )
    async def champion_file(path: str) -> PlainTextResponse:
        """One of its files, as it is."""
        text = (await context.read(best)).files.get(path)
        if text is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"the champion has no file {path}")
        return PlainTextResponse(text)

    return router
