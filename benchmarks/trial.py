"""What a trial costs beside its training, phase by phase, at each level of the sandbox.

Runs the bundled task with the `local` preset's model and a short budget through the supervisor,
without Ray, cold and in a process that was started before, and prints the median and the range of
each phase in seconds, with the error of the budget beside it, and again with busy processes on
every core. The basic level starts the referee's exam only after the training, as it must. Then what
the sandbox costs by itself, and the referee: its start, which a slot doesn't wait for, and how fast
it turns logits into the metric.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.goals import Figure
from scheduler.session import Materials, gather_materials
from scheduler.study.config import Config
from scheduler.study.config_file import load_config
from train_template.exam import Answer, Precision
from train_template.score import log_probabilities
from workers import Outcome, Trial
from workers.bundle import cache_folder, unpack
from workers.lasting import Lasting
from workers.sandbox import Level, View, command, probe_level
from workers.spares import Spares
from workers.supervisor import run_trial
from workers.tokens import TrainingTokens

RUNS, FULL_RUNS, SECONDS = 3, 7, 4.0
PHASES = ("startup", "warm_up", "eval", "teardown")
BUDGET = 300.0  # of the trials whose number in an hour is computed
VOCABULARIES = {257: 65_536, 8192: 4_096}  # and tokens to score: some 30 million logits each


def trial_of(
    config: Config, materials: Materials, number: int, level: Level, progress_seconds: float = 1.0
) -> Trial:
    """One trial of the baseline at this level."""
    return Trial(
        id=number,
        experiment=0,
        number=number,
        seed=number,
        slot=0,
        files=materials.baseline.files,
        task=materials.bundles.task.hash,
        data=materials.packed.hash if materials.packed else "",
        budget=config.trial_budget(),
        resources=config.trial_resources(8_000_000_000, 1, os.cpu_count() or 1),
        settings=config.trial_settings(),
        progress_seconds=progress_seconds,
        sandbox=level,
    )


@dataclass(frozen=True)
class Run:
    """A trial that is over."""

    outcome: Outcome
    held: float  # seconds by the clock of whoever ran it

    @property
    def outside(self) -> float:
        """Seconds for which its slot was held beside the budget."""
        return self.held - SECONDS


def run(level: Level, number: int, lasting: Lasting) -> Run:
    """Run one at this level."""
    config = load_config("local", [f"budget.seconds={SECONDS}"], {})
    materials = gather_materials(config)
    packed = materials.packed
    assert packed is not None
    task = unpack(materials.bundles.task, cache_folder()).parent
    began = time.monotonic()
    outcome = run_trial(
        trial_of(config, materials, number, level),
        task=task,
        data=packed.folder,
        exam=(packed.folder / "validation.bin").read_bytes,
        report=lambda _: None,
        lasting=lasting,
    )
    return Run(outcome, time.monotonic() - began)


def main(*, full: bool = False) -> list[Figure]:
    """Print a table for each level that this machine allows; the figures are of the best one."""
    best, why = probe_level()
    levels = [Level.STRICT, Level.BASIC] if best is Level.STRICT else [Level.BASIC]
    if why:
        print(why)
    load = f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    runs = FULL_RUNS if full else RUNS
    print(f"{runs} trials of {SECONDS:g} s each; seconds, median (least to most); {load}")
    tables = [report(level, runs, str(level)) for level in levels]
    busy = (os.cpu_count() or 1) + 1
    with processes_that_spin(busy):
        report(levels[0], runs, f"{levels[0]}, beside {busy} busy processes")
    if best is Level.STRICT:
        closed = command(View(), ["/usr/bin/true"])
        print(f"the sandbox alone: {spread([_seconds(closed) for _ in range(20)])}")
    start = [sys.executable, "-P", "-c", "import train_template.referee"]
    print(f"the referee's imports: {spread([_seconds(start) for _ in range(RUNS)])}")
    for vocabulary, tokens in VOCABULARIES.items():
        for precision in (Precision.FLOAT32, Precision.BFLOAT16):
            for threads in (1, 2):
                scoring(vocabulary, tokens, precision, threads)
    return figures(*tables[0])


def figures(cold: list[Run], warm: list[Run]) -> list[Figure]:
    """What has a goal; of warm trials only where there were some."""
    every = cold + warm
    if not every:
        return []
    found = [Figure("a CPU trial outside of its budget, cold", median_outside(cold), "s", 3)]
    if warm:
        found.append(
            Figure("a CPU trial outside of its budget, warm", median_outside(warm), "s", 3)
        )
    over = [100 * (each.outcome.timings.train / SECONDS - 1) for each in every]
    hour = 3600 / (BUDGET + median_outside(warm or cold))
    words = f"trials per slot-hour at {BUDGET:g} s, computed from these phases"
    return [
        *found,
        Figure(f"a trial's overrun of its budget of {SECONDS:g} s", median(over), "%", 1),
        Figure(words, hour, "", 11.5, "at least"),
    ]


def median_outside(runs: list[Run]) -> float:
    """Seconds."""
    return median(each.outside for each in runs)


def report(level: Level, runs: int, title: str) -> tuple[list[Run], list[Run]]:
    """Run trials at a level, cold and warm in turn, and print and return what came of them.

    Of each three trials the first is cold, the second is the first of a worker, whose start is cold
    too, and the third runs in the process that was started while the second was scored: it has
    paid for its own successor as well, and it alone counts as warm. Each follows at once on the one
    before it.
    """
    cold: list[Run] = []
    warm: list[Run] = []
    for number in range(1, runs + 1):
        cold.append(run(level, number, Lasting()))
        if level is not Level.STRICT:  # there is no warm start at the basic level
            continue
        spares = Spares()
        lasting = Lasting(spares=spares, tokens=TrainingTokens())
        run(level, number, lasting)
        warm.append(run(level, number, lasting))
        spares.close()
    failed = [each.outcome.reason for each in cold + warm if each.outcome.metric is None]
    if failed:
        print(f"{title}: {failed[0]}")
        return [], []
    print(f"{title}, {'cold and warm in turn, each at once after another' if warm else 'cold'}:")
    both = (cold, warm) if warm else (cold,)
    for phase in (*PHASES, "outside_budget"):
        columns = [spread([getattr(o.outcome.timings, phase) for o in each]) for each in both]
        print(f"  {phase:<14} {'   '.join(columns)}")
    print(f"  {'held':<14} {'   '.join(spread([o.held for o in each]) for each in both)}")
    every = [each.outcome for each in cold + warm]
    over = [100 * (o.timings.train / SECONDS - 1) for o in every]
    step = [100 * o.timings.train / SECONDS / o.steps for o in every]
    print(f"  budget         {spread(over)} % over, where a step is {median(step):.2f} % of it")
    rates = [[o.outcome.tokens / o.outcome.timings.train for o in each] for each in both]
    print(f"  tokens/s       {'   '.join(f'{median(each):,.0f}' for each in rates)}")
    if any(
        each.outcome.warm is not expected
        for expected, some in ((False, cold), (True, warm))
        for each in some
    ):
        print("  not every warm trial found its process ready")
    return cold, warm


def scoring(vocabulary: int, tokens: int, precision: Precision, threads: int) -> None:
    """How fast the referee scores logits, by the clock and by the time of its processor."""
    logits = np.random.default_rng(0).normal(0, 4, (tokens // 16, vocabulary)).astype(np.float32)
    logits = np.tile(logits, (16, 1))
    raw = logits.reshape(-1).view(np.uint8)
    if precision is Precision.BFLOAT16:
        raw = (logits.reshape(-1).view(np.uint32) >> 16).astype("<u2").view(np.uint8)
    targets = np.zeros((len(logits), 2), dtype=np.int64)
    private = np.empty(raw.nbytes, dtype=np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        answer = Answer(raw, precision)

        def score() -> None:
            log_probabilities(answer, targets, pool)

        def copy() -> None:
            private[:] = raw

        score()
        by_clock = min(_took(score, time.perf_counter) for _ in range(3))
        worked = min(_took(score, time.process_time) for _ in range(3))
        copied = min(_took(copy, time.perf_counter) for _ in range(3))
    giga = logits.size / 1e9
    print(
        f"scoring, vocabulary {vocabulary}, {precision.name.lower()}, {threads} threads: "
        f"{giga / by_clock:.2f} G logits/s by the clock, {giga / worked:.2f} per processor second; "
        f"the copy before: {raw.nbytes / 1e9 / copied:.1f} GB/s"
    )


@contextlib.contextmanager
def processes_that_spin(count: int) -> Iterator[None]:
    """So many processes that use all that they get."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _seconds(argv: list[str]) -> float:
    return _took(lambda: subprocess.run(argv, check=True), time.perf_counter)


def _took(what: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    what()
    return clock() - began


if __name__ == "__main__":
    main()
