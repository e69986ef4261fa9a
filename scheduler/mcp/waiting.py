"""The tool that waits for an experiment's outcome, for a bounded time.

A trial takes minutes and most clients give up on a call after one: so it answers "still running"
with the progress in time, and is to be called again. It looks once a second, each time anew, and
ends at once where the client cancels.
"""

from functools import partial
from typing import Annotated, Any

import anyio
import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import Field

from scheduler.cli.reading import find_experiment
from scheduler.cli.source import Source
from scheduler.mcp import answers as out
from scheduler.mcp.access import Access
from scheduler.mcp.questions import to_champion
from scheduler.mcp.quoting import quoted_log
from scheduler.mcp.reading import LOG_LINES, READS, Id
from scheduler.rules.states import ExperimentState, StudyState
from scheduler.study.records import Experiment, Live

LOOK_SECONDS = 1.0
DEFAULT_SECONDS = 45.0  # many clients give a call 60 s
MOST_SECONDS = 600.0


def add_waiting(server: MCPServer[Any], study: Access) -> None:
    """The tool, which changes nothing."""

    @server.tool(annotations=READS)
    async def wait_for_experiment(
        experiment: Id,
        context: Context[Any, Any],
        seconds: Annotated[
            float, Field(ge=0, le=MOST_SECONDS, description="at most; less than your own limit")
        ] = DEFAULT_SECONDS,
    ) -> out.Awaited:
        """Wait until an experiment is decided: kept, discarded or failed.

        Answers sooner where nothing can come of waiting. While `decided` is false, call it again.
        """
        began = anyio.current_time()
        while True:
            look = partial(study.ask, partial(_look, experiment))
            answer, goes_on = await anyio.to_thread.run_sync(look)
            spent = anyio.current_time() - began
            if answer.decided or not goes_on or spent >= seconds:
                return answer
            await context.report_progress(spent, seconds, answer.words)
            await anyio.sleep(min(LOOK_SECONDS, seconds - spent))


def _look(number: int, source: Source) -> tuple[out.Awaited, bool]:
    """Where it stands, and whether that may change."""
    one = find_experiment(source, number)
    live, running = source.live()
    log = ""
    if one.state.is_failure and (printed := source.log(number)[0]):
        log = quoted_log(printed, number, LOG_LINES)
    slots = tuple(slot for each in live.slots if (slot := out.Slot.of(each)))
    slots = tuple(slot for slot in slots if slot.experiment == number)
    answer = out.Awaited(
        decided=one.state.is_final,
        words=_words(one, live, slots, source.resume, running=running),
        experiment=out.Brief.of(one),
        self_reported=source.self_reported,
        to_champion=to_champion(source, one),
        slots=slots,
        log=log,
    )
    return answer, running


def _words(
    one: Experiment, live: Live, slots: tuple[out.Slot, ...], resume: str, *, running: bool
) -> str:
    """In a sentence."""
    if one.state.is_final:
        return f"decided: {one.state}{f', {one.reason}' if one.reason else ''}"
    if not running:
        return (
            f"{one.state}, but the study does not run: nothing comes of it until a person runs "
            f"{resume}"
        )
    if slots:
        done = ", ".join(f"{each.phase} {100 * (each.fraction or 0.0):.0f} %" for each in slots)
        words = f"still running: {done} of the budget"
    elif one.state is ExperimentState.QUEUED:
        ahead = next((n for n, each in enumerate(live.queue) if each.id == one.id), None)
        place = "" if ahead is None else f", {ahead} before it"
        words = f"still queued{place}"
    else:
        words = "still running: a trial of it waits for a slot"
    if one.state is ExperimentState.CONFIRMING:
        words += "; it beat the champion, and further seeds are run to confirm it"
    if live.study.state is StudyState.PAUSED:
        words += "; the study is paused, nothing new starts: unpause_study"
    return words
