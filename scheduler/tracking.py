"""Trackers while a study runs: a process for each, beside the driver.

In: the study's folder and which trackers. Out: processes that read the database and send (see
`study/trackers/beside.py`), what they have to say, and their end with the session. Covered: a
tracker that is down, slow or hangs, and a process that dies, hold up nothing; the driver's death
ends them. What was not sent in the end is said, with the command that sends it.
"""

import asyncio
import os
import shlex
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from scheduler.study.trackers.beside import LAST_SECONDS

KILL_SECONDS = LAST_SECONDS + 5  # they end by themselves before that


class Tracking:
    """The trackers of one session. An async context manager: they end with the block."""

    def __init__(
        self,
        folder: Path,
        trackers: Sequence[str],
        *,
        say: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
        last_seconds: float = KILL_SECONDS,
    ) -> None:
        """`say` tells the person at the terminal what goes wrong."""
        self._folder, self._trackers, self._say = folder.absolute(), trackers, say
        self._environment = dict(os.environ if environment is None else environment)
        self._last_seconds = last_seconds
        self._running: dict[str, tuple[Process, asyncio.Task[None]]] = {}

    async def __aenter__(self) -> Self:
        """Start them."""
        for name in self._trackers:
            command = [sys.executable, "-P", "-m", "scheduler.study.trackers.beside", name]
            process = await asyncio.create_subprocess_exec(
                *command,
                str(self._folder),
                stdin=PIPE,
                stdout=PIPE,
                start_new_session=True,  # Ctrl-C is for the driver
                env={**self._environment, "PYTHONPATH": _python_path(self._environment)},
            )
            self._running[name] = process, asyncio.create_task(self._listen(process))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let them send what is left, all at a time, and end those that hang."""
        await asyncio.gather(*(self._end(name) for name in self._running))

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._say(line.decode("utf-8", "replace").rstrip())

    async def _end(self, name: str) -> None:
        process, listening = self._running[name]
        assert process.stdin is not None
        process.stdin.close()
        try:
            code = await asyncio.wait_for(process.wait(), self._last_seconds)
        except TimeoutError:
            _kill(process.pid)
            code = await process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(listening, 1.0)  # what it started may hold the pipe
        if code:
            send = f"autoresearch export -s {shlex.quote(str(self._folder))} --format {name}"
            self._say(f"{name}: not all was sent; see tracked/{name}.log. To send it: {send}")


def _python_path(environment: Mapping[str, str]) -> str:
    """With this very package in front: `-P` leaves out the folder in which it was started."""
    package = str(Path(__file__).parents[1])
    return os.pathsep.join(filter(None, (package, environment.get("PYTHONPATH"))))


def _kill(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        whole = psutil.Process(pid)
        for process in (*whole.children(recursive=True), whole):
            with suppress(psutil.NoSuchProcess):
                process.kill()
