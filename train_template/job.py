"""The job of one candidate process: what the supervisor asks of it, as JSON on its command line.

    {"socket": 5, "work": DIR, "data": DIR, "seed": 1, "seconds": 300.0, "steps": null,
     "settings": {"sequence_length": 2048, "validation_tokens": 1048576,
                  "eval_batch_tokens": 65536},
     "progress_seconds": 1.0}

Plain data, checked once here; nothing is opened.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Sizes that the harness fixes for every experiment of a study."""

    sequence_length: int  # tokens a model sees at once, in training by default and in scoring
    validation_tokens: int  # the metric is taken over the first so many of the split
    eval_batch_tokens: int  # at most so many go through the model at once; no effect on the metric

    def __post_init__(self) -> None:
        """Raises ValueError where a size is not positive."""
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"settings.{name} is {value!r}: it must be a whole number, 1 or more"
                )


@dataclass(frozen=True)
class Job:
    """One execution of one train.py."""

    socket: int  # inherited file descriptor: this end of the wire
    work: Path  # the folder with the edited files
    data: Path  # the folder of packed data
    seed: int
    seconds: float | None  # the budget is either seconds or steps
    steps: int | None
    settings: Settings
    progress_seconds: float  # the shortest time between two reports

    def __post_init__(self) -> None:
        """Raises ValueError where the budget is ambiguous."""
        if (self.seconds is None) == (self.steps is None):
            raise ValueError("a job has either seconds or steps")


def parse_job(text: str) -> Job:
    """Read a job; raises ValueError with what is wrong with it."""
    try:
        raw = json.loads(text)
        raw["settings"] = Settings(**raw["settings"])
        raw["work"], raw["data"] = Path(raw["work"]), Path(raw["data"])
        return Job(**raw)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the job does not have the keys that it should: {error}") from error
