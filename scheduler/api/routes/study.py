"""The study as a whole: GET /study, and pause, unpause and stop."""

from dataclasses import dataclass, field

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from agent.globs import Editable
from scheduler.api import asking
from scheduler.api.context import Context
from scheduler.api.routes.answers import NOT_FOUND, Waiting, as_json
from scheduler.study.letters import AnyLetter, Pause, Stop, Unpause
from scheduler.study.records import Experiment, Reply, SlotView, Study
from scheduler.study.task_section import editable_of
from scheduler.study.task_words import Measurement, measurement


@dataclass(frozen=True)
class StudyAnswer:
    """The study at one moment; slots and queue only while it runs.

    Events after `event` are news: GET /events?after= continues from here without a gap.
    """

    name: str
    metric: str
    goal: str
    budget: str
    running: bool
    event: int
    study: Study
    slots: tuple[SlotView, ...] = ()
    queue: tuple[Experiment, ...] = field(default=())  # the next to run first
    self_reported: bool = False  # the metric is the word of the code that is edited
    measurement: Measurement = field(default_factory=Measurement)  # and limits beside it
    editable: Editable = field(default_factory=Editable)  # which files an edit may add


class StopBody(BaseModel):
    """How to stop."""

    model_config = ConfigDict(extra="forbid", strict=True)
    now: bool = False  # cut running trials short; they run again when the study goes on


def routes(context: Context) -> APIRouter:
    """The paths of the study."""
    router = APIRouter(tags=["study"])

    @router.get("/study", response_model=StudyAnswer)
    async def study() -> Response:
        """State, counts, champion, cost; and the slots while it runs."""
        # The place in the journal first: what happens in between is then told again, not left out.
        event, record = await context.read_often(
            "study", lambda reader: (reader.newest_event(), reader.study())
        )
        live = context.follower.live
        answer = StudyAnswer(
            name=context.folder.name,
            metric=context.metric,
            goal=context.config.task.metric.goal,
            budget=context.config.budget_words(),
            running=live is not None,
            event=event,
            study=record,
            slots=live.slots if live else (),
            queue=live.queue if live else (),
            self_reported=context.config.task.self_reported,
            measurement=measurement(context.config.task),
            editable=editable_of(context.config.task),
        )
        return as_json(answer)

    async def steer(request: Request, letter: AnyLetter, key: str | None) -> Reply | Response:
        return await asking.ask(context, request, letter, key)

    @router.post("/study/pause", response_model=Reply, responses=asking.RESPONSES)
    async def pause(request: Request, key: asking.Key = None) -> Reply | Response:
        """Start nothing more until told otherwise; running trials end as usual."""
        return await steer(request, Pause(), key)

    @router.post("/study/unpause", response_model=Reply, responses=asking.RESPONSES)
    async def unpause(request: Request, key: asking.Key = None) -> Reply | Response:
        """Go on."""
        return await steer(request, Unpause(), key)

    @router.post("/study/stop", response_model=Reply, responses=asking.RESPONSES)
    async def stop(
        request: Request, how: StopBody | None = None, key: asking.Key = None
    ) -> Reply | Response:
        """End the study once its running trials have ended, or now. `run` resumes it."""
        return await steer(request, Stop(now=how.now if how else False), key)

    @router.get(
        "/letters/{key}", response_model=Reply, responses={**NOT_FOUND, 202: {"model": Waiting}}
    )
    async def letter(key: str) -> Reply | Response:
        """What became of a request that was answered with 202; 202 again while it waits."""
        if (reply := await context.reply(key)) is not None:
            return reply
        for each in await run_in_threadpool(context.desk.waiting):
            if each.key == key:
                return asking.waiting(each, runs=context.is_running)
        raise HTTPException(404, "no such letter")

    return router
