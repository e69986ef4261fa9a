"""Sending a study's trials to trackers after the fact, for the verb `export`.

In: the study, the trackers' names, and a folder where the runs are to be files. Out: for each how
many runs were sent now and how many it has in all. Raises UsageError, StudyError.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.llm.keys import Keys
from scheduler.cli.local import LocalSource
from scheduler.errors import SchedulerError, StudyError, UsageError
from scheduler.study.trackers.opening import check_trackers, settings_of
from scheduler.study.trackers.sending import opened
from workers.log import sentence


@dataclass(frozen=True)
class Sent:
    """What one tracker got."""

    runs: int  # now
    in_all: int
    place: str  # of its files, or of what it keeps here


def check(trackers: Sequence[str], output: Path | None) -> None:
    """Whether these can be used, and the folder be made. Raises UsageError."""
    check_trackers(trackers, os.environ, offline=output is not None)
    if trackers and output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--output {output}: trackers need a folder, and none can be made there "
                f"({error.strerror})"
            ) from error


def send(trackers: Sequence[str], chosen: LocalSource, output: Path | None) -> dict[str, Sent]:
    """Send to each what it does not have yet."""
    place = chosen.folder.tracked if output is None else output
    settings = settings_of(chosen.config.track, os.environ)
    settings = replace(settings, offline=output is not None)
    sent = {}
    for name in trackers:
        try:
            with opened(name, chosen.folder, chosen.config, place, settings) as sender:
                runs = sum(1 for _ in sender.send())
                sent[name] = Sent(runs, sender.in_all, str(place / name))
        except SchedulerError:
            raise
        except Exception as error:  # a library's: whatever it raises, a person reads one line
            words = Keys().hide(sentence(str(error), 300)) or type(error).__name__
            raise StudyError(f"{name}: {words}; what was sent is not sent again") from error
    return sent
