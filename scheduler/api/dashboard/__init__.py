"""The dashboard: pages that show a study as it goes, and let a person steer it.

In: the application, its Context and its sessions. Out: pages at `/`, `/browse` and
`/experiment/NUMBER`, served by the same process. NiceGUI (Quasar, Vue, ECharts) makes them and
ships all that a browser loads. What models and training have written is only ever shown as text.
Every page reads the database as any reader does, and writes letters as the command line does.
"""

from fastapi import FastAPI
from nicegui import ui

from scheduler.api.context import Context
from scheduler.api.dashboard import browse, experiment, overview
from scheduler.api.dashboard.snapshot import Snapshots
from scheduler.api.dashboard.visitor import Visitors
from scheduler.api.tokens import Sessions

RECONNECT_SECONDS = 10.0  # for which a page that lost its connection is kept
MESSAGES = 200  # of a page that lost its connection; older ones are made good by a reload


def mount(app: FastAPI, context: Context, sessions: Sessions) -> None:
    """Put the pages under every path that no other route of the application has taken."""
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
