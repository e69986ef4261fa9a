"""CUDA in the sandbox, with a driver's library made here that starts as NVIDIA's does.

From version 570 on the driver names its threads when it starts, and gives error 304 where it can't.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.candidates import data_folder, exam, scripted_trial, task_folder
from workers import OutcomeStatus, Resources, cuda, mounts
from workers.launch import best_level, level_for
from workers.sandbox import Level, View, command, probe_level
from workers.supervisor import run_trial

STRICT, WHY = probe_level()
needs_bubblewrap = pytest.mark.skipif(STRICT is not Level.STRICT, reason=WHY)
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is here")
LIBRARY = """
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
static int code;
static void *name_it(void *unused) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%ld/comm", (long)syscall(SYS_gettid));
    int file = open(path, O_WRONLY);
    code = file >= 0 && write(file, "cuda", 4) == 4 ? START : 304;
    return unused;
}
int cuInit(unsigned flags) {
    pthread_t thread;
    pthread_create(&thread, 0, name_it, 0);
    pthread_join(thread, 0);
    return flags ? 1 : code;
}
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    cuda.closed_out.cache_clear()
    yield
    cuda.closed_out.cache_clear()


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with one GPU and this driver; its library's folder."""
    node = tmp_path / "nvidiactl"
    node.touch()
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(cuda, "DRIVER", node)
    monkeypatch.setattr(mounts, "_DEVICES", tmp_path)
    folder = tmp_path / "driver"
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    folder.mkdir()
    return folder


def build(folder: Path, start: int = 0) -> None:
    """The library; `start` is what cuInit answers where nothing hinders it."""
    source = folder / "cuda.c"
    source.write_text(LIBRARY)
    flags = ["-shared", "-fPIC", "-pthread", f"-DSTART={start}"]
    subprocess.run(["cc", *flags, str(source), "-o", str(folder / "libcuda.so.1")], check=True)


@needs_bubblewrap
@needs_compiler
def test_cuda_starts_in_the_sandbox(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(driver)
    monkeypatch.setattr(mounts, "_CUDA_LIBRARIES", (str(driver),))
    assert cuda.gpus_here() == ("0",)
    assert cuda.closed_out(("0",)) == ""
    assert best_level(("0",)) == (Level.STRICT, "")


@needs_bubblewrap
@needs_compiler
def test_where_it_does_not_trials_get_the_basic_level_and_the_strict_one_is_refused(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(driver)
    monkeypatch.setattr(mounts, "_CUDA_LIBRARIES", ())  # the sandbox does not show the library
    level, why = best_level(("0",))
    assert level is Level.BASIC
    assert why.startswith("CUDA does not start in bubblewrap here: ")
    assert "libcuda.so.1" in why
    assert level_for("auto", ("0",)) == (Level.BASIC, why)
    assert level_for("auto") == (Level.STRICT, ""), "a trial without a GPU needs no CUDA"
    with pytest.raises(OSError, match="the strict sandbox is demanded: CUDA does not start"):
        level_for("strict", ("0",))


@needs_bubblewrap
@needs_compiler
def test_a_driver_that_starts_nowhere_is_not_the_sandboxs_fault(driver: Path) -> None:
    build(driver, start=100)
    assert cuda.closed_out(("0",)) == ""


def test_without_a_driver_nothing_is_asked(
    driver: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert driver.is_dir()
    monkeypatch.setattr(cuda, "DRIVER", tmp_path / "none")
    monkeypatch.setattr(subprocess, "run", None)
    assert cuda.closed_out(("0",)) == ""


def test_a_driver_that_does_not_answer_is_asked_again(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert driver.is_dir()
    asked = []

    def run(argv: list[str], **_: object) -> None:
        asked.append(argv)
        raise subprocess.TimeoutExpired(argv, 60)

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        with pytest.raises(OSError, match="CUDA takes more than 60 s to start"):
            cuda.closed_out(("0",))
    assert len(asked) == 2


def test_a_gpu_is_named_by_its_place_among_those_that_are_here(
    driver: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert driver.is_dir()
    devices = tmp_path / "dev"
    devices.mkdir()
    monkeypatch.setattr(mounts, "_DEVICES", devices)
    for number in (2, 3, 11):  # of a larger machine; the driver says nothing of the last
        (devices / f"nvidia{number}").touch()
    (devices / "nvidia-uvm").touch()
    told = tmp_path / "told" / "gpus"
    for place, minor in (("0000:0a:00.0", 3), ("0000:1b:00.0", 2), ("0000:2c:00.0", 0)):
        (told / place).mkdir(parents=True)
        (told / place / "information").write_text(f"Model: H200\nDevice Minor: \t {minor}\n")
    monkeypatch.setattr(mounts, "_DRIVER", tmp_path / "told")
    here = [f"{devices}/nvidia{number}" for number in (3, 2, 11)]
    assert mounts.gpu_nodes() == here
    assert cuda.gpus_here() == ("0", "1", "2")

    def shown(*numbers: str) -> list[str]:
        return [each for each in mounts.gpus(numbers)[1::3] if each.startswith(str(devices))]

    assert shown("1") == [here[1]]
    assert shown("0", "2") == [here[0], here[2]]
    assert shown("GPU-1234") == here, "CUDA alone keeps to it"
    assert mounts.gpus_inside(("0", "2")) == ("0", "1")
    assert mounts.gpus_inside(("3",)) == ("3",), "in Ray's books only"


@needs_bubblewrap
def test_with_gpus_only_the_folders_of_its_own_processes_can_be_written_in_proc() -> None:
    script = """
import os, threading
def name_it():
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as file:
        file.write("named")
thread = threading.Thread(target=name_it)
thread.start(); thread.join()
seen, written = 0, []
for name in os.listdir("/proc"):
    top = f"/proc/{name}"
    if name.isdecimal() or os.path.islink(top):
        continue
    walk = os.walk(top) if os.path.isdir(top) else [("/proc", [], [name])]
    for folder, _, files in walk:
        for path in (f"{folder}/{file}" for file in files):
            seen += 1
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                written.append(path)
            except OSError:
                pass
print(seen > 100, written)
"""
    argv = command(View(gpus=("0",)), [sys.executable, "-I", "-S", "-c", script])
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ})
    assert (done.stdout, done.stderr) == ("True []\n", "")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("cpu", OutcomeStatus.LOST),
        ("cuda", OutcomeStatus.DONE),
        ("", OutcomeStatus.DONE),
    ],
)
def test_a_trial_with_a_gpu_that_torch_does_not_see_is_lost_before_it_trains(
    driver: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, status: OutcomeStatus
) -> None:
    assert driver.is_dir()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    line = f"\\n{kind}" if kind else ""
    script = (
        f"say('HELLO', text='AMD EPYC\\nfloat32{line}')\n"
        "say('READY', parameters=7)\n"
        "os.close(wire.receive_go(channel))\n"
        "say('TRAINED')\nanswer()"
    )
    trial = scripted_trial(
        f"import os\nfrom train_template import wire\n{script}",
        sandbox=Level.BASIC,
        resources=Resources(gpus=1),
    )
    outcome = run_trial(
        trial,
        task=task_folder(tmp_path),
        data=data_folder(tmp_path),
        exam=exam,
        report=lambda _: None,
    )
    assert outcome.status is status, outcome.reason
    assert outcome.node_fault is (status is OutcomeStatus.LOST)
    if status is OutcomeStatus.LOST:
        assert outcome.reason.startswith("torch sees no GPU, though the trial has GPU 0")
        assert outcome.timings.train == 0.0
