"""The questions of `init`: each has an answer ready, and what a flag says is not asked for."""

import io
from collections.abc import Callable, Mapping

import pytest
from rich.console import Console

from scheduler.cli.asking import ask
from scheduler.errors import UsageError
from scheduler.init.draft import Found, Wishes, find
from scheduler.init.snapshot import Snapshot
from scheduler.init.sources import read_sources

Answered = Callable[[Mapping[str, str], str, Wishes], tuple[Wishes, str]]
TRAIN = 'TIME_BUDGET = 60\nwhile fit():\n    x.step()\nprint(f"val_loss: {a} acc: {b}")\n'


def found(files: Mapping[str, str]) -> Found:
    return find(read_sources(Snapshot(tuple(files), files)))


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Answered:
    """Ask, and answer with these lines: the wishes that come of it, and what was shown."""

    def answer(files: Mapping[str, str], answers: str, wishes: Wishes) -> tuple[Wishes, str]:
        console = Console(file=io.StringIO(), width=200)
        monkeypatch.setattr("sys.stdin", io.StringIO(answers))
        made = ask(found(files), wishes, console=console)
        assert isinstance(console.file, io.StringIO)
        return made, console.file.getvalue()

    return answer


def test_enter_takes_what_was_found(answered: Answered) -> None:
    made, said = answered({"train.py": TRAIN, "main.py": TRAIN}, "\n\n\n\n", Wishes())
    assert (made.script, made.metric, made.goal) == ("train.py", "val_loss", "minimize")
    assert made.seconds is None  # the script's own
    assert "Budget of a trial, in seconds (60.0)" in said


def test_the_usual_budget_is_no_wish_of_a_person_who_only_agrees(answered: Answered) -> None:
    code = TRAIN.replace("TIME_BUDGET = 60", "")
    made, said = answered({"train.py": code}, "\n\n\n\n", Wishes())
    assert "Budget of a trial, in seconds (300.0)" in said
    assert made.seconds is None


def test_a_number_a_name_and_a_budget_are_taken(answered: Answered) -> None:
    made, said = answered({"train.py": TRAIN, "main.py": TRAIN}, "2\nacc\n\n-1\n9\n", Wishes())
    assert (made.script, made.metric, made.goal) == ("main.py", "acc", "maximize")
    assert made.seconds == 9
    assert "more than 0, please" in said


def test_a_metric_that_was_not_found_is_asked_for_with_its_pattern(answered: Answered) -> None:
    made, _ = answered({"train.py": TRAIN}, "\nelo\n\nhigher\n\n", Wishes())
    assert (made.metric, made.pattern, made.goal) == ("elo", r"elo: ([-+.\w]+)", "maximize")


def test_what_no_python_says_is_asked_for(answered: Answered) -> None:
    answers = "make train\nsrc/*.c lib/*.c\nspeed\nspeed (.*)\nhigher\n\n"
    made, _ = answered({"src/a.c": ""}, answers, Wishes())
    assert made.command == "make train"
    assert made.editable == ("src/*.c", "lib/*.c")
    assert (made.metric, made.pattern, made.goal) == ("speed", "speed (.*)", "maximize")


def test_flags_are_not_asked_for(answered: Answered) -> None:
    said = Wishes(script="train.py", metric="acc", goal="maximize", seconds=5.0)
    made, shown = answered({"train.py": TRAIN}, "", said)
    assert made == said
    assert shown == ""


def test_a_preset_is_offered_and_may_be_declined(answered: Answered) -> None:
    known = {
        "prepare.py": "TIME_BUDGET = 300\ndef evaluate_bpb(): ...",
        "train.py": 'print(f"val_bpb: {x}")\nfor a in b: a.step()',
    }
    taken, _ = answered(known, "y\n", Wishes())
    assert taken == Wishes()
    declined, _ = answered(known, "n\n\n\n\n\n", Wishes())
    assert not declined.by_preset
    assert (declined.script, declined.metric) == ("train.py", "val_bpb")


def test_answers_that_end_are_no_traceback(answered: Answered) -> None:
    with pytest.raises(UsageError, match="with --yes nothing is asked"):
        answered({"train.py": TRAIN}, "\n", Wishes())
