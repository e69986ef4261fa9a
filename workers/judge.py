"""What a trial's messages and its clock amount to: the phase, the figures, the verdict.

In: messages that are already checked one by one (`workers/wire.py`), the passing of time, the way
the process ended. Out: the phase and its deadline, and one verdict, the first that is reached.
It is pure: time comes in as seconds of any monotonic clock, and nothing is started or killed here.
"""

import math
import os
import signal
from dataclasses import dataclass

from workers.log import sentence
from workers.outcome import OutcomeStatus, Phase, Timings
from workers.trial import Budget
from workers.wire import Kind, Message

TEARDOWN_SECONDS = 5.0  # to end by itself, once there is nothing more to say

# What each message may follow, and the phase that it begins.
_ORDER = {
    Kind.HELLO: (Phase.STARTUP, Phase.WARM_UP),
    Kind.READY: (Phase.WARM_UP, Phase.TRAIN),
    Kind.TRAINED: (Phase.TRAIN, Phase.EVAL),
    Kind.SCORED: (Phase.EVAL, Phase.TEARDOWN),
}
_BLAMES = {
    status.value: status
    for status in (OutcomeStatus.CRASH, OutcomeStatus.OOM, OutcomeStatus.REJECTED)
}


@dataclass(frozen=True)
class Verdict:
    """How the trial ended, and why."""

    status: OutcomeStatus
    reason: str = ""
    metric: float | None = None


@dataclass
class Figures:
    """What the candidate said about itself so far. None of it decides a rank."""

    step: int = 0
    tokens: int = 0
    parameters: int = 0
    device_memory: int = 0  # peak bytes
    loss: float | None = None
    device: str = ""


class Judge:
    """Follows one trial from its start to its verdict."""

    def __init__(self, budget: Budget, now: float) -> None:
        self.phase = Phase.STARTUP
        self.verdict: Verdict | None = None
        self.figures = Figures()
        self._budget = budget
        self._seconds = dict.fromkeys(Phase, 0.0)
        self._since = now
        self._hung_up = False
        self.deadline = now + budget.startup_seconds

    @property
    def timings(self) -> Timings:
        """Seconds in each phase, up to the last change of phase or `close`."""
        return Timings(**{phase.value: seconds for phase, seconds in self._seconds.items()})

    def trained_seconds(self, now: float) -> float:
        """Seconds of training so far, by this clock."""
        running = now - self._since if self.phase is Phase.TRAIN else 0.0
        return self._seconds[Phase.TRAIN] + running

    def hear(self, message: Message, now: float) -> None:
        """Take one message; what comes after the deadline or after the verdict does not count."""
        self.tick(now)
        if self.verdict:
            return
        if message.kind is Kind.FAILED:
            self._hear_failure(message.text, now)
            return
        if message.kind is not Kind.PROGRESS and _ORDER[message.kind][0] is not self.phase:
            self.rule(OutcomeStatus.CRASH, _broken(f"{message.kind.name} in {self.phase}"), now)
            return
        self._note(message)
        if message.kind is Kind.SCORED:
            self._hear_score(message.value, now)
        elif message.kind is not Kind.PROGRESS:
            self._enter(_ORDER[message.kind][1], now)

    def hear_nonsense(self, error: str, now: float) -> None:
        """Take bytes that are no message."""
        self.rule(OutcomeStatus.CRASH, _broken(error), now)

    def hear_exit(self, status: int | None, now: float) -> None:
        """Take the end of the process: its wait status, or None if nobody could collect it.

        A SIGKILL that the supervisor did not send comes from the kernel, as a rule.
        """
        before = f"in {self.phase}, before it had a metric"
        if status is None:
            self.rule(OutcomeStatus.CRASH, f"its keeper was killed {before}", now)
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            reason = (
                f"was killed by SIGKILL {before}: most likely by the kernel, for want of memory"
            )
            self.rule(OutcomeStatus.OOM, reason, now)
        elif os.WIFSIGNALED(status):
            name = _signal_name(os.WTERMSIG(status))
            self.rule(OutcomeStatus.CRASH, f"was killed by {name} {before}", now)
        else:
            code = os.waitstatus_to_exitcode(status)
            self.rule(OutcomeStatus.CRASH, f"ended with exit code {code} {before}", now)

    def hear_hangup(self, now: float) -> None:
        """Take the end of the connection: the process must end soon, or did not mean to."""
        if not self.verdict:
            self._hung_up = True
            self.deadline = min(self.deadline, now + TEARDOWN_SECONDS)

    def tick(self, now: float) -> None:
        """Note that time has passed."""
        if self.verdict or now <= self.deadline:
            return
        if self._hung_up:
            reason = f"closed its connection in {self.phase} and did not end"
            self.rule(OutcomeStatus.CRASH, reason, now)
            return
        limit, what = {
            Phase.TRAIN: (self._budget.train_limit_seconds, "train"),
            Phase.EVAL: (self._budget.eval_seconds, "eval"),
        }.get(self.phase, (self._budget.startup_seconds, "startup with warm_up"))
        reason = f"{what} outlasted its limit of {limit:g} s"
        self.rule(OutcomeStatus.TIMEOUT, reason, now)

    def rule(
        self, status: OutcomeStatus, reason: str, now: float, metric: float | None = None
    ) -> None:
        """Reach a verdict, unless there is one."""
        if not self.verdict:
            self.verdict = Verdict(status, reason, metric)
            self._enter(Phase.TEARDOWN, now)
            self.deadline = now  # nothing to wait for, unless the caller grants it

    def close(self, now: float) -> None:
        """Stop the clock of the last phase."""
        self._enter(Phase.TEARDOWN, now)

    def _enter(self, phase: Phase, now: float) -> None:
        self._seconds[self.phase] += now - self._since
        self.phase, self._since = phase, now
        if phase is Phase.TRAIN:
            self.deadline = now + self._budget.train_limit_seconds
        elif phase is Phase.EVAL:
            self.deadline = now + self._budget.eval_seconds

    def _hear_failure(self, text: str, now: float) -> None:
        blame, _, reason = text.partition("\n")
        status = _BLAMES.get(blame, OutcomeStatus.CRASH)
        self.rule(status, sentence(reason) or f"failed in {self.phase} without a reason", now)
        self.deadline = now + TEARDOWN_SECONDS

    def _hear_score(self, value: float, now: float) -> None:
        if math.isfinite(value) and value >= 0.0:
            self.rule(OutcomeStatus.DONE, "", now, metric=value)
        else:
            self.rule(OutcomeStatus.REJECTED, f"its metric is {value}, which is no score", now)
        self.deadline = now + TEARDOWN_SECONDS

    def _note(self, message: Message) -> None:
        figures = self.figures
        if message.kind is Kind.HELLO:
            figures.device = sentence(message.text, 100)
        figures.parameters = message.parameters or figures.parameters
        figures.device_memory = max(message.device_memory, figures.device_memory)
        if self.phase is Phase.TRAIN:
            figures.step = max(message.step, figures.step)
            figures.tokens = max(message.tokens, figures.tokens)
            figures.loss = figures.loss if message.loss is None else message.loss


def _broken(what: str) -> str:
    return f"the harness's protocol was broken: {what}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
