"""Trials on BPE and packed rows, through the real supervisor, harness and referee.

The metric is compared with a plain slow computation that knows nothing of token tables: rows are
decoded to text, and every target's bits and bytes are summed one after the other.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.fixtures.candidates import ROOT, scripted_trial
from train_template import bpe, packed, packer
from train_template.packed import Packed
from train_template.prepare import prepare
from train_template.sources import PathSource
from train_template.tokenizer import ByteTokenizer
from workers import Outcome, OutcomeStatus
from workers.bundle import pack, unpack
from workers.supervisor import run_trial

LENGTH, SCORED = 48, 20  # tokens of a window, windows
# Knows only the position and the token before; training does not change it.
MODEL = """
import torch

def model(tokens):
    ids = torch.arange(VOCABULARY, dtype=torch.float32)
    at = torch.arange(tokens.shape[1], dtype=torch.float32)[None, :, None]
    return 3 * torch.sin(ids * 0.37 + tokens[..., None] * 0.11 + at * 0.05)
"""
TRAIN = """
def train(session):
    for tokens, targets in session.batches(6):
        assert tokens.shape == (6, session.sequence_length)
        assert (tokens[:, 0] == SEPARATOR).all(), tokens[:, 0]
        break
    for tokens, targets in session.batches(4, 16):  # parts of rows
        assert (tokens[:, 1:] == targets[:, :-1]).all()
    return model
"""
SENTENCES = (
    "The quick brown fox jumps over the lazy dog. ",
    "Ein Mädchen aß früh süße Äpfel. ",
    "素早い茶色の狐が怠け者の犬を飛び越える。",
    "Emoji 👩‍👩‍👧 and flags 🇳🇴 🇯🇵! ",
)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(pack(ROOT / "train_template"), tmp_path_factory.mktemp("task")).parent


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(600):
        text = "".join(SENTENCES[(number + i) % 4] * (1 + i % 3) for i in range(8 + number % 5))
        broken = b"\xff\xe9 no UTF-8 \x80" * 3
        (folder / f"{number}.txt").write_bytes(text.encode() + broken)
    spec = {"source": "path", "root": str(folder), "paths": ["*.txt"], "tokenizer": "bpe"}
    more = {"vocab_size": 400, "packing": "best_fit", "sequence_length": LENGTH}
    return prepare(folder / "cache", {**spec, **more})


def run(task: Path, data: Packed, script: str, length: int, tokens: int) -> Outcome:
    settings = {"sequence_length": length, "validation_tokens": tokens, "eval_batch_tokens": 200}
    trial = scripted_trial(script, step_limit_seconds=60)
    return run_trial(
        replace(trial, settings=settings),
        task=task,
        data=data.folder,
        exam=(data.folder / "validation.bin").read_bytes,
        report=lambda _: None,
    )


def slow_bits_per_byte(data: Packed) -> float:
    """Over the first rows, target by target, in float64."""
    tokenizer = bpe.load(data.folder / packed.TOKENIZER_FILE)
    space: dict[str, object] = {"VOCABULARY": data.meta.vocab_size}
    exec(MODEL, space)
    bits, size = 0.0, 0
    for row in data.tokens("validation").reshape(-1, LENGTH + 1)[:SCORED].astype(np.int64):
        logits = space["model"](torch.from_numpy(row[None, :-1]))[0].double()  # type: ignore[operator]
        for place, target in enumerate(row[1:].tolist()):
            text = tokenizer.decode([target])
            if not text:
                continue  # a separator is no text: neither its bits count
            total = math.fsum(math.exp(value) for value in logits[place].tolist())
            bits -= math.log2(math.exp(float(logits[place, target])) / total)
            size += len(text)
    return bits / size


def test_the_score_of_packed_rows_is_that_of_a_plain_slow_computation(
    task: Path, rows: Packed
) -> None:
    names = f"VOCABULARY, SEPARATOR = {rows.meta.vocab_size}, {rows.meta.separator}\n"
    tokens = SCORED * (LENGTH + 1)
    outcome = run(task, rows, names + MODEL + TRAIN, LENGTH, tokens)
    assert outcome.status is OutcomeStatus.DONE, outcome.reason
    assert outcome.metric == pytest.approx(slow_bits_per_byte(rows), rel=1e-5)


def test_packed_rows_are_full_of_whole_text(rows: Packed) -> None:
    tokenizer = bpe.load(rows.folder / packed.TOKENIZER_FILE)
    for split, meta in rows.meta.splits.items():
        tokens = rows.tokens(split).reshape(-1, LENGTH + 1)  # type: ignore[arg-type]
        assert (tokens[:, 0] == rows.meta.separator).all()
        assert sum(len(tokenizer.decode(row)) for row in tokens) == meta.bytes
    assert max(rows.meta.token_bytes) > 3
    assert rows.meta.row == LENGTH + 1


class Wide(ByteTokenizer):
    """Bytes in the largest vocabulary that ids hold."""

    token_bytes: tuple[int, ...] = (1,) * 256 + (0,) * (65_535 - 256)


def test_a_trial_holds_a_vocabulary_of_65535(task: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question\n" * 800)
    source = PathSource(["text.txt"], tmp_path)
    packer.write(tmp_path / "data", source, Wide())
    uniform = "import torch\nmodel = lambda tokens: torch.zeros(*tokens.shape, 65535)\n"
    train = "def train(session):\n    for _ in session.batches(2): pass\n    return model\n"
    outcome = run(task, packed.read(tmp_path / "data"), uniform + train, 16, 64)
    assert outcome.status is OutcomeStatus.DONE, outcome.reason
    assert outcome.metric == pytest.approx(math.log2(65_535), rel=1e-5)
