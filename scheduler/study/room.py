"""A study's disk that has no room: which errors say so, and how one waits until it has some.

In: an attempt to write, or the error that it ended with. Out: StudyFull in the place of other
errors, and what the attempt gives once there is room. It frees nothing and never gives up:
whoever does not want to wait interrupts the process.
"""

import errno
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from scheduler.errors import StudyFull
from scheduler.rules.states import StudyState
from scheduler.study.records import Live

FULL_SECONDS = 2.0  # between two attempts
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
AGAIN = "there is room again"

T = TypeVar("T")


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room, so that it may succeed later."""
    return error.errno in NO_ROOM


def full(study: Path, error: Exception) -> StudyFull:
    """The same error, for a person; `study` is the study's folder."""
    why = error.strerror if isinstance(error, OSError) else None
    return StudyFull(f"there is no room on the disk of {study} ({why or error})")


def waiting(error: StudyFull) -> str:
    """What is told to who waits at the start of a run."""
    return f"waiting: {error}; it goes on by itself when there is some. Ctrl-C ends it."


def rest(live: Live, why: str, at: float) -> Live:
    """A study of which nothing can be recorded now, whatever its database says."""
    text = f"{why}; it goes on when there is some"
    study = replace(live.study, state=StudyState.PAUSED, reason=None, text=text)
    return replace(live, at=at, study=study)


def when_there_is_room(attempt: Callable[[], T], say: Callable[[str], None]) -> T:
    """What the attempt gives; while it raises StudyFull, it is made again. Says so once."""
    told = False
    while True:
        try:
            result = attempt()
        except StudyFull as error:
            if not told:
                say(waiting(error))
            told = True
            time.sleep(FULL_SECONDS)
        else:
            if told:
                say(AGAIN)
            return result
