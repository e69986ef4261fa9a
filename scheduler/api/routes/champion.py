"""The best: the leaderboard, the champion, its files, and whether the order holds."""

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import PlainTextResponse
from pydantic import TypeAdapter

from scheduler.api.context import Context
from scheduler.api.routes.answers import NOT_FOUND, Limit, as_json, found_experiment
from scheduler.rules.order import OrderCheck, check_order
from scheduler.study.reader import Reader
from scheduler.study.records import ChampionRecord, Experiment

LEADERS = TypeAdapter(list[Experiment])


@dataclass(frozen=True)
class ChampionAnswer:
    """The best confirmed experiment, with its files."""

    champion: ChampionRecord
    experiment: Experiment
    files: dict[str, str]


def routes(context: Context) -> APIRouter:
    """The paths of the best."""
    router = APIRouter(tags=["champion"])

    @router.get("/leaderboard", response_model=tuple[Experiment, ...])
    async def leaderboard(limit: Limit = 20) -> Response:
        """The best by metric, the best first."""
        leaders = await context.read_often(
            f"leaders {limit}",
            lambda reader: LEADERS.dump_json(reader.leaders(limit, minimize=context.minimize)),
        )
        return Response(leaders, media_type="application/json")

    def best(reader: Reader) -> ChampionAnswer:
        champion = reader.champion()
        if champion is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no champion yet")
        experiment = found_experiment(reader, champion.experiment)
        return ChampionAnswer(champion, experiment, reader.files(experiment.id))

    @router.get("/champion/order", response_model=OrderCheck)
    async def order() -> Response:
        """Whether the order of the champions holds: on the audit split, with a longer budget."""
        found = await context.read_often(
            "order", lambda reader: check_order(reader.figures(), minimize=context.minimize)
        )
        return as_json(found)

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
