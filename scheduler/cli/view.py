"""The live view of a study: one frame for a terminal, or lines of news where there is none.

In: a Live, the study at one moment. Out: a rich renderable that fits the terminal's width and
height, or plain lines. Reads nothing, prints nothing; `run` and `top` show the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scheduler.cli import texts
from scheduler.figures import count, glance
from scheduler.rules.states import StudyState
from scheduler.study.records import InstructionRecord, Live, SlotView

QUEUE, RECENT, ASKED, TROUBLES = 3, 8, 3, 2  # lines at most
LEAST_SLOTS = 2
TALL = 22  # lines from which on there is room for who proposes and what it costs
WIDE = 100  # columns from which on there is room for long bars


def render(
    live: Live, name: str = "", asked: Sequence[InstructionRecord] = (), resume: str = ""
) -> RenderableType:
    """One frame. `name` is the study's, where it should be shown; `asked` the open instructions.

    `resume` is the command that takes the study up again, where no process runs it.
    """
    return _Frame(live, name, asked, resume)


def news(previous: Live | None, live: Live) -> list[str]:
    """What has happened since the previous frame: a line for each decision, champion and state.

    And one where a researcher begins to give nothing: a model that can't be asked.

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
        was = "was" if unseen == 1 else "were"
        lines.append(f"{texts.clock(live.at)}  {count(unseen, 'more experiment')} {was} decided")
    before = _figure_then(previous, live)
    on = previous.champion.hardware if previous.champion else None
    for experiment in reversed(fresh):
        other = before if experiment.hardware == on else None
        parts = (
            texts.clock(experiment.decided_at or live.at),
            f"#{experiment.id:<4}",
            f"{experiment.state.value:<9}",
            f"{texts.metric(experiment.metric):>9}",
            f"{texts.difference(experiment.metric, other):>9}",
            texts.line(experiment.title).plain,
        )
        why = f" ({texts.line(experiment.reason).plain})" if experiment.state.is_failure else ""
        lines.append("  ".join(parts) + why)
    champion = live.study.champion
    if champion is not None and champion.is_new(previous.study.champion):
        words = texts.best(live.study, live.champion)
        lines.append(f"{texts.clock(live.at)}  champion {words.plain}")
    for name, why in live.study.troubles.items():
        if name not in previous.study.troubles:
            lines.append(f"{texts.clock(live.at)}  trouble  {texts.line(f'{name}: {why}').plain}")
    if _condition(previous) != _condition(live):
        lines.append(condition)
    return lines


def _figure_then(previous: Live, live: Live) -> float | None:
    """The figure of the champion that the newest decisions faced: it moves with its repeats.

    By the newer frame where that has it: what decides an experiment may be such a repeat.
    """
    faced = previous.study.champion
    if faced is None:
        return None
    now = live.study.champion
    if now is not None and now.experiment == faced.experiment:
        return now.metric
    overtaken = next((e.metric for e in live.recent if e.id == faced.experiment), None)
    return faced.metric if overtaken is None else overtaken  # which may be 0


def _condition(live: Live) -> tuple[object, ...]:
    return live.study.state, live.study.reason, live.study.text


def _decided(live: Live) -> int:
    return sum(count for state, count in live.study.counts.items() if state.is_final)


