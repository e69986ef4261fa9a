"""The verb `reproduce`, with real trials of the bundled task: three steps of a tiny model."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from scheduler.study.folder import StudyFolder
from scheduler.study.lock import StudyLock
from tests.fixtures.candidates import ROOT
from tests.fixtures.processes import alive, command, wait_for
from tests.fixtures.real_study import make_real
from tests.fixtures.verbs import Output, call, document
from tests.synthetic import make_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return make_real(tmp_path_factory.mktemp("real") / "study")


WORDS = {"task": "task's fixed files", "data": "data"}


def snapshot(folder: StudyFolder) -> dict[str, tuple[int, int]]:
    files = (each for each in folder.path.rglob("*") if each.is_file())
    return {
        str(each): (each.stat().st_mtime_ns, each.stat().st_size)
        for each in files
        if not each.name.endswith(("-shm", "-wal"))  # of whoever reads; the second is empty
    }


@contextmanager
def changed(folder: StudyFolder, query: str, old: object, new: object) -> Iterator[None]:
    database = sqlite3.connect(folder.database, isolation_level=None)
    database.execute(query, (new,))
    try:
        yield
    finally:
        database.execute(query, (old,))
        database.close()


def hash_of(folder: StudyFolder, column: str) -> str:
    database = sqlite3.connect(folder.database)
    (found,) = database.execute(f"SELECT {column} FROM session").fetchone()
    database.close()
    return str(found)


def test_a_budget_of_steps_gives_the_same_figure_again(folder: StudyFolder, capsys: Output) -> None:
    assert call("reproduce", 1, folder.path, "--json") == 0
    found = document(capsys)
    assert (found["verdict"], found["identical"], found["difference"]) == ("within", True, 0.0)
    assert found["here"][0]["hardware"] == found["study"][0]["hardware"] != ""
    assert found["comparable"]


def test_other_seeds_are_judged_by_the_interval(folder: StudyFolder, capsys: Output) -> None:
    assert call("reproduce", 0, folder.path, "--trial", 2, "--repeats", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("#0 of ")
    text = " ".join(" ".join(lines).split())
    for part in ("study trial 2, seed 1", "here seed 1", "here seed 2", "sigma"):
        assert part in text
    assert "within the interval: reproduced" in text


def test_a_figure_far_off_is_not_reproduced(folder: StudyFolder, capsys: Output) -> None:
    query = "UPDATE outcome SET metric = ? WHERE trial = 3"
    database = sqlite3.connect(folder.database)
    (metric,) = database.execute("SELECT metric FROM outcome WHERE trial = 3").fetchone()
    database.close()
    with changed(folder, query, metric, 1.0):
        assert call("reproduce", 1, folder.path) == 1
    assert "outside of the interval: not reproduced" in capsys.readouterr().out


def test_what_failed_fails_again(folder: StudyFolder, capsys: Output) -> None:
    assert call("reproduce", 2, folder.path) == 0
    text = capsys.readouterr().out
    assert text.count("crash: RuntimeError: out of ideas") == 2
    assert "fails here as it did" in text


@pytest.mark.parametrize("column", ["task", "data"])
def test_another_task_or_other_data_are_refused_unless_one_insists(
    folder: StudyFolder, capsys: Output, column: str
) -> None:
    with changed(folder, f"UPDATE session SET {column} = ?", hash_of(folder, column), "0" * 64):
        assert call("reproduce", 1, folder.path) == 2
        said = capsys.readouterr().err
    assert f"the {WORDS[column]} are not the study's" in said
    assert "--anyway" in said


def test_who_insists_gets_figures_and_no_verdict(folder: StudyFolder, capsys: Output) -> None:
    with changed(folder, "UPDATE session SET data = ?", hash_of(folder, "data"), "0" * 64):
        assert call("reproduce", 1, folder.path, "--anyway", "--json") == 1
    found = document(capsys)
    assert (found["verdict"], found["comparable"], found["interval"]) == ("unknown", False, None)
    assert found["differences"]


def test_a_study_that_runs_is_left_as_it_is(folder: StudyFolder, capsys: Output) -> None:
    with StudyLock(folder):  # as whoever runs it holds it
        before = snapshot(folder)
        assert call("reproduce", 1, folder.path) == 0
        assert snapshot(folder) == before


def test_no_ray_is_started(folder: StudyFolder) -> None:
    program = (
        "import sys, ray\n"
        "from scheduler.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    assert not ray.is_initialized()\n"
    )
    verb = [sys.executable, "-c", program, "reproduce", "1", str(folder.path)]
    ended = subprocess.run(verb, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_an_interrupted_trial_leaves_no_process(folder: StudyFolder) -> None:
    verb = [sys.executable, "-m", "scheduler", "reproduce", "0", str(folder.path)]
    process = subprocess.Popen(
        [*verb, "--repeats", "100"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(lambda: process.poll() is not None or candidates_of(process.pid))
    children = candidates_of(process.pid)
    assert children
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    wait_for(lambda: not alive(children))


def candidates_of(pid: int) -> list[psutil.Process]:
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [each for each in found if "train_template.harness" in command(each)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("99",), "there are: 0 to 2"),
        (("1", "--trial", "4"), "experiment 1 has: 1"),
        (("1", "--trial", "1", "--seed", "2"), "both choose the seed"),
    ],
)
def test_bad_usage_is_one_sentence(
    folder: StudyFolder, capsys: Output, arguments: tuple[str, ...], words: str
) -> None:
    assert call("reproduce", *arguments, "-s", folder.path) == 2
    assert words in capsys.readouterr().err


def test_a_study_of_gpus_is_refused_where_there_is_none(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
    folder = make_study(tmp_path / "s", experiments=2)
    assert call("reproduce", 1, folder) == 2
    assert "a trial claims 1 GPU, and none is here" in capsys.readouterr().err
