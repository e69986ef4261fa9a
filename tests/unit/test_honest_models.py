"""Honest models in the exam: they pass every probe, and their number is the plain one."""

from collections.abc import Callable, Iterator

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.fixtures.exams import sit
from train_template import train
from train_template.job import Settings
from train_template.tokenizer import Ids

V = 257
TOKEN_BYTES = (1,) * 256 + (0,)
COUNT = 2500  # tokens that are scored


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled model in a size for tests, and the same weights each time."""
    for name, value in {"DEPTH": 3, "HEADS": 2, "HEAD_WIDTH": 16}.items():
        monkeypatch.setattr(train, name, value)
    torch.manual_seed(3)


def text() -> Ids:
    """Every kind of token, with some order in it."""
    steps = np.random.default_rng(0).integers(-3, 4, size=6000)
    return (np.cumsum(steps) % V).astype(np.uint16)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, 24)
        self.rnn = nn.GRU(24, 24, batch_first=True)
        self.head = nn.Linear(24, V)

    def forward(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rnn(self.embed(batch))[0])
        return 4 * logits


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, 24)
        self.mix = nn.Conv1d(24, V, kernel_size=5)

    def forward(self, batch: Tensor) -> Tensor:
        padded = nn.functional.pad(self.embed(batch).mT, (4, 0))
        logits: Tensor = self.mix(padded)
        return 3 * logits.mT


def bundled(length: int) -> nn.Module:
    """The bundled model, with a weight on every path."""
    model = train.GPT(V, length)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


class InBfloat16(nn.Module):
    """A model whose weights, sums and logits are all bfloat16."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.bfloat16()

    def forward(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.model(batch)
        return logits.bfloat16()


class Table(nn.Module):
    """Logits in bfloat16 that don't depend on company, so that the plain way finds the same."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(8 * torch.randn(V, V))

    def forward(self, batch: Tensor) -> Tensor:
        return self.table.bfloat16()[batch]


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "bundled": bundled,
    "recurrent": lambda length: Recurrent(),
    "convolution": lambda length: Convolution(),
    "table in bfloat16": lambda length: Table(),
}
# Length, and tokens in a batch: batches of 7, of 1, and of more windows than there are.
SIZES = [(16, 112), (64, 64), (33, 20_000)]


def plain_bits_per_byte(model: nn.Module, length: int) -> float:
    """In double precision, window by window, from the logits that the model gives by itself."""
    windows = text()[: COUNT // (length + 1) * (length + 1)].reshape(-1, length + 1)
    nats, size = 0.0, 0
    with torch.inference_mode():
        for window in windows.astype(np.int64):
            log_p = model(torch.from_numpy(window[None, :-1]))[0].double().log_softmax(-1)
            for position, target in enumerate(window[1:].tolist()):
                if TOKEN_BYTES[target]:
                    nats -= log_p[position, target].item()
                    size += TOKEN_BYTES[target]
    return float(nats / np.log(2) / size)


@pytest.mark.parametrize(("length", "batch_tokens"), SIZES)
@pytest.mark.parametrize("kind", MODELS)
def test_bits_per_byte_equal_a_plain_computation(
    kind: str, length: int, batch_tokens: int, threads: int
) -> None:
    model = MODELS[kind](length)
    settings = Settings(length, COUNT, batch_tokens)
    value = sit(model, text(), settings, TOKEN_BYTES, secret=threads, threads=threads)
    assert value == pytest.approx(plain_bits_per_byte(model, length), abs=1e-5)


@pytest.mark.parametrize(("length", "batch_tokens"), SIZES)
def test_a_model_that_computes_in_bfloat16_passes_every_probe(
    length: int, batch_tokens: int, threads: int
) -> None:
    model = InBfloat16(bundled(length))
    settings = Settings(length, COUNT, batch_tokens)
    value = sit(model, text(), settings, TOKEN_BYTES, secret=threads, threads=threads)
    # By itself a window goes through other kernels than in a batch, and rounds otherwise.
    assert value == pytest.approx(plain_bits_per_byte(model, length), abs=0.01)


class RandomModel(nn.Module):
    """Random logits for each token, in one of two precisions, which notes what it answered."""

    def __init__(self, vocabulary: int, scale: float, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        table = torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(seed))
        self.table = nn.Parameter((scale * table).to(dtype))
        self.answered: dict[tuple[int, ...], Tensor] = {}

    def forward(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.table[batch]
        for window, answer in zip(batch.tolist(), logits, strict=True):
            self.answered[tuple(window)] = answer.clone()
        return logits


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(
    vocabulary=st.integers(2, 300),
    length=st.integers(1, 40),
    batch_tokens=st.integers(1, 400),
    scale=st.floats(0.01, 12.0),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 1000),
)
def test_the_number_of_any_model_is_that_of_its_own_answers(
    *, vocabulary: int, length: int, batch_tokens: int, scale: float, dtype: torch.dtype, seed: int
) -> None:
    random = np.random.default_rng(seed)
    tokens = random.integers(vocabulary, size=700).astype(np.uint16)
    sizes = tuple(random.integers(0, 9, size=vocabulary).tolist())
    count = 500 // (length + 1)
    windows = tokens[: count * (length + 1)].reshape(count, length + 1).astype(np.int64)
    hypothesis.assume(sum(sizes[target] for target in windows[:, 1:].ravel()) > 0)
    model = RandomModel(vocabulary, scale, dtype, seed)
    value = sit(model, tokens, Settings(length, 500, batch_tokens), sizes, secret=seed)
    nats, text_bytes = 0.0, 0
    for window in windows:
        log_p = model.answered[tuple(window[:-1].tolist())].double().log_softmax(-1)
        for place, target in enumerate(window[1:].tolist()):
            nats -= log_p[place, target].item() if sizes[target] else 0.0
            text_bytes += sizes[target]
    assert value == pytest.approx(nats / np.log(2) / text_bytes, abs=1e-5)


def test_dropout_is_off_and_no_gradient_is_kept() -> None:
    seen = []

    class Watched(Recurrent):
        def forward(self, batch: Tensor) -> Tensor:
            seen.append((self.training, torch.is_inference_mode_enabled(), batch.dtype))
            return super().forward(batch)

    sit(Watched(), text(), Settings(16, 500, 160), TOKEN_BYTES)
    assert set(seen) == {(False, True, torch.int64)}
