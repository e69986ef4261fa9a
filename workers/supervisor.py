"""Runs one trial from its files to its Outcome, on this machine, whatever the candidate does.

In: a Trial, the folder that holds the task's `train_template/`, the folder of the packed data, and
where to send Progress. Out: an Outcome, always; only a cancellation (KeyboardInterrupt) passes
through, after everything was killed. It knows nothing of Ray: `workers/remote.py` puts it there.

One loop listens to the channel, to the log and to the end of the process, and never waits longer
than `POLL_SECONDS`: Ray delivers a cancellation between two Python instructions only.
"""

import contextlib
import os
import selectors
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from workers import wire
from workers.environment import TEMPORARY, candidate_environment, visible_gpus
from workers.errors import BundleError, WireError
from workers.files import write_files
from workers.judge import Judge
from workers.log import BoundedLog
from workers.outcome import Outcome, OutcomeStatus, Phase, Progress
from workers.process import Candidate
from workers.trial import Trial

POLL_SECONDS = 0.1
MEMORY_SECONDS = 0.2  # between two looks at the process tree
CHUNK_BYTES = 64 * 1024  # of one read: a full pipe, or some sixty messages
LAST_CHUNKS = 16  # what the channel of an ended candidate may still hold: more than its buffer


def run_trial(
    trial: Trial, *, task: Path, data: Path, report: Callable[[Progress], None]
) -> Outcome:
    """Run one trial and return its Outcome.

    `task` is the folder that contains `train_template/`, `data` holds `train.bin` and what else
    the harness reads. `report` is called on every change of phase and at most every
    `trial.progress_seconds` besides; it must not block. What the machine lacks (disk, processes,
    the task, the data) makes the Outcome LOST; raises nothing but what `report` raises and
    KeyboardInterrupt.
    """
    started_at = time.time()
    run = _Run(trial, report)
    try:
        run.hold(task, data)
    except BundleError as error:
        run.judge.rule(OutcomeStatus.REJECTED, str(error), time.monotonic())
    except OSError as error:
        run.judge.rule(OutcomeStatus.LOST, f"can't run here: {error}", time.monotonic())
    run.judge.close(time.monotonic())
    verdict, figures = run.judge.verdict, run.judge.figures
    assert verdict is not None
    return Outcome(
        trial=trial.id,
        status=verdict.status,
        reason=verdict.reason,
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
        gpu_ids=visible_gpus(os.environ) if trial.resources.gpus else (),
        node=socket.gethostname(),
        log=run.log.text(),
    )