@dataclass(frozen=True)
class _Frame:
    """A Live that is laid out when the size of the terminal is known."""

    live: Live
    name: str
    asked: Sequence[InstructionRecord]
    resume: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Head and champion, slots, queue, the latest decisions: as much as there is room for."""
        live, width = self.live, options.max_width
        height = console.height if console.is_terminal else 10_000
        head = self._head(height)
        # Between parts there is a blank line; two have a heading; the last line is the cursor's.
        room = height - len(head) - 6
        asked = min(ASKED, len(self.asked), max(1, room // 8))
        recent = min(RECENT, len(live.recent), max(1, room // 3))
        queue = min(QUEUE, len(live.queue), max(1, room // 6))
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(style="dim", no_wrap=True, min_width=len("experiments"))
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for title, words in head:
            grid.add_row(title, words)
        yield grid
        if live.slots:
            yield Text()
            yield from _slots(live.slots, max(LEAST_SLOTS, room - asked - recent - queue), width)
        if queue or asked:
            yield Text()
        if queue:
            waits = [f"#{each.id} {texts.line(each.title).plain}" for each in live.queue]
            yield from _listed("queue", waits, queue)
        if asked:
            yield from _listed("asked", [_request(each) for each in self.asked], asked)
        if recent:
            yield Text()
            reference = live.study.champion.metric if live.study.champion else None
            on = live.champion.hardware if live.champion else None
            yield texts.experiments(live.recent[:recent], live.metric, reference, on)

    def _head(self, height: int) -> list[tuple[str, Text]]:
        """A line each: what is wrong first, what a low terminal can do without last."""
        live, study = self.live, self.live.study
        rows = []
        if self.name:
            rows.append(("study", texts.line(self.name)))
        time = texts.duration(study.elapsed(live.at))
        budget = f", budget {texts.line(live.budget).plain}" if live.budget else ""
        state = texts.line(f"{texts.condition(study)}, {time}{budget}")
        rows.append(("state", state))
        if study.state is StudyState.PAUSED:
            state.stylize("bold yellow")
        if advice := texts.advice(study, self.resume):
            rows.append(("to go on", texts.line(advice)))
        troubles = [f"{name}: {why}" for name, why in study.troubles.items()]
        for number, trouble in enumerate(troubles[:TROUBLES]):
            rows.append(("trouble" if number == 0 else "", texts.line(trouble, "yellow")))
        rows.append(("experiments", texts.line(texts.counts(study))))
        rows.append(("champion", texts.best(study, live.champion)))
        if height >= TALL:
            rows += self._effort()
        return rows

    def _effort(self) -> Iterator[tuple[str, Text]]:
        """Who proposes, with what success and at what cost."""
        study = self.live.study
        arms = sorted(study.arms, key=lambda arm: (-arm.kept, -arm.experiments))
        words = [
            f"{texts.line(arm.name).plain} {arm.kept} kept of {arm.experiments}" for arm in arms
        ]
        if words:
            yield "proposed by", texts.line(", ".join(words))
        if study.calls:
            cost = "price not known" if study.dollars is None else f"{study.dollars:.2f} $"
            yield (
                "cost",
                texts.line(f"{cost}, {count(study.calls, 'call')}, {study.tokens:,} tokens"),
            )


def _request(instruction: InstructionRecord) -> str:
    """An open instruction in one line, with the newest experiment that names it."""
    served = f" by #{instruction.experiments[-1]}" if instruction.experiments else ""
    return (
        f"{instruction.id} {instruction.state.value}{served}: {texts.line(instruction.text).plain}"
    )


def _listed(title: str, lines: Sequence[str], count: int) -> Iterator[Text]:
    """The first of these lines, with a word and the number of all of them at the side."""
    side = f"{title} {len(lines)}  "
    for number, words in enumerate(lines[:count]):
        text = Text(side if number == 0 else " " * len(side), style="dim")
        text.append(words, style="default")
        text.no_wrap, text.overflow = True, "ellipsis"
        yield text


def _slots(slots: tuple[SlotView, ...], room: int, width: int) -> RenderResult:
    """A line a slot; where there are more than room, the busy ones first, the rest summed up."""
    shown = slots
    if len(slots) > room:
        shown = tuple(sorted(slots, key=lambda s: s.trial is None))[: room - 1]
    is_narrow = width < texts.NARROW
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    for title in ("slot", "id"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("title", no_wrap=True, overflow="ellipsis", ratio=1)
    if not is_narrow:
        table.add_column("phase", no_wrap=True)
    table.add_column("", width=24 if width >= WIDE else 6 if is_narrow else 10)
    for title in ("loss",) if is_narrow else ("step", "loss", "tok/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for slot in shown:
        cells = _slot(slot)
        table.add_row(*((cells[place] for place in (0, 1, 2, 4, 6)) if is_narrow else cells))
    yield table
    rest = Counter(_phase(slot) for slot in slots if slot not in shown)
    if rest:
        summary = ", ".join(f"{count} {phase}" for phase, count in rest.most_common())
        text = Text(f"and {count(rest.total(), 'more slot')}: {summary}", style="dim", no_wrap=True)
        text.overflow = "ellipsis"
        yield text


def _slot(slot: SlotView) -> tuple[RenderableType, ...]:
    if slot.trial is None:
        return str(slot.slot), texts.NONE, Text("free", style="dim"), "", "", "", "", ""
    return (
        str(slot.slot),
        f"#{slot.experiment}",
        texts.line(slot.title),
        Text(_phase(slot)),
        ProgressBar(total=1.0, completed=min(1.0, max(0.0, slot.fraction))),
        str(slot.step) if slot.step else texts.NONE,
        texts.NONE if slot.loss is None else glance(slot.loss),
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
