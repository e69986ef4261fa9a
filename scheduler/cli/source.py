"""What a verb may ask of a study and send to it, wherever the study is.

Two makers stand behind it: `local.py` reads a folder of this machine and leaves letters in it,
`remote.py` speaks HTTP to the study's server. The verbs and their tables know only this. Errors are
UsageError and StudyError with a text for a person, whichever it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent.globs import Editable
    from scheduler.rules.order import OrderCheck
    from scheduler.rules.states import ExperimentState
    from scheduler.study.calls import CallRecord
    from scheduler.study.letters import AnyLetter, Instruct
    from scheduler.study.records import (
        Experiment,
        InstructionRecord,
        Live,
        NotebookRecord,
        TrialRecord,
    )
    from scheduler.study.task_words import Measurement
    from scheduler.study.timeline import Timeline


class Fate(StrEnum):
    """What became of a letter, as far as is known after some seconds."""

    DONE = "done"
    REFUSED = "refused"
    BUSY = "busy"  # the study runs and has not taken it up yet
    WAITING = "waiting"  # the study does not run; it takes the letter up when it does
    NOT_RUNNING = "not running"  # nor does the letter mean anything then


@dataclass(frozen=True)
class Sent:
    """A letter that was sent, and its fate."""

    key: str
    kind: str
    fate: Fate
    number: int | None = None  # of the instruction or experiment that it made or moved
    why: str = ""  # it was refused


@dataclass(frozen=True)
class Result:
    """What came of an experiment, in short."""

    id: int
    state: "ExperimentState"
    metric: float | None


@dataclass(frozen=True)
class Asked:
    """An instruction, and what came of the experiments that name it."""

    instruction: "InstructionRecord"
    results: tuple[Result, ...]


class Source(Protocol):
    """One study."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def where(self) -> str:
        """Its folder or its URL, as a person would type it."""

    @property
    def address(self) -> str:
        """The same, so that it means the same from anywhere."""

    @property
    def metric(self) -> str:
        """Name of the metric."""

    @property
    def minimize(self) -> bool:
        """Whether a lower metric is better."""

    @property
    def self_reported(self) -> bool:
        """Whether the metric is the word of the code that is edited, and no referee's."""

    @property
    def measurement(self) -> "Measurement":
        """Where the metric and what stands beside it come from, and the limits."""

    @property
    def editable(self) -> "Editable":
        """Which files an edit may add."""

    @property
    def resume(self) -> str:
        """The command that makes it run, or what else to do."""

    def live(self) -> tuple["Live", bool]:
        """The study now, and whether it runs. Otherwise as it was recorded last."""

    def experiment(self, number: int) -> "Experiment | None":
        """One experiment, or None where there is no such number."""

    def trials(self, experiment: int) -> "Sequence[TrialRecord]":
        """The trials of an experiment, in order of their ids."""

    def files(self, experiment: int) -> Mapping[str, str]:
        """The editable files of an experiment: relative path -> text."""

    def best_file(self, name: str) -> str:
        """Where the champion's file of this name lies: a path or a URL."""

    def call(self, experiment: "Experiment") -> "CallRecord | None":
        """The call of a model that it came from, or None."""

    def leaders(self, count: int) -> "Sequence[Experiment]":
        """The best by metric, the best first."""

    def order(self) -> "OrderCheck":
        """Whether the order of the champions holds, as far as that was measured."""

    def instructions(self, *, open_only: bool = False) -> "Sequence[Asked]":
        """What people asked for: the open ones by urgency, or all by number."""

    def unread(self) -> "Sequence[Instruct]":
        """Instructions that no running study has taken up yet, oldest first."""

    def take_back(self, letter: "Instruct") -> bool:
        """Take one of these back; whether it was still there. Raises UsageError, StudyError."""

    def notebook(self) -> "NotebookRecord | None":
        """What the study has learned, condensed."""

    def lessons(self, *, after: int, limit: int) -> Sequence[str]:
        """The newest lessons of decisions after the given one, in their order."""

    def program(self) -> str:
        """The research directions, as the next briefing will hold them."""

    def log(self, experiment: int, trial: int | None = None) -> tuple[str, int]:
        """What an experiment's trials, or one of them, printed until now; its length in bytes."""

    def follow(self, experiment: int, position: int, trial: int | None = None) -> Iterator[str]:
        """What is added to the log from there on, until the experiment is decided."""

    def has_models(self) -> bool:
        """Whether language models propose: the tuner alone reads no instructions."""

    def report(self, formats: Sequence[str]) -> Mapping[str, bytes]:
        """The files of a report in these formats, by their names."""

    def timeline(self, hours: float | None) -> "Timeline":
        """Where the slots have spent their time: the newest hours of it, or None: all."""

    def send(self, letter: "AnyLetter") -> Sent:
        """Send a letter and wait some seconds for what becomes of it."""
