"""Trials on a real Ray with four fake GPUs."""

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.exceptions import TaskCancelledError

from tests.fixtures.candidates import ROOT, data_folder, scripted_trial, task_folder
from workers import Cache, OutcomeStatus, Phase, Progress, Resources, pack
from workers.remote import Shipment, receive, ship, submit


@pytest.fixture(scope="module")
def shipments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shipment, Shipment]]:
    folder = tmp_path_factory.mktemp("ray")
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(
        num_cpus=4,
        num_gpus=4,
        include_dashboard=False,
        object_store_memory=80 * 1024 * 1024,
        log_to_driver=False,
        runtime_env={
            "env_vars": {"PYTHONPATH": str(ROOT), "AUTORESEARCH_CACHE": str(folder / "cache")}
        },
    )
    yield ship(pack(task_folder(folder) / "train_template")), ship(pack(data_folder(folder)))
    ray.shutdown()


@pytest.fixture
def sink(shipments: object) -> Any:
    # Local, so that it travels by value: a worker can't import this test by its name.
    class Sink:
        def __init__(self) -> None:
            self.phases: dict[int, list[str]] = {}

        def progress(self, progress: Progress) -> None:
            phases = self.phases.setdefault(progress.trial, [])
            if progress.phase not in phases:
                phases.append(progress.phase)

        def of(self, trial: int) -> list[str]:
            return self.phases.get(trial, [])

    return ray.remote(num_cpus=0)(Sink).remote()


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_four_trials_run_at_once_each_on_its_own_gpu(
    shipments: tuple[Shipment, Shipment], sink: Any, tmp_path: Path
) -> None:
    # Each waits for the files of all four: alone, none of them could finish.
    script = (
        "import os, time, pathlib\n"
        f"room = pathlib.Path({str(tmp_path)!r})\n"
        "(room / os.environ['CUDA_VISIBLE_DEVICES']).touch()\n"
        "while len(list(room.iterdir())) < 4: time.sleep(0.02)\n"
        "honest()"
    )
    gpu = Resources(gpus=1)
    trials = [scripted_trial(script, number=n, resources=gpu, startup_seconds=90) for n in range(4)]
    outcomes = ray.get([submit(trial, *shipments, sink) for trial in trials])
    assert [o.status for o in outcomes] == [OutcomeStatus.DONE] * 4
    assert sorted(o.gpu_ids for o in outcomes) == [("0",), ("1",), ("2",), ("3",)]
    wait_until(lambda: ray.get(sink.of.remote(3)) == list(Phase))


def test_a_cancel_kills_the_whole_tree(shipments: tuple[Shipment, Shipment], sink: Any) -> None:
    seconds = random.randrange(10**7, 10**8)
    script = (
        "import subprocess, time\ngo()\n"
        f"subprocess.Popen(['sleep', '{seconds}'], start_new_session=True)\ntime.sleep(600)"
    )

    def sleeping() -> bool:
        wanted = ["sleep", str(seconds)]
        return any(p.info["cmdline"] == wanted for p in psutil.process_iter(["cmdline"]))

    running = submit(scripted_trial(script, seconds=600), *shipments, sink)
    wait_until(sleeping)
    ray.cancel(running)
    with pytest.raises(TaskCancelledError):
        ray.get(running)
    wait_until(lambda: not sleeping())


def test_a_bundle_that_is_in_the_cache_is_not_fetched(
    shipments: tuple[Shipment, Shipment], tmp_path: Path
) -> None:
    cache = Cache(tmp_path)
    data = shipments[1]
    folder = receive(data, cache)
    assert receive(Shipment(data.hash, data.name, ref=None), cache) == folder


def test_a_bundle_that_does_not_arrive_makes_the_trial_lost(
    shipments: tuple[Shipment, Shipment],
) -> None:
    forged = Shipment("0" * 64, "data", shipments[1].ref)
    outcome = ray.get(submit(scripted_trial("honest()"), shipments[0], forged))
    assert outcome.status is OutcomeStatus.LOST
    assert "did not arrive" in outcome.reason
