"""A timeline as tables of a terminal: what the time went into, slot by slot, and trial by trial.

In: a Timeline. Out: headings, and what stands below each. Where it is narrow, columns that can be
left out are. Prints nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from scheduler.cli import texts
from scheduler.rules.throughput import Costs, Pace, Spread, Startups, paces
from scheduler.rules.timeline import RAY, WITHOUT_TRIAL, Kind, Line, occupancy
from scheduler.study.timeline import Timeline

MOST_SLOTS = 24  # rows: those with the least training are shown
SHIFTED = 0.1  # seconds by which a clock is wrong, for it to be told
BY_SLOT: Mapping[str, tuple[Kind, ...]] = {
    "training": (Kind.TRAIN,),
    "start-up": (Kind.STARTUP,),
    "warm-up": (Kind.WARM_UP,),
    "eval": (Kind.EVAL,),
    "down": (Kind.TEARDOWN,),
    "Ray": RAY,
    "idle": WITHOUT_TRIAL,
    "other": (Kind.RUNNING, Kind.LOST, Kind.CANCELLED),
}
PHASES = {"start-up": "startup", "warm-up": "warm_up", "train": "train", "eval": "eval"} | {
    "down": "teardown"
}
WORDS = {
    Kind.DISPATCH: "dispatch (Ray, before the worker began)",
    Kind.RETURN: "return (Ray, until the outcome was here)",
    Kind.STARTUP: "start-up (processes, imports)",
    Kind.WARM_UP: "warm-up (compilation)",
    Kind.RUNNING: "running (phases are told once it ends)",
    Kind.LOST: "lost (trials without an outcome)",
    Kind.CANCELLED: "cancelled (trials cut short)",
    Kind.ENDING: "ending (nothing more was to start)",
}


def parts(found: Timeline, budget: float | None) -> Iterator[tuple[str, RenderableType]]:
    """All of it."""
    yield "", _facts(found)
    if not found.lines:
        return
    yield "where the time went", _totals(found)
    shown = _worst(found.lines)
    rest = (
        f", the {len(shown)} of {len(found.lines)} with the least" if shown != found.lines else ""
    )
    yield (
        f"by slot: per cent of its time{rest}",
        texts.Fitted(lambda width: _slots(found, shown, width)),
    )
    if found.costs:
        yield "a trial: seconds, median (quartiles)", texts.Fitted(lambda w: _costs(found, w))
        wanted = budget if budget is not None else found.budget
        if wanted is not None:
            words = f"trials per {_hour(found)} at {wanted:g} s of training, by these figures"
            yield words, _paces(found, paces(found.costs, wanted))
            yield "", Text(CALCULATED, style="dim")


CALCULATED = (
    "Calculated: 3600 / (budget + outside). Outside: seconds for which a slot was held beside the "
    "budget; as if they stayed the same, slots were never idle and no trial failed. "
    "'constants only' has its parent's graph but where a constant is a shape; 'code' is likely to "
    "have a new one; 'same code' repeats an experiment."
)


def _facts(found: Timeline) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    began, ended = (datetime.fromtimestamp(at).astimezone() for at in (found.since, found.until))
    until = f"{ended:%H:%M:%S}" if began.date() == ended.date() else f"{ended:%Y-%m-%d %H:%M:%S}"
    long = texts.duration(found.until - found.since)
    grid.add_row("time", f"{began:%Y-%m-%d %H:%M:%S} to {until}, {long}")
    hours = found.seconds / 3600
    grid.add_row("slots", f"{len(found.lines)}, {hours:.2f} slot-hours in all")
    results = ", ".join(f"{count} {name}" for name, count in sorted(found.results.items()))
    grid.add_row("trials", results or texts.NONE)
    if hours:
        each = f"{found.per_slot_hour(found.decided):.2f} experiments decided"
        grid.add_row(
            "per " + _hour(found),
            f"{each}, {found.per_slot_hour(found.trained):.2f} trials trained",
        )
    if (busy := occupancy(found.totals)) is not None:
        words = "of the time in which the study ran, trials held the slots"
        grid.add_row("occupancy", f"{100 * busy:.1f} % {words}")
    if not found.complete:
        grid.add_row("left out", "what ended before: there is too much; see --hours")
    if found.guessed:
        grid.add_row("guessed", "how many slots earlier sessions had: of their trials")
    furthest = max(map(abs, found.shifts.values()), default=0.0)
    if furthest >= SHIFTED:
        where = max(found.shifts, key=lambda node: abs(found.shifts[node]))
        words = f"of {where} was put right by up to {furthest:.1f} s; no sum changes by it"
        grid.add_row("clock", texts.line(words))
    return grid


def _hour(found: Timeline) -> str:
    return "GPU-hour" if found.gpus else "slot-hour"


def _totals(found: Timeline) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    for _ in range(2):
        table.add_column(justify="right", no_wrap=True)
    for kind, seconds in found.totals.items():
        share = f"{100 * seconds / found.seconds:.1f} %"
        table.add_row(WORDS.get(kind, kind.value), share, f"{seconds:,.1f} s")
    accounted = sum(found.totals.values())
    share = f"{100 * accounted / found.seconds:.1f} %"
    table.add_row(Text("accounted for", style="dim"), share, f"{accounted:,.1f} s")
    return table


def _worst(lines: Sequence[Line]) -> Sequence[Line]:
    if len(lines) <= MOST_SLOTS:
        return lines
    by_training = sorted(lines, key=lambda e: e.totals().get(Kind.TRAIN, 0.0) / e.seconds)
    return tuple(by_training[:MOST_SLOTS])


def _slots(found: Timeline, lines: Sequence[Line], width: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    wide = width >= texts.NARROW
    kinds = dict(BY_SLOT) if wide else {name: BY_SLOT[name] for name in ("training", "idle")}
    for title in ("slot", "seconds", *kinds, "trials"):
        table.add_column(title, justify="right", no_wrap=True)
    trials: dict[int, int] = {}
    for each in found.trials:
        trials[each.slot] = trials.get(each.slot, 0) + 1
    for line in lines:
        seconds = line.totals()
        shares = (
            100 * sum(seconds.get(kind, 0.0) for kind in of) / line.seconds for of in kinds.values()
        )
        cells = [f"{share:.1f}" for share in shares]
        table.add_row(str(line.slot), f"{line.seconds:,.1f}", *cells, str(trials.get(line.slot, 0)))
    return table


def _name(figures: Costs | Pace) -> str:
    return "all" if figures.edit is None else figures.edit.value


def _costs(found: Timeline, width: int) -> Table:
    """One column for each kind of edit, so that medians and quartiles have room."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    shown = found.costs if width >= texts.NARROW else found.costs[:1]
    for each in shown:
        table.add_column(_name(each), justify="right", no_wrap=True)
    table.add_row("trials", *(str(each.trials) for each in shown))
    for title, name in PHASES.items():
        table.add_row(title, *(_spread(each.phases[name]) for each in shown))
        if name == "startup" and found.costs[0].warm is not None:
            table.add_row("  cold", *(_startups(each.cold) for each in shown))
            table.add_row("  warm", *(_startups(each.warm) for each in shown))
    table.add_row("held", *(_spread(each.slot) for each in shown))
    table.add_row("outside", *(_spread(each.outside) for each in shown))
    return table


def _startups(figures: Startups | None) -> str:
    """Nothing where all of its trials began alike: the row above has it."""
    return "" if figures is None else f"{figures.trials}: {_spread(figures.seconds)}"


def _paces(found: Timeline, figures: Sequence[Pace]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("edit")
    for title in ("trials", "an hour"):
        table.add_column(title, justify="right", no_wrap=True)
    gpus = found.gpus or 1.0
    for each in figures:
        per = each.per_hour
        hour = Spread(per.median / gpus, per.low / gpus, per.high / gpus)
        table.add_row(_name(each), str(each.trials), _spread(hour, 2))
    return table


def _spread(figures: Spread, places: int | None = None) -> str:
    """Such as `14.7 (11.3-17.4)`; hundreds need no tenths."""
    if places is None:
        places = 0 if figures.median >= 100 else 1
    median, low, high = (
        f"{each:.{places}f}" for each in (figures.median, figures.low, figures.high)
    )
    return f"{median} ({low}-{high})"
