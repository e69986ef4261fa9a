"""What a trial's messages and its clock amount to: the phase, the figures, the verdict.

In: messages of the candidate and of the referee, already checked one by one (`workers/wire.py`),
the passing of time, the way the processes ended. Out: the phase and its deadline, and one verdict,
the first that is reached. It is pure: time comes in as seconds of any monotonic clock, and nothing
is started or killed here.

Only the referee scores, and only the candidate is to blame for what it says of itself. Where the
exam breaks off, the two ends tell of it one after the other, and the first to tell need not be the
one that broke it. So the candidate has `LAST_WORD_SECONDS` to fail or to end by itself: then it is
to blame. Where it does not, or ends in good order, a referee that died is `lost`, since a
candidate reaches it by messages of a fixed size alone; and a referee that was left is a `crash`.
Where the exam outlasts its limit, whoever took most of it is to blame: the referee says how long it
has waited for answers, and what it does not account for is its own time. Where the audit split is
measured too, that is a second exam, with a limit of its own, and the verdict waits for it: a model
that does not answer it is judged like one that does not answer the first.
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
REPORT_SECONDS = 1.0  # a waiting referee tells of it more often than that (0.5 s, and a look)
SILENT_SECONDS = 10.0  # of a referee that computes: it tells after each batch
LAST_WORD_SECONDS = 1.0  # for a candidate to say why the exam broke off: loaded nodes are slow

# What each message may follow, and the phase that it begins.
_ORDER = {
    Kind.HELLO: (Phase.STARTUP, Phase.WARM_UP),
    Kind.READY: (Phase.WARM_UP, Phase.TRAIN),
    Kind.TRAINED: (Phase.TRAIN, Phase.EVAL),
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
    audit_metric: float | None = None


@dataclass
class Figures:
    """What the candidate said about itself so far. None of it decides a rank."""

    step: int = 0
    tokens: int = 0
    parameters: int = 0
    device_memory: int = 0  # peak bytes
    loss: float | None = None
    device: str = ""
    precision: str = ""
    kind: str = ""  # of the device, as torch names it: cuda, mps, cpu


@dataclass(frozen=True)
class _Asked:
    """How far the exam was when the referee last told of it."""

    share: float = 0.0  # of the questions, answered
    waited: float = 0.0  # seconds that it had nothing to do but wait for answers
    told: float = -math.inf  # when that was


class Judge:
    """Follows one trial from its start to its verdict."""

    def __init__(
        self, budget: Budget, now: float, audit: tuple[float, float] | None = None
    ) -> None:
        self.phase = Phase.STARTUP
        self.verdict: Verdict | None = None
        self.figures = Figures()
        self._budget = budget
        self._seconds = dict.fromkeys(Phase, 0.0)
        self._since = now
        self.referee_ready = False  # it said HELLO
        self._exam_began: float | None = None
        self._asked = _Asked()
        self._audit = audit
        self._score: float | None = None  # once it is known and the audit is under way
        self._hung_up = False
        self._ended: Verdict | None = None  # if nobody scores: how the candidate ended in EVAL
        self._broken_off: Verdict | None = None  # if the candidate says nothing
        self.deadline = now + budget.startup_seconds

    @property
    def exam_begun(self) -> bool:
        """Whether the referee was told to begin."""
        return self._exam_began is not None

    def begin_exam(self, now: float) -> None:
        """Note that the referee was told to begin; harmless when repeated."""
        if self._exam_began is None:
            self._exam_began = now

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
        if message.kind in (Kind.SCORED, Kind.AUDITED):
            reason = f"it sent a score of its own in {self.phase}"
            self.rule(OutcomeStatus.REJECTED, reason, now)
            return
        if message.kind is not Kind.PROGRESS and _ORDER[message.kind][0] is not self.phase:
            self.rule(OutcomeStatus.CRASH, _broken(f"{message.kind.name} in {self.phase}"), now)
            return
        self._note(message)
        if message.kind is Kind.TRAINED and (reason := self._overrun(now)):
            self.rule(OutcomeStatus.TIMEOUT, reason, now)
        elif message.kind is not Kind.PROGRESS:
            self._enter(_ORDER[message.kind][1], now)

    def _overrun(self, now: float) -> str:
        """Whether it trained longer than its budget and the step that was under way; why, or "".

        The grace is for slow steps. Who needs it with quick ones has held back the clock.
        """
        if self._budget.seconds is None:
            return ""
        trained = self.trained_seconds(now)
        step = trained / max(1, self.figures.step)
        over = trained - self._budget.seconds
        if over <= self._budget.tolerance_seconds(step):
            return ""
        return (
            f"it trained for {trained:.1f} s, {over:.1f} s over its budget, "
            f"and a step took {step:.2f} s"
        )

    def hear_referee(self, message: Message, now: float) -> None:
        """Take one message of the referee."""
        self.tick(now)
        if self.verdict:
            return
        if message.kind is Kind.HELLO:
            self.referee_ready = True
        elif message.kind is Kind.SCORED and self.exam_begun and self._score is None:
            self._hear_score(message.value, now)
        elif message.kind is Kind.AUDITED and self._score is not None:
            self._finish(self._score, now, audit=message.value)
        elif message.kind is Kind.FAILED:
            self._hear_refusal(message.text, now)
        elif message.kind is Kind.PROGRESS:
            waited = message.value if math.isfinite(message.value) else 0.0
            self._asked = _Asked(message.fraction, max(0.0, waited), now)
        else:
            said = f"the referee broke the protocol: {message.kind.name} in {self.phase}"
            self.rule(OutcomeStatus.LOST, said, now)

    def _hear_refusal(self, text: str, now: float) -> None:
        blame, _, reason = text.partition("\n")
        said = sentence(reason) or "it gave no reason"
        if self.exam_begun and blame == OutcomeStatus.REJECTED:
            self.rule(OutcomeStatus.REJECTED, said, now)
        elif self.exam_begun and blame == OutcomeStatus.CRASH:  # the candidate left
            self._break_off(Verdict(OutcomeStatus.CRASH, said), now)
        else:
            self.rule(OutcomeStatus.LOST, f"the referee failed: {said}", now)

    def hear_referee_end(self, why: str, now: float) -> None:
        """Take the end of the referee, or of its sense; what it said before counts first."""
        self._break_off(Verdict(OutcomeStatus.LOST, f"the referee failed: {why}"), now)

    def hear_nonsense(self, error: str, now: float) -> None:
        """Take bytes that are no message."""
        self.rule(OutcomeStatus.CRASH, _broken(error), now)

    def hear_exit(self, status: int | None, now: float, *, starved: bool | None = None) -> None:
        """Take the end of the process: its wait status, or None if nobody could collect it.

        `starved` says whether the kernel killed anything for want of memory since the trial began,
        if that is known: most SIGKILLs that the supervisor did not send are such.
        """
        ended = self._end_of(status, starved)
        orderly = status == 0
        if self.verdict or self.phase is not Phase.EVAL:
            self.rule(ended.status, ended.reason, now)
        elif self._broken_off:
            self._settle(self._broken_off if orderly else ended, now)
        else:  # all is asked, perhaps: the referee may still be computing
            self._ended = self._ended or ended

    def _end_of(self, status: int | None, starved: bool | None) -> Verdict:
        before = f"in {self.phase}, before it had a metric"
        if status is None:
            return Verdict(OutcomeStatus.CRASH, f"its keeper was killed {before}")
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            reason = f"was killed by SIGKILL {before}"
            if starved is False:
                reason += ", and not by the kernel for want of memory"
                return Verdict(OutcomeStatus.CRASH, reason)
            likely = "" if starved else "most likely "
            reason += f": {likely}by the kernel, for want of memory"
            return Verdict(OutcomeStatus.OOM, reason)
        if os.WIFSIGNALED(status):
            name = _signal_name(os.WTERMSIG(status))
            return Verdict(OutcomeStatus.CRASH, f"was killed by {name} {before}")
        code = os.waitstatus_to_exitcode(status)
        return Verdict(OutcomeStatus.CRASH, f"ended with exit code {code} {before}")

    def _break_off(self, verdict: Verdict, now: float) -> None:
        """The exam is over without a score: give the candidate a moment to say why."""
        if self.verdict or self._broken_off:
            return
        if self._ended or self.phase is not Phase.EVAL:
            self._settle(self._ended or verdict, now)
            return
        self._broken_off = verdict
        self.deadline = min(self.deadline, now + LAST_WORD_SECONDS)

    def _settle(self, verdict: Verdict, now: float) -> None:
        self.rule(verdict.status, verdict.reason, now)

    def hear_hangup(self, now: float) -> None:
        """Take the end of the connection: the process must end soon, or did not mean to.

        In EVAL it has nothing more to say.
        """
        if not self.verdict and self.phase is not Phase.EVAL:
            self._hung_up = True
            self.deadline = min(self.deadline, now + TEARDOWN_SECONDS)

    def tick(self, now: float) -> None:
        """Note that time has passed."""
        if self.verdict or now <= self.deadline:
            return
        if settled := self._broken_off or self._ended:
            self._settle(settled, now)
            return
        if self.phase is Phase.EVAL and not self.exam_begun:
            reason = f"the referee was not ready within {self._budget.eval_seconds:g} s"
            self.rule(OutcomeStatus.LOST, reason, now)
            return
        if self.phase is Phase.EVAL:
            self._exam_outlasted(now)
            return
        if self._hung_up:
            reason = f"closed its connection in {self.phase} and did not end"
            self.rule(OutcomeStatus.CRASH, reason, now)
            return
        if self.phase is Phase.TRAIN:
            reason = f"train outlasted its limit of {self._budget.train_limit_seconds:g} s"
        else:
            limit = self._budget.startup_seconds
            reason = f"{self.phase} outlasted the limit of {limit:g} s for startup and warm_up"
        self.rule(OutcomeStatus.TIMEOUT, reason, now)

    def _exam_outlasted(self, now: float) -> None:
        assert self._exam_began is not None
        waited = self._asked.waited
        own = now - self._exam_began - waited - REPORT_SECONDS
        reason = (
            f"eval outlasted its limit of {self._budget.eval_seconds:g} s, with "
            f"{self._asked.share:.0%} of the exam answered: "
        )
        if own <= waited:
            reason += "the model's answers took too long"
            self.rule(OutcomeStatus.TIMEOUT, reason, now)
            return
        reason += f"the referee waited for answers for {waited:.1f} s only"
        if now - self._asked.told > SILENT_SECONDS:
            reason += ", and hung"
        else:
            reason += (
                ", and computed the rest: more cores (workers.cpus_per_trial), a higher "
                "budget.eval_seconds or fewer data.validation_tokens let it end in time"
            )
        self.rule(OutcomeStatus.LOST, reason, now)

    def rule(
        self,
        status: OutcomeStatus,
        reason: str,
        now: float,
        metric: float | None = None,
        audit: float | None = None,
    ) -> None:
        """Reach a verdict, unless there is one."""
        if not self.verdict:
            self.verdict = Verdict(status, reason, metric, audit)
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
        said = Verdict(status, sentence(reason) or f"failed in {self.phase} without a reason")
        if self.phase is Phase.EVAL and self.exam_begun and not self._broken_off:
            # A referee that has refused it is gone, which may be all that it failed at.
            self._ended = self._ended or said
            self.deadline = min(self.deadline, now + TEARDOWN_SECONDS)
            return
        self._settle(said, now)
        self.deadline = now + TEARDOWN_SECONDS

    def _hear_score(self, value: float, now: float) -> None:
        if self._audit is None or not self._audit[0] < value < self._audit[1]:
            self._finish(value, now)
            return
        self._score, self._asked, self._exam_began = value, _Asked(), now
        self.deadline = now + self._budget.eval_seconds

    def _finish(self, value: float, now: float, audit: float | None = None) -> None:
        if all(math.isfinite(each) and each >= 0.0 for each in (value, audit or 0.0)):
            self.rule(OutcomeStatus.DONE, "", now, value, audit)
        else:
            said = f"its metric is {value}" if audit is None else f"its audit is {audit}"
            self.rule(OutcomeStatus.REJECTED, f"{said}, which is no score", now)
        self.deadline = now + TEARDOWN_SECONDS

    def _note(self, message: Message) -> None:
        figures = self.figures
        if message.kind is Kind.HELLO:
            device, precision, kind, *_ = (*message.text.split("\n"), "", "", "")
            figures.device, figures.precision = sentence(device, 100), sentence(precision, 20)
            figures.kind = sentence(kind, 20)
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
