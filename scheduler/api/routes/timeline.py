"""GET /timeline: where the time of the slots went, segment by segment and in figures."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from scheduler.api.context import Context
from scheduler.api.routes.answers import as_json
from scheduler.study.timeline import Timeline, read_timeline

LONGEST = 5000  # trials: 4 MB; more are asked for in parts, with `until`
USUAL = 500
Time = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]


def routes(context: Context) -> APIRouter:
    """The path of the timeline."""
    router = APIRouter(tags=["study"])

    @router.get("/timeline", response_model=Timeline)
    async def timeline(
        since: Time = None,
        until: Time = None,
        hours: Annotated[
            float | None,
            Query(gt=0, allow_inf_nan=False, description="No more than so many before its end."),
        ] = None,
        limit: Annotated[
            int, Query(ge=1, le=LONGEST, description="Trials; the newest that ended within it.")
        ] = USUAL,
    ) -> Response:
        """Idle, start-up, warm-up, training, evaluation, teardown, Ray: all of each slot's time.

        Where there are more trials it begins later: `since` of the answer says when, and `complete`
        is false. What came before: the same with that as `until`.
        """
        live = context.follower.live
        config = context.config
        found = await context.read(
            lambda reader: read_timeline(
                reader,
                now=None if live is None else live.at,
                budget=config.budget.seconds,
                gpus=config.workers.gpus_per_trial,
                since=since,
                until=until,
                hours=hours,
                most=limit,
            )
        )
        return as_json(found)

    return router
