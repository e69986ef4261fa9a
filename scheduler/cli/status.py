"""The verbs `status` and `top`: a study as a whole, once or as it goes."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.reading import (
    JsonOption,
    StudyArgument,
    StudyOption,
    TokenFileOption,
    UrlOption,
    choose,
    one_name,
    print_json,
    screen,
)
from scheduler.figures import count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from scheduler.cli.source import Source
    from scheduler.study.records import Experiment, Live

LEADERS, LATEST = 5, 5
FRAME_SECONDS = 1.0  # a running study writes live.json as often


def status(
    argument: StudyArgument = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Show where a study stands.

    Champion against baseline, counts, use of the slots, cost, leaderboard and latest decisions.
    """
    from rich.text import Text

    from scheduler.cli import texts
    from scheduler.reasons import above

    with choose(one_name(argument, study), url, token_file) as source:
        live, is_running = source.live()
        leaders = list(source.leaders(LEADERS))
        order = source.order()
    if json:
        document = _document(source, live, leaders, is_running=is_running)
        print_json({**document, "order": order})
        return
    console = screen()
    facts = _facts(source, live, is_running=is_running)
    for name, words in texts.order(order):
        facts.add_row(name, words)
    console.print(facts)
    if len(live.study.arms) > 1:
        console.print(Text("\nwho proposes", style="bold"))
        console.print(texts.arms(live.study.arms))
    champion = live.study.champion
    reference = champion.metric if champion else None
    on = live.champion.hardware if live.champion else None
    passed = above(leaders, champion.experiment if champion else None)
    for heading, rows in (("leaderboard", leaders), ("latest", live.recent[:LATEST])):
        if rows:
            console.print(Text(f"\n{heading}", style="bold"))
            console.print(texts.experiments(list(rows), source.metric, reference, on))
        if rows is leaders and passed:
            console.print(Text(f"{passed} (autoresearch show ID says why)", style="dim"))


def top(
    argument: StudyArgument = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    json: JsonOption = False,
) -> None:
    """Watch a study as it goes.

    A study that does not run is shown in its last state.
    """
    from rich.live import Live as RichLive

    from scheduler.cli.view import render

    with choose(one_name(argument, study), url, token_file) as source:
        live, is_running = source.live()
        if json:
            print_json(live)
            return
        console = screen()

        def frame() -> "RenderableType":
            asked = source.instructions(open_only=True) if live.study.open_instructions else ()
            requests = [each.instruction for each in asked]
            return render(live, source.where, requests, "" if is_running else source.resume)

        if once or not is_running or not console.is_terminal:
            console.print(frame())
            return
        with RichLive(frame(), console=console, auto_refresh=False) as view:
            while is_running:
                time.sleep(FRAME_SECONDS)
                live, is_running = source.live()
                view.update(frame(), refresh=True)


def _share(part: float, whole: float) -> float | None:
    """Per cent, or None where there is nothing to divide by."""
    return 100 * part / whole if whole > 0 else None


def _facts(source: "Source", live: "Live", *, is_running: bool) -> "Table":
    from rich.table import Table

    from scheduler.cli import texts
    from scheduler.rules.timeline import in_words

    study = live.study
    training = _share(study.train_seconds, study.trial_seconds)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("study", texts.line(source.where))
    grid.add_row("state", texts.block(_condition(live, is_running=is_running)))
    if advice := texts.advice(study, "" if is_running else source.resume):
        grid.add_row("to go on", texts.line(advice))
    grid.add_row("champion", texts.best(study, live.champion))
    grid.add_row("experiments", f"{study.experiments}: {texts.counts(study)}")
    grid.add_row("slots", f"{study.slots}, budget {live.budget}")
    if len(study.kinds) > 1:
        kinds = ", ".join(f"{count} x {kind or 'other'}" for kind, count in study.kinds.items())
        where = f"{kinds}; kept is what wins on {study.reference or 'any'}"
        grid.add_row("kinds", texts.line(where))
    if len(study.hardware) > 1 and live.champion is not None:
        others = "; ".join(each for each in study.hardware if each != live.champion.hardware)
        words = f"ranked on {live.champion.hardware}; tried on {others}"
        grid.add_row("hardware", texts.block(words))
    grid.add_row("open for", texts.duration(study.elapsed(live.at)))
    if training is not None:
        grid.add_row("training", f"{training:.1f} % of the time for which trials held a slot")
    if time_of_slots := in_words(study.slot_time.at(live.at if is_running else None)):
        grid.add_row("slot time", time_of_slots)
    if study.lost_between_trials is not None:
        lost = f"{study.lost_between_trials:.2f} s between two trials on one slot (median)"
        grid.add_row("lost", lost)
    if study.calls:
        cost = "price not known" if study.dollars is None else f"{study.dollars:.2f} $"
        grid.add_row("models", f"{count(study.calls, 'call')}, {study.tokens:,} tokens, {cost}")
    for name, why in study.troubles.items():
        grid.add_row("trouble", texts.line(f"{name}: {why}"))
    if study.open_instructions:
        grid.add_row("instructions", f"{study.open_instructions} open (autoresearch instructions)")
    return grid


def _condition(live: "Live", *, is_running: bool) -> str:
    from scheduler.cli import texts

    words = texts.condition(live.study)
    if not is_running and not live.study.state.is_over:
        return f"{words} when it was last heard of; no process runs it now"
    return words


def _document(
    source: "Source", live: "Live", leaders: list["Experiment"], *, is_running: bool
) -> dict[str, object]:
    study = live.study
    return {
        "name": source.name,
        "path": source.address,
        "running": is_running,
        "metric": {"name": source.metric, "goal": "minimize" if source.minimize else "maximize"},
        "budget": live.budget,
        "study": study,
        "experiments": study.experiments,
        "training_percent": _share(study.train_seconds, study.trial_seconds),
        "slot_time": study.slot_time.at(live.at if is_running else None),
        "champion": live.champion,
        "leaderboard": leaders,
        "recent": live.recent,
    }
