"""Bits per byte from logits: equal to a plain slow computation, refused where it is no number."""

import math
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from train_template.errors import DataError, RejectedError
from train_template.exam import Answer, Precision
from train_template.score import Floats, bits_per_byte, log_probabilities, to_float32

# A vocabulary of five: a separator, one byte, one byte, three bytes, seven bytes.
TOKEN_BYTES = (0, 1, 1, 3, 7)


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def answer(logits: npt.NDArray[np.float32], precision: Precision = Precision.FLOAT32) -> Answer:
    """Logits [N, vocabulary] as they are sent; float32 is cut where the precision is lower."""
    numbers = logits.astype(np.float32)
    if precision is Precision.BFLOAT16:
        return Answer(
            (numbers.view(np.uint32) >> 16).astype("<u2").reshape(-1).view(np.uint8), precision
        )
    raw = numbers if precision is Precision.FLOAT32 else numbers.astype(np.float16)
    return Answer(raw.reshape(-1).view(np.uint8), precision)


def random_logits(rows: int, vocabulary: int, scale: float = 5.0) -> Floats:
    return np.random.default_rng(0).normal(0, scale, (rows, vocabulary)).astype(np.float32)


def slow_log_probability(logits: list[float], target: int) -> float:
    """The definition, in Python's floats."""
    most = max(logits)
    return logits[target] - most - math.log(sum(math.exp(logit - most) for logit in logits))


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 5), (7, 3), (3000, 257), (3, 200_000)])
def test_log_probabilities_equal_a_plain_slow_computation(
    precision: Precision, rows: int, vocabulary: int, threads: Executor
) -> None:
    sent = answer(random_logits(rows, vocabulary), precision)
    targets = np.random.default_rng(1).integers(vocabulary, size=(rows, 2))
    got = log_probabilities(sent, targets, threads)
    exact = to_float32(sent.logits, precision, np.empty((rows, vocabulary), dtype=np.float32))
    for row in {0, rows // 2, rows - 1}:
        for column in (0, 1):
            slow = slow_log_probability(exact[row].tolist(), int(targets[row, column]))
            assert got[row, column] == pytest.approx(slow, abs=1e-5)


@pytest.mark.parametrize("precision", Precision)
def test_every_finite_number_is_converted_exactly(precision: Precision) -> None:
    # All that bfloat16 and float16 can hold; of float32, some that they can't.
    bits = np.arange(1 << 16, dtype="<u2")
    size = bits.nbytes // precision.size
    got = to_float32(bits.view(np.uint8), precision, np.empty(size, dtype=np.float32))
    if precision is Precision.FLOAT32:
        wanted = bits.view("<f4")
    elif precision is Precision.FLOAT16:
        wanted = bits.view("<f2").astype(np.float32)
    else:
        wanted = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(got, wanted)


def test_knowing_nothing_costs_the_logarithm_of_the_vocabulary(threads: Executor) -> None:
    targets = np.array([[1], [2], [1], [2]])
    log_p = log_probabilities(answer(np.zeros((4, 5), dtype=np.float32)), targets, threads)
    assert bits_per_byte(log_p, targets, TOKEN_BYTES) == pytest.approx(math.log2(5))


def test_tokens_count_by_their_bytes_and_those_of_none_not_at_all() -> None:
    targets = np.array([[0, 1, 3], [4, 0, 2]])
    log_p = -np.log(np.array([[1e9, 2, 4], [8, 1e9, 16]])).astype(np.float32)
    bits = 1 + 2 + 3 + 4
    assert bits_per_byte(log_p, targets, TOKEN_BYTES) == pytest.approx(bits / (1 + 3 + 7 + 1))


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", [0, 1234, 2999])
def test_one_logit_that_is_not_finite_is_rejected(
    value: float, precision: Precision, row: int, threads: Executor
) -> None:
    logits = random_logits(3000, 257)
    logits[row, 100] = value
    with pytest.raises(RejectedError, match="not finite numbers"):
        log_probabilities(answer(logits, precision), np.zeros((3000, 1), dtype=np.int64), threads)


def test_a_probability_of_zero_gives_no_metric(threads: Executor) -> None:
    logits = np.array([[3e38, -3e38, 0, 0, 0]], dtype=np.float32)
    targets = np.array([[1]])
    log_p = log_probabilities(answer(logits), targets, threads)
    with pytest.raises(RejectedError, match="too far apart"):
        bits_per_byte(log_p, targets, TOKEN_BYTES)


def test_text_of_no_bytes_is_refused() -> None:
    targets = np.zeros((3, 4), dtype=np.uint16)
    with pytest.raises(DataError, match="no text"):
        bits_per_byte(np.zeros((3, 4), dtype=np.float32), targets, TOKEN_BYTES)


@pytest.mark.parametrize("shift", [-1e4, -200, -100, -60, 30, 60, 80, 100, 1e4])
@pytest.mark.parametrize("rows", [slice(0, 20), slice(7, 8)])  # all of them, or one of a chunk
def test_logits_far_from_zero_are_scored_like_the_same_ones_near_it(
    shift: float, rows: slice, threads: Executor
) -> None:
    logits = np.round(random_logits(20, 7))  # whole numbers: exact in float32 at 1e4, too
    targets = np.zeros((20, 1), dtype=np.int64)
    near = log_probabilities(answer(logits), targets, threads)
    logits[rows] += shift
    far = log_probabilities(answer(logits), targets, threads)
    np.testing.assert_allclose(near, far, rtol=0, atol=1e-6)
