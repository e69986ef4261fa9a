"""Bits per byte: equal to a plain slow computation, and refused where there is no number."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from train_template.errors import DataError, RejectedError
from train_template.score import Model, bits_per_byte
from train_template.tokenizer import Ids

# A vocabulary of five: a separator, one byte, one byte, three bytes, seven bytes.
TOKEN_BYTES = (0, 1, 1, 3, 7)
CPU = torch.device("cpu")


def tokens(count: int) -> Ids:
    return np.random.default_rng(0).integers(5, size=count).astype(np.uint16)


class Bigram(nn.Module):
    """Logits that depend on the token and on its place in the window."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.table = nn.Parameter(torch.randn(5, 5, generator=generator))

    def forward(self, batch: Tensor) -> Tensor:
        place = torch.arange(batch.size(1))[:, None] / 10
        return self.table[batch] * (1 + place)


def slow_bits_per_byte(model: Bigram, ids: Ids, length: int) -> float:
    """The definition, one target at a time, in Python's floats."""
    table = model.table.tolist()
    bits, size = 0.0, 0
    for start in range(0, len(ids) - length, length):
        for place in range(length):
            logits = [x * (1 + place / 10) for x in table[ids[start + place]]]
            target = int(ids[start + place + 1])
            if TOKEN_BYTES[target] == 0:
                continue
            total = math.log(sum(math.exp(logit) for logit in logits))
            bits += (total - logits[target]) / math.log(2)
            size += TOKEN_BYTES[target]
    return bits / size


def score(model: Model, ids: Ids, length: int = 8, batch_size: int = 4) -> float:
    return bits_per_byte(
        model, ids, TOKEN_BYTES, sequence_length=length, batch_size=batch_size, device=CPU
    )


@pytest.mark.parametrize(("count", "length"), [(9, 8), (200, 8), (207, 8), (100, 1), (64, 63)])
def test_it_equals_a_plain_slow_computation(count: int, length: int) -> None:
    ids = tokens(count)
    model = Bigram()
    assert score(model, ids, length) == pytest.approx(
        slow_bits_per_byte(model, ids, length), rel=1e-6
    )


def test_it_does_not_depend_on_the_batch_size() -> None:
    values = [score(Bigram(), tokens(500), batch_size=size) for size in (1, 3, 1000)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)


def test_knowing_nothing_costs_the_logarithm_of_the_vocabulary() -> None:
    ids = np.array([0, 1, 2, 1, 2, 1, 2, 1, 2], dtype=np.uint16)
    assert score(lambda batch: torch.zeros(*batch.shape, 5), ids) == pytest.approx(math.log2(5))


def test_dropout_is_off_and_no_gradient_is_kept_while_scoring() -> None:
    seen = []

    class Watched(Bigram):
        def forward(self, batch: Tensor) -> Tensor:
            seen.append((self.training, torch.is_inference_mode_enabled()))
            return super().forward(batch)

    score(Watched(), tokens(20))
    assert set(seen) == {(False, True)}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_logit_that_is_not_finite_is_rejected(value: float) -> None:
    def model(batch: Tensor) -> Tensor:
        logits = torch.zeros(*batch.shape, 5)
        logits[-1, 0, 3] = value
        return logits

    with pytest.raises(RejectedError, match="val_bpb is nan"):
        score(model, tokens(200))


def test_logits_of_another_shape_are_rejected() -> None:
    with pytest.raises(RejectedError, match=r"\[4, 8, 4\], not \[4, 8, 5\]"):
        score(lambda batch: torch.zeros(*batch.shape, 4), tokens(200))
    with pytest.raises(RejectedError, match="tuple"):
        score(lambda batch: (torch.zeros(*batch.shape, 5), None), tokens(200))  # type: ignore[arg-type, return-value]


def test_too_little_text_is_refused() -> None:
    with pytest.raises(DataError, match="no window"):
        score(Bigram(), tokens(8))
    with pytest.raises(DataError, match="no text"):
        score(Bigram(), np.zeros(20, dtype=np.uint16))
