"""What a trial costs beside its training, phase by phase, at each level of the sandbox.

Runs the bundled task with the `local` preset's model and a short budget through the supervisor,
without Ray, and prints the median and the range of each phase in seconds, with the error of the
budget beside it. The basic level starts the referee's exam only after the training, as it must.
"""

import subprocess
import time
from statistics import median

from scheduler.session import gather_materials
from scheduler.study.config_file import load_config
from workers import Outcome, Trial, run_trial
from workers.bundle import cache_folder, unpack
from workers.sandbox import Level, probe_level

RUNS, SECONDS = 5, 4.0
PHASES = ("startup", "warm_up", "eval", "teardown")


def run(level: Level, number: int) -> Outcome:
    """One trial of the baseline at this level."""
    config = load_config("local", [f"budget.seconds={SECONDS}"], {})
    materials = gather_materials(config)
    trial = Trial(
        id=number,
        experiment=0,
        number=number,
        seed=number,
        slot=0,
        files=materials.baseline.files,
        task="",
        data="",
        budget=config.trial_budget(),
        resources=config.trial_resources(8_000_000_000, 1),
        settings=config.trial_settings(),
        sandbox=level,
    )
    return run_trial(
        trial,
        task=unpack(materials.bundles.task, cache_folder()).parent,
        data=materials.packed.folder,
        exam=(materials.packed.folder / "validation.bin").read_bytes,
        report=lambda _: None,
    )


def main() -> None:
    """Print a table for each level that this machine allows."""
    best, why = probe_level()
    levels = [Level.STRICT, Level.BASIC] if best is Level.STRICT else [Level.BASIC]
    if why:
        print(why)
    print(f"{RUNS} trials of {SECONDS:g} s each; seconds, median (least to most)")
    for level in levels:
        outcomes = [run(level, number) for number in range(1, RUNS + 1)]
        failed = [outcome.reason for outcome in outcomes if outcome.metric is None]
        if failed:
            print(f"{level}: {failed[0]}")
            continue
        print(f"{level}:")
        for phase in PHASES:
            print(f"  {phase:<9} {spread([getattr(o.timings, phase) for o in outcomes])}")
        print(f"  {'outside':<9} {spread([o.timings.outside_budget for o in outcomes])}")
        over = [100 * (o.timings.train / SECONDS - 1) for o in outcomes]
        step = [100 * o.timings.train / SECONDS / o.steps for o in outcomes]
        print(f"  budget    {spread(over)} % over, where a step is {median(step):.2f} % of it")
    bare = ["bwrap", "--ro-bind", "/", "/", "true"]
    if best is Level.STRICT:
        print(f"bubblewrap alone: {spread([_seconds(bare) for _ in range(20)])}")


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
