"""A process that is started before its trial runs it as a fresh one would, and is never in the way.

The scripted harness stands behind the real `spare.py`, in real sandboxes; the last claim is about
the real task.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from scheduler.session import gather_materials
from scheduler.study.config_file import load_config
from tests.fixtures.candidates import ROOT, data_folder, exam, scripted_trial, task_folder
from tests.fixtures.processes import alive, command, nothing_left_behind, wait_for
from workers import Outcome, OutcomeStatus, Resources, Trial, spares
from workers.bundle import unpack
from workers.cores import claim_cores, unclaimed
from workers.lasting import Lasting
from workers.sandbox import Level, probe_level
from workers.spares import Spares
from workers.supervisor import run_trial

STRICT, WHY = probe_level()
pytestmark = pytest.mark.skipif(STRICT is not Level.STRICT, reason=WHY)
SHOWS = "import os\nprint(os.getpid(), job['seed'], sorted(os.listdir()))\nhonest()"

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("places")
    return task_folder(folder, prestart=True), data_folder(folder, withheld=("turtle.py",))


@pytest.fixture
def kept() -> Iterator[Spares]:
    with nothing_left_behind():
        one = Spares()
        yield one
        one.close()


@pytest.fixture
def run(places: tuple[Path, Path], kept: Spares) -> Run:
    def run_one(trial: Trial, referee: str = "honest()") -> Outcome:
        return run_trial(
            trial,
            task=places[0],
            data=places[1],
            exam=lambda: exam(referee),
            report=lambda _: None,
            lasting=Lasting(spares=kept),
        )

    return run_one


def waiting(parent: psutil.Process | None = None) -> list[psutil.Process]:
    """The spare programs below a process; not the keepers above them, whose words hold theirs."""
    below = (parent or psutil.Process()).children(recursive=True)
    started = f"{sys.executable} -u -P -X faulthandler -m train_template.spare "
    return [process for process in below if command(process).startswith(started)]


def waits() -> psutil.Process:
    """The spare; on a busy machine it may import for long, and takes its job all the same."""
    wait_for(waiting)
    return waiting()[0]


def test_the_next_trial_runs_in_the_process_that_was_started_for_it(run: Run) -> None:
    assert not run(scripted_trial(SHOWS)).warm
    spare = waits()
    files = {"more/notes.txt": "x"}
    script = "print(open('more/notes.txt').read())\n" + SHOWS
    outcome = run(replace(scripted_trial(script, files=files), seed=9))
    assert outcome.status is OutcomeStatus.DONE, outcome
    assert outcome.warm
    assert outcome.log == "x\n2 9 ['more', 'train.py']\n"
    assert not alive([spare])
    assert waits().pid != spare.pid  # one ran in it: the next has another


def test_it_serves_a_trial_that_failed_as_one_that_did_not(run: Run) -> None:
    assert run(scripted_trial("raise SystemExit(3)")).status is OutcomeStatus.CRASH
    waits()
    again = run(scripted_trial("go()\nraise ValueError('no')"))
    assert again.reason.startswith("ValueError: no (train.py, line 2")


@pytest.mark.parametrize("what", ["the task", "the data", "the GPU", "the threads", "the memory"])
def test_a_spare_that_does_not_fit_gives_way_to_a_cold_start(
    run: Run, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(scripted_trial(SHOWS))
    spare = waits()
    trial = scripted_trial("import os\nprint(os.environ['OMP_NUM_THREADS'])\n" + SHOWS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    other = {
        "the task": replace(trial, task="other"),
        "the data": replace(trial, data="other"),
        "the GPU": replace(trial, resources=Resources(gpus=1)),
        "the threads": replace(trial, resources=Resources(cpus=2)),
        "the memory": replace(trial, resources=Resources(memory_bytes=1_000_000_000)),
    }[what]
    outcome = run(other)
    assert outcome.status is OutcomeStatus.DONE
    assert outcome.log.startswith("2" if what == "the threads" else "1")
    assert not alive([spare])


def test_a_spare_that_died_gives_way_to_a_cold_start(run: Run) -> None:
    run(scripted_trial(SHOWS))
    spare = waits()
    first = spare.parent()  # of its namespace: the worker sees its end
    assert first
    spare.kill()
    wait_for(lambda: not alive([spare, first]))
    assert run(scripted_trial(SHOWS)).status is OutcomeStatus.DONE


def test_a_spare_that_dies_with_its_job_in_hand_is_not_the_candidates_fault(
    run: Run, kept: Spares, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(scripted_trial(SHOWS))
    spare = waits()
    spare.suspend()
    taken = kept.take

    def take(*arguments: object) -> object:
        process = taken(*arguments)  # type: ignore[arg-type]
        spare.kill()
        return process

    monkeypatch.setattr(kept, "take", take)
    outcome = run(scripted_trial(SHOWS))
    assert (outcome.status, outcome.metric) == (OutcomeStatus.LOST, None)


def test_it_knows_no_secret_reads_nothing_withheld_and_reaches_nobody(run: Run) -> None:
    os.environ["SOME_API_KEY"] = "secret"
    try:
        run(scripted_trial(SHOWS))
        spare = waits()
    finally:
        del os.environ["SOME_API_KEY"]
    assert "SOME_API_KEY" not in spare.environ()
    # What a candidate may do in it is what it may do in a fresh one.
    attempts = (
        "import socket, sys, train_template\n"
        "attempt(lambda: __import__('turtle'))\n"
        "attempt(lambda: socket.create_connection(('127.0.0.1', 22)))\n"
        "attempt(lambda: open('/task/x', 'w'))\n"
        f"attempt(lambda: open({str(ROOT / 'README.md')!r}))\n"
        "print(max(int(p) for p in os.listdir('/proc') if p.isdigit()) < 10)\nhonest()"
    )
    warm = run(scripted_trial("import os\n" + attempts))
    assert not alive([spare])
    said = ["ModuleNotFoundError", "ConnectionRefusedError|OSError", "OSError", "FileNotFoundError"]
    lines = warm.log.splitlines()
    assert lines[-1] == "True"
    assert [line in wanted.split("|") for line, wanted in zip(lines, said, strict=False)] == [
        True
    ] * 4


def test_a_running_candidate_can_not_reach_the_spare_that_is_being_made(
    run: Run,
) -> None:
    # It waits in the exam until the referee, which asks late, has let the spare be made.
    script = (
        "import os, time\n"
        "train()\n"
        "assert exam.recv(1) == b'?'\n"
        "time.sleep(1)\n"
        "print([p for p in os.listdir('/proc') if p.isdigit()\n"
        "       and b'spare' in open(f'/proc/{p}/cmdline', 'rb').read()])\n"
        "import mmap, struct\n"
        "mmap.mmap(job['answers'], 16)[:16] = struct.pack('<dd', 1.0, 1.0)\n"
        "exam.sendall(b'!')\nanswer()"
    )
    assert run(scripted_trial(script)).log == "[]\n"
    waits()


def test_at_the_basic_level_there_is_none(run: Run, kept: Spares) -> None:
    assert run(scripted_trial(SHOWS, sandbox="basic")).status is OutcomeStatus.DONE
    kept.close()
    assert waiting() == []


def test_a_spare_that_nobody_takes_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "IDLE_SECONDS", 0.0)
    run(scripted_trial(SHOWS))
    wait_for(lambda: not waiting())


def test_a_spare_goes_when_nobody_is_left_to_send_a_trial(places: tuple[Path, Path]) -> None:
    gone: list[str] = []
    kept = Spares(lambda: "the head is gone" if gone else "")
    trial = scripted_trial(SHOWS)
    run_trial(
        trial,
        task=places[0],
        data=places[1],
        exam=exam,
        report=lambda _: None,
        lasting=Lasting(spares=kept),
    )
    waits()
    gone.append("yes")
    wait_for(lambda: not waiting())


WORKER = """
import sys, time
from pathlib import Path
from tests.fixtures.candidates import exam, scripted_trial
from workers.supervisor import run_trial
from workers.lasting import Lasting
from workers.spares import Spares
kept = Spares()
run_trial(scripted_trial({script!r}), task=Path({task!r}), data=Path({data!r}), exam=exam,
          report=lambda _: None, lasting=Lasting(spares=kept))
