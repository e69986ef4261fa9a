"""A model that fails is left alone, tried again with one call, and let back in."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.breaker import Breaker, Permit, RetryPolicy


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, failures=3, rest_seconds=30, most_rest_seconds=900)


def admitted(breaker: Breaker) -> Permit:
    permit = breaker.admit()
    assert permit is not None
    return permit


def opened(breaker: Breaker) -> Breaker:
    for _ in range(3):
        breaker.failed(admitted(breaker), "500 boom")
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_and_says_why(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.failed(admitted(breaker), "500 boom")
    breaker.succeeded(admitted(breaker))
    for _ in range(2):
        breaker.failed(admitted(breaker), "500 boom")
    assert breaker.admit() is not None
    assert breaker.why == ""
    breaker.failed(admitted(breaker), "500 boom")
    assert breaker.admit() is None
    assert breaker.rest == 30
    assert breaker.why == "500 boom (3 failed attempts; left alone for 30 s)"


def test_one_lasting_failure_opens_it(breaker: Breaker) -> None:
    breaker.failed(admitted(breaker), "401 wrong key", lasting=True)
    assert breaker.admit() is None
    assert breaker.lasting
    assert "401 wrong key" in breaker.why


def test_after_its_rest_one_probe_is_let_through_at_a_time(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 30
    probe = admitted(breaker)
    assert probe.probe
    assert breaker.admit() is None
    breaker.release(probe)  # it was never sent
    assert admitted(breaker).probe


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 30
    breaker.succeeded(admitted(breaker))
    assert breaker.why == ""
    assert not admitted(breaker).probe
    breaker.failed(admitted(breaker), "once")
    assert breaker.admit() is not None


def test_each_probe_that_fails_doubles_the_rest_up_to_a_quarter_of_an_hour(
    breaker: Breaker, clock: Clock
) -> None:
    opened(breaker)
    rests = []
    for _ in range(7):
        rests.append(breaker.rest)
        clock.now += breaker.rest
        breaker.failed(admitted(breaker), "500")
    assert rests == [30, 60, 120, 240, 480, 900, 900]


def test_a_long_retry_after_is_honoured_at_once_but_not_for_ever(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.failed(admitted(breaker), "429", retry_after=5)
    assert breaker.admit() is not None  # short: the call itself waits
    breaker.failed(admitted(breaker), "429", retry_after=400)
    assert breaker.rest == 400
    clock.now += 400
    breaker.failed(admitted(breaker), "429", retry_after=1e9)
    assert breaker.rest == 3600


def test_calls_begun_before_it_opened_neither_lengthen_the_rest_nor_end_the_probe(
    breaker: Breaker, clock: Clock
) -> None:
    late = [admitted(breaker) for _ in range(4)]
    opened(breaker)
    breaker.failed(late[0], "500")
    assert breaker.rest == 30
    clock.now += 30
    admitted(breaker)
    breaker.failed(late[1], "500")
    breaker.release(late[2])
    assert breaker.admit() is None  # the probe is still under way
    breaker.succeeded(late[3])  # but that it answers is news, whoever brings it
    assert breaker.why == ""


@given(
    st.lists(
        st.tuples(st.sampled_from(["fail", "lasting", "succeed", "release"]), st.floats(0, 2000)),
        max_size=60,
    )
)
def test_whatever_happens_it_admits_a_call_in_the_end(events: list[tuple[str, float]]) -> None:
    clock = Clock()
    breaker = Breaker(clock, failures=3)
    for what, seconds in events:
        clock.now += seconds
        permit = breaker.admit()
        if permit is None:
            assert breaker.why
            continue
        if what == "succeed":
            breaker.succeeded(permit)
            assert breaker.admit() is not None
        elif what == "release":
            breaker.release(permit)
        else:
            breaker.failed(permit, "no", lasting=what == "lasting")
    clock.now += 900
    assert breaker.admit() is not None


@given(st.integers(1, 3), st.none() | st.floats(0, 120), st.integers())
def test_the_back_off_is_jittered_bounded_and_comes_after_what_was_asked_for(
    failed: int, asked: float | None, seed: int
) -> None:
    policy = RetryPolicy(attempts=4, base=1, cap=3)
    wait = policy.wait(failed, Random(seed), asked)
    assert wait is not None
    assert 0 <= wait - (asked or 0) <= min(3, 2 ** (failed - 1)) + 1e-9
    assert policy.wait(failed, Random(seed), asked) == wait


def test_the_back_off_differs_between_calls_that_failed_together() -> None:
    policy = RetryPolicy()
    assert len({policy.wait(2, Random(seed)) for seed in range(20)}) == 20


def test_it_gives_up_after_the_last_attempt_or_when_asked_to_wait_too_long() -> None:
    policy = RetryPolicy(attempts=2, most_wait=120)
    assert policy.wait(2, Random(1)) is None
    assert policy.wait(1, Random(1), retry_after=121) is None
