"""Runs one trial from its files to its Outcome, on this machine, whatever the candidate does.

In: a Trial, the folder that holds the task's `train_template/`, the folder of the training data,
access to the validation tokens, and where to send Progress. Out: an Outcome, always; only a
cancellation (KeyboardInterrupt) passes through, after everything was killed. It knows nothing of
Ray: `workers/remote.py` puts it there.

One loop listens to the candidate and to the referee, to their channels, logs and ends, and never
waits longer than `POLL_SECONDS`: so soon is a cancellation heard.
What they say is judged in `judge.py`; what holds them in is `sandbox.py` or `keeper.py`.
"""

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path

from workers import wire
from workers.compiled import TrialCache
from workers.cores import claim_cores
from workers.cuda import driver_is_here
from workers.environment import visible_gpus
from workers.errors import BundleError, ExamError, LevelError, WireError
from workers.interruption import Interruption
from workers.judge import Judge
from workers.lasting import Lasting
from workers.launch import level_told, start
from workers.lending import Lending
from workers.limits import kept_to
from workers.listener import Listener
from workers.log import BoundedLog, last_error, last_seen, sentence
from workers.outcome import Outcome, OutcomeStatus, Phase, Progress
from workers.process import Process, Program
from workers.referee import JUDGE, Exam, Meta, read_meta
from workers.sandbox import SCRATCH_BYTES, Level
from workers.tree import kernel_kills
from workers.trial import Trial
from workers.wire import Message

POLL_SECONDS = 0.1
HURRY_SECONDS = 0.005  # while the slot waits for the referee or its tokens
WHERE_SECONDS = 0.5  # for a candidate that is out of time to say where it is
USAGE_SECONDS = 0.2  # between two looks at the process tree
DISK_LIMIT = 2 * SCRATCH_BYTES  # as much as the strict level gives to /tmp and the work folder
PROCESS_LIMIT = 512  # torch's compiler starts up to 32 helpers
THREAD_LIMIT = 8192  # a node of 256 cores may well have a thread for each in ten processes


def _never() -> str:
    return ""


def run_trial(
    trial: Trial,
    *,
    task: Path,
    data: Path,
    exam: Callable[[], bytes],
    report: Callable[[Progress], None],
    orphaned: Callable[[], str] = _never,
    lasting: Lasting | None = None,
) -> Outcome:
    """Run one trial and return its Outcome. Call it from the main thread.

    `task` is the folder that contains `train_template/`, `data` holds `train.bin` and `meta.json`.
    `exam` gives the validation tokens (uint16, little-endian), and where the trial has an audit the
    audit split's after them. It is called when they are wanted, which at the basic level is after
    the training, in a thread of its own, at most once, and raises OSError or WorkerError if
    they can't be had. `report` is called on every change of phase and at most every
    `trial.progress_seconds` besides; it must not block. `orphaned` is asked at every turn of the
    loop and says why nobody waits for the outcome any more, or "". `lasting` is what this process
    keeps from one trial to the next.

    What the machine lacks (disk, processes, the task, the data) makes the Outcome LOST; raises
    nothing but what `report` raises and KeyboardInterrupt.
    """
    started_at = time.time()
    run = _Run(trial, report, orphaned, lasting or Lasting())
    try:
        with run.interruption:
            run.hold(task, data, exam)
    except BundleError as error:
        run.judge.rule(OutcomeStatus.REJECTED, str(error), time.monotonic())
    except (OSError, ExamError, ValueError) as error:
        run.node_fault = run.node_fault or isinstance(error, LevelError)
        run.judge.rule(OutcomeStatus.LOST, f"can't run here: {error}", time.monotonic())
    run.judge.close(time.monotonic())
    verdict, figures = run.judge.verdict, run.judge.figures
    assert verdict is not None
    reason, log = verdict.reason, run.log.text()
    if verdict.status is OutcomeStatus.CRASH and run.quiet and (last := last_error(log)):
        reason = f"{last} ({reason})"
    elif verdict.status in (OutcomeStatus.CRASH, OutcomeStatus.TIMEOUT) and run.quiet:
        reason += _seen_at(trial, log)
    outcome = Outcome(
        trial=trial.id,
        status=verdict.status,
        reason=reason,
        metric=verdict.metric,
        timings=run.judge.timings,
        started_at=started_at,
        finished_at=time.time(),
        steps=figures.step,
        tokens=figures.tokens,
        parameters=figures.parameters,
        train_loss=figures.loss,
        peak_memory_bytes=run.peak_memory,
        peak_device_memory_bytes=figures.device_memory,
        device=figures.device,
        precision=figures.precision,
        gpu_ids=run.gpus,
        node=socket.gethostname(),
        log=log,
        sandbox=run.level or "",
        warm=run.warm,
        judge=JUDGE if verdict.metric is not None else "",
        audit_metric=verdict.audit_metric,
        node_fault=run.node_fault,
    )
    return kept_to(outcome, trial.limits)


