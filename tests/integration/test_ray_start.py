"""What is left of a real trial when parts of a cluster made by `ray start` are killed: nothing.

The study is a real one (`autoresearch run`, torch, both sandboxes), connected to a cluster with a
token, as in a lab. Where Ray runs inside of the driver: test_worker_on_ray.py.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fixtures.candidates import ROOT
from tests.fixtures.lasting_cluster import LastingCluster
from tests.fixtures.processes import alive, command, wait_for

pytestmark = pytest.mark.whole_machine

ENDLESS = [
    *("--config", "local", "--set", "budget.steps=1000000", "--set", "data.sequence_length=32"),
    *("--set", "data.validation_tokens=512", "--set", "data.eval_batch_tokens=512"),
    *("--set", "task.constants.DEPTH=1", "--set", "task.constants.BATCH_TOKENS=64"),
    *("--set", "serve.port=null"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LastingCluster]:
    cluster = LastingCluster({"PYTHONPATH": str(ROOT)})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def driver(cluster: LastingCluster, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler", "run", "./night", *ENDLESS],
        cwd=tmp_path,
        env=cluster.environment | {"PYTHONPATH": str(ROOT), "RAY_ADDRESS": cluster.ray_address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def trees(cluster: LastingCluster) -> dict[psutil.Process, list[psutil.Process]]:
    """The workers that train, each with all that is below it."""
    workers = [p for p in cluster.processes() if command(p).startswith("ray::trial-")]
    below = {worker: worker.children(recursive=True) for worker in workers}
    return {w: tree for w, tree in below.items() if any(is_training(p) for p in tree)}


def is_training(process: psutil.Process) -> bool:
    """Whether it is a candidate that has imported torch and uses its processor."""
    words = command(process)
    is_program = "python" in words.split(" ")[0] and "train_template.harness" in words
    return is_program and process.cpu_times().user > 2.0


@pytest.mark.parametrize(("victim", "seconds"), [("supervisor", 0.5), ("raylet", 5.0)])
def test_nothing_of_a_real_trial_outlives_its_worker_or_its_raylet(
    cluster: LastingCluster, driver: "subprocess.Popen[str]", victim: str, seconds: float
) -> None:
    wait_for(lambda: driver.poll() is not None or trees(cluster), 120, "a trial that trains")
    assert driver.poll() is None, driver.stdout and driver.stdout.read()
    worker, tree = next(iter(trees(cluster).items()))
    if victim == "supervisor":
        worker.kill()
    else:
        tree.append(worker)
        next(p for p in cluster.processes() if "/raylet/raylet " in command(p) + " ").kill()
    limit = time.monotonic() + seconds
    while alive(tree) and time.monotonic() < limit:
        time.sleep(0.02)
    assert [command(p) for p in alive(tree)] == []
