"""What can happen to a study (events), what follows (facts), and what is to be done (actions).

    event --step--> facts     written to the store in one transaction with the event
                    actions   written to its outbox, then carried out by the driver

All plain data. An event carries the time at which it happened, `at` (Unix seconds), so that
the rules never look at a clock. Contents (code, logs) stay outside: the rules need numbers.
"""

from dataclasses import dataclass, field

from agent import Purpose
from scheduler.rules.evidence import Criteria, Evidence
from scheduler.rules.fleet import Ground
from scheduler.rules.states import (
    ExperimentState,
    InstructionState,
    StopReason,
    StudyState,
    TrialKind,
    TrialState,
)
from workers import OutcomeStatus

# ---- events ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A driver took the study up, for the first time or again."""

    at: float
    size: int = 0  # of the code that a baseline would have


@dataclass(frozen=True)
class SlotsCounted:
    """The cluster offers this many slots now.

    `kinds` says how many fit of each kind, by name: in all perhaps more than the study's share.
    """

    at: float
    slots: int
    kinds: tuple[tuple[str, int], ...] = ()  # (): all are of one kind, without a name


@dataclass(frozen=True)
class Draft:
    """A proposal, as far as the rules need to know it."""

    parent: int
    champions: int  # how many champions there had been when its briefing was written
    by_model: bool = False  # whoever wrote it can be asked to mend it
    instruction: int | None = None  # the one that it serves
    rebases: tuple[int, ...] = ()  # overtaken wins whose edits it carries over
    ablates: int | None = None  # the kept experiment whose edit it takes out
    size: int = 0  # of its code, in nodes of the syntax tree; 0: not counted


@dataclass(frozen=True)
class Answered:
    """The agent answered a request; `drafts` are the proposals that passed the checks."""

    at: float
    request: int
    drafts: tuple[Draft, ...]
    seconds: float | None  # that such an answer takes; None: it says nothing of the usual pace
    troubled: bool = False  # what is missing is missing by a fault, not for want of ideas
    spent: str = ""  # the limit that left no room for a call: "dollars", "tokens", "calls"
    told: tuple[int, ...] = ()  # instructions that a model had before it when it answered


@dataclass(frozen=True)
class AnswerFailed:
    """A request came to nothing."""

    at: float
    request: int
    reason: str


@dataclass(frozen=True)
class Reported:
    """A trial ended with an outcome. `metric` is set if and only if status is DONE."""

    at: float
    trial: int
    status: OutcomeStatus
    metric: float | None = None
    reason: str = ""
    seconds: float = 0.0  # for which it held its slot
    early: bool = False  # it ended within the first seconds of its training, or before
    hardware: str = ""  # the class of what it ran on
    node_fault: bool = False  # it was lost, as its node can't be set up or its GPU not used
    over_limit: bool = False  # it ran well and broke a limit: no sign of a broken task


@dataclass(frozen=True)
class Lost:
    """A trial ended without an outcome: its worker, node or driver is gone."""

    at: float
    trial: int
    reason: str
    blamed: bool = True  # False where the trial can't have caused it, as when its driver died
    out_of_memory: bool = False


@dataclass(frozen=True)
class Instructed:
    """A person queued an instruction."""

    at: float
    lifetime: int | None = None  # experiments decided after which it expires


@dataclass(frozen=True)
class Withdrawn:
    """A person took an instruction back."""

    at: float
    instruction: int


@dataclass(frozen=True)
class Submitted:
    """A person queued an edit of their own; it passed the checks."""

    at: float
    draft: Draft


@dataclass(frozen=True)
class Cancelled:
    """A person gave up an experiment."""

    at: float
    experiment: int


@dataclass(frozen=True)
class Paused:
    """A person asked that nothing more be started until told otherwise."""

    at: float


@dataclass(frozen=True)
class Unpaused:
    """A person asked the study to go on."""

    at: float


@dataclass(frozen=True)
class DrainAsked:
    """A person asked the study to end once the running trials have ended."""

    at: float
    reason: StopReason = StopReason.SIGNAL


