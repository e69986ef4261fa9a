"""The verb `timeline`: where the time of each slot went, as tables, a trace or a picture."""

import json as json_lines
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.cli.files import check_png, make_folder
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

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.study.timeline import Timeline


def timeline(
    argument: StudyArgument = None,
    study: StudyOption = None,
    hours: Annotated[
        float | None, typer.Option("--hours", min=0.01, help="Only the newest so many.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", min=0.1, help="Trials an hour at so many seconds of training."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a trace for chrome://tracing and Perfetto."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the slots into a PNG file.")
    ] = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Show where the time of each slot went.

    Training, start-up, warm-up, evaluation, teardown, Ray's part and idle: all of it, slot by slot.
    What a trial costs beside its training, and how many fit into an hour of a slot.
    """
    if plot is not None:
        check_png(plot)
    with choose(one_name(argument, study), url, token_file) as source:
        found, name = source.timeline(hours), source.name
    paths = [path for path in (output, plot) if path is not None]
    if output is not None:
        make_folder(output.parent, f"--output {output}")
        _write_trace(found, name, output)
    if plot is not None:
        make_folder(plot.parent, f"--plot {plot}")
        _draw(found, name, plot)
    if json:
        print_json({**_document(found, budget), "files": paths})
        return
    if not paths:
        _show(found, budget)
        return
    for path in paths:
        screen().print(str(path), soft_wrap=True)


def _document(found: "Timeline", budget: float | None) -> dict[str, object]:
    from scheduler.rules.throughput import paces
    from scheduler.rules.timeline import occupancy
    from scheduler.study.timeline import EXACT

    wanted = budget if budget is not None else found.budget
    return {
        **vars(found),
        "seconds": found.seconds,
        "accounted": sum(found.totals.values()),
        "exact_to": EXACT,
        "occupancy": occupancy(found.totals),
        "results": found.results,
        "experiments_per_slot_hour": found.per_slot_hour(found.decided),
        "trained_per_slot_hour": found.per_slot_hour(found.trained),
        "at_budget": [] if wanted is None else paces(found.costs, wanted),
    }


def _show(found: "Timeline", budget: float | None) -> None:
    from rich.text import Text

    from scheduler.cli import timeline_tables as tables

    parts: Iterable[tuple[str, object]] = tables.parts(found, budget)
    console = screen()
    for number, (heading, part) in enumerate(parts):
        if heading:
            console.print(Text(f"{chr(10) if number else ''}{heading}", style="bold"))
        console.print(part)


def _write_trace(found: "Timeline", name: str, path: Path) -> None:
    from scheduler.errors import UsageError
    from scheduler.study.atomic import replacing
    from scheduler.study.trace_events import trace

    try:
        with replacing(path) as draft:
            draft.write_text(json_lines.dumps(trace(found, name), allow_nan=False), "utf-8")
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror})") from error


def _draw(found: "Timeline", name: str, path: Path) -> None:
    from scheduler.errors import UsageError
    from scheduler.study.timeline_plot import write_timeline_plot

    try:
        write_timeline_plot(found, name, path)
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror})") from error