print("done", flush=True)
time.sleep(600)
"""


def test_nothing_of_a_spare_is_left_after_its_worker_was_killed(
    places: tuple[Path, Path],
) -> None:
    program = WORKER.format(script=SHOWS, task=str(places[0]), data=str(places[1]))
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "done\n"
        process = psutil.Process(worker.pid)
        wait_for(lambda: waiting(process))
        tree = process.children(recursive=True)
        worker.send_signal(signal.SIGKILL)
        wait_for(lambda: not alive(tree), seconds=5)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no sessions share here")
def test_it_is_made_at_the_lowest_priority_and_used_at_the_usual(run: Run) -> None:
    shows = "print(open('/proc/self/autogroup').read().split()[-1], os.nice(0))"
    run(scripted_trial(SHOWS))
    spare = waits()
    wait_for(lambda: Path(f"/proc/{spare.pid}/autogroup").read_text().endswith("nice 19\n"))
    outcome = run(scripted_trial(f"import os\n{shows}\nhonest()"))
    assert not alive([spare])
    assert outcome.log == f"0 {os.nice(0)}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not pin")
def test_it_is_made_on_the_cores_of_its_slot_and_of_no_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # no other study's slots
    every = os.sched_getaffinity(0)
    with claim_cores(1.0) as neighbours:
        assert neighbours is not None
        assert unclaimed() == every - neighbours
        outcome = run(scripted_trial("import os\nprint(len(os.sched_getaffinity(0)))\nhonest()"))
        spare = waits()
        own = set(spare.cpu_affinity())
        pinned = len(every) > 1  # else its own slot holds no core
        assert own.isdisjoint(neighbours) or not pinned
        assert outcome.log == ("1\n" if pinned else f"{len(every)}\n")
    outcome = run(scripted_trial("import os\nprint(len(os.sched_getaffinity(0)))\nhonest()"))
    assert not alive([spare])
    assert outcome.log == "1\n"


def test_a_warm_trial_gives_the_same_bits_as_a_cold_one(tmp_path: Path) -> None:
    """The real task, on two steps."""
    settings = ["budget.steps=2", "data.validation_tokens=4096", "data.eval_batch_tokens=2048"]
    config = load_config("local", settings, {})
    materials = gather_materials(config)
    packed = materials.packed
    assert packed is not None
    kept = Spares()
    task = unpack(materials.bundles.task, tmp_path).parent

    def run(number: int) -> Outcome:
        trial = Trial(
            id=number,
            experiment=0,
            number=number,
            seed=7,
            slot=0,
            files=materials.baseline.files,
            task=materials.bundles.task.hash,
            data=packed.hash,
            budget=config.trial_budget(),
            resources=config.trial_resources(8_000_000_000, 1),
            settings=config.trial_settings(),
        )
        return run_trial(
            trial,
            task=task,
            data=packed.folder,
            exam=(packed.folder / "validation.bin").read_bytes,
            report=lambda _: None,
            lasting=Lasting(spares=kept),
        )

    try:
        cold = run(1)
        wait_for(waiting)
        spare = waiting()[0]
        warm = run(2)
    finally:
        kept.close()
    assert (cold.status, warm.status) == (OutcomeStatus.DONE, OutcomeStatus.DONE), (cold, warm)
    assert not alive([spare])
    assert (warm.metric, warm.train_loss, warm.device) == (
        cold.metric,
        cold.train_loss,
        cold.device,
    )
