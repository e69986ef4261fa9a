"""What is followed once for all who watch, and the small parts of the gate, without a process."""

import asyncio
import time
from pathlib import Path

import pytest

from scheduler.api import tokens
from scheduler.api.access import Access
from scheduler.api.follower import CURVE, RING, Follower, extend_curves
from scheduler.api.hosts import hosts_for
from scheduler.api.throttle import Throttle
from scheduler.api.tokens import FULL_VARIABLE, READ_VARIABLE, Sessions, Tokens, take_tokens
from scheduler.errors import UsageError
from scheduler.rules.states import StudyState
from scheduler.study.folder import StudyFolder
from scheduler.study.live import write_live
from scheduler.study.records import Live, SlotView, Study
from tests.fixtures.acted_study import ActedStudy
from tests.synthetic import make_study


def live(*slots: SlotView, at: float | None = None) -> Live:
    study = Study(StudyState.RUNNING, None, "", 1, {}, None, None, 0, 0, 0, 0, None, 0, None)
    return Live(at=time.time() if at is None else at, study=study, slots=slots)


# ---- the follower ---------------------------------------------------------------------------


def test_a_curve_stays_small_and_keeps_its_ends() -> None:
    curves: dict[int, list[tuple[int, float]]] = {}
    for step in range(5 * CURVE):
        slot = SlotView(0, trial=7, step=step, loss=1.0 / (step + 1))
        curves = extend_curves(curves, live(slot))
    curve = curves[7]
    assert len(curve) <= CURVE
    assert (curve[0][0], curve[-1][0]) == (0, 5 * CURVE - 1)
    assert [step for step, _ in curve] == sorted({step for step, _ in curve})


def test_a_curve_goes_with_its_trial() -> None:
    curves = extend_curves({}, live(SlotView(0, trial=7, step=1, loss=2.0)))
    assert extend_curves(curves, live(SlotView(0, trial=8))) == {8: []}
    assert extend_curves(curves, None) == {}


def test_pages_have_no_gap_whether_they_are_kept_or_not(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "night", experiments=200))

    async def read_all() -> tuple[int, list[int]]:
        follower = Follower(folder)
        await follower.start()
        found: list[int] = []
        while page := await follower.page(found[-1] if found else 0, 77):
            found += [each.event.seq for each in page]
        await follower.stop()
        return follower.newest, found

    newest, found = asyncio.run(read_all())
    assert newest > RING  # so that the first pages come from the database
    assert found == list(range(1, newest + 1))


def test_another_study_in_the_same_place_is_followed_from_its_beginning(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "night", experiments=30))

    async def follow() -> tuple[int, list[int]]:
        follower = Follower(folder)
        await follower.start()
        version, before = follower.version, follower.newest
        folder.path.rename(tmp_path / "old")
        make_study(tmp_path / "night", experiments=2)
        while follower.newest == before:
            version = await asyncio.wait_for(follower.changed(version), 20)
        page = await follower.page(0)
        await follower.stop()
        return before, [each.event.seq for each in page]

    before, found = asyncio.run(follow())
    assert found == list(range(1, len(found) + 1))
    assert 0 < len(found) < before


def test_what_is_live_is_told_and_forgotten_when_the_study_is_silent(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)

    async def follow() -> list[bool]:
        follower = Follower(folder)
        await follower.start()
        seen = [follower.live is not None]
        # Nine seconds old: in a second it says nothing of the present any more.
        write_live(folder.live, live(SlotView(0), at=time.time() - 8.5))
        for _ in range(2):
            version = follower.version
            await asyncio.wait_for(follower.changed(version), 20)
            seen.append(follower.live is not None)
        await follower.stop()
        return seen

    assert asyncio.run(follow()) == [False, True, False]


def test_who_waits_is_sent_away_at_the_end(tmp_path: Path) -> None:
    async def wait() -> bool:
        follower = Follower(StudyFolder(tmp_path))
        await follower.start()
        waiting = asyncio.gather(follower.changed(10**9), follower.event_after(0))
        await asyncio.sleep(0.01)
        await follower.stop()
        await asyncio.wait_for(waiting, 20)
        return follower.closing

    assert asyncio.run(wait())


def test_events_are_told_while_they_are_written(tmp_path: Path) -> None:
    with ActedStudy(tmp_path / "night") as study:

        async def follow() -> int:
            follower = Follower(study.folder)
            await follower.start()
            before = follower.newest
            waiting = asyncio.create_task(follower.event_after(before))
            await asyncio.to_thread(study.end_trial, 1, 2.0)
            await asyncio.wait_for(waiting, 20)
            after = follower.newest
            await follower.stop()
            return after - before

        assert asyncio.run(follow()) > 0


# ---- tokens ---------------------------------------------------------------------------------


def test_tokens_are_taken_out_of_the_environment() -> None:
    environment = {FULL_VARIABLE: "f" * 20, READ_VARIABLE: "r" * 20, "PATH": "/bin"}
    found, made = take_tokens(environment)
    assert environment == {"PATH": "/bin"}
    assert not made
    assert [found.access(each) for each in ("f" * 20, "r" * 20, "", "f" * 19)] == [
        Access.FULL,
        Access.READ,
        None,
        None,
    ]


def test_a_token_is_made_where_none_is_given_and_an_empty_one_opens_nothing() -> None:
    found, made = take_tokens({FULL_VARIABLE: " "})
    assert made
    assert len(found.full) > 40
    assert found.access("") is None
    assert Tokens.load(found.dump()) == found
    assert not Sessions("").use_ticket("")


@pytest.mark.parametrize(
    "environment",
    [
        {FULL_VARIABLE: "short"},
        {READ_VARIABLE: "with\nbreaks in it, and long"},
        {FULL_VARIABLE: "é" * 20},
        {FULL_VARIABLE: "s" * 20, READ_VARIABLE: "s" * 20},
    ],
)
def test_a_token_that_could_be_guessed_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="AUTORESEARCH_"):
        take_tokens(environment)


def test_sessions_end_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_SESSIONS", 2)
    sessions = Sessions()
    names = [sessions.begin(Access.READ)[0] for _ in range(3)]
    assert [sessions.find(each) is not None for each in names] == [False, True, True]
    sessions.end(names[1])
    assert sessions.find(names[1]) is None
    monkeypatch.setattr(time, "time", lambda: 10.0**10)
    assert sessions.find(names[2]) is None


def test_patience_is_counted_for_each_address() -> None:
    now = 0.0
    throttle = Throttle(burst=2, seconds=10, clock=lambda: now)
    for _ in range(3):
        throttle.fail("a")
    assert throttle.wait("a") == 20
    assert throttle.wait("b") == 0
    now = 20
    assert throttle.wait("a") == 0
    throttle.fail("a")
    assert throttle.wait("a") == 10


@pytest.mark.parametrize(
    ("address", "host", "ours"),
    [
        ("127.0.0.1", "localhost:8700", True),
        ("127.0.0.1", "[::1]:8700", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("127.0.0.1", "study.lab.example", True),
        ("127.0.0.1", "a.wild.example:80", True),
        ("127.0.0.1", "wild.example", False),
        ("127.0.0.1", "awild.example", False),
        ("0.0.0.0", "10.0.0.1:8700", True),  # a bare address can't be rebound
        ("0.0.0.0", "evil.example", False),
        ("10.0.0.1", "study.lab.example", True),
    ],
)
def test_names(address: str, host: str, ours: bool) -> None:
    hosts = hosts_for(address, ("study.lab.example", "*.wild.example"))
    assert hosts.allow(host) is ours
