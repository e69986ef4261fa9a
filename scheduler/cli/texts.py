"""How a study's facts read: numbers, states, titles. Shared by the live view and the verbs.

In: records. Out: strings and rich Texts. Whatever a model, a training script or a person wrote is
cleaned of escapes here and never read as markup. Prints nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from agent import ArmRecord
from scheduler import figures
from scheduler.cli.source import Asked
from scheduler.reasons import why
from scheduler.rules.order import OrderCheck
from scheduler.rules.states import ExperimentState, StudyState
from scheduler.study.records import Experiment, Study
from workers.log import clean, sentence

NONE = "-"
NARROW = 60  # columns below which a table leaves out what can be left out
STYLES = {
    ExperimentState.KEEP: "bold green",
    ExperimentState.DISCARD: "dim",
    ExperimentState.RUNNING: "cyan",
    ExperimentState.CONFIRMING: "cyan",
}


def line(text: str, style: str = "") -> Text:
    """Untrusted text as one safe line, cut with an ellipsis where there is no room."""
    return Text(sentence(text), style=style, no_wrap=True, overflow="ellipsis")


def block(text: str) -> Text:
    """Untrusted text as safe lines."""
    return Text(clean(text))


def state(experiment: Experiment) -> Text:
    """An experiment's state in its colour."""
    fallback = "red" if experiment.state.is_failure else ""
    return Text(experiment.state.value, style=STYLES.get(experiment.state, fallback))


def metric(value: float | None) -> str:
    """A metric; failures have none."""
    return NONE if value is None else figures.figure(value)


def difference(value: float | None, other: float | None) -> str:
    """How far a metric lies from another, with its sign."""
    return NONE if value is None or other is None else figures.change(value - other)


def percent(value: float | None, other: float | None) -> str:
    """The same in per cent of the other."""
    return NONE if value is None or not other else f"{100 * (value / other - 1):+.2f} %"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: `1:02:03`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def clock(at: float) -> str:
    """A Unix time as this machine's time of day."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def condition(study: Study) -> str:
    """The study's state with its reason, as one safe line."""
    words = why(study)
    return f"{study.state.value}: {sentence(words, 200)}" if words else study.state.value


def advice(study: Study, resume: str = "") -> str:
    """How a study that is paused goes on; "" where it is not, or goes on by itself.

    `resume` is the command that takes it up again, where no process runs it.
    """
    if study.state is not StudyState.PAUSED:
        return ""
    if resume:
        return resume
    # Without a reason it waits for room on its disk, and needs no one.
    return "autoresearch unpause, or stop" if study.reason else ""


def counts(study: Study) -> str:
    """How many experiments are in each state that occurs."""
    parts = [f"{study.counts[s]} {s.value}" for s in ExperimentState if study.counts.get(s)]
    return ", ".join(parts) or "none yet"


def best(study: Study, experiment: Experiment | None) -> Text:
    """The champion against the baseline, in one line; `experiment` is the champion's."""
    champion = study.champion
    if champion is None:
        return Text("none yet", style="dim")
    text = Text(f"#{champion.experiment}  {metric(champion.metric)}", style="bold green")
    if experiment is not None and experiment.trials > 1:
        text.append(f" ({experiment.trials} trials)", style="default")
    if champion.number > 1 and study.baseline is not None:
        change = percent(champion.metric, study.baseline)
        text.append(f"  {change} from the baseline's {metric(study.baseline)}", style="default")
    text.append(f"  {sentence(experiment.title) if experiment else ''}", style="default")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def order(found: OrderCheck) -> list[tuple[str, Text]]:
    """Whether the order of the champions holds, by what was measured of it; each with its name."""
    measures = (("audit split", found.audit), ("long budget", found.long))
    rows = [(name, Text(each.words)) for name, each in measures if each.leaders]
    return rows + doubts(found.warnings)


