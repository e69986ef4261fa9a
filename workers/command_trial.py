"""The supervisor of a repository of one's own: runs its command, reads its metric, keeps the clock.

In: a trial with a `Command`, the repository's folder in the node's cache, where to send Progress.
Out: an Outcome, always; only a cancellation (KeyboardInterrupt) passes through, after everything
was killed. The metric is what the program says of itself, and the Outcome says so: `self-reported`.
All else holds as for the bundled task: sandbox, environment, memory, processes, log, deadline; and
a protected file that the run has changed rejects it.

Not covered, at any level: a program that reports a number which it did not earn, and one that
changes a protected file and puts it back before it ends. Keep the code that measures out of
`task.editable`.
"""

import contextlib
import math
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workers.artifacts import collect
from workers.command import SELF_REPORTED, Command, Setup, Values, fill, fill_line
from workers.command_end import failure
from workers.command_program import CommandProgram, Ended, attend, mounted
from workers.command_said import Said
from workers.cores import claim_cores
from workers.cuda import gpus_here
from workers.environment import visible_gpus
from workers.errors import BundleError, LevelError, ReadingError, SetupError
from workers.interruption import Interruption
from workers.judge import Verdict
from workers.launch import level_for, level_told, start
from workers.limits import kept_to
from workers.log import last_error, sentence
from workers.machine import MemoryWatch, device_of
from workers.outcome import Outcome, OutcomeStatus, Phase, Progress, Timings
from workers.preparation import Prepared, prepare, setup_variables
from workers.process import Process
from workers.sandbox import SCRATCH_BYTES, Level
from workers.supervisor import PROCESS_LIMIT, THREAD_LIMIT, USAGE_SECONDS
from workers.tree import descendants, kernel_kills, stored
from workers.trial import Resources, Trial
from workers.workspace import Workspace

TERM_SECONDS = 10.0  # for a program to end by itself once its budget is over
DISK_SECONDS = 1.0  # between two looks at the work folder
DISK_LIMIT = 32 << 30  # of the work folder: a few checkpoints of a large model


def run_command(
    trial: Trial,
    *,
    repository: Path,
    cache: Path,
    report: Callable[[Progress], None],
    orphaned: Callable[[], str] = lambda: "",
) -> Outcome:
    """Run one trial of a repository of one's own. Call it from the main thread.

    `repository` holds its fixed files; the edited ones come with the trial. `cache` is the node's,
    for what set-up makes. `report` and `orphaned` are as for `run_trial`. What the machine lacks
    makes the Outcome LOST.
    """
    run = _Run(trial, report, orphaned)
    try:
        with run.interruption:
            run.hold(repository, cache)
    except BundleError as error:
        run.rule(OutcomeStatus.REJECTED, str(error))
    except (OSError, SetupError, ValueError) as error:
        run.node_fault = isinstance(error, SetupError | LevelError)
        run.rule(OutcomeStatus.LOST, f"can't run here: {error}")
    except Exception as error:  # noqa: BLE001 - what it left made us stumble: its fault, not the study's
        said = sentence(f"{type(error).__name__}: {error}")
        run.rule(OutcomeStatus.CRASH, f"what it left can't be looked at: {said}")
        run.log.counts = False
        run.log.write(traceback.format_exc().encode("utf-8", "replace"))
    return kept_to(run.outcome(), trial.limits)


def prepare_node(
    command: Command, *, repository: Path, content: str, cache: Path, sandbox: str,
    resources: Resources,
) -> None:  # fmt: skip
    """Do on this node what must be done before the first trial. Raises SetupError, OSError."""
    level, _ = level_for(sandbox, gpus_here() if resources.gpus else ())  # the trials' own
    mounted(command.mounts, level, lambda _name, _host: None)
    if command.setup is not None:
        prepare(
            command.setup,
            repository,
            content,
            cache=cache,
            level=level,
            variables=setup_variables(command.environment),
            mounts=command.mounts,
            cpus=resources.cpus,
        )


@dataclass
class _Clock:
    """Moments of the run, as `time.monotonic` gives them."""

    begun: float
    started: float | None = None  # the program
    ended: float | None = None

    def timings(self, now: float) -> Timings:
        """The whole run counts as training: what it does within is not known."""
        if self.started is None:
            return Timings(startup=now - self.begun)
        ended = now if self.ended is None else self.ended
        return Timings(
            startup=self.started - self.begun,
            train=ended - self.started,
            teardown=now - ended,
        )


