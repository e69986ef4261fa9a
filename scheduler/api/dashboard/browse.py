"""The page `/browse`: all experiments, filtered, sorted and paged by the database."""

from typing import TYPE_CHECKING

from nicegui import ui
from starlette.requests import Request

from scheduler.api.dashboard.frame import frame, keep_up
from scheduler.api.dashboard.panels import panel
from scheduler.api.dashboard.tables import Experiments
from scheduler.api.dashboard.visitor import Visitor, Visitors
from scheduler.rules.states import ExperimentState
from scheduler.study.listing import Filter, Order, experiments, mark_of
from scheduler.study.reader import Reader

if TYPE_CHECKING:
    from scheduler.study.records import Experiment

PAGE = 50
ORDERS = {
    "newest first": (Order.ID, True),
    "oldest first": (Order.ID, False),
    "best first": (Order.METRIC, False),
    "worst first": (Order.METRIC, True),
    "latest decisions first": (Order.DECIDED_AT, True),
}


def add_page(visitors: Visitors) -> None:
    """Register the page."""

    @ui.page("/browse")
    async def browse(request: Request) -> None:
        visitor = visitors.of(request)
        follower = visitor.context.follower
        with frame(visitor, "Experiments") as head, panel("Filter and order"):
            listing = _Listing(visitor)
        seen, listed = -1, -1

        async def update() -> None:
            nonlocal seen, listed
            if follower.version != seen:
                seen, now = await visitor.snapshots.newest()
                head.show(now)
            if follower.newest != listed and visitor.context.folder.database.exists():
                listed = follower.newest
                await listing.show()

        await update()
        keep_up(visitor, update)


def _reference(reader: Reader) -> tuple[float | None, str]:
    """What differences are taken from: the champion's metric, and the class it was measured on."""
    champion = reader.champion()
    found = None if champion is None else reader.experiment(champion.experiment)
    return (None, "") if champion is None or found is None else (champion.metric, found.hardware)


class _Listing:
    """The table and what chooses its rows."""

    def __init__(self, visitor: Visitor) -> None:
        self._context = visitor.context
        self._pages: list[Experiment | None] = [None]  # the last record before each page
        with ui.row().classes("items-center gap-3 w-full"):
            states = ["any state", *(state.value for state in ExperimentState)]
            self._state = ui.select(states, value="any state", label="State", on_change=self._again)
            self._order = ui.select(
                list(ORDERS), value="newest first", label="Order", on_change=self._again
            )
            self._text = ui.input("Title or hypothesis", on_change=self._again)
            self._text.props("debounce=300 clearable")
            for field in (self._state, self._order, self._text):
                field.props("outlined dense").classes("field")
        self._table = Experiments(self._context.metric, "Experiments", why=True)
        with ui.row().classes("items-center gap-3"):
            self._back = ui.button(
                "Previous", icon="chevron_left", on_click=self._go_back, color=None
            )
            self._place = ui.label("page 1").props('aria-live="polite"')
            self._on = ui.button("Next", icon="chevron_right", on_click=self._go_on, color=None)
            for button in (self._back, self._on):
                button.props("flat dense no-caps").classes("plain")
        self._last: Experiment | None = None

    async def show(self) -> None:
        """Read the page anew."""
        order, descending = ORDERS[str(self._order.value)]
        if order is Order.METRIC and not self._context.minimize:
            descending = not descending
        chosen = str(self._state.value)
        states = [ExperimentState(chosen)] if chosen != "any state" else []
        wanted = Filter(states=states, text=(self._text.value or "").strip())
        before = self._pages[-1]
        found = await self._context.read(
            lambda reader: experiments(
                reader,
                wanted,
                order,
                descending=descending,
                after=mark_of(before, order) if before else None,
                limit=PAGE + 1,
            )
        )
        self._last = found[PAGE - 1] if len(found) > PAGE else None
        self._table.show(found[:PAGE], *await self._context.read(_reference))
        self._place.set_text(f"page {len(self._pages)}" if found else "nothing fits")
        self._back.set_enabled(len(self._pages) > 1)
        self._on.set_enabled(self._last is not None)

    async def _again(self) -> None:
        self._pages = [None]
        await self.show()

    async def _go_on(self) -> None:
        if self._last is not None:
            self._pages.append(self._last)
            await self.show()

    async def _go_back(self) -> None:
        if len(self._pages) > 1:
            self._pages.pop()
            await self.show()
