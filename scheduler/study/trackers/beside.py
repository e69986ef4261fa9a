"""The process that sends a running study's trials to one tracker.

    python -m scheduler.study.trackers.beside TRACKER FOLDER

In: the study's folder; standard input, whose end says that the session is over or its driver dead.
Out: the runs, at the tracker; one line on standard output when something goes wrong, and one when
it goes well again. What its library prints goes to `tracked/TRACKER.log`.

Nothing waits for it: a tracker that is down is tried again every minute, one that hangs hangs this
process alone. After the end of its input it sends what is left and ends, at the latest after
`LAST_SECONDS`, with exit code 3 where something is left: that goes with the next session, or with
`autoresearch export`.
"""

import os
import sys
import threading
from pathlib import Path

import psutil

from agent.llm.keys import Keys
from scheduler.errors import SchedulerError
from scheduler.study.folder import StudyFolder
from scheduler.study.trackers.opening import settings_of
from scheduler.study.trackers.sending import Sender, opened
from workers.log import sentence

NICENESS = 10  # trials are not to feel it
POLL_SECONDS = 5.0  # between two looks at the database
AGAIN_SECONDS = 60.0  # before a tracker that failed is tried again
LAST_SECONDS = 30.0  # for what is left at the end; a run that stays here takes 0.01 to 0.4 s
PATIENCE_SECONDS = LAST_SECONDS + 10  # for the process of the last session to end
LEFT = 3  # exit code: something is left


class Reporter:
    """Says what goes wrong once, and once that it goes well again."""

    def __init__(self, tracker: str, output: int) -> None:
        """`output` is the descriptor of the driver's pipe."""
        self._tracker, self._output, self._told = tracker, output, ""

    def wrong(self, error: BaseException) -> None:
        """It does not work."""
        words = Keys().hide(sentence(str(error), 300)) or type(error).__name__
        if words != self._told:
            self._say(f"{words} (tried again every {AGAIN_SECONDS:g} s)")
        self._told = words

    def well(self) -> None:
        """It works."""
        if self._told:
            self._say("works again")
        self._told = ""

    def _say(self, words: str) -> None:
        try:
            os.write(self._output, f"{self._tracker}: {words}\n".encode())
        except OSError:  # the driver is dead: nobody listens
            return


def main(tracker: str, path: Path) -> int:
    """Send until the input ends; return the exit code."""
    folder = StudyFolder(path)
    reporter = Reporter(tracker, os.dup(1))
    _print_to(folder.tracked / f"{tracker}.log")
    over = threading.Event()
    threading.Thread(target=_watch_input, args=(over,), daemon=True).start()
    while True:
        try:
            config = folder.load_config()
            settings = settings_of(config.track, os.environ)
            patience = PATIENCE_SECONDS
            with opened(
                tracker, folder, config, folder.tracked, settings, patience=patience
            ) as sender:
                _send(sender, reporter, over)
                return 0
        except Exception as error:  # noqa: BLE001 - a library's: said, and tried again
            reporter.wrong(error)
            if over.is_set():
                return LEFT
        over.wait(AGAIN_SECONDS)


def _send(sender: Sender, reporter: Reporter, over: threading.Event) -> None:
    """Send what is new until the session is over, then what is left."""
    while True:
        last = over.is_set()
        for _ in sender.send():
            reporter.well()
        if last:
            return
        over.wait(POLL_SECONDS)


def _print_to(path: Path) -> None:
    """Let what libraries print go to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _watch_input(over: threading.Event) -> None:
    """Wait for the end of the input; then leave at the latest after `LAST_SECONDS`."""
    while os.read(0, 4096):
        pass
    over.set()
    timer = threading.Timer(LAST_SECONDS, _leave)
    timer.daemon = True
    timer.start()


def _leave() -> None:
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(LEFT)


if __name__ == "__main__":
    os.nice(NICENESS)
    try:
        sys.exit(main(sys.argv[1], Path(sys.argv[2])))
    except (SchedulerError, OSError) as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
