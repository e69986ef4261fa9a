"""Where the time of the slots went, and what a trial costs beside its training."""

from scheduler.rules.throughput import Costs, Spread, paces
from scheduler.rules.timeline import Kind, occupancy
from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Column, Section, Table, Words
from scheduler.study.report.material import Material
from scheduler.study.timeline import Timeline, read_timeline

MOST = 5000  # trials, the newest ones: what follows is medians and shares
WHAT = {
    Kind.STARTUP: "start-up: processes, imports",
    Kind.WARM_UP: "warm-up: building and compiling the model",
    Kind.DISPATCH: "dispatch: Ray, until the worker began",
    Kind.RETURN: "return: Ray, until the outcome was recorded",
    Kind.RUNNING: "running: trials that had not ended",
    Kind.LOST: "lost: trials without an outcome",
    Kind.CANCELLED: "cancelled: trials cut short",
    Kind.ENDING: "ending: nothing more was to be started",
}


def slot_time(material: Material) -> Section | None:
    """All of it, and trials an hour; None before there was a slot."""
    config = material.config
    found = read_timeline(
        material.reader,
        now=material.at if material.runs else None,
        budget=config.budget.seconds,
        gpus=config.workers.gpus_per_trial,
        most=MOST,
    )
    if not found.seconds:
        return None
    blocks: list[Block] = [Words(_in_short(found)), _totals(found)]
    if found.costs:
        blocks += [_costs(found), Words(_about(found))]
    return Section("Where the time of the slots went", blocks)


def _in_short(found: Timeline) -> str:
    hour = _hour(found)
    span = "" if found.complete else f" The newest {len(found.trials):,} trials count."
    guessed = (
        " How many slots there were was not recorded at first: that is guessed from their trials."
    )
    busy = occupancy(found.totals)
    held = "" if busy is None else f" Trials held them {100 * busy:.1f} % of the time it ran."
    return (
        f"{wording.count(len(found.lines), 'slot')} existed for "
        f"{found.seconds / 3600:.2f} hours in all.{held} "
        f"An hour of a {hour} brought {found.per_slot_hour(found.decided):.2f} decided experiments "
        f"and {found.per_slot_hour(found.trained):.2f} trials that trained to their end.{span}"
        f"{guessed if found.guessed else ''}"
    )


def _hour(found: Timeline) -> str:
    return "GPU" if found.gpus else "slot"


def _totals(found: Timeline) -> Table:
    rows = [
        [WHAT.get(kind, kind.value), f"{100 * seconds / found.seconds:.1f} %", f"{seconds:,.1f}"]
        for kind, seconds in found.totals.items()
    ]
    columns = (Column("what"), Column("share", is_number=True), Column("seconds", is_number=True))
    return Table("Time of all slots, until its last second", columns, rows)


def _costs(found: Timeline) -> Table:
    names = ("trials", "start-up", "warm-up", "evaluation", "teardown", "outside", "an hour")
    columns = [Column("edit"), *(Column(name, is_number=True) for name in names)]
    hours = paces(found.costs, found.budget) if found.budget is not None else [None] * 4
    rows = []
    for each, pace in zip(found.costs, hours, strict=False):
        cells = [_spread(each.phases[n]) for n in ("startup", "warm_up", "eval", "teardown")]
        hour = wording.NONE
        if pace is not None:
            gpus = found.gpus or 1.0
            per = pace.per_hour
            hour = _spread(Spread(per.median / gpus, per.low / gpus, per.high / gpus), 2)
        rows.append([_name(each), str(each.trials), *cells, _spread(each.outside), hour])
    return Table("Seconds of a trial: median (quartiles)", columns, rows)


def _about(found: Timeline) -> str:
    words = (
        "Outside: seconds for which a slot was held beside the budget. 'constants only' has its "
        "parent's graph but where a constant is a shape; 'code' is likely to have a new one; 'same "
        "code' repeats an experiment."
    )
    if found.budget is None:
        return words
    return (
        f"{words} An hour: trials in an hour of a {_hour(found)}, calculated as 3600 / "
        f"({found.budget:g} + outside), as if slots were never idle and no trial failed."
    )


def _name(figures: Costs) -> str:
    return "all" if figures.edit is None else figures.edit.value


def _spread(figures: Spread, places: int = 1) -> str:
    median, low, high = (
        f"{each:.{places}f}" for each in (figures.median, figures.low, figures.high)
    )
    return f"{median} ({low}\N{EN DASH}{high})"
