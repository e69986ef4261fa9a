"""The judge is pure: virtual time decides these claims."""

import pytest

from workers.judge import Judge
from workers.outcome import OutcomeStatus, Phase
from workers.trial import Budget
from workers.wire import Kind, Message

BUDGET = Budget(seconds=100.0, startup_seconds=30.0, eval_seconds=20.0)  # 110 s with its grace


def message(kind: Kind, value: float = 0.0, text: str = "", step: int = 0) -> Message:
    return Message(kind, step, 0, 0, 0, 0.0, None, value, text)


def judge_at(*said: tuple[Kind, float]) -> Judge:
    judge = Judge(BUDGET, 0.0)
    for kind, now in said:
        judge.hear(message(kind), now)
    return judge


TO_EVAL = ((Kind.HELLO, 1.0), (Kind.READY, 5.0), (Kind.TRAINED, 105.0))


def test_the_timings_are_the_time_between_the_messages() -> None:
    judge = judge_at(*TO_EVAL, (Kind.SCORED, 112.0))
    judge.close(113.0)
    timings = judge.timings
    assert (timings.startup, timings.warm_up, timings.train) == (1.0, 4.0, 100.0)
    assert (timings.eval, timings.teardown, timings.total) == (7.0, 1.0, 113.0)


@pytest.mark.parametrize(
    ("said", "limit"),
    [((), 30.0), (TO_EVAL[:1], 30.0), (TO_EVAL[:2], 115.0), (TO_EVAL, 125.0)],
    ids=["startup", "warm_up", "train", "eval"],
)
def test_each_phase_ends_at_its_limit_and_not_before(
    said: tuple[tuple[Kind, float], ...], limit: float
) -> None:
    in_time, late = judge_at(*said), judge_at(*said)
    in_time.tick(limit)
    late.tick(limit + 0.001)
    assert in_time.verdict is None
    assert late.verdict is not None
    assert late.verdict.status is OutcomeStatus.TIMEOUT


def test_a_score_after_the_deadline_is_a_timeout() -> None:
    judge = judge_at(*TO_EVAL, (Kind.SCORED, 126.0))
    assert judge.verdict is not None
    assert judge.verdict.status is OutcomeStatus.TIMEOUT


@pytest.mark.parametrize("kind", [Kind.READY, Kind.TRAINED, Kind.SCORED])
def test_a_message_out_of_order_breaks_the_protocol(kind: Kind) -> None:
    judge = judge_at((kind, 1.0))
    assert judge.verdict is not None
    assert judge.verdict.status is OutcomeStatus.CRASH
    assert "protocol was broken" in judge.verdict.reason


def test_the_first_verdict_stands() -> None:
    judge = judge_at(*TO_EVAL, (Kind.SCORED, 106.0))
    first = judge.verdict
    judge.hear(message(Kind.FAILED, text="crash\nlater"), 107.0)
    judge.hear_exit(9, 108.0)
    assert judge.verdict == first
    assert first is not None
    assert first.status is OutcomeStatus.DONE


@pytest.mark.parametrize("blame", ["done", "lost", "timeout", "nonsense", ""])
def test_a_candidate_can_not_choose_a_verdict_that_is_not_its_own(blame: str) -> None:
    judge = Judge(BUDGET, 0.0)
    judge.hear(message(Kind.FAILED, text=f"{blame}\nwhy"), 1.0)
    assert judge.verdict is not None
    assert judge.verdict.status is OutcomeStatus.CRASH


def test_only_steps_of_the_training_phase_count() -> None:
    judge = judge_at(*TO_EVAL[:1])
    judge.hear(message(Kind.PROGRESS, step=99), 2.0)
    judge.hear(message(Kind.READY, step=99), 3.0)
    assert judge.phase is Phase.TRAIN
    judge.hear(message(Kind.TRAINED, step=4), 4.0)
    assert judge.figures.step == 4
