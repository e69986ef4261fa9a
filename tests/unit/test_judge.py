"""The judge is pure: virtual time decides these claims."""

import math
import signal
from dataclasses import replace

import pytest

from workers.judge import TEARDOWN_SECONDS, Judge
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


def in_the_exam(limit: float = 20.0) -> Judge:
    judge = Judge(replace(BUDGET, eval_seconds=limit), 0.0)
    for kind, now in TO_EVAL:
        judge.hear(message(kind), now)
    judge.hear_referee(message(Kind.HELLO), 105.0)
    judge.begin_exam(105.0)
    return judge


def ruled(judge: Judge) -> tuple[OutcomeStatus, str, float | None]:
    assert judge.verdict is not None
    return judge.verdict.status, judge.verdict.reason, judge.verdict.metric


def test_the_harness_names_its_device_and_its_precision() -> None:
    judge = Judge(BUDGET, 0.0)
    judge.hear(replace(message(Kind.HELLO), text="NVIDIA H200\nbfloat16"), 1.0)
    assert (judge.figures.device, judge.figures.precision) == ("NVIDIA H200", "bfloat16")


def test_the_timings_are_the_time_between_the_messages() -> None:
    judge = in_the_exam()
    judge.hear_referee(message(Kind.SCORED, 1.0), 112.0)
    judge.close(113.0)
    timings = judge.timings
    assert (timings.startup, timings.warm_up, timings.train) == (1.0, 4.0, 100.0)
    assert (timings.eval, timings.teardown, timings.total) == (7.0, 1.0, 113.0)


