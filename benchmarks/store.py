"""What a study's database answers and how fast, by the length of the study.

Synthetic studies of 1,000, 10,000 and 100,000 experiments (the rows of one of 1,000 that the real
rules and the real store wrote, over and over; a call to a model for one in three), on disk. Prints
milliseconds, the median of some repetitions: an event with all that follows, flushed to disk; the
views, a briefing and its prompt; resuming; the exports, which read all of it; and resident memory.
Each length has a process of its own.

    python -m benchmarks [--full] store            with --full 100,000 experiments as well
"""

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from agent.llm.plan import make_plan
from agent.llm.prompt import write_prompt
from benchmarks.goals import Figure
from scheduler.briefings import Circumstances, write_briefing
from scheduler.results import Plan, Results
from scheduler.rules import events as ev
from scheduler.rules.policy import Policy
from scheduler.rules.states import ExperimentState
from scheduler.study.config import Config
from scheduler.study.exports import write_csv, write_tsv
from scheduler.study.plot import write_plot
from scheduler.study.reader import Reader
from scheduler.study.store import Store
from tests.long_study import lengthen
from tests.synthetic import Course, World, baseline, make_study
from workers import Resources

LENGTHS, LONG = (1, 10), 100  # thousand experiments
EVENTS = 300
ROOM = 32_000  # tokens of a prompt


def measure(thousands: int) -> dict[str, float]:
    """Milliseconds of each line of the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_study(Path(place, "study"), 1_000, seed=1, slots=16)
        lengthen(folder / "study.db", thousands)
        size = (folder / "study.db").stat().st_size / 1e6
        return {
            **_writing(folder),
            **_reading(folder),
            **_actor(folder),
            **_exports(folder, Path(place, "export")),
            "database, MB": size,
            "memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def _writing(folder: Path) -> dict[str, float]:
    """Resume, and go on with the study."""
    began = time.perf_counter()
    store = Store(folder / "study.db")
    policy = Policy(max_experiments=10**9)
    store.load(policy)
    store.calls(Config().call_limits())
    resumed = 1e3 * (time.perf_counter() - began)
    world = World(Course(policy, store), random.Random(0))
    took: list[float] = []
    commit = store.commit

    def timed(*event: object) -> None:
        began = time.perf_counter()
        commit(*event)  # type: ignore[arg-type]
        took.append(1e3 * (time.perf_counter() - began))

    store.commit = timed  # type: ignore[method-assign,assignment]
    world.open(slots=16)
    while len(took) < EVENTS:
        world.happen()
    store.close()
    return {"resume": resumed, "commit of an event": median(took)}


def _reading(folder: Path) -> dict[str, float]:
    """Views and briefings."""
    request = ev.RequestProposals(10**6, 4)
    config = Config()
    with Reader(folder / "study.db") as reader:

        def prompt() -> None:
            briefing = write_briefing(reader, config, request, Circumstances("# Go\n"))
            write_prompt(briefing, make_plan(briefing), count=lambda t: len(t) // 4, room=ROOM)

        return {
            "status": _time(reader.study),
            "leaderboard of 20": _time(lambda: reader.leaders(20)),
            "page of 100 at the end": _time(lambda: reader.page(after=900, limit=100)),
            "page of 20, rejected": _time(
                lambda: reader.page(after=0, limit=20, state=ExperimentState.REJECTED)
            ),
            "briefing": _time(
                lambda: write_briefing(reader, config, request, Circumstances("# Go\n"))
            ),
            "briefing and prompt": _time(prompt),
        }


def _actor(folder: Path) -> dict[str, float]:
    """What the results actor does once a second, and before it answers for the first time.

    It is opened twice: the made-up study lacks its files beside the database, and the first one
    writes a thousand of them, as after a crash.
    """
    plan = Plan(baseline(), "task", "data", Resources())
    Results(folder, Config(), plan).close()
    began = time.perf_counter()
    results = Results(folder, Config(), plan)
    opened = 1e3 * (time.perf_counter() - began)
    live = _time(results.live)
    results.close()
    return {"results actor opens": opened, "live view": live}


def _exports(folder: Path, to: Path) -> dict[str, float]:
    """What reads all of it."""
    with Reader(folder / "study.db") as reader:
        return {
            "results.tsv": _time(lambda: write_tsv(reader, to), 1),
            "CSV": _time(lambda: write_csv(reader, to), 1),
            "progress.png": _time(
                lambda: write_plot(reader, to, metric="val_bpb", minimize=True), 1
            ),
        }


def _time(work: Callable[[], object], repeats: int = 25) -> float:
    """Milliseconds, median."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(1e3 * (time.perf_counter() - began))
    return median(took)


def main(*, full: bool = False) -> list[Figure]:
    """Print the table: a column for each length."""
    print(f"load average before: {os.getloadavg()[0]:.2f}, cores: {os.cpu_count()}")
    columns = []
    lengths = (*LENGTHS, LONG) if full else LENGTHS
    for thousands in lengths:
        line = [sys.executable, "-m", "benchmarks.store", str(thousands)]
        printed = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
        columns.append(dict(each.split("\t") for each in printed.splitlines()))
    print(f"{'milliseconds':<24}" + "".join(f"{1000 * n:>12,}" for n in lengths))
    for name in columns[0]:
        print(f"{name:<24}" + "".join(f"{float(each[name]):>12,.2f}" for each in columns))
    first, last = columns[0], columns[-1]
    return [
        Figure(
            f"{name}, at {1000 * lengths[-1]:,} experiments against {1000 * lengths[0]:,}",
            float(last[name]) / float(first[name]),
            "x",
            1.5,
        )
        for name in ("leaderboard of 20", "briefing")
    ]


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        for name, value in measure(int(sys.argv[1])).items():
            print(f"{name}\t{value}")