class _Run:
    """The state of one trial while it runs."""

    def __init__(self, trial: Trial, report: Callable[[Progress], None]) -> None:
        self.judge = Judge(trial.budget, time.monotonic())
        self.log = BoundedLog()
        self.peak_memory = 0
        self._trial = trial
        self._report = report
        self._pending = b""  # the beginning of a message
        self._reported: tuple[Phase | None, float] = (None, 0.0)
        self._memory_at = 0.0

    def hold(self, task: Path, data: Path) -> None:
        """Run the trial until nothing of it is left."""
        with contextlib.ExitStack() as stack:
            self._tokens = os.open(data / "train.bin", os.O_RDONLY)
            stack.callback(os.close, self._tokens)
            work = stack.enter_context(_work_folder(self._trial))
            candidate = stack.enter_context(contextlib.closing(self._start(task, data, work)))
            self._watch(candidate)
            self._report_progress(time.monotonic())
            candidate.kill()
            self._read_log(candidate)

    def _start(self, task: Path, data: Path, work: Path) -> Candidate:
        trial = self._trial
        job = {
            "data": str(data),
            "seed": trial.seed,
            "seconds": trial.budget.seconds,
            "steps": trial.budget.steps,
            "settings": dict(trial.settings),
            "progress_seconds": trial.progress_seconds,
        }
        environment = candidate_environment(
            os.environ, task=task, work=work, resources=trial.resources
        )
        return Candidate(job, task=task, work=work, environment=environment)

    def _watch(self, candidate: Candidate) -> None:
        """Listen until the process tree has ended or its time is up."""
        with selectors.DefaultSelector() as selector:
            for source in (candidate.channel, candidate.log, candidate.lifeline):
                selector.register(source, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                self.judge.tick(now)
                self._watch_memory(candidate, now)
                if self.judge.verdict and now >= self.judge.deadline:
                    return
                self._report_progress(now)
                ready = {key.fileobj for key, _ in selector.select(POLL_SECONDS)}
                if candidate.log in ready and not self._read_log(candidate, CHUNK_BYTES):
                    selector.unregister(candidate.log)
                if candidate.channel in ready and self._read_messages(candidate) == b"":
                    selector.unregister(candidate.channel)
                    self.judge.hear_hangup(time.monotonic())
                if candidate.lifeline in ready:
                    for _ in range(LAST_CHUNKS):
                        if not self._read_messages(candidate):
                            break
                    self.judge.hear_exit(candidate.ended(), time.monotonic())
                    return

    def _read_messages(self, candidate: Candidate) -> bytes | None:
        """Take at most one chunk of messages; None if none is there now, empty at the end."""
        try:
            data = candidate.channel.recv(CHUNK_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""
        whole = self._pending + data
        rest = len(whole) % wire.SIZE
        for start in range(0, len(whole) - rest, wire.SIZE):
            self._take(whole[start : start + wire.SIZE], candidate)
        self._pending = whole[len(whole) - rest :]
        return data

    def _take(self, raw: bytes, candidate: Candidate) -> None:
        now = time.monotonic()
        try:
            message = wire.unpack(raw)
        except WireError as error:
            self.judge.hear_nonsense(str(error), now)
            return
        before = self.judge.phase
        self.judge.hear(message, now)
        if self.judge.phase is not before:
            if self.judge.phase is Phase.TRAIN:
                # If nobody listens any more, the lifeline says so. The buffer is empty: it fits.
                with contextlib.suppress(ConnectionError):
                    wire.send_go(candidate.channel, self._tokens)
            self._report_progress(now)

    def _read_log(self, candidate: Candidate, limit: int = 1024 * 1024) -> bool:
        """Take what the log pipe holds, up to a limit in bytes; whether more may come."""
        taken = 0
        while taken < limit:
            try:
                data = os.read(candidate.log, CHUNK_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.log.write(data)
            taken += len(data)
        return True

    def _watch_memory(self, candidate: Candidate, now: float) -> None:
        if now < self._memory_at + MEMORY_SECONDS:
            return
        self._memory_at = now
        used = candidate.memory()
        self.peak_memory = max(self.peak_memory, used)
        limit = self._trial.resources.memory_bytes
        if limit is not None and used > limit:
            reason = f"its processes used {used / 1e6:.0f} MB of memory in {self.judge.phase}"
            reason += f", and {limit / 1e6:.0f} MB is the limit"
            self.judge.rule(OutcomeStatus.OOM, reason, now)

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


@contextlib.contextmanager
def _work_folder(trial: Trial) -> Iterator[Path]:
    """A fresh folder with the trial's files, removed at the end whatever was put into it."""
    work = Path(tempfile.mkdtemp(prefix=f"trial-{trial.id}-"))
    try:
        files = [
            (name, text.encode("utf-8", "surrogatepass")) for name, text in trial.files.items()
        ]
        # One more among them, so that no proposal's file can take the temporary folder's place.
        write_files(work, [*files, (f"{TEMPORARY}/.keep", b"")])
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if work.exists():  # folders without permissions, made by a candidate of this same user
            for parent, _, _ in os.walk(work):
                for folder in Path(parent).iterdir():
                    if folder.is_dir() and not folder.is_symlink():
                        folder.chmod(0o700)
            shutil.rmtree(work, ignore_errors=True)