@pytest.mark.parametrize(
    ("said", "limit"),
    [((), 30.0), (TO_EVAL[:1], 30.0), (TO_EVAL[:2], 115.0)],
    ids=["startup", "warm_up", "train"],
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


def test_only_the_referee_scores() -> None:
    judge = in_the_exam()
    judge.hear_referee(message(Kind.SCORED, 1.25), 106.0)
    assert ruled(judge) == (OutcomeStatus.DONE, "", 1.25)


@pytest.mark.parametrize("said", [(), TO_EVAL[:2], TO_EVAL], ids=["startup", "train", "eval"])
def test_a_score_of_the_candidates_own_is_rejected(said: tuple[tuple[Kind, float], ...]) -> None:
    judge = judge_at(*said, (Kind.SCORED, said[-1][1] if said else 1.0))
    status, reason, metric = ruled(judge)
    assert (status, metric) == (OutcomeStatus.REJECTED, None)
    assert reason.startswith("it sent a score of its own")


def test_a_score_after_the_deadline_is_a_timeout() -> None:
    judge = in_the_exam()
    judge.hear_referee(replace(message(Kind.PROGRESS), value=18.0), 124.0)
    judge.hear_referee(message(Kind.SCORED, 1.0), 126.0)
    assert ruled(judge)[0] is OutcomeStatus.TIMEOUT


EVERY = (-math.inf, math.inf)


def in_the_audit() -> Judge:
    """The metric is known, 10 s after the exam began."""
    judge = Judge(BUDGET, 0.0, EVERY)
    for kind, now in TO_EVAL:
        judge.hear(message(kind), now)
    judge.hear_referee(message(Kind.HELLO), 105.0)
    judge.begin_exam(105.0)
    judge.hear_referee(message(Kind.SCORED, 1.25), 115.0)
    return judge


def test_the_verdict_waits_for_the_audit_which_has_a_limit_of_its_own() -> None:
    judge, late, waiting = in_the_audit(), in_the_audit(), in_the_audit()
    waiting.tick(134.0)
    assert waiting.verdict is None
    judge.hear_referee(message(Kind.AUDITED, 1.5), 134.0)
    assert ruled(judge) == (OutcomeStatus.DONE, "", 1.25)
    assert judge.verdict is not None
    assert judge.verdict.audit_metric == 1.5
    late.hear_referee(waited(15.0), 134.0)
    late.tick(136.0)
    assert ruled(late)[0] is OutcomeStatus.TIMEOUT, "the time of the first exam is not its"


@pytest.mark.parametrize("between", [None, (-math.inf, 1.25), (1.25, math.inf)])
def test_a_metric_that_needs_no_audit_ends_the_exam(between: tuple[float, float] | None) -> None:
    judge = Judge(BUDGET, 0.0, between)
    for kind, now in TO_EVAL:
        judge.hear(message(kind), now)
    judge.begin_exam(105.0)
    judge.hear_referee(message(Kind.SCORED, 1.25), 106.0)
    assert ruled(judge) == (OutcomeStatus.DONE, "", 1.25)
    assert judge.verdict is not None
    assert judge.verdict.audit_metric is None


def test_who_leaves_or_is_refused_in_the_audit_has_no_metric() -> None:
    for text, status in ((LEFT, OutcomeStatus.CRASH), ("rejected\nno", OutcomeStatus.REJECTED)):
        judge = in_the_audit()
        judge.hear_referee(message(Kind.FAILED, text=text), 116.0)
        judge.tick(120.0)
        assert (ruled(judge)[0], ruled(judge)[2]) == (status, None)


@pytest.mark.parametrize("value", [math.nan, -1.0, math.inf])
def test_an_audit_that_is_no_score_is_rejected(value: float) -> None:
    judge = in_the_audit()
    judge.hear_referee(message(Kind.AUDITED, value), 116.0)
    assert ruled(judge)[0] is OutcomeStatus.REJECTED


def test_only_the_referee_audits_and_only_after_its_score() -> None:
    judge = in_the_exam()
    judge.hear(message(Kind.AUDITED, 0.1), 106.0)
    assert ruled(judge)[0] is OutcomeStatus.REJECTED
    judge = in_the_exam()
    judge.hear_referee(message(Kind.AUDITED, 0.1), 106.0)
    assert ruled(judge)[0] is OutcomeStatus.LOST
    twice = in_the_audit()
    twice.hear_referee(message(Kind.SCORED, 1.0), 116.0)
    assert ruled(twice)[0] is OutcomeStatus.LOST


def waited(seconds: float, share: float = 0.5) -> Message:
    return replace(message(Kind.PROGRESS, seconds), fraction=share)


def test_an_exam_that_outlasts_its_limit_is_the_candidates_if_the_referee_waited_for_it() -> None:
    judge = in_the_exam()
    judge.hear_referee(waited(15.0), 124.0)
    judge.tick(126.0)
    status, reason, _ = ruled(judge)
    assert status is OutcomeStatus.TIMEOUT
    assert reason == (
        "eval outlasted its limit of 20 s, with 50% of the exam answered: "
        "the model's answers took too long"
    )


def test_an_exam_that_outlasts_its_limit_is_lost_if_the_referee_hung() -> None:
    judge = in_the_exam()
    judge.hear_referee(waited(3.0), 108.5)  # and then nothing more
    judge.tick(126.0)
    status, reason, _ = ruled(judge)
    assert status is OutcomeStatus.LOST
    assert reason.endswith("the referee waited for answers for 3.0 s only, and hung")


def test_an_exam_too_large_for_its_limit_says_what_to_change() -> None:
    judge = in_the_exam()
    judge.hear_referee(waited(3.0, 0.6), 125.0)
    judge.tick(126.0)
    status, reason, _ = ruled(judge)
    assert status is OutcomeStatus.LOST
    assert "60% of the exam answered" in reason
    assert "computed the rest: more cores (workers.cpus_per_trial), a higher" in reason


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_wait_that_is_no_number_counts_as_none(value: float) -> None:
    judge = in_the_exam()
    judge.hear_referee(waited(value), 124.0)
    judge.tick(126.0)
    assert ruled(judge)[0] is OutcomeStatus.LOST


def test_a_referee_that_never_got_ready_makes_the_trial_lost() -> None:
    judge = judge_at(*TO_EVAL)
    judge.tick(126.0)
    assert ruled(judge)[:2] == (OutcomeStatus.LOST, "the referee was not ready within 20 s")


def test_a_score_counts_when_the_candidate_has_ended_after_the_last_question() -> None:
    judge = in_the_exam()
    judge.hear_exit(0, 106.0)
    judge.hear_referee(message(Kind.SCORED, 1.25), 107.0)
    assert ruled(judge) == (OutcomeStatus.DONE, "", 1.25)


LEFT = "crash\nthe candidate closed the exam"


def test_a_candidate_that_ends_in_the_exam_is_to_blame_in_either_order() -> None:
    first, last = in_the_exam(), in_the_exam()
    first.hear_exit(signal.SIGKILL, 106.0)
    first.hear_referee(message(Kind.FAILED, text=LEFT), 106.1)
    last.hear_referee(message(Kind.FAILED, text=LEFT), 106.0)
    last.hear_exit(signal.SIGKILL, 106.1)
    assert ruled(first) == ruled(last)
    assert ruled(first)[0] is OutcomeStatus.OOM


def test_a_candidate_says_itself_why_the_exam_broke_off() -> None:
    judge = in_the_exam()
    judge.hear_referee(message(Kind.FAILED, text=LEFT), 106.0)
    judge.hear(message(Kind.FAILED, text="oom\ntoo big"), 106.1)
    assert ruled(judge)[:2] == (OutcomeStatus.OOM, "too big")


def test_a_candidate_that_leaves_the_exam_without_a_word_is_a_crash() -> None:
    judge = in_the_exam()
    judge.hear_referee(message(Kind.FAILED, text=LEFT), 106.0)
    judge.tick(107.5)
    assert ruled(judge)[:2] == (OutcomeStatus.CRASH, "the candidate closed the exam")


def test_a_referee_that_dies_makes_the_trial_lost_though_the_candidate_then_ends() -> None:
    judge = in_the_exam()
    judge.hear_referee_end("KeyError", 106.0)
    judge.hear_exit(0, 106.1)
    assert ruled(judge)[:2] == (OutcomeStatus.LOST, "the referee failed: KeyError")


def test_a_refusal_counts_though_the_candidate_noticed_first_that_the_referee_left() -> None:
    judge = in_the_exam()
    judge.hear(message(Kind.FAILED, text="crash\nBrokenPipeError"), 106.0)
    assert judge.verdict is None
    judge.hear_referee(message(Kind.FAILED, text="rejected\nnot finite"), 106.1)
    assert ruled(judge)[:2] == (OutcomeStatus.REJECTED, "not finite")


def test_a_candidate_that_fails_in_the_exam_is_believed_where_the_referee_says_no_more() -> None:
    for after in (LEFT, ""):
        judge = in_the_exam()
        judge.hear(message(Kind.FAILED, text="oom\ntoo big"), 106.0)
        judge.hear_exit(1, 106.1)
        if after:
            judge.hear_referee(message(Kind.FAILED, text=after), 106.2)
        else:
            judge.tick(106.1 + TEARDOWN_SECONDS)
        assert ruled(judge)[:2] == (OutcomeStatus.OOM, "too big")


def test_a_refusal_of_the_referee_stands() -> None:
    judge = in_the_exam()
    judge.hear_referee(message(Kind.FAILED, text="rejected\nnot causal"), 106.0)
    judge.hear(message(Kind.FAILED, text="crash\nit was the referee"), 106.1)
    assert ruled(judge)[:2] == (OutcomeStatus.REJECTED, "not causal")


def test_a_referee_that_scores_before_the_exam_has_begun_is_not_believed() -> None:
    judge = judge_at(*TO_EVAL[:2])
    judge.hear_referee(message(Kind.SCORED, 0.1), 6.0)
    assert ruled(judge)[0] is OutcomeStatus.LOST


@pytest.mark.parametrize("kind", [Kind.READY, Kind.TRAINED])
def test_a_message_out_of_order_breaks_the_protocol(kind: Kind) -> None:
    judge = judge_at((kind, 1.0))
    assert judge.verdict is not None
    assert judge.verdict.status is OutcomeStatus.CRASH
    assert "protocol was broken" in judge.verdict.reason


def test_the_first_verdict_stands() -> None:
    judge = in_the_exam()
    judge.hear_referee(message(Kind.SCORED, 1.0), 106.0)
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


@pytest.mark.parametrize(
    ("steps", "over", "fair"), [(10, 8.0, True), (1000, 1.5, True), (1000, 8.0, False)]
)
def test_the_grace_is_for_slow_steps_only(steps: int, over: float, fair: bool) -> None:
    judge = judge_at((Kind.HELLO, 1.0), (Kind.READY, 5.0))
    judge.hear(message(Kind.TRAINED, step=steps), 105.0 + over)
    if fair:
        assert judge.verdict is None
        return
    status, reason, _ = ruled(judge)
    assert status is OutcomeStatus.TIMEOUT
    assert "8.0 s over its budget, and a step took 0.11 s" in reason