def doubts(warnings: Sequence[str]) -> list[tuple[str, Text]]:
    """Gains that may not hold, each with the name of its line."""
    return [("in doubt", Text(each, style="yellow")) for each in warnings]


@dataclass(frozen=True)
class Fitted:
    """A table that is laid out when the width of the terminal is known."""

    make: Callable[[int], RenderableType]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """The table for this width, in columns."""
        yield self.make(options.max_width)


def _table(*columns: str | Text) -> Table:
    """Without lines; its columns hold numbers and short words, on the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def arms(records: Sequence[ArmRecord]) -> Fitted:
    """What each model and the tuner have done."""

    def make(width: int) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
        # Folded, not cut: what tells two models apart often stands at the end.
        table.add_column("arm", overflow="fold", ratio=1)
        titles = ("proposals", "applied", "kept", "failed", "best gain", "dollars")
        shown = titles if width >= NARROW else ("applied", "kept", "dollars")
        for title in shown:
            table.add_column(title, justify="right", no_wrap=True)
        for each in records:
            cells = {
                "proposals": str(each.proposals),
                "applied": str(each.experiments),
                "kept": str(each.kept),
                "failed": str(each.failed),
                "best gain": figures.amount(each.best_gain) if each.best_gain else NONE,
                "dollars": "?" if each.dollars is None else f"{each.dollars:.2f}",
            }
            table.add_row(Text(line(each.name).plain), *(cells[title] for title in shown))
        return table

    return Fitted(make)


def experiments(
    rows: Sequence[Experiment], name: str, reference: float | None, on: str | None = None
) -> Fitted:
    """A table of experiments; differences are to `reference`, and left out where it is narrow.

    `on`: the class of hardware of the reference, where others were measured on another one. These
    have no difference, and their class stands beside them.
    """
    elsewhere = {e.hardware for e in rows if on is not None and e.hardware not in ("", on)}
    repeated = any(e.repeats is not None for e in rows)

    def make(width: int) -> Table:
        differs = width >= NARROW
        counted = ["trials"] if differs and repeated else []
        table = _table("id", line(name), *counted, *(["to champion"] if differs else []))
        table.add_column("state", no_wrap=True)
        table.add_column("title", no_wrap=True, overflow="ellipsis", ratio=1)
        classed = differs and bool(elsewhere)
        if classed:
            table.add_column("on", no_wrap=True, overflow="ellipsis", max_width=24)
        for experiment in rows:
            compares = experiment.hardware not in elsewhere
            away = difference(experiment.metric, reference if compares else None)
            table.add_row(
                f"#{experiment.id}",
                metric(experiment.metric),
                *([str(experiment.trials or NONE)] if counted else []),
                *([away] if differs else []),
                state(experiment),
                line(experiment.title),
                *([line(experiment.hardware)] if classed else []),
            )
        return table

    return Fitted(make)


def instructions(rows: Sequence[Asked], waiting: Sequence[tuple[str, str]]) -> Fitted:
    """What people asked for, with what came of each: beside it, or below where it is narrow.

    `waiting`: name and text of each that the study has not taken up.
    """
    lines = [
        (
            str(each.instruction.id),
            each.instruction.state.value,
            each.instruction.text,
            ", ".join(f"#{e.id} {e.state} {metric(e.metric)}" for e in each.results),
        )
        for each in rows
    ]
    lines += [(name, "waiting", text, "") for name, text in waiting]

    def make(width: int) -> Table:
        beside = width >= NARROW
        table = _table("id")
        table.add_column("state", no_wrap=True)
        table.add_column("instruction", ratio=2, overflow="fold")
        if beside:
            table.add_column("experiments", ratio=1, overflow="fold")
        for number, moved, text, came in lines:
            if beside:
                table.add_row(number, moved, block(text), came or NONE)
            else:
                below = Text(f"\n{came}" if came else "", style="dim")
                table.add_row(number, moved, Text.assemble(block(text), below))
        return table

    return Fitted(make)
