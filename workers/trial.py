"""What goes into a worker: one trial, complete.

A Trial says everything that a node needs to run one execution of one experiment: the edited
files, the hashes of the fixed files and of the data, the seed, the budget and the limits. It
is plain data: no paths of the head, no handles. Nothing here starts anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from workers.command import Command, Limit


@dataclass(frozen=True)
class Budget:
    """How long each phase of a trial may last.

    Exactly one of `seconds` (wall clock, from the first real batch) and `steps` (optimizer
    steps, for tests and exact repeats) is set. The other limits are seconds of wall clock.
    """

    seconds: float | None = 300.0
    steps: int | None = None
    startup_seconds: float = 120.0  # process start, imports, warm-up and compilation
    eval_seconds: float = 120.0  # scoring on the validation split; once more for the audit split
    step_limit_seconds: float = 3600.0  # the training phase's limit where `steps` is the budget

    def __post_init__(self) -> None:
        """Refuse a budget that is ambiguous."""
        if (self.seconds is None) == (self.steps is None):
            raise ValueError("a budget has either seconds or steps")

    def times(self, factor: float) -> "Budget":
        """The same with so many times the training."""
        return replace(
            self,
            seconds=None if self.seconds is None else self.seconds * factor,
            steps=None if self.steps is None else max(1, round(self.steps * factor)),
            step_limit_seconds=self.step_limit_seconds * factor,
        )

    @property
    def grace_seconds(self) -> float:
        """Seconds past the budget after which a candidate that still trains is stopped.

        A fair candidate overruns by one step at most. Ten per cent, and never under five
        seconds, leaves room for a slow step and none for a second helping of data.
        """
        return max(5.0, 0.1 * (self.seconds or 0.0))

    def tolerance_seconds(self, step: float) -> float:
        """Seconds past the budget that are fair where a step takes so many seconds.

        One step may be under way when the budget ends; a second one, two per cent and half a
        second are for a busy machine.
        """
        return max(0.5, 0.02 * (self.seconds or 0.0), 2.0 * step)

    @property
    def train_limit_seconds(self) -> float:
        """Seconds from the first real batch after which the trial is a timeout."""
        if self.seconds is None:
            return self.step_limit_seconds
        return self.seconds + self.grace_seconds


@dataclass(frozen=True)
class Resources:
    """What a slot claims from Ray, and the memory that its processes may use."""

    gpus: float = 0.0
    cpus: float = 1.0
    accelerator: str | None = None  # a Ray accelerator type, such as "H100"
    memory_bytes: int | None = None  # resident memory of the process tree; None: no limit


@dataclass(frozen=True)
class Trial:
    """One execution of an experiment on one pinned device, with one seed and one budget."""

    id: int
    experiment: int
    number: int  # 1 for the first trial of its experiment, 2 for the first repeat, ...
    seed: int
    slot: int  # the display position and the key of the "seconds lost" figure
    files: Mapping[str, str]  # the edited files: relative path -> text
    task: str  # content hash of the task's fixed files
    data: str  # content hash of the packed data
    budget: Budget
    resources: Resources
    settings: Mapping[str, int] = field(default_factory=dict)  # for the harness, as it defines
    progress_seconds: float = 1.0  # the shortest time between two progress reports
    sandbox: str = "auto"  # the best level that the node allows; or "strict", or "basic"
    # The audit split is measured too where the metric lies between these two; None: never.
    audit: tuple[float, float] | None = None
    compile_cache: bool = False  # what it compiles is kept on its node until its fate is known
    # The kept code whose compile cache it begins with; "": none. It then keeps none of its own.
    compiled_by: str = ""
    prestart: bool = False  # a process that was started before may run it, and one is for the next
    command: Command | None = None  # of a repository of one's own; None: the bundled task's way
    limits: tuple[Limit, ...] = ()  # on what it may cost beside its metric
