"""The loop at its seams: what it does while others take their time."""

import asyncio
import itertools

import pytest

from agent import Answer
from scheduler import loop as module
from scheduler.correspondence import Posted
from scheduler.errors import StudyFull
from scheduler.loop import Loop, Room
from scheduler.results import Item
from scheduler.rules import events as ev
from scheduler.rules.states import StudyState
from scheduler.study.records import Live, Study
from workers import Outcome, Trial

NOTHING = Study(
    state=StudyState.RUNNING,
    reason=None,
    text="",
    slots=0,
    counts={},
    champion=None,
    baseline=None,
    opened_at=0.0,
    seconds=0.0,
    trial_seconds=0.0,
    train_seconds=0.0,
    lost_between_trials=None,
    tokens=0,
    dollars=None,
)


class Books:
    """A study in which nothing happens; its first export ends after three more views."""

    def __init__(self) -> None:
        self.views = 0
        self.exports: list[int] = []  # how many views there had been when each ended
        self.exporting = 0  # at this moment

    async def handle(self, number: int, item: Item) -> tuple[ev.Action, ...]:
        del number, item
        return (ev.Finish(),) if self.exports and self.views > self.exports[0] else ()

    async def trial(self, number: int) -> Trial:
        raise AssertionError(number)

    async def mail(self) -> tuple[Posted, ...]:
        return ()

    async def live(self) -> Live:
        self.views += 1
        return Live(0.0, NOTHING)

    async def export(self) -> None:
        assert self.exporting == 0, "two at a time"
        self.exporting += 1
        until = self.views + 3
        while not self.exports and self.views < until:
            await asyncio.sleep(0.001)
        self.exporting -= 1
        self.exports.append(self.views)


class NoSlots:
    async def slots(self, *, resting: bool) -> Room:
        return Room(0)

    async def run(self, trial: Trial) -> Outcome:
        raise AssertionError(trial)

    def cancel(self, trial: int) -> None:
        raise AssertionError(trial)


class Nobody:
    async def propose(self, request: ev.RequestProposals) -> Answer:
        raise AssertionError(request)


def test_views_are_drawn_while_the_files_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.001)
    books = Books()
    clock = itertools.count(0.0, 10.0)  # every look at it is ten seconds later
    loop = Loop(books, NoSlots(), Nobody(), clock=lambda: next(clock))
    asyncio.run(asyncio.wait_for(loop.run(), 20))
    assert books.exports[0] >= 3
    assert len(books.exports) >= 2, "and once more at the end"


class Shut(Books):
    """A study that can't be opened again after its first view, for want of room, and then can."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals
        self.exports = [0]  # it ends as soon as an event is taken in after the second view

    async def live(self) -> Live:
        if self.views == 1 and self.refusals:
            self.refusals -= 1
            raise StudyFull("there is no room on the disk of here (really)")
        return await super().live()

    async def handle(self, number: int, item: Item) -> tuple[ev.Action, ...]:
        if self.views == 1 and self.refusals:
            raise StudyFull("there is no room on the disk of here (really)")
        return (ev.Finish(),) if self.views > 1 else ()


def test_a_study_that_cannot_be_opened_for_want_of_room_is_shown_as_it_was_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(module, "FULL_SECONDS", 0.01)
    shown: list[Live] = []
    loop = Loop(Shut(2), NoSlots(), Nobody(), show=shown.append)
    asyncio.run(asyncio.wait_for(loop.run(), 20))
    states = [live.study.state for live in shown]
    assert states[:3] == [StudyState.RUNNING, StudyState.PAUSED, StudyState.PAUSED]
    assert set(states[3:]) == {StudyState.RUNNING}
    assert shown[1].study.text.endswith("; it goes on when there is some")
    assert shown[2].study.text == shown[1].study.text
