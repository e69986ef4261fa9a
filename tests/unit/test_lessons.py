"""One line for each experiment."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.briefing import PastExperiment
from agent.lessons import WORDS, Ground, read_lesson, write_lesson
from agent.notebook import condense

DONE = PastExperiment(
    12, 9, "Twice the rate", "", "a/model", "keep", 1.498812,
    expected="lower by 0.004", parent_metric=1.504912,
)  # fmt: skip


def test_a_lesson_says_what_was_done_expected_and_observed() -> None:
    assert write_lesson(DONE, minimize=True, sigma=0.002) == (
        "#12 kept: Twice the rate; expected lower by 0.004; "
        "got 0.0061 lower than #9 (1.504912 -> 1.498812: better, 3.0 sigma)"
    )


def test_without_a_measured_noise_no_sigma_is_claimed() -> None:
    assert write_lesson(DONE, minimize=True).endswith("(1.504912 -> 1.498812: better)")


def test_lower_is_worse_where_higher_is_better() -> None:
    assert write_lesson(DONE, minimize=False).endswith(": worse)")


def test_constants_that_moved_are_named_where_nothing_else_did() -> None:
    parent = PastExperiment(9, 1, "", "", "", "keep", 1.5, skeleton="s", constants={"A": 1, "B": 2})
    moved = replace(DONE, skeleton="s", constants={"A": 1, "B": 4})
    assert write_lesson(moved, parent, minimize=True).startswith("#12 kept: B 2 -> 4;")
    other = replace(moved, skeleton="another")
    assert write_lesson(other, parent, minimize=True).startswith("#12 kept: Twice the rate;")


def test_a_failure_gives_its_reason_in_a_few_words_and_no_number() -> None:
    failed = replace(DONE, state="oom", metric=None, reason="CUDA out of memory\n" * 50)
    lesson = write_lesson(failed, minimize=True)
    assert lesson.startswith(
        "#12 out of memory: Twice the rate; expected lower by 0.004; reason: CUDA"
    )
    assert "got" not in lesson
    assert len(lesson) < 300


def test_what_is_not_decided_has_no_lesson() -> None:
    with pytest.raises(ValueError, match="running"):
        write_lesson(replace(DONE, state="running"), minimize=True)


@given(
    title=st.text(max_size=400),
    expected=st.text(max_size=400),
    reason=st.text(max_size=400),
    state=st.sampled_from(sorted(WORDS)),
    metric=st.none() | st.floats(-1e6, 1e6),
    before=st.none() | st.floats(-1e6, 1e6),
    minimize=st.booleans(),
)
def test_any_lesson_is_one_line_of_bounded_length_and_can_be_read_back(
    *, title: str, expected: str, reason: str, state: str, metric: float | None,
    before: float | None, minimize: bool,
) -> None:  # fmt: skip
    experiment = PastExperiment(
        7, 3, title, "", "", state, metric, reason, expected=expected, parent_metric=before
    )
    line = write_lesson(experiment, minimize=minimize, sigma=0.01)
    assert line.isprintable()
    assert len(line) < 700
    read = read_lesson(line)
    assert read is not None
    assert (read.id, read.state) == (7, state)
    if metric is not None:
        assert read.metric == pytest.approx(metric, rel=1e-8)
    if metric is not None and before is not None and metric != before:
        assert read.gain is not None
        assert (read.gain > 0) == ((metric < before) == minimize)


LOST = replace(DONE, state="discard")


@pytest.mark.parametrize(
    ("sigma", "ground", "worth"),
    [
        (0.004, Ground(1, 9), "not shown to be better, within the noise (sigma 0.004), one trial"),
        (0.001, Ground(4, 9), "not shown to be better, 6.1 sigma"),
        (None, Ground(4, 9), "not shown to be better"),
        (None, Ground(2, 11), "not shown to be better than #11"),
        (None, Ground(1, 11, ahead=False), "better, but #11 is better still, one trial"),
    ],
)
def test_what_looks_better_and_was_discarded_says_why(
    sigma: float | None, ground: Ground, worth: str
) -> None:
    line = write_lesson(LOST, minimize=True, sigma=sigma, ground=ground)
    assert line.endswith(f"got 0.0061 lower than #9 (1.504912 -> 1.498812: {worth})")
    read = read_lesson(line)
    assert read is not None
    assert read.gain == pytest.approx(0.0061)


def test_a_loss_by_one_trial_says_so() -> None:
    line = write_lesson(LOST, minimize=False, sigma=0.002, ground=Ground(1, 9))
    assert line.endswith(": worse, 3.0 sigma, one trial)")


def test_the_notebook_claims_no_gain_of_what_was_discarded() -> None:
    lessons = [
        write_lesson(replace(LOST, title=title), minimize=True)
        for title in ("Twice the rate", "RATE 1 -> 2")
    ]
    once = condense("", lessons)
    assert "- #12 Twice the rate: better by 0.0061, not shown" in once
    assert "best #12 (RATE 1 -> 2): better by 0.0061, not shown" in once
    assert condense(once, []) == once
