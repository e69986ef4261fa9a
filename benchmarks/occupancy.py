"""How busy many slots are: real loop, results actor, database and Ray; trials that only sleep.

For each number of slots a study of trials of some seconds (with 10 % of spread) on fake GPUs, one
to a slot, each in a Ray worker of its own, and an agent whose answer takes half as long as a trial.
Prints, over the steady state (from when every slot has ended a trial until one gets no other): the
share of the time in which slots ran a trial, experiments per slot and hour, the seconds between two
trials on a slot, and the CPU time of driver, results actor and all the rest, in shares of a core;
"idle" is what the workers took while they waited for the study, which runs nothing in them.

    python -m benchmarks [--full] occupancy            the table: 8 slots, or 32 and 100 as well
    python -m benchmarks.occupancy SLOTS SECONDS N     one line: trials of so many seconds, N a slot
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
import ray

from agent import Answer, Briefing, Proposal
from benchmarks.goals import Figure
from scheduler.cluster import Bundles, RayExecutor, RayResults, beside_the_driver
from scheduler.loop import Loop
from scheduler.nodes import DAEMONS
from scheduler.results import Plan
from scheduler.rules import events as ev
from scheduler.study.config_file import load_config
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from workers import Outcome, OutcomeStatus, Phase, Progress, Resources, Timings, Trial
from workers.bundle import Bundle

ROOT = Path(__file__).parent.parent
CASES = ((8, 2.0, 14),)
LARGE = ((32, 2.0, 14), (100, 2.0, 10), (100, 10.0, 5))
"""Slots, seconds of a trial, trials for each slot."""
SPREAD = 0.1
IDLE_SECONDS = 5.0
CALLS = "agent.calls_in_flight=16"  # of 8 proposals each: more than half of 100 slots
RESOURCES = Resources(gpus=1, cpus=0)


@ray.remote(max_retries=0, max_calls=0, num_cpus=0, num_gpus=1)
def sleep(trial: Trial, seconds: float, sink: Any) -> Outcome:
    """A trial that trains nothing: it reports as a real one does, and draws its metric."""
    began = time.time()
    chance = random.Random(trial.id)
    end = began + seconds * chance.uniform(1 - SPREAD, 1 + SPREAD)
    while (left := end - time.time()) > 0:
        done = 1 - left / (end - began)
        sink.progress.remote(Progress(trial.id, Phase.TRAIN, done, log="step 1 loss 2.3\n"))
        time.sleep(min(left, trial.progress_seconds))
    now = time.time()
    return Outcome(
        trial.id,
        OutcomeStatus.DONE,
        metric=chance.gauss(1.0, 0.01),
        timings=Timings(train=now - began),
        started_at=began,
        finished_at=now,
        gpu_ids=tuple(map(str, ray.get_gpu_ids())),
    )


def start_workers(slots: int, place: Path) -> None:
    """Have Ray start a worker for each slot, about one a second on a core, and keep them."""

    @ray.remote(max_retries=0, max_calls=0, num_cpus=0, num_gpus=1)
    def wait(number: int) -> None:
        place.joinpath(f"{number}").touch()
        while not place.joinpath("go").exists():
            time.sleep(0.2)

    waiting = [wait.remote(number) for number in range(slots)]
    while len(list(place.iterdir())) < slots:
        time.sleep(0.2)
    place.joinpath("go").touch()
    ray.get(waiting)


class Sleepers(RayExecutor):
    """The real executor, with another task in the place of the supervisor's."""

    def __init__(self, seconds: float, sink: Any) -> None:
        nothing = Bundle("nothing", "", ())
        super().__init__(RESOURCES, None, Bundles(nothing, nothing, nothing), sink)
        self._seconds = seconds

    def _submit(self, trial: Trial) -> Any:
        return sleep.remote(trial, self._seconds, self._sink)


class Model:
    """Answers after a while, in a process of its own as the real agent does."""

    async def propose(self, briefing: Briefing, seconds: float) -> Answer:
        """As many proposals as are wanted, each of them new."""
        await asyncio.sleep(seconds)
        parent = briefing.champion
        proposals = tuple(
            Proposal(
                title=f"try number {number} of request {briefing.request}",
                hypothesis="it makes no difference",
                parent=parent.experiment,
                files={"train.py": f"N = {briefing.request}, {number}\n" + TEXT},
                origin="a-model",
                fingerprint=f"{briefing.request}-{number}",
                skeleton="sleep",
                constants={"N": number},
            )
            for number in range(briefing.count)
        )
        return Answer(briefing.request, proposals, arm="a-model")


class SlowAgent:
    """The loop's seam: the briefing goes from actor to actor, as it does with the real one."""

    def __init__(self, results: RayResults, seconds: float) -> None:
        self._results, self._seconds = results, seconds
        self._model: Any = ray.remote(Model).options(**beside_the_driver()).remote()

    async def propose(self, request: ev.RequestProposals) -> Answer:
        """Brief the model and wait."""
        briefing = self._results.actor.briefing.remote(request)
        answer: Answer = await self._model.propose.remote(briefing, self._seconds)
        return answer


TEXT = (ROOT / "train_template" / "train.py").read_text("utf-8")


@dataclass(frozen=True)
class Shares:
    """CPU seconds so far."""

    at: float
    driver: float
    results: float
    ray: float  # raylet, GCS and the like
    trials: float  # of all workers that run trials
    machine: float  # busy, of all cores, whoever used them


