"""Each slot's time is told without a gap and without an overlap, whatever happened."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.rules.states import StudyState, TrialState
from scheduler.rules.timeline import (
    Count,
    Held,
    Kind,
    Line,
    Move,
    Open,
    SlotTime,
    lines,
    occupancy,
    totals,
)

HOUR = 3600.0
TOLERANCE = 0.1  # seconds, of the sum of one slot


def trial(
    number: int, start: float, end: float, *, began: float | None = None, slot: int = 0
) -> Held:
    """One that is done, in ten seconds of phases and 290 of training."""
    began = start + 1.0 if began is None else began
    return Held(number, slot, TrialState.DONE, start, end, began, (2.0, 3.0, 290.0, 4.0, 1.0))


def told(line: Line) -> list[tuple[Kind, float]]:
    return [(each.kind, round(each.seconds, 6)) for each in line.segments]


times = st.floats(0, HOUR, allow_nan=False)
seconds = st.floats(0, 400, allow_nan=False)


@st.composite
def histories(
    draw: st.DrawFn,
) -> tuple[list[Count], list[Move], list[Held], float, float]:
    """Anything that a database may hold, clocks that are wrong by minutes too."""
    counts = [
        Count(at, 0 if over else slots, over)
        for at, slots, over in sorted(
            draw(st.lists(st.tuples(times, st.integers(0, 4), st.booleans()), max_size=8))
        )
    ]
    states = st.sampled_from(StudyState)
    moves = [
        Move(at, state)
        for at, state in sorted(draw(st.lists(st.tuples(times, states), max_size=5)))
    ]
    held: list[Held] = []
    for slot in range(draw(st.integers(0, 3))):
        at = 0.0
        for _ in range(draw(st.integers(0, 3))):
            at += draw(seconds)
            start, at = at, at + draw(seconds)
            state = draw(st.sampled_from([s for s in TrialState if s is not TrialState.PLANNED]))
            began: float | None = None
            phases: tuple[float, ...] = ()
            if state is TrialState.DONE:
                began = start + draw(st.floats(-300, 300))
                phases = tuple(draw(st.lists(seconds, min_size=5, max_size=5)))
            ended = None if state is TrialState.RUNNING else at
            held.append(Held(len(held), slot, state, start, ended, began, phases))
    since = draw(times)
    return counts, moves, held, since, since + draw(seconds) * 10


@settings(max_examples=80)
@given(histories())
def test_segments_cover_each_span_and_never_overlap(
    history: tuple[list[Count], list[Move], list[Held], float, float],
) -> None:
    since, until = history[3:]
    for line in lines(*history):
        assert since <= line.spans[0][0]
        assert line.spans[-1][1] <= until
        left = list(line.segments)
        for start, end in line.spans:
            at = start
            while left and left[0].start < end:
                segment = left.pop(0)
                assert segment.start == at
                assert segment.end > segment.start
                at = segment.end
            assert at == end
        assert not left
        assert all(before[1] < after[0] for before, after in pairwise(line.spans))


@settings(max_examples=40)
@given(histories())
def test_the_kinds_of_a_slot_add_up_to_the_time_in_which_it_existed(
    history: tuple[list[Count], list[Move], list[Held], float, float],
) -> None:
    found = lines(*history)
    for line in found:
        assert abs(sum(line.totals().values()) - line.seconds) < TOLERANCE
    both = sum(totals(found).values()), sum(line.seconds for line in found)
    assert abs(both[0] - both[1]) < TOLERANCE


@settings(max_examples=40)
@given(histories(), times)
def test_two_halves_of_a_time_are_its_whole(
    history: tuple[list[Count], list[Move], list[Held], float, float], middle: float
) -> None:
    counts, moves, held, since, until = history
    middle = min(max(since, middle), until)
    whole = totals(lines(counts, moves, held, since, until))
    first = totals(lines(counts, moves, held, since, middle))
    second = totals(lines(counts, moves, held, middle, until))
    for kind in Kind:
        halves = first.get(kind, 0.0) + second.get(kind, 0.0)
        assert abs(whole.get(kind, 0.0) - halves) < TOLERANCE


def test_a_trial_is_told_phase_by_phase_with_the_time_of_ray_before_and_after() -> None:
    (line,) = lines([Count(0, 1)], [], [trial(1, 10, 312)], 0, 320)
    assert told(line) == [
        (Kind.IDLE, 10),
        (Kind.DISPATCH, 1),
        (Kind.STARTUP, 2),
        (Kind.WARM_UP, 3),
        (Kind.TRAIN, 290),
        (Kind.EVAL, 4),
        (Kind.TEARDOWN, 1),
        (Kind.RETURN, 1),
        (Kind.IDLE, 8),
    ]


def test_a_node_whose_clock_is_wrong_has_its_phases_put_where_they_can_have_been() -> None:
    late = trial(1, 10, 312, began=1000)
    early = trial(1, 10, 312, began=-50)
    for each, first, last in (
        (late, Kind.DISPATCH, Kind.TEARDOWN),
        (early, Kind.STARTUP, Kind.RETURN),
    ):
        (line,) = lines([Count(10, 1)], [], [each], 0, 312)
        kinds = [segment.kind for segment in line.segments]
        assert (kinds[0], kinds[-1]) == (first, last)
        assert line.totals()[Kind.TRAIN] == 290
    assert (late.shift, early.shift) == (12 - 1000, 10 + 50)
    assert trial(1, 10, 312).shift == 0


def test_what_a_killed_session_ran_held_its_slot_until_that_was_heard_of_last() -> None:
    night = 8 * HOUR
    counts = [Count(0, 1), Count(100, 0, over=True), Count(night, 1)]
    lost = Held(1, 0, TrialState.LOST, 20, night)
    (line,) = lines(counts, [], [lost], 0, night + 5)
    assert list(line.spans) == [(0, 100), (night, night + 5)]
    assert told(line) == [(Kind.IDLE, 20), (Kind.LOST, 80), (Kind.IDLE, 5)]


def test_a_slot_that_is_counted_no_more_lasts_as_long_as_its_trial() -> None:
    counts = [Count(0, 2), Count(100, 1)]
    _, gone = lines(counts, [], [trial(1, 0, 310, slot=1)], 0, 500)
    assert list(gone.spans) == [(0, 310)]


def test_a_slot_without_a_trial_says_what_the_study_did_meanwhile() -> None:
    moves = [
        Move(0, StudyState.RUNNING),
        Move(10, StudyState.PAUSED),
        Move(30, StudyState.RUNNING),
        Move(31, StudyState.RUNNING),  # with another text
        Move(60, StudyState.DRAINING),
        Move(70, StudyState.STOPPED),
    ]
    (line,) = lines([Count(5, 1)], moves, [], 0, 100)
    assert told(line) == [
        (Kind.IDLE, 5),
        (Kind.PAUSED, 20),
        (Kind.IDLE, 30),
        (Kind.ENDING, 40),
    ]


def test_trials_without_an_outcome_are_told_by_what_became_of_them() -> None:
    held = [
        Held(1, 0, TrialState.LOST, 0, 10),
        Held(2, 0, TrialState.CANCELLED, 10, 15),
        Held(3, 0, TrialState.RUNNING, 15, None),
    ]
    (line,) = lines([Count(0, 1)], [], held, 0, 40)
    assert told(line) == [(Kind.LOST, 10), (Kind.CANCELLED, 5), (Kind.RUNNING, 25)]


def test_a_drawing_leaves_out_the_time_without_any_slot() -> None:
    counts = [Count(100, 2), Count(150, 1), Count(200, 0, over=True), Count(900, 1)]
    shown = Open(lines(counts, [], [], 0, 950))
    assert shown.seconds == 150
    assert list(shown.breaks) == [100]
    times = (0, 100, 160, 200, 500, 900, 930, 950, 2000)
    assert [shown.until(each) for each in times] == [0, 0, 60, 100, 100, 100, 130, 150, 150]
    none = Open([])
    assert (none.seconds, none.until(5)) == (0, 0)
    assert not none.breaks


def test_neither_a_pause_nor_the_end_is_a_slot_that_waits_for_work() -> None:
    seconds = {Kind.TRAIN: 90.0, Kind.LOST: 8.0, Kind.IDLE: 2.0, Kind.PAUSED: 500.0}
    assert occupancy({**seconds, Kind.ENDING: 70.0}) == 0.98
    assert occupancy({Kind.PAUSED: 5.0}) is None


def test_the_sums_of_all_slots_leave_to_idle_what_nothing_else_was() -> None:
    kept = SlotTime(
        ended={Kind.TRAIN: 900.0, Kind.LOST: 50.0, Kind.CANCELLED: 0.0},
        exists=1000.0,
        counted_at=500.0,
        slots=2,
        running=1,
        given=540.0,
        heard_at=505.0,
    )
    now = kept.at(600.0)
    assert now == {Kind.TRAIN: 900, Kind.RUNNING: 60, Kind.LOST: 50, Kind.IDLE: 190}
    assert sum(now.values()) == 1200
    assert sum(kept.at(None).values()) == 1010
