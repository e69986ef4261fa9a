"""Claims about a study's folder: how it is made, refused, named, found and locked."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler.errors import StudyInUse, UsageError
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.lock import StudyLock
from scheduler.study.names import latest_study, resolve_study
from scheduler.study.sections import StudySection

HOLD = """
import sys, time
from pathlib import Path
from scheduler.study.folder import StudyFolder
from scheduler.study.lock import StudyLock
lock = StudyLock(StudyFolder(Path(sys.argv[1])))
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def as_a_user() -> Iterator[None]:
    """Root may write everywhere: take another user's rights for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_created_study_gives_its_config_and_program_back(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "a" / "b")
    config = Config(seed=7)
    folder.create(config, "explore\n")
    assert folder.exists
    assert folder.load_config() == config
    assert {p.name for p in folder.path.iterdir()} == {"config.yaml", "program.md"}
    assert folder.program.read_text() == "explore\n"


def test_a_saved_config_replaces_the_old_one(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.create(Config(), "")
    folder.save_config(Config(seed=8))
    assert folder.load_config().seed == 8


def test_an_existing_study_is_not_made_again(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.create(Config(seed=1), "")
    with pytest.raises(UsageError, match="a study here already"):
        folder.create(Config(seed=2), "")
    assert folder.load_config().seed == 1


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"holds files \(thesis.tex, ...\) but no study"):
        StudyFolder(tmp_path).create(Config(), "")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_a_killed_creation_left_is_no_obstacle(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    (tmp_path / "config.yaml.partial").write_text("half")
    folder.lock.touch()
    folder.create(Config(), "")
    assert folder.exists


@pytest.mark.parametrize("name", ["file", "file/study"])
def test_a_file_in_the_way_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="Choose another place"):
        StudyFolder(tmp_path / name).create(Config(), "")
    assert (tmp_path / "file").read_text() == "x"


def test_a_read_only_place_is_refused(tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)  # so that the other user gets this far
    (tmp_path / "place").mkdir(mode=0o555)
    with as_a_user(), pytest.raises(UsageError, match="Permission denied"):
        StudyFolder(tmp_path / "place" / "new" / "study").create(Config(), "")
    assert list((tmp_path / "place").iterdir()) == []


def test_a_creation_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    # A lone surrogate can't be written: program.md fails after the folders were made.
    with pytest.raises(UnicodeEncodeError):
        StudyFolder(tmp_path / "new" / "study").create(Config(), "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_study_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no study here; start one with: autoresearch run"):
        StudyFolder(tmp_path).load_config()


def test_records_of_an_experiment_lie_together_and_apart_from_its_files(tmp_path: Path) -> None:
    experiment = StudyFolder(tmp_path).experiment(12)
    assert experiment.trial_log(7) == tmp_path / "experiments" / "12" / "trial-7.log"
    assert experiment.file("src/train.py").is_relative_to(experiment.path)
    for name in ("run.log", "trial-7.log"):
        with pytest.raises(UsageError, match=re.escape(name)):
            experiment.file(name)


def test_a_word_names_a_study_and_a_path_is_a_path() -> None:
    lasting = Config(study=StudySection(path="/data/s"))
    assert resolve_study("night") == Path("studies/night")
    assert resolve_study("./night") == Path("night")
    assert resolve_study("night", lasting) == Path("studies/night")
    assert resolve_study(None, lasting, "gpu") == Path("/data/s")
    assert resolve_study(None, Config(), "gpu") == Path("studies/gpu")


def test_the_latest_study_is_the_one_that_changed_last(tmp_path: Path) -> None:
    for number, name in enumerate(["old", "new", "middle"]):
        folder = StudyFolder(tmp_path / name)
        folder.create(Config(), "")
        os.utime(folder.config, (number, number))
    (tmp_path / "new" / "study.db").touch()
    assert latest_study(tmp_path).name == "new"


def test_without_any_study_the_way_to_start_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no study here; start one with: autoresearch run"):
        latest_study(tmp_path / "studies")


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "held\n"
            named = f"process {holder.pid} on {socket.gethostname()};"
            for _ in range(2):  # asking must not wipe the holder's name
                with pytest.raises(StudyInUse, match=named):
                    StudyLock(folder).acquire()
        finally:
            holder.kill()
    with StudyLock(folder):
        pass


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    with StudyLock(StudyFolder(tmp_path)), pytest.raises(StudyInUse):
        StudyLock(StudyFolder(tmp_path)).acquire()
    with StudyLock(StudyFolder(tmp_path)):
        pass


def test_a_lock_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be locked"):
        StudyLock(StudyFolder(tmp_path / "missing")).acquire()
    assert list(tmp_path.iterdir()) == []