def cpu_seconds(seen: dict[int, tuple[str, float]]) -> Shares:
    """Read the counters of this process and of those that it has started.

    `seen` keeps those of processes that have ended.
    """
    own = psutil.Process()
    for process in own.children(recursive=True):
        try:
            times, line = process.cpu_times(), " ".join(process.cmdline()[:1])
        except psutil.Error:
            continue
        kind = "results" if "ray::Results" in line else "trials" if "ray::" in line else "ray"
        seen[process.pid] = kind, times.user + times.system
    used: defaultdict[str, float] = defaultdict(float)
    for kind, seconds in seen.values():
        used[kind] += seconds
    mine, whole = own.cpu_times(), psutil.cpu_times()
    busy = sum(whole) - whole.idle - whole.iowait
    return Shares(
        time.time(), mine.user + mine.system, used["results"], used["ray"], used["trials"], busy
    )


def idle_share() -> float:
    """Of a core, that the workers take while they do nothing."""
    before = cpu_seconds({})
    time.sleep(IDLE_SECONDS)
    after = cpu_seconds({})
    return (after.trials - before.trials) / (after.at - before.at)


async def run_study(folder: StudyFolder, seconds: float, count: int) -> list[Shares]:
    """Run it to its end; the CPU times of once a second."""
    config = load_config(
        "cluster",
        [
            f"stop.max_experiments={count}",
            "agent.models=[a-model]",
            "agent.fill=false",
            "keep.most_seeds=0",
            CALLS,
        ],
        {},
    )
    folder.create(config, "# Sleep\n")
    baseline = Proposal("baseline", "", 0, {"train.py": TEXT}, "baseline", "0", "sleep", {"N": 0})
    results = RayResults(folder.path, config, Plan(baseline, "task", "data", RESOURCES))
    await results.begin_session(os.getpid(), "here")
    loop = Loop(results, Sleepers(seconds, results.actor), SlowAgent(results, seconds / 2))
    shares: list[Shares] = []
    seen: dict[int, tuple[str, float]] = {}

    async def watch() -> None:
        while True:
            shares.append(cpu_seconds(seen))
            await asyncio.sleep(1.0)

    watching = asyncio.create_task(watch())
    await loop.run()
    watching.cancel()
    await results.close()
    return shares


def report(folder: StudyFolder, slots: int, seconds: float, shares: Sequence[Shares]) -> str:
    """One line of the table, from the outcomes as they were recorded."""
    by_slot: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    with Reader(folder.database) as reader:
        for trial in reader.trials():
            if trial.outcome is not None and trial.slot is not None:
                span = trial.outcome.started_at, trial.outcome.finished_at
                by_slot[trial.slot].append(span)
    spans = [sorted(each) for each in by_slot.values()]
    begin = max(each[0][1] for each in spans)
    end = min(each[-1][0] for each in spans)
    if len(spans) < slots or end <= begin:
        return f"{slots:>6} {seconds:>8g}  no steady state was reached"
    held = sum(max(0.0, min(b, end) - max(a, begin)) for each in spans for a, b in each)
    ended = sum(begin <= b < end for each in spans for _, b in each)
    gaps = [
        after[0] - before[1]
        for each in spans
        for before, after in pairwise(each)
        if begin <= before[1] and after[0] <= end
    ]
    inside = [each for each in shares if begin <= each.at <= end] or list(shares)
    first, last = inside[0], inside[-1]
    wall = max(1e-9, last.at - first.at)
    cores = [
        (getattr(last, name) - getattr(first, name)) / wall
        for name in ("driver", "results", "ray", "trials", "machine")
    ]
    percentile = quantiles(gaps, n=20)[-1] if len(gaps) > 1 else 0.0
    return (
        f"{slots:>6} {seconds:>8g} {held / (slots * (end - begin)):>7.2%} "
        f"{3600 * ended / (slots * (end - begin)):>8.1f} {1e3 * median(gaps):>8.0f} "
        f"{1e3 * percentile:>8.0f} " + " ".join(f"{each:>8.2f}" for each in cores)
    )


def measure(slots: int, seconds: float, each: int) -> str:
    """One line of the table."""
    os.environ.update({name: os.environ.get(name, value) for name, value in DAEMONS.items()})
    ray.init(
        num_cpus=os.cpu_count(),
        num_gpus=slots,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200_000_000,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    try:
        with tempfile.TemporaryDirectory() as place:
            workers = Path(place, "workers")
            workers.mkdir()
            start_workers(slots, workers)
            idle = idle_share()
            folder = StudyFolder(Path(place, "study"))
            shares = asyncio.run(run_study(folder, seconds, slots * each))
            return f"{report(folder, slots, seconds, shares)} {idle:>8.2f}"
    finally:
        ray.shutdown()


def main(*, full: bool = False) -> list[Figure]:
    """Print the table. Each line comes from a process and a Ray of its own."""
    figures = []
    names = ("busy", "per hour", "gap, ms", "95 %", "driver", "results", "ray", "workers", "all")
    columns = (*names, "idle")
    print(f"load average before: {os.getloadavg()[0]:.2f}, cores: {os.cpu_count()}")
    print(
        f"{'slots':>6} {'seconds':>8} {columns[0]:>7} " + " ".join(f"{c:>8}" for c in columns[1:])
    )
    for case in (*CASES, *LARGE) if full else CASES:
        line = [sys.executable, "-m", "benchmarks.occupancy", *(f"{each:g}" for each in case)]
        printed = subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        print(printed.stdout, end="", flush=True)
        busy = float(printed.stdout.split()[2].rstrip("%"))
        what = f"{case[0]} slots busy, trials of {case[1]:g} s, answers of half of that"
        figures.append(Figure(what, busy, "%", 98, "at least"))
    return figures


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(measure(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])), flush=True)
