"""A study whose disk is full, at its start or later: a real file system of sixteen megabytes."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from tests.fixtures.books import check_books
from tests.fixtures.candidates import ROOT
from tests.fixtures.cluster import cluster_environment
from tests.fixtures.processes import command, wait_for
from tests.fixtures.scripted_study import metric_of

pytestmark = pytest.mark.timeout(900)

MEGABYTES = 16  # SQLite's log alone grows to 4 before it is merged, and each experiment adds 22 KB
ENDING_SECONDS = 200  # Ray alone takes five on an idle machine, and many times that on a busy one
WAITING = "waiting: there is no room on the disk"
LOCAL = ("workers.gpus_per_trial=0", "workers.cpus_per_trial=1", "workers.slots=2")


class Disk:
    """A small file system that only its own mount namespace sees."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        mount = (
            f"mount -t tmpfs -o size={MEGABYTES}m none {folder} && echo mounted && exec sleep 900"
        )
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mount],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no file system can be mounted here: {self._holder.stderr.read().strip()}")
        self.inside = ["nsenter", "--target", str(self._holder.pid), "--mount"]
        self.folder = Path(f"/proc/{self._holder.pid}/root{folder}")  # as seen from out here

    def fill(self) -> None:
        with (self.folder / "filler").open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    def clear(self) -> None:
        (self.folder / "filler").unlink()

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("unshare and nsenter are not installed here")
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


class Driver:
    """One run of a study on that disk, and what it says."""

    def __init__(self, disk: Disk, folder: Path, *overrides: str) -> None:
        self._said = folder / "said"
        study, scratch = folder / "disk" / "study", folder / "scratch"
        scratch.mkdir(exist_ok=True)
        module = [sys.executable, "-m", "tests.fixtures.scripted_study"]
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [*disk.inside, *module, str(study), str(scratch), *LOCAL, *overrides],
                env=dict(os.environ),
                stdout=said,
                stderr=said,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    @property
    def decided(self) -> int:
        return len(re.findall(r"  #\d+ +(keep|discard)", self.said))

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until it holds; the run has to go on meanwhile."""
        wait_for(lambda: condition() or self.process.poll() is not None, 100, f"{what}: {self}")
        assert condition(), f"{what}: {self}"

    def wait_for_decisions(self, more: int) -> None:
        before = self.decided
        self.wait(lambda: self.decided >= before + more, f"{more} decisions")

    def end(self) -> int:
        """Wait for it; its exit code."""
        try:
            return self.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it goes on: {self}") from None

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def results(self) -> psutil.Process | None:
        """The results actor's process, once it has its name."""
        for each in psutil.Process(self.process.pid).children(recursive=True):
            if command(each).startswith("ray::Results"):
                return each
        return None

    def __str__(self) -> str:
        return self.said


@pytest.fixture
def start(disk: Disk, tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    started: list[Driver] = []

    def start(*overrides: str) -> Driver:
        started.append(Driver(disk, tmp_path, *overrides))
        return started[-1]

    with cluster_environment(tmp_path):
        yield start
        for driver in started:
            driver.process.kill()
            driver.process.wait()


@pytest.fixture
def look(disk: Disk, tmp_path: Path) -> Callable[[], StudyFolder]:
    """A copy of the study that nobody writes to: SQLite would leave the mount namespace."""
    numbers = itertools.count()

    def look() -> StudyFolder:
        copy = tmp_path / f"look-{next(numbers)}"
        shutil.copytree(disk.folder / "study", copy)
        return StudyFolder(copy)

    return look


def begun(folder: StudyFolder) -> int:
    with Reader(folder.database) as reader:
        return sum(e.parent is not None for e in reader.experiments())


def test_a_full_disk_pauses_a_study_and_costs_it_nothing(
    disk: Disk, start: Callable[..., Driver], look: Callable[[], StudyFolder]
) -> None:
    driver = start("stop.max_experiments=1000")
    driver.wait_for_decisions(3)
    disk.fill()
    driver.wait(lambda: "study paused: there is no room on the disk" in driver.said, "a pause")
    disk.clear()
    driver.wait_for_decisions(3)
    assert driver.said.rindex("study running") > driver.said.index("study paused")

    # Its results actor is killed while the disk is full.
    disk.fill()
    driver.wait(
        lambda: driver.said.rindex("study paused") > driver.said.rindex("study running"), "a pause"
    )
    before = driver.results()
    assert before is not None
    before.kill()
    driver.wait(lambda: driver.results() not in (None, before), "another results actor")
    disk.clear()
    driver.wait_for_decisions(3)

    # Whoever does not want to wait for room ends it.
    disk.fill()
    driver.wait(
        lambda: driver.said.rindex("study paused") > driver.said.rindex("study running"), "a pause"
    )
    driver.interrupt()
    driver.wait(lambda: "Ctrl-C again cuts them short" in driver.said, "an answer to a signal")
    driver.interrupt()
    assert driver.end() in (1, 130), driver.said
    disk.clear()
    study = look()
    check_books(study, metric_of, settled=False)

    driver = start(f"stop.max_experiments={begun(study) + 2}")
    assert driver.end() == 0, driver.said
    check_books(look(), metric_of)


def test_a_study_is_started_and_resumed_once_its_disk_has_room(
    disk: Disk, start: Callable[..., Driver], look: Callable[[], StudyFolder]
) -> None:
    disk.fill()
    driver = start("stop.max_experiments=1000")
    driver.wait(lambda: WAITING in driver.said, "a new study to wait")
    disk.clear()
    driver.wait_for_decisions(2)
    assert driver.said.count(WAITING) == driver.said.count("there is room again") == 1
    driver.interrupt()
    assert driver.end() == 130, driver.said
    study = look()

    disk.fill()
    driver = start("stop.max_experiments=1000")
    driver.wait(lambda: WAITING in driver.said, "a resumed study to wait")
    driver.interrupt()
    assert driver.end() == 130, driver.said

    # This time the configuration is to be written too.
    driver = start(f"stop.max_experiments={begun(study) + 2}")
    driver.wait(lambda: WAITING in driver.said, "a resumed study to wait")
    disk.clear()
    assert driver.end() == 0, driver.said
    check_books(look(), metric_of)


def test_a_results_actor_that_finds_no_room_opens_the_study_later(
    disk: Disk, tmp_path: Path
) -> None:
    module = [sys.executable, "-m", "tests.fixtures.late_opening"]
    asked = subprocess.Popen(
        [*disk.inside, *module, str(tmp_path / "disk")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    asking, answers = asked.stdin, asked.stdout
    assert asking is not None
    assert answers is not None

    def ask() -> str:
        asking.write("\n")
        asking.flush()
        return answers.readline().strip()

    assert answers.readline() == "ready\n"
    disk.fill()
    assert ask().startswith("StudyFull: there is no room on the disk of")
    assert ask().startswith("StudyFull: there is no room on the disk of")
    disk.clear()
    assert ask() == "stopped"  # as its last driver left it
    assert asked.wait(20) == 0
