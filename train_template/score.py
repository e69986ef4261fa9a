"""The metric: log-probabilities from logits, and bits per byte from log-probabilities.

In: logits as the referee holds them, the tokens that came, and how many bytes of text each token
stands for. Out: numbers, the same for any size of batch up to rounding. NumPy only, so that the
referee starts in a tenth of a second and runs nothing that a candidate could have touched. Who asks
for logits, and whether they can be believed, is decided elsewhere.
"""

import math
from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from train_template.errors import DataError, RejectedError
from train_template.exam import Answer, Precision

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer]

CHUNK_BYTES = 512 * 1024  # of float32 at a time: with its exponentials, within a core's own cache
TASKS = 16  # at most; each has memory of its own: new memory for each chunk costs a third more
LEAST_SUM = 1e-20  # of exponentials: a lesser one may lack those that are too small for a float32
WORST = 1e4  # bits per byte; a model that knows nothing has under 20


def to_float32(raw: npt.NDArray[np.uint8], precision: Precision, into: Floats) -> Floats:
    """Numbers of any precision as float32, exactly, in the shape of `into`.

    What is float32 already is looked at where it lies, all else is written to `into`.
    """
    if precision is Precision.BFLOAT16:  # the upper half of a float32
        bits = into.view(np.uint32)
        bits[:] = raw.view("<u2").reshape(into.shape)
        np.left_shift(bits, 16, out=bits)  # in place: from half to whole in one call takes longer
        return into
    if precision is Precision.FLOAT16:
        into[:] = raw.view("<f2").reshape(into.shape)
        return into
    return raw.view("<f4").reshape(into.shape)


def log_probabilities(answer: Answer, targets: Integers, threads: Executor) -> Floats:
    """Log-softmax of the logits at the targets, in nats and float32; shape [N, K].

    `answer` holds logits [N, vocabulary] and `targets`, [N, K], the K tokens to look at in each
    row. Raises RejectedError where any logit is not a finite number.
    """
    rows = len(targets)
    width = answer.logits.nbytes // rows  # bytes of one row of logits
    vocabulary = width // answer.precision.size
    step = max(1, CHUNK_BYTES // (vocabulary * Precision.FLOAT32.size))
    stride = math.ceil(math.ceil(rows / step) / TASKS) * step
    out = np.empty(targets.shape, dtype=np.float32)

    def work(first: int) -> bool:
        scratch: Floats = np.empty((step, vocabulary), dtype=np.float32)
        last = min(first + stride, rows)
        return all(judge(start, scratch) for start in range(first, last, step))

    def judge(start: int, scratch: Floats) -> bool:
        chosen = targets[start : start + step]
        raw = answer.logits[start * width : (start + len(chosen)) * width]
        room = scratch[: len(chosen)]
        logits = to_float32(raw, answer.precision, room)
        picked = np.take_along_axis(logits, chosen, axis=1).astype(np.float64)
        finite = bool(np.isfinite(logits.min()))  # the sum tells of all else that is no number
        with np.errstate(over="ignore"):
            sums = np.einsum("nv->n", np.exp(logits, out=room))[:, None]
        if finite and (sums > LEAST_SUM).all() and (sums < np.inf).all():
            out[start : start + step] = picked - np.log(sums, dtype=np.float64)
            return True
        return judge_far(start, chosen, to_float32(raw, answer.precision, room), room)

    def judge_far(start: int, chosen: Integers, logits: Floats, room: Floats) -> bool:
        """As above where logits are far from 0: their distances to the highest are looked at."""
        highest = logits.max(axis=1, keepdims=True)  # nan where a row holds one
        if not (np.isfinite(highest).all() and np.isfinite(logits.min())):
            return False
        with np.errstate(over="ignore"):  # logits 1e38 apart: a probability of 0, refused later
            shifted = np.subtract(logits, highest, out=room)
        picked = np.take_along_axis(shifted, chosen, axis=1)
        np.exp(shifted, out=shifted)
        out[start : start + step] = picked - np.log(shifted.sum(axis=1, keepdims=True))
        return True

    if not all(threads.map(work, range(0, rows, stride))):
        raise RejectedError("the model's logits are not finite numbers")
    return out


def bits_per_byte(log_p: Floats, targets: Integers, token_bytes: Sequence[int] | Integers) -> float:
    """Mean bits that the model needs for a byte of the text: lower is better.

    `log_p`, in nats, is the log-probability of each token of `targets`, in the same shape. Tokens
    of no bytes do not count:

        sum(-log2 p over targets with bytes) / sum(bytes of targets)

    Sums are taken in float64. Raises DataError where the targets stand for no text, and
    RejectedError where the result is no number of bits that a model could have.
    """
    sizes = np.asarray(token_bytes, dtype=np.int64)[targets]
    text_bytes = int(sizes.sum())
    if text_bytes == 0:
        raise DataError("the validation tokens stand for no text")
    nats = -float(log_p.sum(dtype=np.float64, where=sizes > 0))
    value = nats / math.log(2) / text_bytes
    if not 0.0 <= value < WORST:
        raise RejectedError(
            f"val_bpb is {value:g}: the logits are too far apart, so that tokens that came had a "
            "probability of 0"
        )
    return value