def _seen_at(trial: Trial, log: str) -> str:
    """Where it was when it was last seen, with the line; "" if nobody saw it."""
    number = last_seen(log)
    if number is None:
        return ""
    lines = trial.files.get("train.py", "").splitlines()
    text = sentence(lines[number - 1], 120) if 0 < number <= len(lines) else ""
    return f" (train.py, line {number}{': ' if text else ''}{text})"


class _Run:
    """The state of one trial while it runs."""

    level: Level | None = None
    quiet = True  # the candidate did not say itself why it failed
    warm = False  # it runs in a process that was started before
    node_fault = False  # it was lost as this node can't run it

    def __init__(
        self,
        trial: Trial,
        report: Callable[[Progress], None],
        orphaned: Callable[[], str],
        lasting: Lasting,
    ) -> None:
        self.interruption = Interruption()
        self.judge = Judge(trial.budget, time.monotonic(), trial.audit)
        self.log = BoundedLog()
        self.gpus = visible_gpus(os.environ) if trial.resources.gpus else ()
        self.peak_memory = 0
        self._kernel_kills = kernel_kills()
        self._trial = trial
        self._report = report
        self._orphaned = orphaned
        self._lasting = lasting
        self._prepared = False
        self._early: Message | None = None  # READY, while the training tokens are being copied
        self._reported: tuple[Phase | None, float] = (None, 0.0)
        self._looked_at = 0.0

    def hold(self, task: Path, data: Path, fetch: Callable[[], bytes]) -> None:
        """Run the trial until nothing of it is left."""
        trial = self._trial
        self.level = level_told(trial.sandbox, self.gpus, self.log)
        meta = read_meta(data / "meta.json")
        with contextlib.ExitStack() as stack:
            self._cores = stack.enter_context(claim_cores(trial.resources.cpus))
            self._exam = Exam(trial, meta, task=task, level=self.level, fetch=fetch)
            stack.enter_context(contextlib.closing(self._exam))
            # A candidate of the same user could write into the store itself.
            store = self._lasting.compiled if self.level is Level.STRICT else None
            self._cache = stack.enter_context(contextlib.closing(TrialCache(trial, store)))
            candidate = self._start(task, data / "meta.json", meta)
            stack.enter_context(contextlib.closing(candidate))
            self._exam.hand_over()
            # While the candidate imports: what it can't change for others, nor keep.
            self._tokens = Lending(self._lasting.tokens, data / "train.bin", trial.data)
            stack.enter_context(contextlib.closing(self._tokens))
            with selectors.DefaultSelector() as selector:
                self._candidate = Listener(selector, candidate, self.log)
                self._referee: Listener | None = None
                self._watch(selector)
            self._report_progress(time.monotonic())
            if self.judge.verdict and self.judge.verdict.status is OutcomeStatus.TIMEOUT:
                self._ask_where()
            candidate.kill()
            self.peak_memory = max(self.peak_memory, candidate.largest)
            self._candidate.drain_log()
            self._prepare_next()
            if self.judge.verdict and self.judge.verdict.status is OutcomeStatus.DONE:
                self._cache.keep()

    def _ask_where(self) -> None:
        """Let a candidate that is out of time say at which line it is, if it will."""
        self._candidate.drain_log()
        before = self.log.total
        self._candidate.process.ask_where()
        limit, seen = time.monotonic() + WHERE_SECONDS, before
        while time.monotonic() < limit:
            time.sleep(POLL_SECONDS / 5)
            self._candidate.drain_log()
            if self.log.total == seen > before:  # it has said what it had to say
                break
            seen = self.log.total

    def _start(self, task: Path, meta_file: Path, meta: Meta) -> Process:
        self._program = self._described(task, meta_file, meta)
        assert self.level is not None
        if self._lasting.spares:
            spare = self._lasting.spares.take(
                self._program, self.level, self._trial.task, self._trial.data
            )
            if spare:
                self.warm = True
                return spare
        return start(self._program, self.level)

    def _prepare_next(self) -> None:
        """Have a process started for the next trial, once no more of this one is training."""
        spares = self._lasting.spares
        if spares and not self._prepared and not self._orphaned():
            self._prepared = True
            assert self.level is not None
            hashes = self._trial.task, self._trial.data
            spares.prepare(self._program, self.level, *hashes, compiles=self._cache.made)

    def _described(self, task: Path, meta_file: Path, meta: Meta) -> Program:
        trial = self._trial
        handed = self._exam.descriptors | self._cache.descriptors
        memory = trial.resources.memory_bytes
        job = {
            **handed,
            "seed": trial.seed,
            "seconds": trial.budget.seconds,
            "steps": trial.budget.steps,
            "settings": dict(trial.settings),
            "progress_seconds": trial.progress_seconds,
        }
        return Program(
            name="harness",
            job=job,
            task=task,
            environment=os.environ,
            descriptors=tuple(handed.values()),
            named=tuple(handed),
            files=tuple(
                (name, text.encode("utf-8", "surrogatepass")) for name, text in trial.files.items()
            ),
            meta=meta_file,
            withheld=meta.withheld,
            gpus=self.gpus,
            cpus=trial.resources.cpus,
            cores=self._cores,
            expendable=True,
            # They are memory that no process shows: all three together stay below the limit.
            scratch_bytes=min(SCRATCH_BYTES, memory // 4) if memory else None,
        )

    def _watch(self, selector: selectors.BaseSelector) -> None:
        """Listen until there is a verdict and nothing to wait for."""
        while True:
            self.interruption.raise_if_due()
            now = time.monotonic()
            self._look_at_tokens(now)
            self.judge.tick(now)
            self._look_at_usage(now)
            if why := self._orphaned():
                self.judge.rule(OutcomeStatus.LOST, why, now)
            if self.judge.verdict and (now >= self.judge.deadline or self._candidate.gone):
                return
            self._report_progress(now)
            ready = {key.fd for key, _ in selector.select(self._patience())}
            # The candidate first: where both tell of the exam's end, it was the first to know.
            self._hear_candidate(ready)
            if self._referee:
                self._hear_referee(self._referee, ready)
            if not self.judge.verdict and self.judge.phase in (Phase.TRAIN, Phase.EVAL):
                self._advance_exam(selector)

    def _patience(self) -> float:
        waits = self.judge.phase is Phase.EVAL and not self._exam.begun
        return HURRY_SECONDS if waits or self._early else POLL_SECONDS

    def _look_at_tokens(self, now: float) -> None:
        """Take up READY once the training tokens are there; without them, nobody is to blame."""
        if error := self._tokens.error:
            self.judge.rule(OutcomeStatus.LOST, f"can't run here: {error}", now)
        elif self._early and self._tokens.ready:
            early, self._early = self._early, None
            self._take(early, now)
        elif self._early and now > self.judge.deadline:
            limit = self._trial.budget.startup_seconds
            why = f"the training data were not in memory within {limit:g} s"
            self.judge.rule(OutcomeStatus.LOST, why, now)

    def _hear_candidate(self, ready: set[int]) -> None:
        heard = self._candidate
        for raw in heard.hear(ready):
            now = time.monotonic()
            try:
                message = wire.unpack(raw)
            except WireError as error:
                self.judge.hear_nonsense(str(error), now)
                return
            self._take(message, now)
        if heard.hung_up:
            self._early = None  # it waits no more
            self.judge.hear_hangup(time.monotonic())
        if heard.just_ended:
            status = heard.process.ended()
            now = time.monotonic()
            if status is None and self.level is Level.STRICT:
                # Nothing inside can reach bubblewrap's own process: not the candidate's fault.
                why = f"the sandbox failed: {self.log.tail(1) or 'it said nothing'}"
                self.judge.rule(OutcomeStatus.LOST, why, now)
            elif self.warm and self.judge.phase is Phase.STARTUP:
                # Nothing of the candidate has run before HELLO, and a cold start may well succeed.
                why = "the process that was started before ended without a word"
                self.judge.rule(OutcomeStatus.LOST, why, now)
            else:
                self.judge.hear_exit(status, now, starved=self._starved())

    def _starved(self) -> bool | None:
        now = kernel_kills()
        return None if now is None or self._kernel_kills is None else now > self._kernel_kills

    def _take(self, message: Message, now: float) -> None:
        before, open_still = self.judge.phase, not self.judge.verdict
        if message.kind is wire.Kind.READY and before is Phase.WARM_UP and not self._tokens.ready:
            if self._early:
                self.judge.hear_nonsense("READY twice", now)
            self._early = message
            return
        self.judge.hear(message, now)
        if message.kind is wire.Kind.HELLO and self.gpus and driver_is_here():
            self._expect_cuda(now)
        if open_still and message.kind is wire.Kind.FAILED:
            self.quiet = False
        if self.judge.phase is not before:
            if self.judge.phase is Phase.TRAIN:
                self._cache.seal()
                # If nobody listens any more, the lifeline says so. The buffer is empty: it fits.
                with contextlib.suppress(ConnectionError):
                    wire.send_go(self._candidate.process.channel, self._tokens.descriptor)
            self._report_progress(now)

    def _expect_cuda(self, now: float) -> None:
        """A trial that has a GPU and can't use it would train on the CPU: the machine's fault."""
        if self.judge.figures.kind not in ("cuda", ""):  # "": a task whose harness is older
            which = ", ".join(self.gpus)
            why = f"torch sees no GPU, though the trial has GPU {which}: its log says more"
            self.node_fault = True
            self.judge.rule(OutcomeStatus.LOST, why, now)

    def _hear_referee(self, heard: Listener, ready: set[int]) -> None:
        try:
            for raw in heard.hear(ready):
                self.judge.hear_referee(wire.unpack(raw), time.monotonic())
        except WireError as error:
            self.judge.hear_referee_end(str(error), time.monotonic())
        if heard.hung_up or heard.just_ended:
            heard.drain_log()
            why = last_error(heard.log.text()) or "it ended without a score"
            self.judge.hear_referee_end(why, time.monotonic())

    def _advance_exam(self, selector: selectors.BaseSelector) -> None:
        self._exam.advance(
            trained=self.judge.phase is Phase.EVAL,
            ready=self.judge.referee_ready,
            environment=os.environ,
            cores=self._cores,
        )
        if self._exam.begun:
            self.judge.begin_exam(time.monotonic())
            self._prepare_next()
        if self._exam.referee and not self._referee:
            self._referee = Listener(selector, self._exam.referee, BoundedLog())

    def _look_at_usage(self, now: float) -> None:
        if now < self._looked_at + USAGE_SECONDS:
            return
        self._looked_at = now
        usage, phase = self._candidate.process.usage(), self.judge.phase
        self.peak_memory = max(self.peak_memory, usage.peak)
        limit = self._trial.resources.memory_bytes
        if limit is not None and usage.memory > limit:
            reason = f"its processes used {usage.memory / 1e6:.0f} MB of memory in {phase}"
            reason += f", and {limit / 1e6:.0f} MB is the limit"
            self.judge.rule(OutcomeStatus.OOM, reason, now)
        if usage.disk > DISK_LIMIT:
            reason = f"it kept {usage.disk / 1e6:.0f} MB in its work folder and /tmp in {phase}"
            reason += f", and {DISK_LIMIT / 1e6:.0f} MB is the limit"
            self.judge.rule(OutcomeStatus.CRASH, reason, now)
        for what, used, most in (
            ("processes", usage.processes, PROCESS_LIMIT),
            ("threads", usage.threads, THREAD_LIMIT),
        ):
            if used > most:
                reason = f"it ran {used} {what} at once in {phase}, and {most} is the limit"
                self.judge.rule(OutcomeStatus.CRASH, reason, now)

    def _report_progress(self, now: float) -> None:
        phase, last = self._reported
        if self.judge.phase is phase and now < last + self._trial.progress_seconds:
            return
        self._reported = (self.judge.phase, now)
        figures, budget = self.judge.figures, self._trial.budget
        seconds = self.judge.trained_seconds(now)
        share = seconds / budget.seconds if budget.seconds else figures.step / (budget.steps or 1)
        self._report(
            Progress(
                trial=self._trial.id,
                phase=self.judge.phase,
                fraction=min(1.0, share),
                step=figures.step,
                loss=figures.loss,
                tokens_per_second=figures.tokens / seconds if seconds > 0 else 0.0,
                log=self.log.news(),
            )
        )
