"""The slots: what trains now, how far it is, and its loss so far."""

from collections.abc import Sequence

from nicegui import ui

from scheduler.api.dashboard import words
from scheduler.api.dashboard.panels import sparkline
from scheduler.api.dashboard.snapshot import Snapshot
from scheduler.figures import glance
from scheduler.study.records import SlotView

MOST = 32  # cards: a cluster of hundreds is told in a sentence


class Slots:
    """The cards of one page."""

    def __init__(self) -> None:
        self._summary = ui.label("").classes("quiet")
        self._grid = ui.element("div").classes("slots").props('role="list"')
        self._cards: list[Card] = []

    def show(self, snapshot: Snapshot) -> None:
        """Bring the cards up to date."""
        slots = sorted(snapshot.slots, key=lambda s: (s.trial is None, s.slot))
        busy = sum(slot.trial is not None for slot in slots)
        if not snapshot.runs:
            self._summary.set_text("The study does not run now.")
        else:
            rest = f"; {len(slots) - MOST:,} more are not shown" if len(slots) > MOST else ""
            self._summary.set_text(f"{busy} of {len(slots)} busy{rest}")
        shown = slots[:MOST]
        with self._grid:
            while len(self._cards) < len(shown):
                self._cards.append(Card())
        for card in self._cards[len(shown) :]:
            card.delete()
        del self._cards[len(shown) :]
        for card, slot in zip(self._cards, shown, strict=True):
            curve = snapshot.curves.get(slot.trial, ()) if slot.trial is not None else ()
            card.show(slot, curve)


class Card:
    """One slot."""

    def __init__(self) -> None:
        with ui.element("div").classes("slot").props('role="listitem"') as self._card:
            with ui.row().classes("items-center justify-between no-wrap w-full gap-2"):
                self._name = ui.label("").classes("quiet")
                self._link = ui.link("free", "/").classes("mono")
            self._title = ui.label("").classes("one-line")
            self._bar = ui.linear_progress(0, show_value=False, size="6px", color=None).props(
                "rounded"
            )
            self._figures = ui.label("").classes("quiet text-xs")
            self._curve = ui.html("", sanitize=False)

    def show(self, slot: SlotView, curve: Sequence[tuple[int, float]]) -> None:
        """Bring it up to date."""
        self._name.set_text(f"slot {slot.slot}")
        busy = slot.experiment is not None
        self._link.set_visibility(busy)
        if busy:
            self._link.set_text(f"#{slot.experiment}")
            if self._link.props.get("href") != f"/experiment/{slot.experiment}":
                self._link.props["href"] = f"/experiment/{slot.experiment}"
                self._link.update()
        self._title.set_text(" ".join(slot.title.split()) if busy else "free")
        self._bar.set_value(round(slot.fraction, 3) if busy else 0)
        self._bar.props(f'aria-label="slot {slot.slot}: share of the budget"')
        self._figures.set_text(_figures(slot) if busy else words.NONE)
        self._curve.set_content(sparkline(curve))

    def delete(self) -> None:
        """The slot is gone."""
        self._card.delete()


def _figures(slot: SlotView) -> str:
    share = f"{100 * slot.fraction:.0f} %"
    parts = [slot.phase.replace("_", " ") or "starting", share, words.duration(slot.seconds)]
    if slot.step:
        parts.append(f"step {slot.step:,}")
    if slot.loss is not None:
        parts.append(f"loss {glance(slot.loss)}")
    if slot.tokens_per_second:
        parts.append(f"{slot.tokens_per_second:,.0f} tokens/s")
    return " · ".join(parts)
