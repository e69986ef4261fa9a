"""What every part of the HTTP process is given: the study, who follows it, and how to ask of it.

In: a study's folder. Out: one Context, from which routes and the dashboard read (`read`, in a
thread, with a connection of its own), follow (`follower`) and write (`ask`, which leaves a letter
and waits for its reply without holding a thread). Who may write is looked up in what the gate
(`gate.py`) has left in each request's scope.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from scheduler.api.access import Access, access_of
from scheduler.api.follower import Follower
from scheduler.api.readers import Readers
from scheduler.errors import NothingYet
from scheduler.study.config import Config
from scheduler.study.desk import PATIENCE_SECONDS, POLL_SECONDS, Desk
from scheduler.study.folder import StudyFolder
from scheduler.study.letters import AnyLetter
from scheduler.study.reader import Reader
from scheduler.study.records import Reply

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """One study, as the HTTP process sees it."""

    folder: StudyFolder
    config: Config  # as it was when the process started
    follower: Follower
    desk: Desk
    readers: Readers
    posting: asyncio.Lock  # held while one looks whether a letter lies there, and leaves it
    beside_run: bool = True  # False: `autoresearch serve`, for a study that doesn't run

    @classmethod
    def of(cls, folder: StudyFolder, *, beside_run: bool = True) -> "Context":
        """Of the study in a folder. Raises UsageError where there is none."""
        return cls(
            folder=folder,
            config=folder.load_config(),
            follower=Follower(folder),
            desk=Desk(folder),
            readers=Readers(folder.database),
            posting=asyncio.Lock(),
            beside_run=beside_run,
        )

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.config.task.label

    @property
    def minimize(self) -> bool:
        """Whether a lower metric is better."""
        return self.config.task.metric.goal == "minimize"

    async def read(self, question: Callable[[Reader], T]) -> T:
        """Ask the database in a thread. Raises NothingYet where nothing is recorded yet."""
        if not self.folder.database.exists():
            raise NothingYet("nothing has run in this study yet")
        return await self.readers.ask(question)

    async def read_often(self, name: str, question: Callable[[Reader], T]) -> T:
        """The same for what many ask for: found once for each change of the database.

        `name` stands for the question, with all that it depends on; what is returned is shared.
        """
        if not self.folder.database.exists():
            raise NothingYet("nothing has run in this study yet")
        return await self.readers.ask_again(name, question)

    @property
    def is_running(self) -> bool:
        """Whether the study runs, so that letters are taken up."""
        return self.follower.live is not None

    def may_write(self, connection: HTTPConnection) -> bool:
        """Whether whoever sent this may change the study: with the full token, not the other."""
        return access_of(connection) is Access.FULL

    async def reply(self, key: str) -> Reply | None:
        """What became of the letter with this key; None as long as nothing has."""
        with suppress(NothingYet):
            return await self.read(lambda reader: reader.reply(key))
        return None

    async def ask(self, letter: AnyLetter, patience: float = PATIENCE_SECONDS) -> Reply | None:
        """Leave a letter and wait for its reply; None where the study has not answered by then.

        The letter then still lies there, and `reply` says later what became of it. Raises
        UsageError where the folder can't be written to.
        """
        await run_in_threadpool(self.desk.post, letter)
        return await self.wait_for_reply(letter.key, patience)

    async def wait_for_reply(self, key: str, patience: float = PATIENCE_SECONDS) -> Reply | None:
        """What became of the letter with this key, or None after so many seconds.

        Or when the process is about to end: then the letter lies there as well.
        """
        loop = asyncio.get_running_loop()
        limit = loop.time() + patience
        while True:
            reply = await self.reply(key)
            if reply is not None or loop.time() >= limit or self.follower.closing:
                return reply
            await asyncio.sleep(POLL_SECONDS)