class _Run:
    """The state of one trial while it runs."""

    level: Level | None = None
    node_fault = False

    def __init__(
        self, trial: Trial, report: Callable[[Progress], None], orphaned: Callable[[], str]
    ) -> None:
        assert trial.command is not None, "a trial of the bundled task"
        self.interruption = Interruption()
        self.verdict: Verdict | None = None
        self._command = trial.command
        readings = (trial.command.metric, *trial.command.metrics)
        self._said = Said(readings, most_seconds=trial.budget.grace_seconds)
        self.log = self._said.log
        self._trial, self._report, self._orphaned = trial, report, orphaned
        self._gpus = visible_gpus(os.environ) if trial.resources.gpus else ()
        self._clock = _Clock(time.monotonic())
        self._started_at = time.time()
        self._kernel_kills = kernel_kills()
        self._asked_to_end: float | None = None
        self._told: tuple[Phase | None, float] = (None, 0.0)
        self._looked_at = self._weighed_at = 0.0
        self._peak_memory = self._peak_device = 0
        self._found: dict[str, float] = {}
        self._artifacts: tuple[tuple[str, bytes], ...] = ()

    def rule(self, status: OutcomeStatus, reason: str, metric: float | None = None) -> None:
        """Reach a verdict, unless there is one."""
        self.verdict = self.verdict or Verdict(status, reason, metric)

    def hold(self, repository: Path, cache: Path) -> None:
        """Run the trial until nothing of it is left."""
        trial, command = self._trial, self._command
        self.level = level_told(trial.sandbox, self._gpus, self.log)
        self._tell(Phase.STARTUP, time.monotonic())
        prepared = self._prepare(command.setup, repository, cache)
        with contextlib.ExitStack() as stack:
            cores = stack.enter_context(claim_cores(trial.resources.cpus))
            space = stack.enter_context(contextlib.closing(Workspace(repository, trial.files)))
            watch = stack.enter_context(contextlib.closing(MemoryWatch(self._gpus)))
            shown = mounted(command.mounts, self.level, space.link)
            if prepared and self.level is Level.STRICT:
                shown = (*prepared.shown(), *shown)  # a mount may lie in what set-up made
            elif prepared:
                for name in prepared.names:
                    space.link(name, prepared.folder / name)
            memory, values = trial.resources.memory_bytes, self._values()
            program = CommandProgram(
                name="command",
                job={},
                task=repository,
                environment=os.environ,
                words=fill_line(command.argv, values),
                variables={n: fill(v, values) for n, v in command.environment.items()},
                folder=space.folder,
                mounts=shown,
                network=command.network,
                gpus=self._gpus,
                cpus=trial.resources.cpus,
                cores=cores,
                expendable=True,
                scratch_bytes=min(SCRATCH_BYTES, memory // 4) if memory else None,
            )
            process = stack.enter_context(contextlib.closing(start(program, self.level)))
            self._clock.started = time.monotonic()
            ended = attend(process, self.log, lambda now: self._turn(process, space, now))
            self._clock.ended = time.monotonic()
            self._peak_memory = max(self._peak_memory, process.largest)
            self._said.close()
            self._peak_device = watch.peak
            self._tell(Phase.TEARDOWN, time.monotonic())
            self._judge(ended, space)
            self._keep(space.folder)

    def _prepare(self, setup: Setup | None, repository: Path, cache: Path) -> Prepared | None:
        if setup is None:
            return None

        def turn() -> None:
            self.interruption.raise_if_due()
            if why := self._orphaned():
                raise OSError(why)

        assert self.level is not None
        return prepare(
            setup,
            repository,
            self._trial.task,
            cache=cache,
            level=self.level,
            variables=setup_variables(self._command.environment),
            mounts=self._command.mounts,
            cpus=self._trial.resources.cpus,
            turn=turn,
        )

    def _values(self) -> Values:
        """What stands in the place of the placeholders."""
        budget = self._trial.budget
        return Values(
            seed=self._trial.seed,
            gpus=max(1, len(self._gpus)) if self._gpus else 0,
            seconds=budget.seconds,
            steps=budget.steps,
        )

    def _turn(self, process: Process, space: Workspace, now: float) -> bool:
        """Whether to go on listening."""
        self.interruption.raise_if_due()
        if why := self._orphaned():
            self.rule(OutcomeStatus.LOST, why)
        self._look_at_usage(process, now)
        self._look_at_disk(space, now)
        self._tell(Phase.TRAIN, now)
        if self.verdict:
            return False
        assert self._clock.started is not None
        ran = now - self._clock.started
        if why := self._too_long(ran):
            last = sentence(self._said.last_line, 200)
            self.rule(
                OutcomeStatus.TIMEOUT,
                f"it ran for more than {why}; the last that it printed: {last!r}",
            )
            return False
        budget = self._trial.budget.seconds
        if self._command.enforced and budget is not None and ran >= budget:
            if self._asked_to_end is None:
                self._asked_to_end = now
                self._said.budget_over_at = time.time()
                _ask_to_end(process)
            if now > self._asked_to_end + self._said.seconds_left:
                self.log.counts = False
            return now < self._asked_to_end + TERM_SECONDS
        return True

    def _too_long(self, ran: float) -> str:
        """The limit that a run of so many seconds has broken, or "".

        When it began to train is not known here. So a script that is told its budget may take as
        long in all as the baseline did, which was told the same, and the grace of its budget.
        """
        deadline, most = self._command.deadline_seconds, self._command.most_seconds
        if most is not None and most < min(ran, deadline):
            told = self._trial.budget.seconds or 0.0
            return (
                f"{most:.1f} s, which are what the baseline took and "
                f"{self._trial.budget.grace_seconds:g} s of grace; it was told a budget of "
                f"{told:g} s (budget.seconds)"
            )
        return f"{deadline:g} s, its deadline (task.deadline)" if ran > deadline else ""

    def _look_at_usage(self, process: Process, now: float) -> None:
        if now < self._looked_at + USAGE_SECONDS:
            return
        self._looked_at = now
        usage = process.usage()
        self._peak_memory = max(self._peak_memory, usage.peak)
        limit = self._trial.resources.memory_bytes
        if limit is not None and usage.memory > limit:
            used = f"its processes used {usage.memory / 1e6:.0f} MB of memory"
            self.rule(OutcomeStatus.OOM, f"{used}, and {limit / 1e6:.0f} MB is the limit")
        for what, count, most in (
            ("processes", usage.processes, PROCESS_LIMIT),
            ("threads", usage.threads, THREAD_LIMIT),
        ):
            if count > most:
                reason = f"it ran {count} {what} at once, and {most} is the limit"
                self.rule(OutcomeStatus.CRASH, reason)

    def _look_at_disk(self, space: Workspace, now: float) -> None:
        if now < self._weighed_at + DISK_SECONDS:
            return
        self._weighed_at = now
        if (kept := stored(space.folder)) > DISK_LIMIT:
            reason = f"it kept {kept / 1e9:.1f} GB in its work folder, and "
            self.rule(OutcomeStatus.CRASH, f"{reason}{DISK_LIMIT / 1e9:.0f} GB is the limit")

    def _judge(self, ended: Ended, space: Workspace) -> None:
        """What the end of the program amounts to."""
        if self.verdict:
            return
        if self._asked_to_end is None and (why := self._failure(ended)):
            self.rule(*why)
            return
        if name := space.changed(self._command.may_change):
            reason = f"the run changed {name}, which is protected (task.protected)"
            self.rule(OutcomeStatus.REJECTED, reason)
            return
        try:
            for name, value in self._said.numbers(space.folder):
                self._found[name] = value
        except ReadingError as error:
            over = " in its budget" if self._asked_to_end is not None else ""
            self.rule(OutcomeStatus.CRASH, f"it ended{over} without its metric: {error}")
            return
        for name, value in self._found.items():
            if not math.isfinite(value):
                self.rule(OutcomeStatus.REJECTED, f"its {name} is {value}, which is no score")
                return
        self.rule(OutcomeStatus.DONE, "", self._found.pop(self._command.metric.name))

    def _keep(self, folder: Path) -> None:
        """Take the artifacts, and say in the log what is left out."""
        kept = collect(folder, self._command.artifacts, self._command.artifact_bytes)
        self._artifacts = kept.files
        if kept.left_out:
            self.log.counts = False
            self.log.write(f"\n[{kept.left_out}]\n".encode())

    def _failure(self, ended: Ended) -> tuple[OutcomeStatus, str] | None:
        """Why it failed, as its wait status says; None where it ended well."""
        last = last_error(self.log.text()) or sentence(self._said.last_line, 300)
        now, before = kernel_kills(), self._kernel_kills
        starved = None if now is None or before is None else now > before
        return failure(ended.status, last, strict=self.level is Level.STRICT, starved=starved)

    def _tell(self, phase: Phase, now: float) -> None:
        before, last = self._told
        if phase is before and now < last + self._trial.progress_seconds:
            return
        self._told = (phase, now)
        ran = 0.0 if self._clock.started is None else now - self._clock.started
        expected = self._trial.budget.seconds or self._command.deadline_seconds
        share = 1.0 if phase is Phase.TEARDOWN else min(1.0, ran / expected)
        self._report(Progress(self._trial.id, phase, share, log=self.log.news()))

    def outcome(self) -> Outcome:
        """The Outcome, once everything is over."""
        verdict = self.verdict
        assert verdict is not None
        resources = self._trial.resources
        return Outcome(
            trial=self._trial.id,
            status=verdict.status,
            reason=verdict.reason,
            metric=verdict.metric,
            timings=self._clock.timings(time.monotonic()),
            started_at=self._started_at,
            finished_at=time.time(),
            peak_memory_bytes=self._peak_memory,
            peak_device_memory_bytes=self._peak_device,
            device=device_of(self._gpus, resources.cpus),
            gpu_ids=self._gpus,
            node=socket.gethostname(),
            log=self.log.text(),
            sandbox=self.level or "",
            judge=SELF_REPORTED if verdict.metric is not None else "",
            metrics=dict(self._found),
            node_fault=self.node_fault,
            artifacts=self._artifacts,
        )


def _ask_to_end(process: Process) -> None:
    """SIGTERM to the program and all below it: a shell alone would not pass it on."""
    if (main := process.main) is not None:
        for pid in (main, *descendants(main)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
