"""What the database holds, as frozen records: what every reader of a study gets.

These are facts, not rules: nothing here decides. Times are Unix seconds, durations seconds,
memory bytes. A metric is None where there is none, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent import ArmRecord
from scheduler.rules.estimate import Repeats
from scheduler.rules.states import (
    ExperimentState,
    InstructionState,
    StopReason,
    StudyState,
    TrialKind,
    TrialState,
)
from scheduler.rules.timeline import SlotTime
from workers import Outcome


@dataclass(frozen=True)
class Experiment:
    """One version of the code with its hypothesis and its parent."""

    id: int
    parent: int | None  # None: a baseline
    title: str
    hypothesis: str
    origin: str  # "baseline", "tuner", "person", or a model's name
    state: ExperimentState
    metric: float | None  # the figure that stands for it: see rules/estimate.py
    reason: str
    staleness: int | None  # champions that came between its briefing and its start
    fingerprint: str
    skeleton: str
    constants: Mapping[str, int | float] = field(hash=False)
    created_at: float
    decided_at: float | None
    expected: str = ""  # of the metric, in its author's words
    lesson: str = ""  # one line, once decided: expected against observed
    instruction: int | None = None  # the one that it serves
    combines: int | None = None  # another experiment whose change it brings in
    mends: int | None = None  # the crashed experiment whose idea it carries on
    call: int | None = None  # the call of the model that it came from
    rebases: tuple[int, ...] = ()  # overtaken wins whose edits it carries over to its parent's code
    ablates: int | None = None  # the kept experiment whose edit it takes out of its parent's code
    size: int = 0  # of its code, in nodes of the syntax tree; 0: not counted
    hardware: str = ""  # the class that its metric was measured on; "" without a metric
    repeats: Repeats | None = None  # what its metric rests on, where it had several trials there

    @property
    def trials(self) -> int:
        """How many trials its metric is the mean of; 0 without a metric."""
        if self.metric is None:
            return 0
        return 1 if self.repeats is None else self.repeats.trials


@dataclass(frozen=True)
class InstructionRecord:
    """What a person asked for while the study ran, and what came of it."""

    id: int
    text: str
    priority: int
    state: InstructionState
    expires: int | None  # with this decision of the study, counted from its beginning
    created_at: float
    moved_at: float  # when it reached its state
    experiments: tuple[int, ...] = ()  # that name it


@dataclass(frozen=True)
class Reply:
    """What became of a person's letter."""

    key: str
    kind: str  # instruct, withdraw, submit, cancel, pause, unpause, stop
    digest: str  # equal for letters that ask for the same
    at: float  # when it was taken up
    number: int | None = None  # of the instruction or experiment that it made or moved
    refused: str = ""  # why it could not be done; "": it was


@dataclass(frozen=True)
class JournalEvent:
    """One fact of the study, for those who follow it: see `scheduler/rules/events.py`."""

    seq: int  # counts up from 1, without end
    at: float
    fact: str  # the name of the fact's class
    data: Mapping[str, Any]  # its fields


@dataclass(frozen=True)
class NotebookRecord:
    """What the study has learned, condensed."""

    text: str
    upto: int  # the newest decision that it covers
    author: str  # a model's name, or "rules"
    at: float


@dataclass(frozen=True)
class TrialRecord:
    """One execution of an experiment; `outcome` is set once it is done.

    The outcome's log is only the tail that the database keeps.
    """

    id: int
    experiment: int
    number: int
    seed: int
    state: TrialState
    slot: int | None
    reason: str
    planned_at: float
    assigned_at: float | None
    ended_at: float | None
    outcome: Outcome | None
    kind: TrialKind = TrialKind.USUAL
    wants: str = ""  # the kind of slot that it must have: "" any, "reference", or a name
    accelerator: str = ""  # the kind of its slot, a Ray accelerator type; "" where it has no name


@dataclass(frozen=True)
class ChampionRecord:
    """An experiment that was the best of its day."""

    number: int  # 1 is the baseline
    experiment: int
    metric: float  # of the experiment, as everywhere: trials that came later count too
    at: float
    crowned_metric: float | None = None  # what it was when it became champion

    def is_new(self, before: "ChampionRecord | None") -> bool:
        """Whether it took the place of `before`; a metric that moved with a repeat is no news."""
        return before is None or before.number != self.number


@dataclass(frozen=True)
class Study:
    """A study as a whole, at one moment."""

    state: StudyState
    reason: StopReason | None
    text: str  # what a person should know about the state
    slots: int
    counts: Mapping[ExperimentState, int]  # experiments in each state that occurs
    champion: ChampionRecord | None
    baseline: float | None  # metric of the first champion
    opened_at: float  # of the newest session
    seconds: float  # of open time, all sessions
    trial_seconds: float  # held by trials in all, and ...
    train_seconds: float  # ... of those spent on training
    lost_between_trials: float | None  # median seconds between two trials on one slot
    tokens: int  # of the agent's calls, in and out
    dollars: float | None  # None: a price is not known
    calls: int = 0  # to models
    arms: tuple[ArmRecord, ...] = ()  # each model's record and the tuner's
    troubles: Mapping[str, str] = field(default_factory=dict)  # arm -> why it gives nothing now
    open_instructions: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)  # slots that fit of each kind, by name
    reference: str | None = None  # the kind on which is kept; "": slots have no names
    hardware: tuple[str, ...] = ()  # classes that metrics were measured on

    proposed: int = 0  # experiments, but baselines and those that carry edits over or take them out
    slot_time: SlotTime = field(default_factory=SlotTime)  # where the time of all slots went

    @property
    def experiments(self) -> int:
        """How many experiments there are in all."""
        return sum(self.counts.values())

    def elapsed(self, at: float) -> float:
        """Seconds for which the study has been open at the time `at`, all its sessions together."""
        return self.seconds + (max(0.0, at - self.opened_at) if self.state.is_open else 0.0)


@dataclass(frozen=True)
class SlotView:
    """A slot, as a live view shows it. Empty slots have no trial."""

    slot: int
    trial: int | None = None
    experiment: int | None = None
    title: str = ""
    phase: str = ""
    fraction: float = 0.0  # share of the budget used
    step: int = 0
    loss: float | None = None
    tokens_per_second: float = 0.0
    seconds: float = 0.0  # since the slot was given to it


@dataclass(frozen=True)
class Live:
    """A running study at one moment, for a live view. Never stored in the database."""

    at: float
    study: Study
    slots: tuple[SlotView, ...] = ()
    queue: tuple[Experiment, ...] = ()  # the next to run first
    recent: tuple[Experiment, ...] = ()  # newest first
    champion: Experiment | None = None
    metric: str = "val_bpb"
    budget: str = ""
