"""Studies on a cluster whose nodes come, go and are lost, and that several of them share."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import ray

from scheduler.cluster import RayResults
from scheduler.errors import UsageError
from scheduler.loop import Loop
from scheduler.rules.states import ExperimentState, StopReason, TrialState
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.records import Study
from tests.fixtures.books import check_books
from tests.fixtures.cluster import Nodes, cluster_environment, marked, workers_of
from tests.fixtures.lab import Gate, Lab
from tests.fixtures.processes import command, wait_for
from tests.fixtures.scripted_study import metric_of

Meanwhile = Callable[[RayResults, Loop], None]
pytestmark = [pytest.mark.whole_machine, pytest.mark.timeout(500)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("cluster")
    with cluster_environment(folder):
        nodes = Nodes(head_gpus=1)
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
        ray.shutdown()


@pytest.fixture
def lab(nodes: Nodes, tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def scripts(count: int, seconds: float) -> list[str]:
    return [f"import time; time.sleep({seconds}); honest({1 + n / 100})" for n in range(count)]


def held(lab: Lab, count: int) -> list[str]:
    """Candidates that run until the lab's gate opens."""
    return [lab.gate.script(1 + n / 100) for n in range(count)]


def running(lab: Lab) -> list[int]:
    """The experiments whose trials run, but for the baseline."""
    with suppress(UsageError), lab.reader() as reader:
        return [t.experiment for t in reader.running_trials() if t.experiment > 0]
    return []  # it is being made


def decided(reader: Reader) -> int:
    return sum(e.state.is_final for e in reader.experiments())


def run(lab: Lab, edits: list[str], meanwhile: Meanwhile) -> Study:
    settings = (f"agent.proposals_per_call={len(edits)}", Gate.VISIBLE)
    study = lab.run(edits, *settings, meanwhile=meanwhile)
    check_books(lab.folder)
    return study


def test_a_node_that_joins_gets_work_and_one_that_is_drained_gets_none(
    lab: Lab, nodes: Nodes
) -> None:
    seen: list[int] = []

    def meanwhile(_: RayResults, loop: Loop) -> None:
        wait_for(lambda: len(running(lab)) == 1, what="the head's slot")
        node = nodes.join(2)
        joined = time.monotonic()
        wait_for(lambda: len(running(lab)) == 3, what="the new node's slots")
        wait_for(lambda: len(workers_of(node, "ray::trial-")) == 2)
        print(f"work on the new node after {time.monotonic() - joined:.1f} s")
        nodes.drain(node)
        with lab.reader() as reader:
            wait_for(lambda: reader.study().slots == 1, what="the slots of a node that is leaving")
            wait_for(lambda: not workers_of(node, "ray::trial-"), what="the trials there to end")
            enough = decided(reader) + 4
            while decided(reader) < enough:
                seen.append(len(workers_of(node, "ray::trial-")))
        loop.drain()

    lab.run(scripts(60, 1.0), "agent.proposals_per_call=60", meanwhile=meanwhile)
    check_books(lab.folder, settled=False)
    assert seen
    assert not any(seen)
    with lab.reader() as reader:
        ended = {t.state for t in reader.trials()}
    assert ended == {TrialState.DONE, TrialState.PLANNED}, "a trial was cut short"


def test_a_lost_nodes_trial_goes_first_and_is_not_counted_as_a_crash(
    lab: Lab, nodes: Nodes
) -> None:
    lost: list[int] = []

    def meanwhile(_: RayResults, __: Loop) -> None:
        node = nodes.join(1)
        wait_for(lambda: len(running(lab)) == 2)
        wait_for(lambda: len(workers_of(node, "ray::trial-")) == 1)
        (worker,) = workers_of(node, "ray::trial-")
        with lab.reader() as reader:
            trial = reader.trial(int(worker.rpartition("-")[2]))
        assert trial is not None
        lost.append(trial.experiment)
        nodes.kill(node)
        lab.gate.open()

    run(lab, held(lab, 6), meanwhile)
    (experiment,) = lost
    with lab.reader() as reader:
        first, second = reader.trials(experiment)
        assert (first.state, second.state) == (TrialState.LOST, TrialState.DONE)
        found = reader.experiment(experiment)
        assert found is not None
        assert found.metric is not None
        waited = [
            t.assigned_at
            for t in reader.trials()
            if t.assigned_at is not None
            and first.ended_at is not None
            and t.assigned_at > first.ended_at
        ]
    assert second.assigned_at == min([second.assigned_at or 0.0, *waited])


