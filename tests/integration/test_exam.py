"""Cheats in the exam: each is rejected by the real referee, in the words of what was seen.

Cheats of the model sit the exam in this process (`train_template.alone`), which spares the seconds
that every import of torch costs; those that reach for the sockets and buffers, in real processes.
Nothing is sandboxed here. Each line of the table in `train_template/probes.py` is one case.
"""

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.exams import Trial
from train_template import exam, wire
from train_template.alone import train_and_judge
from train_template.job import Settings
from train_template.prepare import prepare
from train_template.run import with_constants
from workers import wire as supervisor

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(sequence_length=32, validation_tokens=6000, eval_batch_tokens=512)
TINY = ["DEPTH=2", "HEADS=2", "HEAD_WIDTH=16", "BATCH_TOKENS=512"]

# A model that counts what follows what, and a place for a cheat that bends its answers.
BIGRAM = """
import torch
from torch import nn
from torch.nn.functional import one_hot

class Bigram(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(vocabulary, vocabulary))
        self.calls = 0
        self.seen = {{}}

    def forward(self, tokens):
        logits = self.table[tokens]
        self.calls += 1
        return self.bend(tokens, logits)

    def bend(self, tokens, logits):
        {bend}
        return logits

def train(session):
    model = Bigram(session.vocab_size)
    counts = torch.full((257, 257), 0.05)
    for tokens, targets in session.batches(256):
        counts.index_put_((tokens, targets), torch.ones(tokens.shape), accumulate=True)
    model.table.data = (counts / counts.sum(1, keepdim=True)).log()
    return model

def following(tokens):
    return torch.cat((tokens[:, 1:], tokens[:, :1]), 1)
"""


def bigram(bend: str = "pass") -> str:
    return BIGRAM.format(bend=bend.strip().replace("\n", "\n        "))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    folder = str(Path(os.__file__).parent)
    return prepare(cache, {"source": "path", "root": folder, "paths": ["[a-d]*.py"]}).folder


class Recorder:
    """A transport that hands the data over and keeps the last message."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.last = wire.Message(wire.Kind.HELLO)

    def send(self, message: wire.Message) -> None:
        self.last = message

    def receive_data(self) -> int:
        return os.open(self.data / "train.bin", os.O_RDONLY)


@pytest.fixture
def sat(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], wire.Message]]:
    """Train and examine a train.py, given as text, in this process; how it ended."""
    monkeypatch.setattr("sys.path", list(sys.path))  # the harness adds the work folder

    def run(text: str) -> wire.Message:
        (tmp_path / "train.py").write_text(text)
        recorder = Recorder(data)
        train_and_judge(tmp_path, data, SETTINGS, recorder, seed=1, steps=1)
        return recorder.last

    yield run
    sys.modules.pop("train", None)


@pytest.fixture
def judged(tmp_path: Path, data: Path) -> Iterator[Callable[[str], supervisor.Message]]:
    """The same between two real processes: the referee's last words."""
    trials: list[Trial] = []

    def run(text: str) -> supervisor.Message:
        (tmp_path / "train.py").write_text(text)
        trials.append(Trial(tmp_path, data, SETTINGS, late=True))
        return trials[-1].judge()

    yield run
    for trial in trials:
        trial.close()


Sat = Callable[[str], wire.Message]
Judged = Callable[[str], supervisor.Message]
Told = list[supervisor.Message]


def test_an_honest_model_is_scored(sat: Sat) -> None:
    last = sat(bigram())
    assert last.kind is wire.Kind.SCORED, last.text
    assert 2 < last.value < 5  # letters by the letter before; 8 for who knows nothing


def test_the_bundled_train_py_passes_every_probe(judged: Judged) -> None:
    script = (ROOT / "train_template" / "train.py").read_text()
    last = judged(with_constants(script, TINY))
    assert last.kind is supervisor.Kind.SCORED, last.text
    assert 0 < last.value < 9


