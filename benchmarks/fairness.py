"""Whether a neighbour that makes its next process ready slows a trial that trains.

    python -m benchmarks.fairness [--preset NAME] [--pairs N] [--set KEY=VALUE ...]

One trial of the bundled task, through the supervisor, pinned to its core. Beside it, on the cores
that it does not hold, in every other window of two seconds, processes for a next trial are started
one after the other, imports and all, as fast as they come: a neighbour does that once a trial.
Prints the trial's tokens per second with it and without, window by window in pairs that lie side by
side, so that what else happens on the machine falls out of the median; by the clock, and by the
time for which the candidate had a processor: caches and memory are shared whoever else waits for
one. A second row, with nothing beside it in either half, says how large a difference is nothing. A
slot's own successor is prepared once its training is over, so that there is nothing to compare.
"""

import argparse
import os
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import psutil

from benchmarks.trial import trial_of
from scheduler.session import Materials, gather_materials
from scheduler.study.config import Config
from scheduler.study.config_file import load_config
from workers import Phase, Progress
from workers.bundle import cache_folder, unpack
from workers.cores import unclaimed
from workers.process import Program
from workers.referee import read_meta
from workers.sandbox import Level, probe_level
from workers.spares import Spares
from workers.supervisor import run_trial

WINDOW, PAIRS, FULL_PAIRS = 2.0, 6, 25
IMPORT_SECONDS = 1.5  # of one preparation, on a quiet machine


class Watched:
    """Tokens of the training so far, by the clock and by the candidate's own processor time."""

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._ran: Path | None = None
        self.seen: list[tuple[float, float, float]] = []  # clock, processor seconds, tokens

    def report(self, progress: Progress) -> None:
        """Take one report of the supervisor's."""
        if progress.phase is Phase.TRAIN and progress.fraction:
            self._ran = self._ran or _schedule_of_candidate()
            ran = int(self._ran.read_text().split()[0]) / 1e9
            tokens = progress.tokens_per_second * progress.fraction * self._budget
            self.seen.append((time.monotonic(), ran, tokens))

    def rates(self, start: float, end: float) -> tuple[float, float] | None:
        """Tokens per second and per processor second between two moments; None without reports."""
        inside = [each for each in self.seen if start <= each[0] <= end]
        if len(inside) < 2:
            return None
        (clock, ran, before), (clock_end, ran_end, after) = inside[0], inside[-1]
        return (after - before) / (clock_end - clock), (after - before) / (ran_end - ran)


def _schedule_of_candidate() -> Path:
    """Where the kernel counts the time for which the candidate's main thread ran."""
    for process in psutil.Process().children(recursive=True):
        words = process.cmdline()
        if "train_template.harness" in words and words[1] == "-u":  # not a keeper's words
            return Path(f"/proc/{process.pid}/schedstat")
    raise ProcessLookupError("there is no candidate")


def main(*, full: bool = False) -> None:
    """Print the row with preparations and the one without, for the `local` preset."""
    run("local", [], FULL_PAIRS if full else PAIRS)


def run(preset: str, settings: list[str], pairs: int) -> None:
    """Print both rows for a trial of this preset."""
    level, why = probe_level()
    if level is not Level.STRICT:
        print(f"no process is started ahead at the basic level: {why}")
        return
    budget = (2 * pairs + 1) * WINDOW
    config = load_config(preset, [*settings, f"budget.seconds={budget}"], {})
    materials = gather_materials(config)
    print(
        f"{pairs} pairs of {WINDOW:g} s; load average {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores; tokens, beside against without: median (quartiles; range), "
        "per second and per processor second"
    )
    for title, busy in (("preparing", True), ("nothing", False)):
        print(f"{title:<10} {_compare(config, materials, pairs, budget, busy=busy)}", flush=True)


def _compare(config: Config, materials: Materials, pairs: int, budget: float, *, busy: bool) -> str:
    watched, over = Watched(budget), threading.Event()
    neighbour = _Neighbour(_program(config, materials) if busy else None, watched, over)
    neighbour.start()
    packed = materials.packed
    assert packed is not None
    outcome = run_trial(
        trial_of(config, materials, 1, Level.STRICT, progress_seconds=0.1),
        task=unpack(materials.bundles.task, cache_folder()).parent,
        data=packed.folder,
        exam=(packed.folder / "validation.bin").read_bytes,
        report=watched.report,
    )
    over.set()
    neighbour.join()
    if outcome.metric is None:
        return outcome.reason
    rates = [watched.rates(*span) for span in pairwise(neighbour.switched)]
    found = [(a, b) for a, b in zip(rates[0::2], rates[1::2], strict=False) if a and b][:pairs]
    said = [_said([100 * (b[by] / a[by] - 1) for a, b in found]) for by in (0, 1)]
    return f"{said[0]}   {said[1]}   {len(found)} pairs, {neighbour.made} processes made"


def _said(ratios: list[float]) -> str:
    low, middle, high = quantiles(ratios, n=4)
    return f"{middle:+.2f} % ({low:+.2f} to {high:+.2f}; {min(ratios):+.1f} to {max(ratios):+.1f})"


def _program(config: Config, materials: Materials) -> Program:
    """What a neighbour would start for its next trial."""
    assert materials.packed is not None
    meta = materials.packed.folder / "meta.json"
    return Program(
        name="harness",
        job={},
        task=unpack(materials.bundles.task, cache_folder()).parent,
        environment=os.environ,
        meta=meta,
        withheld=read_meta(meta).withheld,
        cpus=config.trial_resources(0, 1, os.cpu_count() or 1).cpus,
        expendable=True,
    )


class _Neighbour(threading.Thread):
    """Prepares in every other window, or does nothing in any."""

    def __init__(self, program: Program | None, watched: Watched, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.switched: list[float] = []  # beginnings of the windows, the first without
        self.made = 0
        self._program, self._watched, self._over = program, watched, over

    def run(self) -> None:
        while not self._watched.seen and not self._over.wait(0.05):
            pass
        # With nothing left over, nobody would prepare there: as a slot on its own cores then.
        cores = unclaimed() or frozenset(os.sched_getaffinity(0))
        while not self._over.is_set():
            self.switched.append(time.monotonic())
            end = self.switched[-1] + WINDOW
            if self._program and len(self.switched) % 2 == 0:
                self._prepare(replace(self._program, cores=cores), end)
            self._over.wait(max(0.0, end - time.monotonic()))

    def _prepare(self, program: Program, end: float) -> None:
        spares = Spares()
        while (left := end - time.monotonic()) > 0 and not self._over.is_set():
            spares.prepare(program, Level.STRICT)
            self.made += 1
            self._over.wait(min(IMPORT_SECONDS, left))
            spares.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness")
    parser.add_argument("--preset", default="local")
    parser.add_argument("--pairs", type=int, default=FULL_PAIRS)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    run(given.preset, given.set, given.pairs)
