"""Where `run` speaks: a live view on a terminal, plain lines everywhere else.

In: texts and the study's states. Out: what is on the screen. Decides nothing.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.live import Live as RichLive
from rich.text import Text

from scheduler.cli.view import news, render
from scheduler.study.records import InstructionRecord, Live

INTERRUPTED = {
    1: "ending: running trials are awaited, nothing new starts. Ctrl-C again cuts them short.",
    2: "cutting the running trials short; they run again when the study is resumed.",
}


class _Terminal(Console):
    """A console whose reader may leave: a study must not end because `head` or an ssh did."""

    def on_broken_pipe(self) -> None:
        """Say nothing from now on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Stage:
    """The terminal of one `run`."""

    def __init__(self, *, plain: bool) -> None:
        self._console = _Terminal(highlight=False)
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
        self._console.show_cursor()
        print(f"error: {why}", file=sys.stderr, flush=True)  # noqa: T201
        sys.stdout.flush()
        os._exit(1)
