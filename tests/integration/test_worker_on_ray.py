"""Trials on a real Ray with four fake GPUs."""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.exceptions import TaskCancelledError

from tests.fixtures.candidates import (
    ROOT,
    data_folder,
    exam,
    lingering,
    scripted_trial,
    task_folder,
)
from tests.fixtures.processes import command
from workers import OutcomeStatus, Phase, Progress, Resources
from workers.bundle import Cache, pack
from workers.remote import Shipment, receive, ship, split_data, submit
from workers.sandbox import Level, probe_level

Shipments = tuple[Shipment, Shipment, Shipment]
LEVELS = [Level.STRICT, Level.BASIC] if probe_level()[0] is Level.STRICT else [Level.BASIC]


@pytest.fixture(scope="module")
def shipments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipments]:
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
    packed = data_folder(folder)
    (packed / "validation.bin").write_bytes(exam())
    (packed / "audit.bin").write_bytes(b"audit")
    data, tokens = split_data(packed)
    yield (
        ship(pack(task_folder(folder, prestart=True) / "train_template")),
        ship(data),
        ship(tokens),
    )
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
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_four_trials_run_at_once_each_on_its_own_gpu(
    shipments: Shipments, sink: Any, tmp_path: Path
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
    trials = [
        # At the strict level no trial could see what another one writes.
        scripted_trial(script, number=n, resources=gpu, startup_seconds=90, sandbox="basic")
        for n in range(4)
    ]
    outcomes = ray.get([submit(trial, *shipments, sink) for trial in trials])
    assert [o.status for o in outcomes] == [OutcomeStatus.DONE] * 4
    assert sorted(o.gpu_ids for o in outcomes) == [("0",), ("1",), ("2",), ("3",)]
    wait_until(lambda: ray.get(sink.of.remote(3)) == list(Phase))


def test_a_cancel_kills_the_whole_tree(shipments: Shipments, sink: Any) -> None:
    seconds = mark()

    running = submit(scripted_trial(sleeping_script(seconds), seconds=600), *shipments, sink)
    wait_until(lambda: bool(sleepers(seconds)))
    ray.cancel(running)
    with pytest.raises(TaskCancelledError):
        ray.get(running)
    wait_until(lambda: not sleepers(seconds))


@pytest.mark.skipif(Level.STRICT not in LEVELS, reason="at the basic level there is none")
def test_a_worker_keeps_a_process_for_its_next_trial_and_ends_with_it(
    shipments: Shipments,
) -> None:
    every = Resources(cpus=4)  # so that one worker gets both
    first, second = (
        replace(
            scripted_trial("import os\nprint(os.getpid())\nhonest()", resources=every),
            prestart=True,
        )
        for _ in range(2)
    )
    ray.get(submit(first, *shipments))
    wait_until(lambda: bool(spares_of([psutil.Process()])))
    spares = spares_of([psutil.Process()])
    outcome = ray.get(submit(second, *shipments))
    assert (outcome.status, outcome.log) == (OutcomeStatus.DONE, "2\n")
    assert not any(is_alive(process) for process in spares)


def test_a_bundle_that_is_in_the_cache_is_not_fetched(shipments: Shipments, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    data = shipments[1]
    folder = receive(data, cache)
    assert receive(Shipment(data.hash, data.name, ref=None), cache) == folder


def test_a_bundle_that_does_not_arrive_makes_the_trial_lost(
    shipments: Shipments,
) -> None:
    task, data, tokens = shipments
    forged_data = Shipment("0" * 64, "data", data.ref)
    forged_exam = Shipment("0" * 64, "exam", tokens.ref)
    for parcels in ((task, forged_data, tokens), (task, data, forged_exam)):
        outcome = ray.get(submit(scripted_trial("honest()"), *parcels))
        assert outcome.status is OutcomeStatus.LOST
        assert "did not arrive" in outcome.reason


def test_the_exam_never_lies_in_a_nodes_cache(shipments: Shipments) -> None:
    outcome = ray.get(submit(scripted_trial("honest()"), *shipments))
    assert outcome.status is OutcomeStatus.DONE
    cache = Path(ray.get_runtime_context().runtime_env["env_vars"]["AUTORESEARCH_CACHE"])
    assert {path.name for path in cache.rglob("*.bin")} == {"train.bin"}


def mark() -> int:
    """Seconds to sleep that only one test uses, so that its own processes can be told."""
    return random.randrange(10**7, 10**8)


def sleepers(seconds: int) -> list[psutil.Process]:
    """The living processes `sleep SECONDS`."""
    wanted = ["sleep", str(seconds)]
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == wanted]


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead: its memory, its files and its device are given back."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def spares_of(workers: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes below these that were started for a trial that is not there yet."""
    below = [process for worker in workers for process in worker.children(recursive=True)]
    return [process for process in below if "-m train_template.spare" in command(process)]


def sleeping_script(seconds: int) -> str:
    """Trains for ever, beside a daemon in a session of its own."""
    return (
        "import subprocess, time\ngo()\n"
        f"subprocess.Popen(['sleep', '{seconds}'], start_new_session=True)\ntime.sleep(600)"
    )


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # Ray starts short-lived ones
        return ""


def worker_of(process: psutil.Process) -> psutil.Process:
    """The Ray worker above a process of a trial."""
    return next(above for above in process.parents() if name_of(above).startswith("ray::"))


# A trial at each level in each phase that lasts, all at once. Who waits in the exam has a referee.
PHASES = ("startup", "train", "eval")


def everywhere(seconds: int) -> list[tuple[str, str]]:
    """Scripts and levels of those trials, each with a daemon in a session of its own."""
    daemon = f"import subprocess\nsubprocess.Popen(['sleep', '{seconds}'], start_new_session=True)"
    return [(lingering(phase, daemon), level.value) for phase in PHASES for level in LEVELS]


def test_nothing_of_a_trial_is_alive_half_a_second_after_its_worker_was_killed(
    shipments: Shipments,
) -> None:
    seconds = mark()
    half = Resources(cpus=0.5)
    trials = [
        replace(
            scripted_trial(
                script,
                seconds=600,
                startup_seconds=600,
                eval_seconds=600,
                sandbox=level,
                resources=half,
            ),
            prestart=True,
        )
        for script, level in everywhere(seconds)
    ]
    running = [submit(trial, *shipments) for trial in trials]
    wait_until(lambda: len(sleepers(seconds)) == len(trials))
    workers = {worker_of(process) for process in sleepers(seconds)}
    # One of them is in its exam, and holds a process for its successor.
    wait_until(lambda: Level.STRICT not in LEVELS or bool(spares_of(workers)))
    trees = [process for worker in workers for process in worker.children(recursive=True)]
    for worker in workers:
        worker.kill()
    time.sleep(0.5)
    assert [process for process in trees if is_alive(process)] == []
    for ref in running:
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(ref)


DRIVER = """
import ray
from dataclasses import replace
from pathlib import Path
from tests.fixtures.candidates import exam, data_folder, scripted_trial, task_folder
from workers.bundle import pack
from workers.remote import ship, split_data, submit

folder = Path({folder!r})
ray.init(num_cpus=len({trials!r}), include_dashboard=False, object_store_memory=80 * 1024 * 1024,
         runtime_env={{"env_vars": {{"PYTHONPATH": {root!r},
                                   "AUTORESEARCH_CACHE": str(folder / "cache")}}}})
packed = data_folder(folder)
(packed / "validation.bin").write_bytes(exam())
data, tokens = split_data(packed)
task = pack(task_folder(folder, prestart=True) / "train_template")
parcels = ship(task), ship(data), ship(tokens)
ray.get([submit(replace(scripted_trial(script, number=n, seconds=600, startup_seconds=600,
                                       eval_seconds=600, sandbox=level), prestart=True), *parcels)
         for n, (script, level) in enumerate({trials!r})])
"""


@pytest.mark.parametrize("victim", ["driver", "raylet", "gcs_server"])
def test_nothing_of_a_trial_is_alive_five_seconds_after_a_part_of_local_ray_was_killed(
    victim: str, tmp_path: Path
) -> None:
    seconds = mark()
    trials = everywhere(seconds)
    if len(LEVELS) > 1:  # each phase and each level, not all of both
        trials = [trials[0], trials[3], trials[4]]
    program = DRIVER.format(folder=str(tmp_path), root=str(ROOT), trials=trials)
    driver = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    every = [psutil.Process(driver.pid)]
    try:
        wait_until(lambda: len(sleepers(seconds)) == len(trials))
        every += every[0].children(recursive=True)
        workers = {worker_of(process) for process in sleepers(seconds)}
        wait_until(lambda: Level.STRICT not in LEVELS or bool(spares_of(workers)))
        trees = [process for worker in workers for process in worker.children(recursive=True)]
        named = {name_of(process): process for process in every} | {"driver": every[0]}
        named[victim].kill()
        limit = time.monotonic() + 5
        while alive := [process for process in (*trees, *workers) if is_alive(process)]:
            assert time.monotonic() < limit, alive
            time.sleep(0.05)
    finally:
        for process in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        driver.wait()
