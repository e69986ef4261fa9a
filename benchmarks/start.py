"""How long a person waits: for help, for the state of a study, and for the first training.

`autoresearch --help` and `status` as processes of their own, and `autoresearch run` from the
command until its first trial trains, on a machine that has prepared the data before. Seconds,
median (least to most).

    python -m benchmarks start
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.goals import Figure
from scheduler.study.reader import Reader

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "scheduler"]
QUICK = [
    "--no-serve",
    "--set",
    "keep.most_seeds=0",
    "--set",
    "stop.max_experiments=1",
    "--set",
    "budget.seconds=2",
]
RUNS, LONG_RUNS = 3, 7
CALLS = 9
PATIENCE = 300.0  # seconds


def main(*, full: bool = False) -> list[Figure]:
    """Measure, print, and hand the figures on."""
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp", ignore_cleanup_errors=True) as place:
        starts = [
            start(Path(place), f"s{number}") for number in range(1 + (LONG_RUNS if full else RUNS))
        ]
        helps = calls(Path(place), "--help")
        states = calls(Path(place), "status", "-s", "./s1")
    print(f"the first run of all: {starts[0]:.1f} s until it trained, the data prepared")
    spread("run until its first trial trains", starts[1:])
    spread("--help", helps)
    spread("status", states)
    return [
        Figure("autoresearch --help", median(helps), "s", 0.3),
        Figure("autoresearch status", median(states), "s", 0.5),
        Figure("run until its first trial trains", median(starts[1:]), "s", 10),
    ]


def start(place: Path, name: str) -> float:
    """Seconds from the command to the first real batch of the baseline."""
    began = time.time()
    subprocess.run(
        [*COMMAND, "run", f"./{name}", *QUICK],
        cwd=place,
        env=environment(place),
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    with Reader(place / name / "study.db") as reader:
        outcome = reader.trials()[0].outcome
    assert outcome is not None
    return outcome.started_at + outcome.timings.startup + outcome.timings.warm_up - began


def calls(place: Path, *arguments: str) -> list[float]:
    """Seconds of a verb, several times, after one that warms the disk's cache."""
    took = []
    for _ in range(1 + CALLS):
        began = time.perf_counter()
        subprocess.run(
            [*COMMAND, *arguments],
            cwd=place,
            env=environment(place),
            check=True,
            capture_output=True,
        )
        took.append(time.perf_counter() - began)
    return took[1:]


def environment(place: Path) -> dict[str, str]:
    """Of a shell whose caches lie in `place`."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AUTORESEARCH_CACHE": str(place / "cache"),
        "RAY_TMPDIR": str(place),
    }


def spread(name: str, seconds: Sequence[float]) -> None:
    """One line."""
    print(f"{name:34} {median(seconds):6.2f} ({min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main(full=True)