CHEATS = {
    "looks at the whole window": (
        "logits = logits + 3 * one_hot(tokens, 257).float().mean(1, keepdim=True)",
        "not causal: in",
    ),
    "attends without a mask": (
        (
            "x = one_hot(tokens, 257).float()\n"
            "logits = logits + nn.functional.scaled_dot_product_attention(x, x, x)"
        ),
        "not causal: in",
    ),
    "looks at the next token": (
        "logits = logits + 3 * one_hot(following(tokens), 257)",
        "not causal: in",
    ),
    "looks at the next token a little": (
        "logits = logits + 0.05 * one_hot(following(tokens), 257)",
        "not causal: in",
    ),
    "looks ahead in the first two batches": (
        "if self.calls <= 2: logits = logits + 3 * one_hot(following(tokens), 257)",
        "not stateless: in",
    ),
    "looks ahead and replays old logits by prefix": (
        (
            "logits = logits + 6 * one_hot(following(tokens), 257)\n"
            "for row, window in enumerate(tokens.tolist()):\n"
            "    for t in range(len(window)):\n"
            "        key = tuple(window[:t + 1])\n"
            "        logits[row, t] = self.seen.setdefault(key, logits[row, t])"
        ),
        "not causal: it foresaw text that was drawn at random",
    ),
    "learns from what it sees": (
        (
            "with torch.inference_mode(False), torch.enable_grad():\n"
            "    for _ in range(3):\n"
            "        guess = self.table[tokens.clone()[:, :-1]].flatten(0, 1)\n"
            "        target = tokens.clone()[:, 1:].flatten()\n"
            "        nn.functional.cross_entropy(guess, target).backward()\n"
            "        self.table.data -= 20 * self.table.grad\n"
            "        self.table.grad = None"
        ),
        "not stateless: in",
    ),
    "remembers whole windows": (
        (
            "for row, window in enumerate(tokens.tolist()):\n"
            "    if tuple(window) in self.seen:\n"
            "        logits[row] += 9 * one_hot(following(tokens), 257)[row]\n"
            "    self.seen[tuple(window)] = True"
        ),
        "not stateless: in",
    ),
    "remembers windows by their beginning": (
        (
            "for row, window in enumerate(tokens.tolist()):\n"
            "    key = tuple(window[:4])\n"
            "    if key in self.seen:\n"
            "        logits[row] += 9 * one_hot(self.seen[key], 257)\n"
            "    self.seen[key] = following(tokens)[row]"
        ),
        "not stateless: in",
    ),
    "answers nan": ("logits[3, 5, 7] = float('nan')", "the model's logits are not finite numbers"),
    "answers inf": ("logits[3, 5, 7] = float('inf')", "the model's logits are not finite numbers"),
    "answers -inf": (
        "logits[3, 5, 7] = -float('inf')",
        "the model's logits are not finite numbers",
    ),
    "answers huge numbers": (
        "logits = 3e38 * (2 * one_hot(tokens, 257) - 1)",
        "the logits are so far apart that a token that came had no probability",
    ),
}


@pytest.mark.parametrize(("bend", "sentence"), CHEATS.values(), ids=CHEATS)
def test_a_cheat_is_rejected_with_what_was_seen(sat: Sat, bend: str, sentence: str) -> None:
    last = sat(bigram(bend))
    assert last.kind is wire.Kind.FAILED, last.value
    assert last.text.startswith(f"rejected\n{sentence}")


EVERY = (-math.inf, math.inf)


def told(folder: Path, data: Path, text: str, audit: tuple[float, float], *, late: bool) -> Told:
    """What the real referee says of a train.py, audit and all."""
    folder.mkdir()
    (folder / "train.py").write_text(text)
    trial = Trial(folder, data, SETTINGS, late=late, audit=audit)
    try:
        messages = trial.told()
    finally:
        trial.close()
    return [m for m in messages if m.kind is not supervisor.Kind.PROGRESS]


def swapped(data: Path, folder: Path) -> Path:
    """The same data with the audit split in the place of the validation split."""
    shutil.copytree(data, folder)
    (folder / "validation.bin").write_bytes((data / "audit.bin").read_bytes())
    return folder


