"""The live view of a study: one frame for a terminal, or lines of news where there is none.

In: a Live, the study at one moment. Out: a rich renderable that fits the terminal's width and
height, or plain lines. Reads nothing, prints nothing; `run` and `top` show the same.
"""

from collections import Counter
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scheduler.cli import texts
from scheduler.study.records import Live, SlotView

QUEUE, RECENT = 3, 8  # lines at most
LEAST_SLOTS = 2
HEADINGS = 9  # lines of a frame that are always there, and the blank ones between its parts
WIDE = 100  # columns from which on there is room for long bars


def render(live: Live, name: str = "") -> RenderableType:
    """One frame. `name` is the study's, where it should be shown."""
    return _Frame(live, name)


def news(previous: Live | None, live: Live) -> list[str]:
    """What has happened since the previous frame: a line for each decision, champion and state.

    Without a previous frame only the state is new, so that a resumed study does not tell its
    past. Frames hold the latest few decisions; if there were more, a line says how many.
    """
    condition = f"{texts.clock(live.at)}  study {texts.condition(live.study)}"
    if previous is None:
        return [condition]
    lines = []
    known = {experiment.id for experiment in previous.recent}
    fresh = [experiment for experiment in live.recent if experiment.id not in known]
    unseen = _decided(live) - _decided(previous) - len(fresh)
    if unseen > 0:
        lines.append(f"{texts.clock(live.at)}  {unseen} more experiments were decided")
    before = previous.study.champion.metric if previous.study.champion else None
    for experiment in reversed(fresh):
        parts = (
            texts.clock(experiment.decided_at or live.at),
            f"#{experiment.id:<4}",
            f"{experiment.state.value:<9}",
            f"{texts.metric(experiment.metric):>9}",
            f"{texts.difference(experiment.metric, before):>9}",
            texts.line(experiment.title).plain,
        )
        why = f" ({texts.line(experiment.reason).plain})" if experiment.state.is_failure else ""
        lines.append("  ".join(parts) + why)
    if live.study.champion != previous.study.champion:
        title = live.champion.title if live.champion else ""
        lines.append(f"{texts.clock(live.at)}  champion {texts.best(live.study, title).plain}")
    if _condition(previous) != _condition(live):
        lines.append(condition)
    return lines


def _condition(live: Live) -> tuple[object, ...]:
    return live.study.state, live.study.reason, live.study.text


def _decided(live: Live) -> int:
    return sum(count for state, count in live.study.counts.items() if state.is_final)


@dataclass(frozen=True)
class _Frame:
    """A Live that is laid out when the size of the terminal is known."""

    live: Live
    name: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Head and champion, slots, queue, the latest decisions: as much as there is room for."""
        live = self.live
        height = console.height if console.is_terminal else 10_000
        room = height - HEADINGS
        recent = min(RECENT, len(live.recent), max(1, room // 3))
        queue = min(QUEUE, len(live.queue), max(1, room // 6))
        yield self._head()
        if live.slots:
            yield Text()
            yield from _slots(live.slots, max(LEAST_SLOTS, room - recent - queue), options)
        if queue:
            yield Text()
            yield from self._queue(queue)
        if recent:
            yield Text()
            reference = live.study.champion.metric if live.study.champion else None
            yield texts.experiments(live.recent[:recent], live.metric, reference)

    def _head(self) -> RenderableType:
        live, study = self.live, self.live.study
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(style="dim", no_wrap=True, min_width=len("experiments"))
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        if self.name:
            grid.add_row("study", texts.line(self.name))
        time = texts.duration(texts.elapsed(study, live.at))
        budget = f", budget {texts.line(live.budget).plain}" if live.budget else ""
        grid.add_row("state", f"{texts.condition(study)}, {time}{budget}")
        grid.add_row("experiments", texts.counts(study))
        title = live.champion.title if live.champion else ""
        grid.add_row("champion", texts.best(study, title))
        return grid

    def _queue(self, count: int) -> RenderResult:
        queue = self.live.queue
        for number, experiment in enumerate(queue[:count]):
            text = Text("queue  " if number == 0 else "       ", style="dim")
            text.append(f"#{experiment.id} {texts.line(experiment.title).plain}", style="default")
            if number == count - 1 and len(queue) > count:
                text.append("  and more", style="dim")
            text.no_wrap, text.overflow = True, "ellipsis"
            yield text


def _slots(slots: tuple[SlotView, ...], room: int, options: ConsoleOptions) -> RenderResult:
    """A line a slot; where there are more than room, the busy ones first, the rest summed up."""
    shown = slots
    if len(slots) > room:
        shown = tuple(sorted(slots, key=lambda s: s.trial is None))[: room - 1]
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    for title in ("slot", "id"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("title", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("phase", no_wrap=True)
    table.add_column("", width=24 if options.max_width >= WIDE else 10)
    for title in ("step", "loss", "tok/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for slot in shown:
        table.add_row(*_slot(slot))
    yield table
    rest = Counter(_phase(slot) for slot in slots if slot not in shown)
    if rest:
        summary = ", ".join(f"{count} {phase}" for phase, count in rest.most_common())
        yield Text(f"and {rest.total()} more slots: {summary}", style="dim", no_wrap=True)


def _slot(slot: SlotView) -> tuple[RenderableType, ...]:
    if slot.trial is None:
        return str(slot.slot), texts.NONE, Text("free", style="dim")
    return (
        str(slot.slot),
        f"#{slot.experiment}",
        texts.line(slot.title),
        Text(_phase(slot)),
        ProgressBar(total=1.0, completed=min(1.0, max(0.0, slot.fraction))),
        str(slot.step) if slot.step else texts.NONE,
        texts.NONE if slot.loss is None else f"{slot.loss:.3f}",
        _rate(slot.tokens_per_second),
    )


def _phase(slot: SlotView) -> str:
    if slot.trial is None:
        return "free"
    return texts.line(slot.phase).plain or "starting"


def _rate(tokens_per_second: float) -> str:
    if tokens_per_second <= 0:
        return texts.NONE
    if tokens_per_second < 10_000:
        return f"{tokens_per_second:.0f}"
    if tokens_per_second < 10_000_000:
        return f"{tokens_per_second / 1e3:.0f}k"
    return f"{tokens_per_second / 1e6:.0f}M"
