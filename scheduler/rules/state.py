"""What the rules remember: the part of a study that decisions depend on.

Immutable, and of a size that depends on the slots and the queue, not on the length of the
study: finished experiments live in the store alone. `immutables.Map` is a hash trie, so that
a changed copy costs the logarithm of its size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from immutables import Map

from agent import Purpose
from scheduler.rules.fleet import Fleet
from scheduler.rules.noise import Noise
from scheduler.rules.policy import Policy
from scheduler.rules.states import (
    ExperimentState,
    InstructionState,
    StopReason,
    StudyState,
    TrialKind,
    TrialState,
)


@dataclass(frozen=True)
class Result:
    """What one trial measured."""

    number: int  # of the trial within its experiment: trials of equal number share a seed
    metric: float
    hardware: str = ""  # the class of what it ran on: figures compare within one
    accelerator: str = ""  # the kind of its slot


@dataclass(frozen=True)
class ExperimentEntry:
    """An experiment that is not decided yet."""

    id: int
    parent: int | None  # None: a baseline
    champions: int  # how many champions there had been at its briefing
    state: ExperimentState = ExperimentState.QUEUED
    wanted: int = 1  # trials with an outcome that the decision needs
    results: tuple[Result, ...] = ()  # in the order in which they came
    losses: int = 0
    open: tuple[int, ...] = ()  # its trials without an outcome, planned or running
    by_model: bool = False
    instruction: int | None = None  # the one that it serves
    mended: int = 0  # how many crashed before it in this line
    rebases: tuple[int, ...] = ()  # overtaken wins whose edits it carries over to its parent's code
    ablates: int | None = None  # the kept experiment whose edit it takes out of its parent's code
    size: int = 0  # of its code, in nodes of the syntax tree; 0: not counted
    failed: int = 0  # trials of it that failed, and were run again

    @property
    def confirms(self) -> bool:
        """Whether it has won already, and its repeats decide."""
        won = self.state is ExperimentState.CONFIRMING
        return won or bool(self.rebases) or self.ablates is not None


@dataclass(frozen=True)
class TrialEntry:
    """A trial that has no outcome yet."""

    id: int
    experiment: int
    number: int
    state: TrialState = TrialState.PLANNED
    slot: int | None = None
    kind: TrialKind = TrialKind.USUAL
    wants: str = ""  # the kind of slot: "" for any, or REFERENCE
    accelerator: str = ""  # the kind that it was given


@dataclass(frozen=True)
class Ask:
    """A request to the agent that is under way."""

    count: int
    purpose: Purpose = Purpose.IMPROVE
    broken: int | None = None
    mended: int = 0  # of what it will bring
    wins: tuple[int, ...] = ()  # overtaken ones whose edits are to be carried over


@dataclass(frozen=True)
class UnderWay:
    """What the open requests add up to: with 10,000 slots there are 1,250, looked at each event."""

    calls: int = 0  # for new proposals, but those to the tuner for idle slots
    proposals: int = 0  # new ones
    filling: int = 0  # of those, for idle slots

    def adding(self, ask: Ask, sign: int = 1) -> "UnderWay":
        """The sums with one more request; with a sign of -1, with one less."""
        if ask.purpose in (Purpose.REBASE, Purpose.ABLATE):  # edits that there are already
            return self
        count, fills = sign * ask.count, ask.purpose is Purpose.FILL
        return UnderWay(
            self.calls + sign * (not fills), self.proposals + count, self.filling + count * fills
        )


@dataclass(frozen=True)
class InstructionEntry:
    """An instruction that is open."""

    id: int
    state: InstructionState = InstructionState.QUEUED
    expires: int | None = None  # with this decision of the study


@dataclass(frozen=True)
class Champion:
    """The best confirmed experiment. `count` says how many there have been."""

    experiment: int
    metric: float  # of its results on one class of hardware: see estimate.py
    count: int
    results: tuple[Result, ...] = ()
    open: tuple[int, ...] = ()  # its repeats without an outcome, planned or running
    size: int = 0  # of its code
    faults: tuple[int, ...] = ()  # seeds, by number, of its repeats that failed: see `barred`

    @property
    def barred(self) -> frozenset[int]:
        """The seeds that it is not run with again.

        A fault is noted twice where a trial failed, once where it was lost and may be to blame.
        """
        return frozenset(n for n in self.faults if self.faults.count(n) > 1)

    def failing(self, number: int, times: int) -> "Champion":
        """The same after one more fault."""
        return replace(self, faults=tuple(sorted((*self.faults, *(number,) * times))))


OVERTAKEN = 8
"""Champions of the past that are remembered: what was written for an older one faces today's."""


