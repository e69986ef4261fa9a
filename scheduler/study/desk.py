"""The desk of a study: where people leave letters and ask what became of them.

In: a study's folder. Out: letters in its mailbox, and their replies from its database. The command
line and the HTTP process both write this way, so that what one can do the other can; neither
touches Ray, and a letter survives whatever dies meanwhile.
"""

from contextlib import suppress

from scheduler.errors import NothingYet
from scheduler.study.folder import StudyFolder
from scheduler.study.letters import AnyLetter
from scheduler.study.live import read_live
from scheduler.study.lock import StudyLock
from scheduler.study.mailbox import Mailbox
from scheduler.study.reader import Reader
from scheduler.study.records import Reply

PATIENCE_SECONDS = 5.0  # a running study takes letters up four times a second
POLL_SECONDS = 0.05


class Desk:
    """One study's desk. Its calls are short: whoever waits for a reply asks again."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._mailbox = Mailbox(folder.inbox)

    def post(self, letter: AnyLetter) -> None:
        """Leave a letter. Raises UsageError where the folder can't be written to."""
        self._mailbox.post(letter)

    def reply(self, key: str) -> Reply | None:
        """What became of the letter with this key; None as long as nothing has."""
        if self._folder.database.exists():
            with suppress(NothingYet), Reader(self._folder.database) as reader:
                return reader.reply(key)
        return None

    def waiting(self) -> list[AnyLetter]:
        """The letters that were not taken up yet, oldest first."""
        return self._mailbox.waiting()

    def take_back(self, key: str) -> bool:
        """Throw a letter away that waits for a study that does not run; whether it was there.

        Nobody can start the study meanwhile. Raises StudyInUse where it runs.
        """
        lock = StudyLock(self._folder)
        lock.acquire(named=False)
        try:
            return self._mailbox.remove(key)
        finally:
            lock.release()

    def is_running(self) -> bool:
        """Whether the study runs: it has given a sign of life within the last seconds."""
        return read_live(self._folder.live) is not None
