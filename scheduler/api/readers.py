"""Connections to the study's database that are kept for a moment, one a thread.

In: questions to a Reader. Out: their answers, found in a few threads of our own. Opening a database
costs more than most questions do (0.9 ms against 0.1 ms here), so each thread keeps its connection;
for a second, so that a study that was migrated, moved or made anew meanwhile is seen as it is.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from scheduler.study.reader import Reader

T = TypeVar("T")

THREADS = 4  # questions are short, and Python computes in one thread at a time anyway
KEPT_SECONDS = 1.0


class Readers:
    """Answers questions about one study."""

    def __init__(self, database: Path) -> None:
        """Nothing is opened before the first question."""
        self._database = database
        self._threads = ThreadPoolExecutor(THREADS, "reader")
        self._single = ThreadPoolExecutor(1, "summary")
        self._kept = threading.local()

    async def ask(self, question: Callable[[Reader], T]) -> T:
        """Ask in a thread. Raises UsageError, NothingYet where there is nothing to read."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._answer, question
        )

    async def ask_again(self, name: str, question: Callable[[Reader], T]) -> T:
        """The same for what many ask for: asked once for each change of the database.

        `name` stands for the question. All of these are asked in one thread, as what it has found
        holds for its own connection.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._single, self._answer, partial(self._remembered, name, question)
        )

    def close(self) -> None:
        """Take no more questions."""
        for each in (self._threads, self._single):
            each.shutdown(wait=False, cancel_futures=True)

    def _remembered(self, name: str, question: Callable[[Reader], T], reader: Reader) -> T:
        # Tells exactly whether another connection has written since, which times of files don't.
        (version,) = reader.db.execute("PRAGMA data_version").fetchone()
        answers = self._kept.answers
        if name not in answers or answers[name][0] != version:
            answers[name] = (version, question(reader))
        found: T = answers[name][1]
        return found

    def _answer(self, question: Callable[[Reader], T]) -> T:
        reader, until = getattr(self._kept, "reader", None), getattr(self._kept, "until", 0.0)
        if reader is not None and time.monotonic() >= until:
            self._drop(reader)
            reader = None
        if reader is None:
            reader = Reader(self._database)
            self._kept.reader, self._kept.until = reader, time.monotonic() + KEPT_SECONDS
            self._kept.answers = {}
        try:
            return question(reader)
        except BaseException:
            self._drop(reader)  # whatever was wrong, the next question begins anew
            raise

    def _drop(self, reader: Reader) -> None:
        self._kept.reader = None
        reader.close()
