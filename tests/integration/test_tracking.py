"""Trackers beside a running study: real processes that send, hang, are killed and go on."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scheduler.rules.policy import Policy
from scheduler.study.config_file import load_config
from scheduler.study.folder import StudyFolder
from scheduler.study.store import Store
from scheduler.tracking import Tracking
from tests.fixtures.candidates import ROOT
from tests.synthetic import Course, World, make_study

WAIT_SECONDS = 60.0  # for a process to start on a machine with other work

DRIVER = """
import asyncio, sys
from pathlib import Path
from scheduler.tracking import Tracking

async def drive():
    async with Tracking(Path(sys.argv[1]), ["tensorboard"], say=print) as tracking:
        print(tracking._running["tensorboard"][0].pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(drive())
"""


@pytest.fixture
def said() -> list[str]:
    return []


def sent(folder: Path) -> list[int]:
    """The trials that TensorBoard has by its ledger, as often as they stand in it."""
    ledgers = folder.glob("tracked/tensorboard/sent-*.txt")
    return [int(line) for path in ledgers for line in path.read_text().split()]


def events(folder: Path) -> dict[Path, int]:
    """Its files of events, with the time at which each was written."""
    paths = folder.glob("tracked/tensorboard/*/trial-*/*")
    return {path: path.stat().st_mtime_ns for path in paths}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A study in virtual time that goes on when it is told to."""
    folder = StudyFolder(tmp_path / "night1")
    folder.create(load_config("local", [], {}), "")
    store = Store(folder.database)
    course = Course(Policy(max_experiments=12, failures_in_row=100, seed=2), store)
    made = World(course, random.Random(2), losses=0.0)
    made.open(2)
    yield made
    store.close()


def go_on(world: World, decided: int) -> None:
    """Let things happen until so many experiments are decided."""
    store = world.course.store
    assert store is not None
    while True:
        (count,) = store._db.execute(
            "SELECT count(*) FROM experiment WHERE decided_at IS NOT NULL"
        ).fetchone()
        if count >= decided:
            return
        assert world.happen()


def decided_trials(world: World) -> set[int]:
    """The trials with an outcome whose experiment is decided."""
    assert world.course.store is not None
    rows = world.course.store._db.execute(
        "SELECT outcome.trial FROM outcome JOIN trial ON trial.id = outcome.trial"
        " JOIN experiment ON experiment.id = experiment WHERE decided_at IS NOT NULL"
    )
    return {row[0] for row in rows}


def test_what_is_decided_while_the_study_runs_is_sent_then(
    world: World, tmp_path: Path, said: list[str]
) -> None:
    folder = tmp_path / "night1"
    go_on(world, 3)

    async def session() -> None:
        async with Tracking(folder, ["tensorboard"], say=said.append):
            await until(lambda: set(sent(folder)) == decided_trials(world))
            early = set(sent(folder))
            go_on(world, 7)
            await until(lambda: set(sent(folder)) == decided_trials(world))
            assert early < set(sent(folder))
            go_on(world, 10)  # the last ones are sent at the end

    asyncio.run(session())
    assert sorted(sent(folder)) == sorted(decided_trials(world))
    assert len(events(folder)) == len(sent(folder))
    assert said == []


def test_one_that_hangs_is_ended_and_the_next_session_sends_the_rest(
    tmp_path: Path, said: list[str]
) -> None:
    folder = make_study(tmp_path / "night1", experiments=5, seed=3)

    async def session(*, hang: bool) -> None:
        async with Tracking(
            folder, ["tensorboard"], say=said.append, last_seconds=0.5 if hang else WAIT_SECONDS
        ) as tracking:
            process = psutil.Process(tracking._running["tensorboard"][0].pid)
            if hang:
                process.suspend()
        assert not process.is_running()

    asyncio.run(session(hang=True))
    assert len(said) == 1
    assert f"autoresearch export -s {folder} --format tensorboard" in said[0]
    said.clear()
    asyncio.run(session(hang=False))
    assert len(sent(folder)) == len(set(sent(folder))) == len(events(folder)) > 5
    written = events(folder)
    asyncio.run(session(hang=False))
    assert events(folder) == written
    assert said == []


def test_its_drivers_death_ends_it(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "night1", experiments=3, seed=3)
    command = [sys.executable, "-c", DRIVER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        process = psutil.Process(int(driver.stdout.readline()))
        os.kill(driver.pid, signal.SIGKILL)
    limit = time.monotonic() + WAIT_SECONDS
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert len(sent(folder)) >= 4, "what was left is sent before that"


def test_a_server_that_is_down_is_told_of_and_holds_nothing_up(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cretive@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = make_study(tmp_path / "night1", experiments=3, seed=3)

    async def session() -> None:
        async with Tracking(folder, ["mlflow"], say=said.append):
            await until(lambda: bool(said))

    asyncio.run(session())
    assert said[0].startswith("mlflow: ")
    assert "tried again" in said[0]
    assert "--format mlflow" in said[1]
    assert "s3cretive" not in "".join(said)
    assert not any(path.read_text() for path in folder.glob("tracked/mlflow/sent-*.txt"))
