"""The HTTP application of a study: its paths, its dashboard, and the layers around both.

In: a study's folder and the secrets of this process. Out: an ASGI application. It reads the
database read-only and never calls the results actor, so that a hundred curious readers cost the
study nothing; what it writes are letters in the study's mailbox. The layers, from the outside in:

    Headers    what every answer has          headers.py
    BodyLimit  how much may be sent           bodies.py
    Gate       who may do what                gate.py
    Departed   who leaves is no error         departed.py
    paths      one file a resource            routes/
    pages      for people                     dashboard/, which `__main__.py` adds
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from scheduler.api.bodies import BodyLimit
from scheduler.api.context import Context
from scheduler.api.departed import Departed
from scheduler.api.docs import add_docs
from scheduler.api.gate import Gate, Secrets
from scheduler.api.headers import Headers
from scheduler.api.problems import RESPONSES, describe_errors
from scheduler.api.routes import (
    champion,
    contents,
    events,
    experiments,
    instructions,
    logs,
    metrics,
    notebook,
    program,
    report,
    session,
    study,
    timeline,
)

RESOURCES = (
    *(study, instructions, experiments, contents, logs, champion, events, metrics, notebook),
    *(program, report, timeline),
)
DESCRIPTION = (
    "Read a study, follow it and steer it. Errors are problem documents (RFC 9457). POST and "
    "DELETE take an `Idempotency-Key`, wait a few seconds for the study to do what is asked, and "
    "answer 202 where it has not got to it yet. Times are Unix seconds, durations seconds, memory "
    "bytes; a metric is null where there is none."
)


@dataclass(frozen=True)
class Health:
    """Whether this process answers."""

    status: str


def make_app(context: Context, secrets: Secrets) -> FastAPI:
    """The application for one study."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await context.follower.start()
        try:
            yield
        finally:
            await context.follower.stop()
            context.readers.close()

    app = FastAPI(
        title="autoresearch-ray",
        summary="A study over HTTP.",
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's own page loads scripts from the internet
        redoc_url=None,
        responses=RESPONSES,
        lifespan=life,
    )
    app.add_middleware(Departed)  # each goes around those before it
    told = {"self_reported": context.config.task.self_reported}
    for layer, options in ((Gate, {"secrets": secrets}), (BodyLimit, {}), (Headers, told)):
        app.add_middleware(layer, **options)
    describe_errors(app)

    @app.get("/healthz", tags=["health"])
    async def healthz() -> Health:
        """Whether this process answers. Needs no token."""
        return Health("ok")

    for resource in RESOURCES:
        app.include_router(resource.routes(context))
    app.include_router(session.routes(secrets))
    add_docs(app)
    return app
