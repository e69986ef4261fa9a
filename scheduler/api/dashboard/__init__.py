"""The dashboard: pages that show a study as it goes, and let a person steer it.

In: the application and its Context. Out: pages at `/`, `/browse` and `/experiment/NUMBER`, served
by the same process. NiceGUI (Quasar, Vue, ECharts) makes them and ships all that a browser loads.
What models and training have written is only ever shown as text. Every page reads the database as
any reader does, and writes letters as the command line does.
"""

from fastapi import FastAPI
from nicegui import ui

from scheduler.api.context import Context
from scheduler.api.dashboard import browse, experiment, overview
from scheduler.api.dashboard.snapshot import Snapshots

RECONNECT_SECONDS = 10.0  # for which a page that lost its connection is kept


def mount(app: FastAPI, context: Context) -> None:
    """Put the pages under every path that no other route of the application has taken."""
    snapshots = Snapshots(context)
    overview.add_page(snapshots)
    browse.add_page(snapshots)
    experiment.add_page(snapshots)
    ui.run_with(
        app,
        title="autoresearch",
        dark=None,  # as the system says
        reconnect_timeout=RECONNECT_SECONDS,
        message_history_length=200,
        show_welcome_message=False,
    )