@dataclass(frozen=True)
class Checks:
    """The leaders whose order is checked with a longer budget; see `checks.py`."""

    leaders: tuple[int, ...] = ()  # the newest champions, the newest first, and the baseline
    over: tuple[int, ...] = ()  # that need no long trial any more
    lost: tuple[int, ...] = ()  # whose long trial was lost, perhaps by their own fault
    ablated: int | None = None  # the champion whose edits were taken out; see `ablating.py`


@dataclass(frozen=True)
class Pace:
    """Measured durations, as exponential averages; None until the first."""

    answer_seconds: float | None = None  # from a request to its answer
    trial_seconds: float | None = None  # for which a trial holds its slot


@dataclass(frozen=True)
class Tally:
    """Counters that the stops depend on."""

    proposed: int = 0  # experiments beside the baselines
    decided: int = 0  # experiments, the baselines too
    limit: int = -1  # of experiments, in the newest session; -1: none
    shelved: int = 0  # experiments below this number that have not begun wait; see shelving.py
    since_champion: int = 0  # decided experiments since the last champion
    failures_in_row: int = 0
    plain_failures_in_row: int = 0  # ... of those, of code that no model wrote
    losses_in_row: int = 0
    loss: str = ""  # how the last one came about
    empty_in_row: int = 0  # requests in a row that brought nothing, for want of ideas
    troubled_in_row: int = 0  # requests in a row that brought nothing, as no model could be asked
    agent_failures_in_row: int = 0  # requests in a row that failed ...
    agent_failure: str = ""  # ... and how the last one did
    failed_before: int = 0  # requests below this number were under way when the agent failed
    ask_after: float = 0.0  # Unix seconds before which the agent is left alone
    empty_fills: int = 0  # requests to fill a slot in a row that brought nothing
    fill_after: float = 0.0  # Unix seconds before which the tuner is left alone
    spent: str = ""  # the agent's limit that is used up, where the study is to stop then
    seconds_before: float = 0.0  # open time of the earlier sessions
    opened_at: float = 0.0
    seen_at: float = 0.0  # the newest time that is noted; what a killed session has to show


@dataclass(frozen=True)
class State:
    """Everything that `step` reads and changes."""

    policy: Policy
    study: StudyState = StudyState.STOPPED
    reason: StopReason | None = None
    slots: int = 0
    free: tuple[int, ...] = ()  # slot numbers without a trial; the last one is used next
    fleet: Fleet = field(default_factory=Fleet)  # what the slots are made of
    next_experiment: int = 0
    next_trial: int = 1
    next_request: int = 1
    champion: Champion | None = None
    overtaken: tuple[Champion, ...] = ()  # the last of those before, the newest first
    experiments: Map[int, ExperimentEntry] = field(default_factory=Map)
    trials: Map[int, TrialEntry] = field(default_factory=Map)
    ready: tuple[int, ...] = ()  # planned trials, the next one first
    waiting: tuple[int, ...] = ()  # experiments whose outcome waits for the baseline's
    next_instruction: int = 1
    noise: Map[str, Noise] = field(default_factory=Map)  # by class of hardware
    asked: Map[int, Ask] = field(default_factory=Map)  # request -> what was asked
    under_way: UnderWay = field(default_factory=UnderWay)  # the sums over `asked`
    instructions: Map[int, InstructionEntry] = field(default_factory=Map)  # the open ones
    pace: Pace = field(default_factory=Pace)
    tally: Tally = field(default_factory=Tally)
    checks: Checks = field(default_factory=Checks)

    @property
    def running(self) -> int:
        """How many trials hold a slot."""
        return len(self.trials) - len(self.ready)

    @property
    def champions(self) -> int:
        """How many champions there have been."""
        return self.champion.count if self.champion else 0


def free_slots(slots: int, trials: Mapping[int, TrialEntry]) -> tuple[int, ...]:
    """The slot numbers below `slots` that no trial holds; the lowest stands last, to go first."""
    taken = {t.slot for t in trials.values()}
    return tuple(n for n in reversed(range(slots)) if n not in taken)
