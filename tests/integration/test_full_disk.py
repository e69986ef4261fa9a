"""A study whose disk fills up while it runs: a real file system of a few megabytes, really full."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from tests.fixtures.books import check_books
from tests.fixtures.cluster import cluster_environment
from tests.fixtures.processes import wait_for
from tests.fixtures.scripted_study import metric_of

MEGABYTES = 4
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


@pytest.fixture
def start(disk: Disk, tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    started: list[subprocess.Popen[bytes]] = []

    def start(*overrides: str) -> "subprocess.Popen[bytes]":
        driver = [sys.executable, "-m", "tests.fixtures.scripted_study"]
        study = str(tmp_path / "disk" / "study")
        with (tmp_path / "said").open("wb") as said:
            process = subprocess.Popen(
                [*disk.inside, *driver, study, str(scratch), *LOCAL, *overrides],
                env=dict(os.environ),
                cwd=Path.cwd(),
                stdout=said,
                stderr=said,
            )
        started.append(process)
        return process

    with cluster_environment(tmp_path):
        yield start
        for process in started:
            process.kill()
            process.wait()


def test_a_full_disk_pauses_a_study_and_costs_it_nothing(
    disk: Disk, start: Callable[..., "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    def said() -> str:
        return (tmp_path / "said").read_text()

    def decided() -> int:
        return len(re.findall(r"  #\d+ +(keep|discard)", said()))

    def look(name: str) -> StudyFolder:
        """A copy of the study that nobody writes to: SQLite would leave the mount namespace."""
        shutil.copytree(disk.folder / "study", tmp_path / name)
        return StudyFolder(tmp_path / name)

    def wait(condition: Callable[[], object], what: str) -> None:
        wait_for(lambda: condition() or driver.poll() is not None, 100, f"{what}: {said()}")
        assert condition(), f"{what}: {said()}"

    driver = start("stop.max_experiments=1000")
    wait(lambda: decided() >= 3, "the first experiments")
    disk.fill()
    wait(lambda: "study paused" in said() and "no room on the disk" in said(), "a pause")
    before = decided()
    disk.clear()
    wait(lambda: decided() >= before + 3, "the study to go on")
    assert said().rindex("study running") > said().index("study paused")

    # Whoever does not want to wait for room ends it.
    disk.fill()
    wait(lambda: said().rindex("study paused") > said().rindex("study running"), "another pause")
    driver.send_signal(signal.SIGINT)
    wait(lambda: "Ctrl-C again cuts them short" in said(), "an answer to the first signal")
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) in (1, 130), said()
    disk.clear()
    study = look("when it was ended")
    check_books(study, metric_of, settled=False)

    with Reader(study.database) as reader:
        begun = sum(e.parent is not None for e in reader.experiments())
    driver = start(f"stop.max_experiments={begun + 2}")
    assert driver.wait(120) == 0, said()
    check_books(look("at its end"), metric_of)