def test_what_takes_its_worker_down_twice_is_set_aside_as_a_crash(lab: Lab, nodes: Nodes) -> None:
    def meanwhile(_: RayResults, __: Loop) -> None:
        for losses in (0, 1):
            wait_for(lambda n=losses: of_experiment(lab, 1, TrialState.LOST) == n)  # type: ignore[misc]
            wait_for(lambda: 1 in running(lab), what="it runs")
            with lab.reader() as reader:
                trial = next(t.id for t in reader.running_trials() if t.experiment == 1)
            wait_for(lambda t=trial: kill_worker(f"ray::trial-{t}"))  # type: ignore[misc]
        lab.gate.open()

    run(lab, [*held(lab, 1), *scripts(2, 0.1)], meanwhile)
    with lab.reader() as reader:
        poison, *others = [e for e in reader.experiments() if e.id > 0]
    assert poison.state is ExperimentState.CRASH
    assert "its worker was lost 2 times" in poison.reason
    assert poison.metric is None
    assert all(e.metric is not None for e in others)


def of_experiment(lab: Lab, experiment: int, state: TrialState) -> int:
    with lab.reader() as reader:
        return sum(t.state is state for t in reader.trials(experiment))


def kill_worker(name: str) -> bool:
    """One of this cluster's: another study on the machine may run a trial of the same number."""
    found = [process for process in marked() if command(process).strip() == name]
    for process in found:
        process.kill()
    return bool(found)


# ---- several studies ------------------------------------------------------------------------


@pytest.fixture
def start(nodes: Nodes, tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *overrides: str) -> "subprocess.Popen[str]":
        scratch = tmp_path / f"{name}-scratch"
        scratch.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.fixtures.scripted_study"),
                *(str(tmp_path / name), str(scratch), *overrides),
            ],
            env={**os.environ, "RAY_ADDRESS": nodes.address},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def slots(folder: StudyFolder) -> int:
    with suppress(UsageError), Reader(folder.database) as reader:
        return reader.study().slots
    return -1  # it is being made


def test_studies_share_a_cluster_and_each_is_held_by_one_driver(
    nodes: Nodes, start: Any, tmp_path: Path
) -> None:
    nodes.join(3)  # four slots in all
    one, two = StudyFolder(tmp_path / "one"), StudyFolder(tmp_path / "two")
    first = start("one")
    wait_for(lambda: slots(one) == 4, what="alone, it has all")
    second = start("two")
    wait_for(lambda: (slots(one), slots(two)) == (2, 2), what="an even share")

    intruder = start("one")
    _, words = intruder.communicate(timeout=90)
    assert intruder.returncode == 2
    assert f"is being run by process {first.pid} on {os.uname().nodename}" in words

    second.kill()  # its share falls back, and its lock does not outlive it
    wait_for(lambda: slots(one) == 4, what="the share of one that was killed")
    second = start("two", "workers.priority=1", "workers.slots=3")
    wait_for(lambda: (slots(one), slots(two)) == (1, 3), what="who is more important goes first")
    for process in (first, second):
        process.terminate()
        assert process.wait(150) == 130
    for folder in (one, two):
        check_books(folder, metric_of, settled=False)
    wait_for(lambda: set(nodes.living_actors()) == {"Shares"})


def test_a_study_without_an_address_takes_nobodys_cluster(nodes: Nodes) -> None:
    """Ray itself would join the last one that was started on the machine."""
    look = (
        "import ray; from scheduler.nodes import connect;"
        "print(connect().local, ray.cluster_resources().get('GPU', 0))"
    )
    said = subprocess.run(
        [sys.executable, "-c", look],
        env={k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert said.stdout.split()[0] == "True", said.stderr[-2000:]


# ---- a network that is down for a while -----------------------------------------------------

CUT_SECONDS = 30.0


@pytest.mark.parametrize("mute", ["raylet", "gcs_server"])
def test_a_cut_of_half_a_minute_costs_a_study_nothing(lab: Lab, nodes: Nodes, mute: str) -> None:
    """Stopped, it neither answers nor asks, as when the network is down before it."""
    seen: list[int] = []

    def meanwhile(_: RayResults, __: Loop) -> None:
        node = nodes.join(1)
        with lab.reader() as reader:
            wait_for(lambda: decided(reader) >= 6)
        wait_for(lambda: workers_of(node, "ray::trial-"))
        process = nodes.process_of(node, mute)
        process.suspend()
        try:
            with lab.reader() as reader:
                before = decided(reader)
                time.sleep(CUT_SECONDS)
                seen.append(decided(reader) - before)
        finally:
            process.resume()

    study = run(lab, scripts(60, 1.0), meanwhile)
    nodes.kill(nodes.workers[-1])
    print(f"decided while {mute} was mute: {seen}")
    assert study.reason is StopReason.MAX_EXPERIMENTS
    with lab.reader() as reader:
        assert all(e.metric is not None for e in reader.experiments())
        states = Counter(t.state for t in reader.trials())
    assert states == {TrialState.DONE: 61}
