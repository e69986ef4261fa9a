"""Where `run` speaks: a live view on a terminal, plain lines everywhere else.

In: texts and the study's states. Out: what is on the screen. Decides nothing.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from rich.console import Console
from rich.live import Live as RichLive
from rich.text import Text

from scheduler.cli.view import news, render
from scheduler.study.records import InstructionRecord, Live

INTERRUPTED = {
    1: "ending: running trials are awaited, nothing new starts. Ctrl-C again cuts them short.",
    2: "cutting the running trials short; they run again when the study is resumed.",
}


class _Output:
    """Standard output, where a terminal that is gone counts as a pipe that nobody reads."""

    def __init__(self) -> None:
        self._stream = sys.stdout

    def write(self, text: str) -> int:
        """Write. Raises BrokenPipeError where nobody can read it."""
        with _broken():
            return self._stream.write(text)

    def flush(self) -> None:
        """Write what was kept back. Raises BrokenPipeError where nobody can read it."""
        with _broken():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's own."""
        return getattr(self._stream, name)


@contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # EIO, of a terminal that was closed or whose connection dropped
        raise BrokenPipeError(str(error)) from error


class _Terminal(Console):
    """A console whose reader may leave: a study must not end because `head` or an ssh did."""

    def __init__(self) -> None:
        output: Any = _Output()
        super().__init__(file=output, highlight=False)
        self._streams = [each for each in (sys.stdout, sys.stderr) if each.isatty()] or [sys.stdout]

    def on_broken_pipe(self) -> None:
        """Say nothing from now on; nor on the other stream, where that had the same terminal."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._streams:
            os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Stage:
    """The terminal of one `run`."""

    def __init__(self, *, plain: bool) -> None:
        self._console = _Terminal()
        self._plain = plain or not self._console.is_terminal

    def say(self, text: str) -> None:
        """Print lines that stay."""
        self._console.print(Text(text), soft_wrap=True)

    @contextmanager
    def wait(self, text: str) -> Iterator[None]:
        """Show that something takes a moment."""
        if self._plain:
            yield
            return
        with self._console.status(Text(text)):
            yield

    @contextmanager
    def live(
        self, asked: Callable[[], Sequence[InstructionRecord]] = tuple
    ) -> Iterator[Callable[[Live], None]]:
        """Show the study as it goes: the yielded function takes its newest state.

        `asked` reads the open instructions; it is called only where there are any.
        """
        last: Live | None = None

        def print_news(live: Live) -> None:
            nonlocal last
            for line in news(last, live):
                self.say(line)
            last = live

        if self._plain:
            yield print_news
            return
        with RichLive(console=self._console, refresh_per_second=4) as view:
            yield lambda live: view.update(
                render(live, asked=asked() if live.study.open_instructions else ())
            )

    def interrupted(self, count: int) -> None:
        """Tell what a signal does."""
        self.say(INTERRUPTED[min(count, 2)])

    def abandon(self, why: str) -> NoReturn:
        """Say why the study can't go on here, and end the process; from any thread."""
        with suppress(OSError):  # nobody may be there to read it
            self._console.show_cursor()
            print(f"error: {why}", file=sys.stderr, flush=True)  # noqa: T201
            sys.stdout.flush()
        os._exit(1)
