"""What was measured on another class of hardware is not ranked, shown or told as if it compared."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from agent import Proposal
from scheduler.briefings import Circumstances, write_briefing
from scheduler.cli import texts
from scheduler.rules import events as ev
from scheduler.rules.policy import Policy
from scheduler.study.config import Config
from scheduler.study.facts import Contents
from scheduler.study.points import collect
from scheduler.study.reader import Reader
from scheduler.study.store import Store
from tests.synthetic import START, Course
from workers import Outcome, OutcomeStatus

H200, A100 = "NVIDIA H200, bfloat16", "NVIDIA A100, bfloat16"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A baseline of 1.0 on an H200 and 1.5 on an A100, where an edit had 1.7."""
    store = Store(tmp_path / "study.db")
    course = Course(Policy(), store)
    course.begin_session(START)
    course.send(ev.Opened(START))
    course.send(ev.SlotsCounted(START, 3, (("A100", 1), ("H200", 2))))
    edit = Proposal("edit", "", 0, {"train.py": "x = 2\n"}, "tuner", "2", "gpt", {"x": 2})
    answer = ev.Answered(START, min(course.state.asked), (ev.Draft(0, 0),), 1.0)
    course.send(answer, Contents(proposals=(edit,)))
    measured = {(0, "H200"): 1.0, (1, "A100"): 1.7, (0, "A100"): 1.5}
    for at, (experiment, kind) in enumerate(measured, start=1):
        (trial,) = [
            t
            for t in course.state.trials.values()
            if (t.experiment, t.accelerator) == (experiment, kind)
        ]
        outcome = Outcome(
            *(trial.id, OutcomeStatus.DONE),
            metric=measured[experiment, kind],
            device=f"NVIDIA {kind}",
            precision="bfloat16",
        )
        event = ev.Reported(
            *(START + at, trial.id, outcome.status, outcome.metric), hardware=outcome.hardware
        )
        course.send(event, Contents(outcome=outcome))
    assert not course.state.experiments, "both are decided"
    store.close()
    with Reader(tmp_path / "study.db") as found:
        yield found


def test_it_has_no_rank_and_no_place_in_the_plot(reader: Reader) -> None:
    assert [e.id for e in reader.leaders(10)] == [0]
    assert collect(reader).discarded == []
    study = reader.study()
    assert study.hardware == (A100, H200)
    assert (dict(study.kinds), study.reference) == ({"A100": 1, "H200": 2}, "H200")


def test_the_agent_is_told_the_difference_and_no_metric(reader: Reader) -> None:
    request = ev.RequestProposals(99, 1)
    briefing = write_briefing(reader, Config(), request, Circumstances("# Go\n"))
    (edit,) = [e for e in briefing.recent if e.id == 1]
    assert edit.metric is None
    assert edit.estimate == pytest.approx(1.2), "the champion's 1.0, and 0.2 that it lost by there"
    assert "0.200000 above experiment 0 (1.500000)" in edit.reason


def test_a_table_gives_its_class_and_no_difference(reader: Reader) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(texts.experiments(list(reader.experiments()), "val_bpb", 1.0, H200))
    baseline, edit = console.export_text().splitlines()[-2:]
    assert "±0" in baseline
    assert "+0.7" not in edit
    assert A100 in edit
