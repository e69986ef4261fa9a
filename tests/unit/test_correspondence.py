"""Letters to a study as the results actor takes them up: each has one reply, whatever happens."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.correspondence import NOT_RUNNING
from scheduler.errors import StudyFull
from scheduler.rules import events as ev
from scheduler.rules.states import ExperimentState, StudyState
from scheduler.study import desk as desks
from scheduler.study.letters import (
    AnyLetter,
    Cancel,
    Instruct,
    Pause,
    Stop,
    Submit,
    Unpause,
    Withdraw,
    digest,
)
from scheduler.study.records import Experiment, Reply
from tests.unit.test_results import Desk, answer, done

EDIT = "def train(session):\n    session.warm_up()\n"


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Desk]:
    study = Desk(tmp_path / "study")
    study.begin()
    study.send(done(1, 2.0))
    yield study
    study.results.close()


def post(study: Desk, letter: AnyLetter) -> Reply:
    desk = desks.Desk(study.folder)
    desk.post(letter)
    assert desk.reply(letter.key) is None
    for posted in study.results.mail():
        study.send(posted)
    reply = desk.reply(letter.key)
    assert reply is not None
    assert (reply.kind, reply.digest) == (letter.kind, digest(letter))
    assert desk.waiting() == []
    return reply


def experiment(study: Desk, number: int) -> Experiment:
    with study.reader() as reader:
        found = reader.experiment(number)
    assert found is not None
    return found


def test_the_reply_names_what_a_letter_made_or_moved(study: Desk) -> None:
    assert post(study, Instruct("look at the embeddings")).number == 1
    assert post(study, Withdraw(1)).number == 1
    submitted = post(study, Submit("wider", {"train.py": EDIT}))
    assert (submitted.number, submitted.refused) == (1, "")
    assert post(study, Cancel(1)).number == 1
    assert experiment(study, 1).state is ExperimentState.CANCELLED
    assert post(study, Pause()).refused == ""
    assert post(study, Unpause()).refused == ""
    stopped = post(study, Stop(now=True))
    assert (stopped.refused, stopped.number) == ("", None)
    assert study.results.live().study.state is not StudyState.RUNNING


def test_a_persons_edit_is_an_experiment_of_the_champions_code(study: Desk) -> None:
    study.send(answer(1, "honest(1.9)", "honest(1.8)", "honest(1.7)"))
    text = "look into the width"
    post(study, Instruct(text))
    reply = post(
        study,
        Submit(
            "wider\n net", {"train.py": EDIT}, "it is too narrow", expected="lower", instruction=1
        ),
    )
    assert reply.number is not None
    made = experiment(study, reply.number)
    assert (made.origin, made.title, made.parent) == ("person", "wider net", 0)
    assert (made.hypothesis, made.expected, made.instruction) == ("it is too narrow", "lower", 1)
    with study.reader() as reader:
        assert reader.files(made.id) == {"train.py": EDIT}
        assert reader.queue(1)[0].id == made.id
    assert (study.folder.experiment(made.id).path / "train.py").read_text() == EDIT


@pytest.mark.parametrize(
    ("letter", "words"),
    [
        (Submit("t", {"train.py": "def train(session:"}), "does not parse"),
        (Submit("t", {"train.py": "x = 1"}), "no function train"),
        (Submit("t", {"other.py": EDIT}), "can't be edited"),
        (Submit("t", {"../../etc/passwd": EDIT}), "can't be edited"),
        (Submit("t", {"train.py": EDIT}, parent=99), "no experiment 99"),
        (Submit("t", {"train.py": EDIT}, instruction=9), "instruction 9 is not open"),
        (Cancel(99), "no experiment 99"),
        (Cancel(0), "decided already"),
        (Withdraw(5), "not open"),
        (Unpause(), "not paused"),
    ],
)
def test_what_can_not_be_done_is_refused_in_words_and_changes_nothing(
    study: Desk, letter: AnyLetter, words: str
) -> None:
    before = study.results._state
    reply = post(study, replace(letter, at=time.time()))
    assert words in reply.refused
    assert reply.number is None
    assert replace(study.results._state, tally=before.tally) == before


def test_code_that_was_tried_is_refused_with_the_experiment_that_tried_it(study: Desk) -> None:
    post(study, Submit("first", {"train.py": EDIT}))
    again = post(study, Submit("again", {"train.py": f"# a comment\n{EDIT}"}))
    assert "experiment 1" in again.refused


def test_a_letter_that_comes_twice_counts_once_and_keeps_its_reply(study: Desk) -> None:
    letter = Submit("wider", {"train.py": EDIT})
    first = post(study, letter)
    desks.Desk(study.folder).post(letter)
    for posted in study.results.mail():
        study.send(posted)
    study.results.close()
    study.open()  # whose memory of what it has handed out is gone
    study.number = study.results._store.last_event()
    desks.Desk(study.folder).post(letter)
    for posted in study.results.mail():
        study.send(posted)
    assert desks.Desk(study.folder).reply(letter.key) == first
    desks.Desk(study.folder).post(letter)  # once more, to who has handed it out already
    assert study.results.mail() == ()
    assert desks.Desk(study.folder).waiting() == []
    with study.reader() as reader:
        assert reader.count() == 2


def test_a_letter_met_by_a_full_disk_is_taken_up_once_there_is_room(study: Desk) -> None:
    letter = Submit("wider", {"train.py": f"{EDIT}# {'x' * 50_000}"})
    desks.Desk(study.folder).post(letter)
    (posted,) = study.results.mail()
    study.fill_the_disk()
    with pytest.raises(StudyFull):
        study.send(posted)
    assert desks.Desk(study.folder).waiting() == [letter]
    study.make_room()
    study.results.handle(study.number, posted)
    reply = desks.Desk(study.folder).reply(letter.key)
    assert reply is not None
    assert reply.number == 1


def test_steering_from_before_the_study_ran_means_nothing_but_an_instruction_waits(
    study: Desk,
) -> None:
    old = study.results._reader.session_began() - 60.0
    assert post(study, Stop(at=old)).refused == NOT_RUNNING
    assert post(study, Pause(at=old)).refused == NOT_RUNNING
    assert post(study, Instruct("wait for me", at=old)).refused == ""


def test_what_a_letter_led_to_stands_in_the_journal(study: Desk) -> None:
    with study.reader() as reader:
        before = reader.newest_event()
    post(study, Submit("wider", {"train.py": EDIT}))
    with study.reader() as reader:
        events = reader.events(after=before, limit=100)
        assert [e.seq for e in events] == list(range(before + 1, reader.newest_event() + 1))
        assert reader.events(after=before, limit=1) == events[:1]
    assert events[0].fact == ev.ExperimentAdded.__name__
    assert events[0].data["id"] == 1
