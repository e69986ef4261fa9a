"""The verbs that write: what they leave with a study, and what they say of it.

A real study runs beside them, but for its trials (`tests/fixtures/acted_study.py`).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.errors import StudyInUse
from scheduler.rules import events as ev
from scheduler.rules.states import ExperimentState, StudyState
from scheduler.study import desk
from scheduler.study.letters import Instruct
from scheduler.study.mailbox import Mailbox
from scheduler.study.reader import Reader
from tests.fixtures.acted_study import ActedStudy, script
from tests.fixtures.verbs import Output, call, document

BETTER = script(1.0)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[ActedStudy]:
    """A study that runs, with a baseline that is measured."""
    with ActedStudy(tmp_path / "night") as study:
        study.end_trial(1, 2.0)
        yield study


@pytest.fixture
def edit(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(BETTER)
    return path


def state(study: ActedStudy) -> StudyState:
    with Reader(study.folder.database) as reader:
        return reader.study().state


# ---- pause, unpause, stop ---------------------------------------------------------------------


def test_pause_and_unpause_say_what_they_did(study: ActedStudy, capsys: Output) -> None:
    assert call("pause", study.folder.path) == 0
    assert "paused: running trials end" in capsys.readouterr().out
    assert state(study) is StudyState.PAUSED
    assert call("unpause", "-s", study.folder.path) == 0
    assert "it goes on" in capsys.readouterr().out
    assert state(study) is StudyState.RUNNING


def test_status_and_top_say_how_a_paused_study_goes_on(study: ActedStudy, capsys: Output) -> None:
    call("pause", study.folder.path)
    capsys.readouterr()
    for verb in ("status", "top"):
        assert call(verb, study.folder.path, *(["--once"] if verb == "top" else [])) == 0
        text = capsys.readouterr().out
        assert "paused: a person paused it" in text
        assert "autoresearch unpause, or stop" in text


def test_stop_drains_and_with_now_it_cuts_short(study: ActedStudy, capsys: Output) -> None:
    study.propose(1.5)
    trial = study.started()[-1]
    assert call("stop", study.folder.path) == 0
    assert "running trials are awaited" in capsys.readouterr().out
    assert state(study) is StudyState.DRAINING
    assert ev.CancelTrial(trial) not in study.actions
    assert call("stop", study.folder.path, "--now") == 0
    assert "cut short" in capsys.readouterr().out
    assert ev.CancelTrial(trial) in study.actions
    assert ev.Finish() in study.actions


def test_what_the_study_refuses_is_said_with_the_reason(study: ActedStudy, capsys: Output) -> None:
    assert call("unpause", study.folder.path) == 1
    assert capsys.readouterr().err == "error: refused: the study is running, not paused\n"
    assert call("unpause", study.folder.path, "--json") == 1
    answer = document(capsys)
    assert (answer["fate"], answer["why"]) == ("refused", "the study is running, not paused")


@pytest.mark.parametrize("verb", ["pause", "unpause", "stop"])
def test_a_study_that_does_not_run_is_not_steered(
    tmp_path: Path, capsys: Output, verb: str
) -> None:
    with ActedStudy(tmp_path / "night") as study:
        study.end_trial(1, 2.0)
    assert call(verb, study.folder.path) == 1
    error = capsys.readouterr().err
    assert "does not run" in error
    assert f"autoresearch run {study.folder.path}" in error
    assert Mailbox(study.folder.inbox).waiting() == []


def test_a_busy_study_takes_it_up_later(
    study: ActedStudy, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "PATIENCE_SECONDS", 0.2)
    study.reads_mail = False
    assert call("pause", study.folder.path, "--json") == 0
    assert document(capsys)["fate"] == "busy"
    assert call("tell", "wider", "-s", study.folder.path) == 0
    assert "it is busy and takes it up soon" in capsys.readouterr().out
    assert len(Mailbox(study.folder.inbox).waiting()) == 2


# ---- cancel -----------------------------------------------------------------------------------


def test_an_experiment_that_waits_is_cancelled(study: ActedStudy, capsys: Output) -> None:
    study.propose(1.5)
    assert call("cancel", 1, "-s", study.folder.path, "--json") == 0
    assert document(capsys)["number"] == 1
    with Reader(study.folder.database) as reader:
        experiment = reader.experiment(1)
    assert experiment is not None
    assert experiment.state is ExperimentState.CANCELLED


def test_a_decided_or_unknown_experiment_is_not_cancelled(
    study: ActedStudy, capsys: Output
) -> None:
    assert call("cancel", 0, "-s", study.folder.path) == 1
    assert "refused: experiment 0 is decided already" in capsys.readouterr().err
    assert call("cancel", 99, "-s", study.folder.path) == 2
    assert "no experiment 99" in capsys.readouterr().err


# ---- submit -----------------------------------------------------------------------------------


def test_an_edit_becomes_an_experiment_before_all_others(
    study: ActedStudy, edit: Path, capsys: Output
) -> None:
    study.propose(1.5, 1.6, 1.7)
    code = call(
        *("submit", edit, "--title", "a better one", "--hypothesis", "it is lower"),
        *("--expected", "1.0", "-s", study.folder.path, "--json"),
    )
    assert code == 0
    number = document(capsys)["experiment"]
    with Reader(study.folder.database) as reader:
        experiment = reader.experiment(number)
        assert reader.queue(1)[0].id == number
        assert reader.files(number) == {"train.py": BETTER}
    assert experiment is not None
    assert (experiment.origin, experiment.parent) == ("person", 0)
    assert (experiment.title, experiment.hypothesis) == ("a better one", "it is lower")


def test_submit_says_the_experiments_id_and_what_it_edits(
    study: ActedStudy, edit: Path, capsys: Output
) -> None:
    assert call("submit", edit, "-t", "mine", "--parent", 0, "-s", study.folder.path) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "experiment 1 is queued, before all others; it edits experiment 0" in text
    assert "autoresearch show 1" in text


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def train(", "it does not parse"),
        ("honest(2.0)", "train.py defines no function train any more"),
        (f"{script(2.0)}# as before", "it is the same code as experiment 0"),
    ],
)
def test_what_the_check_refuses_is_told_at_once(
    study: ActedStudy, edit: Path, capsys: Output, code: str, why: str
) -> None:
    edit.write_text(code)
    assert call("submit", edit, "-t", "mine", "-s", study.folder.path) == 1
    assert f"error: refused: {why}" in capsys.readouterr().err


def test_a_study_that_does_not_run_keeps_an_edit_and_refuses_a_broken_one(
    tmp_path: Path, edit: Path, capsys: Output
) -> None:
    with ActedStudy(tmp_path / "night") as study:
        study.end_trial(1, 2.0)
    assert call("submit", edit, "-t", "mine", "-s", study.folder.path) == 0
    assert "when it runs again" in " ".join(capsys.readouterr().out.split())
    edit.write_text("honest(")
    assert call("submit", edit, "-t", "broken", "-s", study.folder.path) == 2
    assert "refused: it does not parse" in capsys.readouterr().err
    with ActedStudy(tmp_path / "night") as study:
        study.do(lambda _: None)
        with Reader(study.folder.database) as reader:
            assert [e.title for e in reader.experiments()] == ["baseline", "mine"]


def test_a_folder_is_searched_for_the_files_that_are_edited(
    study: ActedStudy, tmp_path: Path, capsys: Output
) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "notes.md").write_text("none of the study's")
    assert call("submit", folder, "-t", "mine", "-s", study.folder.path) == 2
    assert "holds none of the files that are edited: train.py" in capsys.readouterr().err
    (folder / "train.py").write_text(BETTER)
    assert call("submit", folder, "-t", "mine", "-s", study.folder.path) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.py", "-t", "x"), "nowhere.py: can't be read"),
        (("mine.py", "-t", "x" * 201), "--title"),
        (("mine.py", "-t", "x", "--parent", "7"), "no experiment 7"),
        (("mine.py", "mine.py", "-t", "x"), "train.py is given twice"),
    ],
)
def test_a_bad_edit_is_bad_usage(
    study: ActedStudy, edit: Path, capsys: Output, arguments: tuple[str, ...], words: str
) -> None:
    places = [str(edit) if each == "mine.py" else each for each in arguments]
    assert call("submit", *places, "-s", study.folder.path) == 2
    assert words in capsys.readouterr().err


# ---- tell -------------------------------------------------------------------------------------


def test_an_instruction_is_queued_listed_and_withdrawn(study: ActedStudy, capsys: Output) -> None:
    assert call("tell", "try bigger models", "-s", study.folder.path, "--json") == 0
    answer = document(capsys)
    assert (answer["fate"], answer["instruction"]["id"]) == ("done", 1)
    assert call("instructions", "-s", study.folder.path) == 0
    assert "try bigger models" in capsys.readouterr().out
    assert call("top", study.folder.path, "--once") == 0
    assert "1 queued: try bigger models" in capsys.readouterr().out
    assert call("tell", "--withdraw", 1, "-s", study.folder.path) == 0
    assert "instruction 1 is withdrawn" in capsys.readouterr().out
    assert call("tell", "--withdraw", 1, "-s", study.folder.path) == 2
    assert "withdrawn already" in capsys.readouterr().err


def test_a_text_and_withdraw_are_two_things(study: ActedStudy, capsys: Output) -> None:
    assert call("tell", "wider", "--withdraw", 1, "-s", study.folder.path) == 2
    assert "do one at a time" in capsys.readouterr().err


def test_an_instruction_that_waits_is_listed_and_taken_back(tmp_path: Path, capsys: Output) -> None:
    with ActedStudy(tmp_path / "night") as study:
        study.end_trial(1, 2.0)
    assert call("tell", "wider", "-s", study.folder.path) == 0
    text = capsys.readouterr().out
    assert "it takes it up when it runs again" in text
    assert "no language model is set, and the tuner reads none" in text
    (letter,) = Mailbox(study.folder.inbox).waiting()
    assert isinstance(letter, Instruct)
    assert f"--withdraw {letter.name}" in text
    assert call("instructions", "-s", study.folder.path) == 0
    assert f"{letter.name}  waiting" in capsys.readouterr().out
    assert call("tell", "--withdraw", "w", "-s", study.folder.path) == 2
    assert "no instruction w waits" in capsys.readouterr().err
    assert call("tell", "--withdraw", letter.name, "-s", study.folder.path) == 0
    assert f"instruction {letter.name} is taken back" in capsys.readouterr().out
    assert Mailbox(study.folder.inbox).waiting() == []
    assert call("tell", "--withdraw", letter.name, "-s", study.folder.path) == 2


def test_a_letter_to_a_study_that_runs_is_not_taken_back(study: ActedStudy) -> None:
    study.reads_mail = False
    letter = Instruct(text="wider")
    Mailbox(study.folder.inbox).post(letter)
    with pytest.raises(StudyInUse):
        desk.Desk(study.folder).take_back(letter.key)
    assert Mailbox(study.folder.inbox).waiting() == [letter]


@pytest.mark.parametrize("columns", [40, 80])
def test_tables_fit_the_terminal(
    study: ActedStudy, edit: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    call("submit", edit, "-t", "a title that is rather long " * 4, "-s", study.folder.path)
    call("tell", "something that is to be tried, in many words " * 4, "-s", study.folder.path)
    study.end_trial(study.started()[-1], 1.5)
    capsys.readouterr()
    for verb in (("status",), ("top", "--once"), ("instructions",), ("notebook",)):
        assert call(*verb, "-s", study.folder.path) == 0
        lines = capsys.readouterr().out.splitlines()
        assert verb == ("notebook",) or max(map(len, lines)) <= columns, verb