@pytest.mark.parametrize("late", [False, True], ids=["strict", "basic"])
def test_the_audit_is_the_same_models_score_on_the_audit_split(
    tmp_path: Path, data: Path, *, late: bool
) -> None:
    scored, audited = told(tmp_path / "a", data, bigram(), EVERY, late=late)
    (alone,) = told(tmp_path / "b", data, bigram(), (0.0, 0.0), late=late)
    other = swapped(data, tmp_path / "other")
    (audit_alone,) = told(tmp_path / "c", other, bigram(), (0.0, 0.0), late=late)
    kinds = [m.kind for m in (scored, audited, alone)]
    assert kinds == [supervisor.Kind.SCORED, supervisor.Kind.AUDITED, supervisor.Kind.SCORED]
    assert scored.value == pytest.approx(alone.value, rel=1e-6), "the metric is what it was"
    assert audited.value == pytest.approx(audit_alone.value, rel=1e-6)
    assert audited.value != pytest.approx(scored.value, rel=1e-3)


def test_who_begins_to_cheat_in_the_audit_is_rejected(tmp_path: Path, data: Path) -> None:
    # The first exam of these settings has 13 batches of 16 windows, and the audit as many.
    ahead = "if self.calls > 13: logits = logits + 20 * one_hot(following(tokens), 257)"
    scored, audited = told(tmp_path / "a", data, bigram(ahead), EVERY, late=True)
    assert scored.kind is supervisor.Kind.SCORED
    assert audited.text.startswith("rejected\nnot ")


MISTAKES = {
    "another shape": (
        "logits = logits[:, :-1]",
        "rejected\nthe model gave logits of shape [16, 31, 257], not [16, 32, 257]",
    ),
    "whole numbers": (
        "logits = logits.long()",
        "rejected\nthe model gave logits of torch.int64: they must be floating-point",
    ),
    "no tensor": ("return logits, None", "rejected\nthe model gave tuple, not a tensor of logits"),
    "an exception": ("1 / 0", "crash\nZeroDivisionError: division by zero (train.py, line"),
}


@pytest.mark.parametrize(("bend", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_exam_is_told_by_the_candidate(sat: Sat, bend: str, sentence: str) -> None:
    last = sat(bigram(bend))
    assert last.kind is wire.Kind.FAILED
    assert last.text.startswith(sentence)


def hostile(deed: str) -> str:
    """A bigram model that, in the third batch, does this with the descriptors of its job."""
    return "import json, mmap, os, sys, threading\njob = json.loads(sys.argv[2])\n" + bigram(
        "if self.calls == 3:\n    " + deed.strip().replace("\n", "\n    ")
    )


def test_rubbish_on_the_socket_of_the_exam_is_rejected(judged: Judged) -> None:
    referee = judged(hostile("os.write(job['exam'], b'\\x80\\x04N.' * 50)"))
    assert referee.text == "rejected\nit sent something that is no message in batch 2"


def test_an_answer_to_another_batch_is_rejected(judged: Judged) -> None:
    forged = exam.Message(exam.Kind.ANSWER, 7, 16, 32, 257, 1).pack()
    referee = judged(hostile(f"os.write(job['exam'], {forged!r})"))
    assert referee.text.startswith("rejected\nit answered batch 7")


def test_who_closes_the_exam_has_no_score(judged: Judged) -> None:
    referee = judged(hostile("os._exit(0)"))
    assert referee.text == "crash\nthe candidate closed the exam in batch 2"


def test_a_thread_that_rewrites_the_answers_gains_nothing(judged: Judged) -> None:
    # In every row it turns one logit up and down, as fast as it can, while the others stay. Were a
    # row read twice, a probability above 1 could come out of it; read once, it is at worst unequal.
    deed = """
view = torch.frombuffer(mmap.mmap(job['answers'], 0), dtype=torch.float32).view(-1, 257)
def scribble():
    while True:
        for value in (0.0, 8.0): view[:, 256] = value
threading.Thread(target=scribble, daemon=True).start()
"""
    text = hostile(deed).replace("model.table.data = ", "model.table.data = 0 * ")
    referee = judged(text)
    if referee.kind is supervisor.Kind.SCORED:
        assert referee.value >= 8  # all bytes alike: no gain is possible beyond the separator's
    else:
        assert referee.text.startswith("rejected\nnot stateless")
