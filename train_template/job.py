"""The jobs of a trial's two processes: what the supervisor asks of each, as JSON in its command.

    candidate  {"socket": 5, "exam": 6, "questions": 7, "answers": 8, "work": DIR, "data": DIR,
                "seed": 1, "seconds": 300.0, "steps": null,
                "settings": {"sequence_length": 2048, "validation_tokens": 1048576,
                             "eval_batch_tokens": 65536},
                "progress_seconds": 1.0, "compiled_before": 11, "compiled": 12 (either may be null)}
    referee    {"socket": 5, "exam": 6, "questions": 7, "answers": 8, "tokens": 9,
                "token_bytes": 10, "settings": {...}, "secret": 1234567890,
                "audit": {"start": 240000, "above": -Infinity, "below": 1.234} or null}

Numbers of descriptors are those of inherited ones; for sizes of the buffers see `exam`. What grows
with the data comes as a descriptor: Linux takes no argument over 128 KiB. Plain data, checked once
here; nothing is opened.
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
    patience_seconds: int = 2  # that one answer of the exam may take beyond twice the usual
    first_answer_seconds: int = 3600  # that the first answer may take, however slow the others are

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

    socket: int  # inherited descriptor: this end of the wire
    exam: int  # inherited descriptor: the stream socket to the referee
    questions: int  # inherited descriptors of the buffers that are shared with the referee
    answers: int
    work: Path  # the folder with the edited files
    data: Path  # the folder of packed data, of which meta.json is read
    seed: int
    seconds: float | None  # the budget is either seconds or steps
    steps: int | None
    settings: Settings
    progress_seconds: float  # the shortest time between two reports
    compiled_before: int | None = None  # inherited descriptors: a compile cache to begin with,
    compiled: int | None = None  # and a file for the one that this trial makes (see `compiled`)

    def __post_init__(self) -> None:
        """Raises ValueError where the budget is ambiguous."""
        if (self.seconds is None) == (self.steps is None):
            raise ValueError("a job has either seconds or steps")


@dataclass(frozen=True)
class Audit:
    """A second exam of the same model, where its metric is of interest."""

    start: int  # the tokens from this one on are the audit split's
    above: float  # it is held where the metric lies between these two
    below: float


@dataclass(frozen=True)
class RefereeJob:
    """One exam of one candidate."""

    socket: int  # inherited descriptor: the wire to the supervisor
    exam: int  # inherited descriptor: the stream socket to the candidate
    questions: int  # inherited descriptors of the buffers that are shared with the candidate
    answers: int
    tokens: int | None  # inherited descriptor of the exam's tokens; None: comes with GO
    token_bytes: int  # inherited descriptor: a uint32 for each token id, the bytes of its text
    settings: Settings
    secret: int  # from os.urandom: order and places of the probes
    audit: Audit | None = None


def parse_referee_job(text: str) -> RefereeJob:
    """Read a job; raises ValueError with what is wrong with it."""
    try:
        raw = json.loads(text)
        raw["settings"] = Settings(**raw["settings"])
        if raw.get("audit") is not None:
            raw["audit"] = Audit(**raw["audit"])
        return RefereeJob(**raw)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the job does not have the keys that it should: {error}") from error


def parse_job(text: str) -> Job:
    """Read a job; raises ValueError with what is wrong with it."""
    try:
        raw = json.loads(text)
        raw["settings"] = Settings(**raw["settings"])
        raw["work"], raw["data"] = Path(raw["work"]), Path(raw["data"])
        return Job(**raw)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the job does not have the keys that it should: {error}") from error
