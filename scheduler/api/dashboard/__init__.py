"""The dashboard: pages that show a study as it goes, and let a person steer it.

In: the application, its Context and its sessions. Out: pages at `/`, `/browse` and
`/experiment/NUMBER`, served by the same process. NiceGUI (Quasar, Vue, ECharts) makes them and
ships all that a browser loads. What models and training have written is only ever shown as text.
Every page reads the database as any reader does, and writes letters as the command line does.
"""

from fastapi import FastAPI
from nicegui import ui
from starlette.routing import Match, Mount
from starlette.types import Scope

from scheduler.api.context import Context
from scheduler.api.dashboard import browse, experiment, overview
from scheduler.api.dashboard.snapshot import Snapshots
from scheduler.api.dashboard.visitor import Visitors
from scheduler.api.tokens import Sessions

RECONNECT_SECONDS = 10.0  # for which a page that lost its connection is kept
MESSAGES = 200  # of a page that lost its connection; older ones are made good by a reload
PAGES = frozenset({"/", "/browse"})
BELOW = ("/experiment/", "/_nicegui/", "/_nicegui_ws/")  # the last two: what pages load and say


class Pages(Mount):
    """The library's application, at our paths alone: it answers every other one with a page too."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is for a page."""
        path = str(scope.get("path", ""))
        if path in PAGES or path.startswith(BELOW):
            return super().matches(scope)
        return Match.NONE, {}


def mount(app: FastAPI, context: Context, sessions: Sessions) -> None:
    """Add the pages. Once a process: the library knows one application."""
    visitors = Visitors(Snapshots(context), sessions)
    for page in (overview, browse, experiment):
        page.add_page(visitors)
    ui.run_with(
        app,
        title="autoresearch",
        dark=None,  # as the system says
        language="en-GB",
        reconnect_timeout=RECONNECT_SECONDS,
        message_history_length=MESSAGES,
        show_welcome_message=False,
        tailwind=False,
    )
    everywhere = app.router.routes.pop()
    assert isinstance(everywhere, Mount), "the library has mounted itself last"
    app.router.routes.append(Pages("/", app=everywhere.app))
