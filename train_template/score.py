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
WORST = 1e4  # bits per byte; a model that knows nothing has under 20


def to_float32(raw: npt.NDArray[np.uint8], precision: Precision) -> Floats:
    """Numbers of any precision as float32, exactly; shape [numbers]."""
    if precision is Precision.BFLOAT16:  # the upper half of a float32
        wide: npt.NDArray[np.uint32] = raw.view("<u2").astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    if precision is Precision.FLOAT16:
        return raw.view("<f2").astype(np.float32)
    return raw.view("<f4")


def log_probabilities(answer: Answer, targets: Integers, threads: Executor) -> Floats:
    """Log-softmax of the logits at the targets, in nats and float32; shape [N, K].

    `answer` holds logits [N, vocabulary] and `targets`, [N, K], the K tokens to look at in each
    row. Raises RejectedError where any logit is not a finite number.
    """
    rows = len(targets)
    width = answer.logits.nbytes // rows  # bytes of one row of logits
    step = max(1, CHUNK_BYTES // (width // answer.precision.size * Precision.FLOAT32.size))
    out = np.empty(targets.shape, dtype=np.float32)

    def work(start: int) -> bool:
        part = slice(start, start + step)
        chosen = targets[part]
        raw = answer.logits[start * width : (start + len(chosen)) * width]
        logits = to_float32(raw, answer.precision).reshape(len(chosen), -1)
        if not np.isfinite(logits).all():
            return False
        with np.errstate(over="ignore"):  # logits 1e38 apart: a probability of 0, refused later
            shifted = logits - logits.max(axis=1, keepdims=True)
        picked = np.take_along_axis(shifted, chosen, axis=1)
        np.exp(shifted, out=shifted)
        out[part] = picked - np.log(shifted.sum(axis=1, keepdims=True))
        return True

    if not all(threads.map(work, range(0, rows, step))):
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
