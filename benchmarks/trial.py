"""What a trial costs beside its budget: seconds for each phase, at each level of the sandbox.

    python -m benchmarks.trial

Runs the bundled task on this machine's CPU with the sizes of `configs/local.yaml` and a budget of
three seconds, and prints the median of a few trials; the first of each level, which warms the
node's file cache, does not count. The rows "scripted" have neither torch nor a model: they hold
what the processes, the sandbox and the exam's way cost alone. What the sandbox costs is the
difference between the levels. About a minute.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from agent.source import edit_constants
from tests.fixtures.candidates import data_folder, exam, scripted_trial, task_folder
from workers import Budget, Outcome, OutcomeStatus, Trial, run_trial
from workers.sandbox import Level, probe_level
from workers.trial import Resources

ROOT = Path(__file__).parents[1]
REPEATS = 3
PHASES = ("startup", "warm_up", "train", "eval", "teardown", "outside_budget")

Run = Callable[[Level], Outcome]


def main() -> None:
    """Print the table."""
    best, why = probe_level()
    if why:
        print(f"no strict level here: {why}")
    print(" " * 20 + "".join(f"{phase:>15}" for phase in PHASES) + "   (seconds)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for title, run in (("bundled", bundled(folder)), ("scripted", scripted(folder))):
            for level in Level if best is Level.STRICT else (Level.BASIC,):
                outcomes = [run(level) for _ in range(REPEATS + 1)][1:]
                row = (statistics.median(seconds(each, phase) for each in outcomes)
                       for phase in PHASES)  # fmt: skip
                cells = "".join(f"{value:15.3f}" for value in row)
                print(f"{f'{title}, {level}':20}{cells}", flush=True)


def seconds(outcome: Outcome, phase: str) -> float:
    """One figure of an outcome that must have gone well."""
    if outcome.status is not OutcomeStatus.DONE:
        raise SystemExit(f"{outcome.status}: {outcome.reason}\n{outcome.log}")
    return float(getattr(outcome.timings, phase))


def bundled(folder: Path) -> Run:
    """Trials of train_template/train.py on the standard library's text."""
    preset = yaml.safe_load((ROOT / "configs" / "local.yaml").read_text())
    argv = [sys.executable, "-P", "-m", "train_template.prepare", "--out", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.check_output(
        [*argv, "--spec", json.dumps({"source": "stdlib", "tokenizer": "bytes"})], env=environment
    )
    data = Path(json.loads(said.splitlines()[-1])["folder"])
    source = (ROOT / "train_template" / "train.py").read_text()
    tokens = (data / "validation.bin").read_bytes()
    files = edit_constants({"train.py": source}, preset["task"]["constants"])

    def run(level: Level) -> Outcome:
        trial = Trial(
            *(1, 1, 1, 1, 0, files, "", "", Budget(seconds=3.0), Resources(), preset["data"]),
            sandbox=level.value,
        )
        return run_trial(trial, task=ROOT, data=data, exam=lambda: tokens, report=lambda _: None)

    return run


def scripted(folder: Path) -> Run:
    """Trials of a script without torch."""
    task, data = task_folder(folder), data_folder(folder)

    def run(level: Level) -> Outcome:
        trial = scripted_trial("honest()", sandbox=level.value)
        return run_trial(trial, task=task, data=data, exam=exam, report=lambda _: None)

    return run


if __name__ == "__main__":
    main()