@dataclass(frozen=True)
class CancelAsked:
    """A person asked the study to end now; running trials are cut short and run again later."""

    at: float
    reason: StopReason = StopReason.SIGNAL


@dataclass(frozen=True)
class Ticked:
    """Time has passed."""

    at: float


Event = (
    Opened
    | SlotsCounted
    | Answered
    | AnswerFailed
    | Reported
    | Lost
    | Instructed
    | Withdrawn
    | Submitted
    | Cancelled
    | Paused
    | Unpaused
    | DrainAsked
    | CancelAsked
    | Ticked
)

# ---- facts ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExperimentAdded:
    """A new experiment. `draft` is its place in the event's drafts; None for the baseline."""

    id: int
    draft: int | None
    parent: int | None
    wanted: int = 1  # outcomes that its decision needs
    mends: int | None = None  # the crashed experiment whose idea it carries on
    mended: int = 0  # how many crashed before it in this line


@dataclass(frozen=True)
class ExperimentMoved:
    """An experiment changed its state."""

    id: int
    state: ExperimentState
    metric: float | None = None
    reason: str = ""
    decision: int | None = None  # the how-many-eth of the study, where the state is final
    hardware: str = ""  # the class that the metric was measured on


@dataclass(frozen=True)
class TrialPlanned:
    """A trial is to be run."""

    id: int
    experiment: int
    number: int
    seed: int
    first: bool = False  # at the front of the queue
    kind: TrialKind = TrialKind.USUAL
    wants: str = ""  # the kind of slot: "" for any, or "reference"


@dataclass(frozen=True)
class TrialMoved:
    """A trial changed its state. `slot` and its kind are set when it starts."""

    id: int
    state: TrialState
    slot: int | None = None
    reason: str = ""
    blamed: bool = False  # lost, and its experiment may be the cause
    accelerator: str = ""


@dataclass(frozen=True)
class ExperimentStarted:
    """The first trial of an experiment started, this many champions after its briefing."""

    id: int
    staleness: int


@dataclass(frozen=True)
class Judged:
    """The evidence on which an experiment was kept or discarded, and the rule that weighed it."""

    id: int
    evidence: Evidence
    champion: int | None = None  # against which; None: it is the baseline
    criteria: Criteria | None = None  # None: the plain comparison
    ground: Ground = field(default_factory=Ground)  # where things could be compared


@dataclass(frozen=True)
class Measured:
    """A decided experiment was measured once more: its metric, with that, on a class."""

    id: int
    metric: float
    hardware: str = ""


@dataclass(frozen=True)
class Crowned:
    """There is a new champion."""

    experiment: int
    metric: float


@dataclass(frozen=True)
class InstructionAdded:
    """A new instruction, queued."""

    id: int
    expires: int | None = None  # with this decision of the study


@dataclass(frozen=True)
class InstructionMoved:
    """An instruction changed its state."""

    id: int
    state: InstructionState


@dataclass(frozen=True)
class StudyMoved:
    """The study changed its state."""

    state: StudyState
    reason: StopReason | None = None
    text: str = ""


Fact = (
    ExperimentAdded
    | ExperimentMoved
    | ExperimentStarted
    | TrialPlanned
    | TrialMoved
    | Judged
    | Measured
    | Crowned
    | InstructionAdded
    | InstructionMoved
    | StudyMoved
)

# ---- actions --------------------------------------------------------------------------------


@dataclass(frozen=True)
class StartTrial:
    """Run this trial."""

    trial: int


@dataclass(frozen=True)
class CancelTrial:
    """Cut this trial short, if it still runs."""

    trial: int


@dataclass(frozen=True)
class RequestProposals:
    """Ask the agent for this many proposals."""

    request: int
    count: int
    purpose: Purpose = Purpose.IMPROVE
    broken: int | None = None  # the experiment that is to be mended
    wins: tuple[int, ...] = ()  # those whose edits are to be carried over to the champion's code


@dataclass(frozen=True)
class Finish:
    """Nothing is left to do: end the loop."""


Action = StartTrial | CancelTrial | RequestProposals | Finish
