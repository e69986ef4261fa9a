"""The command `autoresearch run`, as a person uses it: real processes, Ray, torch and signals.

Budgets of a few steps on a tiny model: what is tested is the study, not what is learned.
"""

import json
import os
import pty
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from scheduler.errors import NothingYet
from scheduler.rules.states import TrialState
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from tests.fixtures.candidates import ROOT
from tests.fixtures.processes import alive
from tests.synthetic import make_study

TINY = [
    *("--config", "local", "--set", "budget.steps=3", "--set", "data.sequence_length=32"),
    *("--set", "data.validation_tokens=512", "--set", "data.eval_batch_tokens=512"),
    *("--set", "task.constants.DEPTH=1", "--set", "task.constants.BATCH_TOKENS=64"),
    *("--set", "keep.most_seeds=0"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def start(tmp_path: Path, cache: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts the command in an empty folder; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AUTORES"))}
    environment |= {"PYTHONPATH": str(ROOT), "AUTORESEARCH_CACHE": str(cache), "COLUMNS": "200"}

    def start(*arguments: str, terminal: int | None = None) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "scheduler", *arguments]
        output = subprocess.PIPE if terminal is None else terminal
        process = subprocess.Popen(
            command if terminal is None else ["setsid", "--ctty", *command],
            cwd=tmp_path,
            env=environment,
            stdin=terminal,
            stdout=output,
            stderr=output,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@contextmanager
def on_a_terminal() -> Iterator[int]:
    """A terminal that somebody looks at, and closes at the end."""
    ours, theirs = pty.openpty()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            if select.select([ours], [], [], 0.1)[0]:
                with suppress(OSError):  # nobody has it open on the other side yet
                    os.read(ours, 65536)

    person = threading.Thread(target=look)
    person.start()
    yield theirs
    os.close(theirs)
    over.set()
    person.join()
    os.close(ours)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=150)
    return process.returncode, out, err


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    limit = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, "".join(process.communicate())
        assert time.monotonic() < limit
        time.sleep(0.1)


def trials(study: Path, state: TrialState) -> list[int]:
    if not (study / "study.db").exists():
        return []
    with suppress(NothingYet), Reader(study / "study.db") as reader:
        return [t.experiment for t in reader.trials() if t.state is state]
    return []


def trials_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes of the trials that a driver has started."""
    tree = psutil.Process(process.pid).children(recursive=True)
    return [each for each in tree if is_of_a_trial(each)]


def is_of_a_trial(process: psutil.Process) -> bool:
    """Whether it is a candidate or what keeps it."""
    try:
        return "train_template.harness" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_what_is_said_to_do_after_a_baseline_that_failed_works(start: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.py").write_text("RATE = 0.1\nprint('loss:', RATE)\n")
    mended = (
        "task: {source: mine, command: '{python} train.py',"
        " metric: {name: loss, pattern: 'loss: (.+)'}}\n"
        "workers: {gpus_per_trial: 0}\n"
        "budget: {seconds: 5}\n"
    )
    file = tmp_path / "my task.yaml"
    file.write_text(mended.replace("train.py", "tarin.py"))
    options = (
        "--config",
        file.name,
        "--set",
        "stop.max_experiments=1",
        "--set",
        "keep.most_seeds=0",
    )
    code, out, _ = finish(start("run", "mine-study", *options))
    assert code == 1
    assert "the baseline failed" in out
    [told] = [
        line for line in out.splitlines() if line.endswith("try again, once the task is mended")
    ]
    file.write_text(mended)
    program, *words = shlex.split(told.removesuffix("try again, once the task is mended"))
    assert program == "autoresearch"
    code, out, err = finish(start(*words))
    assert (code, err) == (0, ""), out
    assert "stop.max_experiments is reached" in out


def test_a_study_from_nothing_and_its_resume(start: Any, tmp_path: Path) -> None:
    tracked = ["--set", 'track.to=["tensorboard"]']
    code, out, err = finish(start("run", *TINY, *tracked, "--set", "stop.max_experiments=2"))
    assert (code, err) == (0, "")
    for words in ("slots ", "budget  3 steps", "the baseline and 2 experiments", "next:"):
        assert words in out
    study = tmp_path / "studies" / "local"
    for name in ("config.yaml", "program.md", "results.tsv", "progress.png", "best/train.py"):
        assert (study / name).is_file()
    assert not (study / "live.json").exists()
    with Reader(study / "study.db") as reader:
        first = list(reader.experiments())
    assert [e.id for e in first] == [0, 1, 2]
    (runs,) = (study / "tracked" / "tensorboard").glob("local-*")
    events = {path: path.stat().st_mtime_ns for path in runs.glob("trial-*/*")}
    assert len(events) == 3
    assert all(e.metric is not None for e in first)

    code, out, _ = finish(start("run", "--set", "stop.max_experiments=3"))
    assert code == 0
    assert "resumed" in out
    with Reader(study / "study.db") as reader:
        again = list(reader.experiments())
        assert [e.id for e in again] == [0, 1, 2, 3]
        assert again[:3] == first
        assert len(reader.trials()) == 4
    again_events = {path: path.stat().st_mtime_ns for path in runs.glob("trial-*/*")}
    assert len(again_events) == 4
    assert events.items() <= again_events.items(), "what was sent is not sent again"
    code, out, _ = finish(start("status", "--json"))
    assert code == 0
    assert json.loads(out)["study"]["state"] == "stopped"


def test_an_interrupt_drains_and_the_same_command_goes_on(start: Any, tmp_path: Path) -> None:
    study = tmp_path / "night"
    process = start("run", "./night", *TINY, "--set", "stop.max_experiments=500")
    wait_for(lambda: len(trials(study, TrialState.DONE)) >= 1, process)
    process.send_signal(signal.SIGINT)
    code, out, _ = finish(process)
    assert code == 130
    assert "it was interrupted" in out
    assert trials(study, TrialState.RUNNING) == []
    with Reader(study / "study.db") as reader:
        last = max(e.id for e in reader.experiments()) + 1
    code, _, _ = finish(start("run", "./night", "--set", f"stop.max_experiments={last}"))
    assert code == 0
    assert sorted(trials(study, TrialState.DONE)) == list(range(last + 1))


def test_a_killed_driver_leaves_nothing_behind_and_its_study_goes_on(
    start: Any, tmp_path: Path
) -> None:
    study = tmp_path / "night"
    slow = ["--set", "stop.max_experiments=2", "--set", "budget.steps=100000"]
    process = start("run", "./night", *TINY, *slow)
    wait_for(lambda: len(trials(study, TrialState.RUNNING)) >= 1, process)
    wait_for(lambda: len(trials_of(process)) > 0, process)
    tree = trials_of(process)
    process.kill()
    process.communicate()
    limit = time.monotonic() + 20
    while left := alive(tree):
        assert time.monotonic() < limit, left
        time.sleep(0.1)
    interrupted = trials(study, TrialState.RUNNING)
    process = start("run", "./night", "--no-serve")
    wait_for(lambda: sorted(trials(study, TrialState.LOST)) == sorted(interrupted), process)
    wait_for(lambda: set(interrupted) <= set(trials(study, TrialState.RUNNING)), process)
    wait_for(lambda: len(trials_of(process)) > 0, process)
    tree = trials_of(process)
    assert finish(start("run", "./night"))[0] == 2  # a second one is refused
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "draining" in (study / "live.json").read_text(), process)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 130
    assert alive(tree) == []


def test_a_study_goes_on_without_its_terminal_and_obeys_as_before(
    start: Any, tmp_path: Path
) -> None:
    study = tmp_path / "night"
    many = [*TINY, "--no-serve", "--set", "stop.max_experiments=500"]
    with on_a_terminal() as terminal:
        process = start("run", "./night", *many, terminal=terminal)
        wait_for(lambda: len(trials(study, TrialState.DONE)) >= 1, process)
    before = len(trials(study, TrialState.DONE))
    wait_for(lambda: len(trials(study, TrialState.DONE)) >= before + 3, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 130
    assert trials(study, TrialState.RUNNING) == []
    assert "it was interrupted" in finish(start("status", "./night"))[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "budget.secnds=3"], "budget.secnds: unknown key; did you mean budget.seconds"),
        (["--set", "workers.slots=many"], "workers.slots: must be a whole number"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: no such configuration file"),
        (["--program", "nowhere.md"], "--program nowhere.md: No such file"),
        (["--set", "data.source=path", "--set", "data.paths=[nowhere]"], "matches no file"),
        (["--set", "task.constants.NONE=1"], "no such constant at the top of train.py"),
        (["/proc/study"], "can't be written to"),
        (["--set", "workers.gpus_per_trial=64"], "a trial claims 1 CPU and 64 GPU"),
    ],
)
def test_bad_input_is_one_clear_message_and_changes_nothing(
    start: Any, tmp_path: Path, arguments: list[str], words: str
) -> None:
    code, _, err = finish(start("run", *arguments))
    assert code == 2
    assert err.startswith("error: ")
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_its_program_is_not_resumed(start: Any, tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "studies" / "night"))
    folder.program.unlink()
    code, _, err = finish(start("run", "night"))
    assert code == 2
    assert "research directions can't be read" in err


def test_a_port_in_use_is_said_before_anything_starts(start: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = finish(start("run", "--set", f"serve.port={port}"))
    assert code == 2
    assert f"serve.port: can't serve on 127.0.0.1:{port}" in err
    assert list(tmp_path.iterdir()) == []
