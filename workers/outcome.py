"""What comes out of a worker: reports while a trial runs, and one Outcome at its end.

Plain data. How the figures are obtained is the supervisor's business; what they mean for the
study is the scheduler's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """Where a trial is. The phases follow each other in this order."""

    STARTUP = "startup"  # process start and imports
    WARM_UP = "warm_up"  # building and compiling the model, on synthetic batches
    TRAIN = "train"  # the budget: real batches
    EVAL = "eval"  # the validation metric
    TEARDOWN = "teardown"  # ending the processes, removing the work folder


class OutcomeStatus(StrEnum):
    """How a trial ended."""

    DONE = "done"  # it has a metric
    CRASH = "crash"  # its own code failed
    TIMEOUT = "timeout"  # a phase outlasted its limit
    OOM = "oom"  # it needed more memory than there is
    REJECTED = "rejected"  # its metric can't be believed or is no number
    LOST = "lost"  # the infrastructure failed: not the experiment's fault

    @property
    def is_failure(self) -> bool:
        """Whether the experiment itself is to blame."""
        return self not in (OutcomeStatus.DONE, OutcomeStatus.LOST)


@dataclass(frozen=True)
class Timings:
    """Seconds that a trial spent in each phase; `train` is the only one that the budget pays."""

    startup: float = 0.0
    warm_up: float = 0.0
    train: float = 0.0
    eval: float = 0.0
    teardown: float = 0.0

    @property
    def total(self) -> float:
        """Seconds for which the trial held its slot."""
        return self.startup + self.warm_up + self.train + self.eval + self.teardown

    @property
    def outside_budget(self) -> float:
        """Seconds for which the slot was held without training."""
        return self.total - self.train


@dataclass(frozen=True)
class Progress:
    """A sign of life of a running trial. Never stored; only the newest of a trial is kept."""

    trial: int
    phase: Phase
    fraction: float  # share of the budget used, 0 to 1
    step: int = 0
    loss: float | None = None  # training loss as the candidate logs it, nats per token
    tokens_per_second: float = 0.0
    log: str = ""  # what the candidate printed since the last report (bounded)


def hardware(device: str, gpu_ids: Sequence[str], precision: str = "") -> str:
    """The class of hardware: model, count and precision."""
    devices = f"{len(gpu_ids)} x {device}" if len(gpu_ids) > 1 else device
    return f"{devices}, {precision}" if devices and precision else devices


@dataclass(frozen=True)
class Outcome:
    """What one trial gave. `metric` is set if and only if `status` is DONE."""

    trial: int
    status: OutcomeStatus
    reason: str = ""  # one sentence for a person and for the agent; empty when done
    metric: float | None = None  # val_bpb: bits per byte on the validation split
    timings: Timings = field(default_factory=Timings)
    started_at: float = 0.0  # Unix seconds, on the worker's node
    finished_at: float = 0.0
    steps: int = 0
    tokens: int = 0
    parameters: int = 0  # of the model, as the harness counts them
    train_loss: float | None = None  # the last that was logged, nats per token
    peak_memory_bytes: int = 0  # host, resident, whole process tree
    peak_device_memory_bytes: int = 0
    device: str = ""  # the accelerator's name, or the CPU's with its threads
    precision: str = ""  # of the arithmetic on it, such as "bfloat16"
    gpu_ids: tuple[str, ...] = ()  # what CUDA_VISIBLE_DEVICES named
    node: str = ""
    log: str = ""  # what it printed: head and tail, cleaned of terminal escapes
    sandbox: str = ""  # the level in force: "strict" or "basic"
    warm: bool = False  # it ran in a process that was started before it came
    judge: str = ""  # which path computed the metric: "referee, host memory", "self-reported"
    audit_metric: float | None = None  # of the same model on the audit split, where it was asked
    metrics: Mapping[str, float] = field(default_factory=dict)  # beside the one that ranks
    # LOST as this node can't be set up, or its GPU not used: no fault of the experiment's.
    node_fault: bool = False
    broke: str = ""  # the limit that it broke, and so has no metric, though it ran well
    artifacts: tuple[tuple[str, bytes], ...] = ()  # files that it left and that are to be kept

    @property
    def hardware(self) -> str:
        """The class of what it ran on, such as "2 x NVIDIA H200, bfloat16".

        Figures compare within one.
        """
        return hardware(self.device, self.gpu_ids, self.precision)

    def __post_init__(self) -> None:
        """A failure has no score: never 0, never a rank."""
        if (self.metric is not None) != (self.status is OutcomeStatus.DONE):
            raise ValueError(f"a {self.status} outcome with metric {self.metric}")
        if self.audit_metric is not None and self.metric is None:
            raise ValueError("an audit without a metric")
