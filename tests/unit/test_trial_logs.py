"""What the trials of an experiment printed stays, one log each, and is read as one text."""

from pathlib import Path

import pytest

from scheduler.study.artifacts import Artifacts
from scheduler.study.folder import ExperimentFolder, StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.trial_logs import Following, TrialLogs
from tests.fixtures.verbs import call
from tests.synthetic import make_study
from tests.unit.test_recheck import CONFIRMED


@pytest.fixture
def home(tmp_path: Path) -> ExperimentFolder:
    """An experiment's folder, empty."""
    folder = ExperimentFolder(tmp_path / "7")
    folder.path.mkdir()
    return folder


def whole(logs: TrialLogs) -> str:
    """All of it."""
    return logs.read(0, logs.size()).decode()


def test_a_repeat_leaves_the_logs_of_the_trials_before_it(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "s", experiments=1))
    with Reader(folder.database) as reader:
        artifacts = Artifacts(folder, reader)
        for trial, text in ((9, "the first's"), (10, "the second's\n")):
            artifacts.start_log(1, trial)
            artifacts.append_log(1, trial, "streamed\n")
            artifacts.finish_log(1, trial, text)
    logs = TrialLogs(folder.experiment(1))
    assert whole(logs) == "--- trial 9\nthe first's\n--- trial 10\nthe second's\n"
    assert whole(TrialLogs(folder.experiment(1), 9)) == "--- trial 9\nthe first's\n"


def test_a_log_of_an_older_study_comes_first(home: ExperimentFolder) -> None:
    home.log.write_text("--- trial 3\nolder\n")
    home.trial_log(12).write_text("--- trial 12\nnewer\n")
    assert whole(TrialLogs(home)) == "--- trial 3\nolder\n--- trial 12\nnewer\n"
    assert whole(TrialLogs(home, 3)) == "--- trial 3\nolder\n"
    assert TrialLogs(home, 4).paths() == []


def test_parts_are_read_across_the_borders_of_files(home: ExperimentFolder) -> None:
    home.trial_log(1).write_text("abc\n")
    home.trial_log(2).write_text("def\n")
    logs = TrialLogs(home)
    assert [logs.read(at, 3) for at in (0, 2, 4, 6, 8)] == [b"abc", b"c\nd", b"def", b"f\n", b""]


def test_trials_that_run_side_by_side_are_followed_by_turns(home: ExperimentFolder) -> None:
    for trial in (1, 2):
        home.trial_log(trial).write_text(f"--- trial {trial}\n")
    logs = TrialLogs(home)
    following = Following(logs, logs.size())
    for trial, text in ((1, "one\n"), (2, "two\n"), (2, "again\n")):
        with home.trial_log(trial).open("a") as file:
            file.write(text)
    said = b"".join(following.news()).decode()
    assert said == "--- trial 1\none\n--- trial 2\ntwo\nagain\n"
    with home.trial_log(2).open("a") as file:
        file.write("and again\n")
    assert b"".join(following.news()) == b"and again\n"


def test_a_log_that_is_begun_anew_is_read_from_its_beginning(home: ExperimentFolder) -> None:
    home.trial_log(1).write_text("--- trial 1\nstreamed, with words to spare\n")
    following = Following(TrialLogs(home))
    assert b"".join(following.news()).endswith(b"spare\n")
    assert not following.begun_anew
    home.trial_log(1).write_text("--- trial 1\nwhole\n")
    assert b"".join(following.news()) == b"--- trial 1\nwhole\n"
    assert following.begun_anew


def test_the_verb_prints_all_trials_or_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_study(tmp_path / "s", experiments=12, seed=3, criteria=CONFIRMED)
    with Reader(folder / "study.db") as reader:
        number, trials = next(
            (n, [t.id for t in found])
            for n in range(reader.count())
            if len(found := reader.trials(n)) > 1
        )
    home = StudyFolder(folder).experiment(number)
    home.path.mkdir(parents=True)
    for trial in trials:
        home.trial_log(trial).write_text(f"--- trial {trial}\nof {trial}\n")
    assert call("log", number, "-s", folder) == 0
    shown = capsys.readouterr().out
    assert shown == "".join(f"--- trial {trial}\nof {trial}\n" for trial in trials)
    assert call("log", number, "--trial", trials[1], "-s", folder) == 0
    assert capsys.readouterr().out == f"--- trial {trials[1]}\nof {trials[1]}\n"
    assert call("log", number, "--trial", 9999, "-s", folder) == 2
    assert f"has no trial 9999; it has: {trials[0]}, " in capsys.readouterr().err
