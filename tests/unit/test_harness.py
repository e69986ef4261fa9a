"""The harness: what a train.py may rely on, and what becomes of one that fails.

Most claims run the harness in this process with a recording transport and a real referee; the
last ones start the real processes, with the supervisor's own end of the wire at the other end.
"""

import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.fixtures.exams import Trial
from train_template import session, wire
from train_template.alone import train_and_judge
from train_template.device import choose_device
from train_template.job import Settings
from train_template.prepare import prepare
from workers import wire as supervisor

SETTINGS = {"sequence_length": 16, "validation_tokens": 512, "eval_batch_tokens": 128}
HONEST = """
import torch
from torch import nn
from torch.nn.functional import cross_entropy

def train(session):
    model = nn.Sequential(nn.Embedding(session.vocab_size, 8), nn.Linear(8, session.vocab_size))
    for tokens, targets in session.batches(4):
        loss = cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        loss.backward()
        session.log(loss=loss)
    return model
"""
ONE_BATCH = """
def train(session):
    for tokens, targets in session.batches(4):
        {body}
    {after}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "text.txt").write_text("to be or not to be, that is the question\n" * 1000)
    spec = {"source": "path", "root": str(folder), "paths": ["text.txt"]}
    return prepare(folder / "cache", spec).folder


@pytest.fixture(autouse=True)
def clean_imports() -> Iterator[None]:
    """The harness expects a process of its own: undo what it adds to this one."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in {"train", "sibling"} & (set(sys.modules) - modules):
        del sys.modules[name]


class Recorder:
    """A transport that keeps the messages and hands the data over at once."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.messages: list[wire.Message] = []

    def send(self, message: wire.Message) -> None:
        self.messages.append(message)

    def receive_data(self) -> int:
        return os.open(self.data / "train.bin", os.O_RDONLY)

    @property
    def kinds(self) -> list[str]:
        return [message.kind.name for message in self.messages]


Run = Callable[..., Recorder]


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Run:
    """Run a train.py, given as text, and return what it reported."""

    def start(
        text: str, steps: int | None = 3, seconds: float | None = None, seed: int = 1
    ) -> Recorder:
        (tmp_path / "train.py").write_text(text)
        recorder = Recorder(data)
        train_and_judge(
            *(tmp_path, data, Settings(**SETTINGS), recorder),
            seed=seed,
            seconds=seconds,
            steps=steps,
            progress_seconds=0.0,
        )
        return recorder

    return start


def failure(recorder: Recorder) -> tuple[str, str]:
    """Status and sentence of the one failure that was reported, as the last message."""
    assert recorder.kinds.count("FAILED") == 1
    assert recorder.kinds[-1] == "FAILED"
    status, sentence = recorder.messages[-1].text.split("\n")
    return status, sentence


def test_an_honest_run_reports_its_phases_in_order_and_is_scored_by_the_referee(run: Run) -> None:
    recorder = run(HONEST)
    kinds = recorder.kinds
    assert [*dict.fromkeys(kinds)] == ["HELLO", "READY", "PROGRESS", "TRAINED", "SCORED"]
    assert [kinds.count(kind) for kind in ("HELLO", "READY", "TRAINED", "SCORED")] == [1] * 4
    last = recorder.messages[-2]  # of the candidate's own
    assert (last.step, last.tokens, last.fraction) == (3, 3 * 4 * 16, 1.0)
    assert last.parameters == 257 * 8 + 8 * 257 + 257
    device, precision, kind = recorder.messages[0].text.split("\n")
    assert device.endswith(("thread)", "threads)"))
    assert (precision, kind) == ("float32", "cpu")
    assert last.loss > 0
    assert 6 < recorder.messages[-1].value < 12  # an untrained guess over 257 tokens is 8 bits


def test_a_budget_in_seconds_runs_from_the_first_real_batch_to_its_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that goes on by a second whenever the session looks at it.
    monkeypatch.setattr(session, "time", SimpleNamespace(perf_counter=count().__next__))
    recorder = run(HONEST, steps=None, seconds=5)
    trained_at = recorder.kinds.index("TRAINED")
    fractions = [m.fraction for m in recorder.messages[:trained_at] if m.kind is wire.Kind.PROGRESS]
    assert fractions == [0.2, 0.4, 0.6, 0.8]
    trained = recorder.messages[trained_at]
    assert (trained.step, trained.fraction) == (4, 1.0)


def test_once_the_budget_is_used_there_are_no_more_batches(run: Run) -> None:
    more = "assert not list(session.batches(4)); return None"
    recorder = run(ONE_BATCH.format(body="pass", after=more))
    assert recorder.messages[-1].text.endswith("it returned NoneType")
    assert recorder.kinds[-2:] == ["TRAINED", "FAILED"]


def test_leaving_the_batches_early_ends_the_training_phase(run: Run) -> None:
    recorder = run(ONE_BATCH.format(body="break", after="return lambda x: x.new_zeros(1)"))
    assert recorder.kinds.count("TRAINED") == 1
    assert recorder.messages[recorder.kinds.index("TRAINED")].step == 1


def test_targets_are_the_tokens_that_follow(run: Run) -> None:
    checks = """
        assert tokens.shape == targets.shape == (4, 16) and tokens.dtype == targets.dtype
        assert (tokens[:, 1:] == targets[:, :-1]).all()
        text = bytes(tokens[0].tolist()).decode()
        assert text in 'to be or not to be, that is the question\\n' * 3
        raise KeyError('checked')
    """
    # The text of one document: the separator stands before it, and may be the first token.
    text = ONE_BATCH.format(body=checks.strip(), after="")
    assert failure(run(text))[1].startswith("KeyError: 'checked'")


def test_another_seed_draws_other_text(run: Run) -> None:
    text = ONE_BATCH.format(body="session.log(loss=tokens.sum())", after="return None")
    first, again, other = (run(text, seed=seed).messages[-1].loss for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_run_does_not_depend_on_the_warm_up(run: Run) -> None:
    text = (
        "import torch\ndef train(session):\n    {warm}\n"
        "    for tokens, targets in session.batches(2):\n"
        "        session.log(loss=torch.rand(()) + tokens.sum())\n    return None"
    )
    losses = set()
    for warm in (
        "for _ in session.warm_up(2): pass",
        "for _ in session.warm_up(8, steps=9): torch.rand(5)",
        "for _ in session.warm_up(2): break",
    ):
        recorder = run(text.format(warm=warm))
        losses.add(recorder.messages[-1].loss)
    assert len(losses) == 1


def test_edited_files_can_import_each_other_and_shadow_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "stringprep", raising=False)  # nothing needs it
    (tmp_path / "sibling.py").write_text("NAME = 'sibling'")
    (tmp_path / "stringprep.py").write_text("raise RuntimeError('shadowed')")
    recorder = run("import sibling, stringprep\nraise KeyError(sibling.NAME, 1)")
    assert failure(recorder) == (
        "crash",
        "KeyError: ('sibling', 1) (train.py, line 2: raise KeyError(sibling.NAME, 1))",
    )


FAILURES = {
    "raises in training": (
        ONE_BATCH.format(body="1 / 0", after=""),
        "crash",
        "ZeroDivisionError: division by zero (train.py, line 4: 1 / 0)",
    ),
    "raises in the exam": (
        ONE_BATCH.format(body="pass", after="return lambda x: x[99]"),
        "crash",
        (
            "IndexError: index 99 is out of bounds for dimension 0 with size 8 "
            "(train.py, line 5: return lambda x: x[99])"
        ),
    ),
    "does not parse": (
        "def train(:\n",
        "crash",
        "SyntaxError: invalid syntax (train.py, line 1: def train(:)",
    ),
    "fails on import": (
        "import no_such_module",
        "crash",
        (
            "ModuleNotFoundError: No module named 'no_such_module' "
            "(train.py, line 1: import no_such_module)"
        ),
    ),
    "ends the process": (
        "import sys\nsys.exit(0)",
        "crash",
        "train.py ended the process: sys.exit(0) (train.py, line 2: sys.exit(0))",
    ),
    "has no train": (
        "x = 1",
        "crash",
        "train.py defines no function train(session) that returns a model",
    ),
    "returns no model": (
        ONE_BATCH.format(body="pass", after="return 7"),
        "crash",
        (
            "train(session) must return the trained model, which maps tokens [B, T] to logits "
            "[B, T, 257]; it returned int"
        ),
    ),
    "trains on nothing": (
        "def train(session): return lambda x: x",
        "crash",
        "train(session) took no batch from session.batches(batch_size), so nothing was trained",
    ),
    "diverges": (
        ONE_BATCH.format(
            body="session.log(loss=float('nan') if session.step == 2 else 1.0)",
            after="return lambda x: x",
        ),
        "crash",
        (
            "the training loss became nan at step 2 "
            "(train.py, line 3: for tokens, targets in session.batches(4):)"
        ),
    ),
    "explodes": (
        ONE_BATCH.format(
            body="session.log(loss=1000.0 if session.step >= 2 else 1.0)",
            after="return lambda x: x",
        ),
        "crash",
        (
            "the training loss exploded: 1000.0 nats at step 2 (guessing: 5.5) "
            "(train.py, line 3: for tokens, targets in session.batches(4):)"
        ),
    ),
    "takes a batch of no size": (
        "def train(session): next(session.batches(0))",
        "crash",
        (
            "batches(0, 16): both must be 1 or more "
            "(train.py, line 1: def train(session): next(session.batches(0)))"
        ),
    ),
    "needs more memory than there is": (
        "import torch\ntorch.empty(2**60)",
        "oom",
        None,
    ),
    "raises MemoryError": (
        "raise MemoryError('big')",
        "oom",
        "MemoryError: big (train.py, line 1: raise MemoryError('big'))",
    ),
    "wraps an error of memory": (
        (
            "import torch\ntry:\n    raise torch.OutOfMemoryError('CUDA out of memory')\n"
            "except RuntimeError as error:\n    raise ValueError('compiler') from error"
        ),
        "oom",
        "ValueError: compiler (train.py, line 5: raise ValueError('compiler') from error)",
    ),
    "answers nan": (
        ONE_BATCH.format(
            body="pass",
            after="return lambda x: x.new_full((*x.shape, 257), float('nan'), dtype=float)",
        ),
        "rejected",
        "the model's logits are not finite numbers",
    ),
    "answers in another shape": (
        ONE_BATCH.format(body="pass", after="return lambda x: x.float()"),
        "rejected",
        "the model gave logits of shape [8, 16], not [8, 16, 257] (batch, sequence, vocabulary)",
    ),
}


@pytest.mark.parametrize(("text", "status", "sentence"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_reported_with_its_status_and_one_sentence(
    run: Run, text: str, status: str, sentence: str | None
) -> None:
    reported = failure(run(text))
    assert reported[0] == status
    assert sentence is None or reported[1] == sentence


def test_divergence_counts_even_where_train_goes_on(run: Run) -> None:
    text = (
        "def train(session):\n    try:\n"
        "        for batch in session.batches(2): session.log(loss=float('inf'))\n"
        "    except Exception: pass\n    return lambda x: x.new_zeros((*x.shape, 257)).float()"
    )
    assert failure(run(text))[1].startswith("the training loss became inf at step 1")


def test_the_traceback_of_a_failure_is_printed(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run("def helper():\n    raise KeyError('here')\nhelper()")
    error = capfd.readouterr().err
    assert "in helper" in error
    assert "KeyError: 'here'" in error


@pytest.fixture
def child(tmp_path: Path, data: Path) -> Iterator[Callable[[str], Trial]]:
    """The real process, and the supervisor's end of its socket; a referee is there, too."""
    trials: list[Trial] = []

    def start(text: str) -> Trial:
        (tmp_path / "train.py").write_text(text)
        trials.append(Trial(tmp_path, data, Settings(**SETTINGS)))
        return trials[-1]

    yield start
    for one in trials:
        one.close()


def test_the_real_process_trains_over_the_real_wire(
    child: Callable[[str], Trial], data: Path, tmp_path: Path
) -> None:
    # In the work folder, which is the process's current folder, lies what could shadow.
    (tmp_path / "torch.py").write_text("raise RuntimeError('shadowed')")
    trial = child("import sys\nassert 'torch._dynamo' not in sys.modules\n" + HONEST)
    assert trial.judge().kind is supervisor.Kind.SCORED
    said = trial.candidate.receive()
    assert said is not None
    assert (said.kind, said.parameters) == (supervisor.Kind.PROGRESS, 257 * 8 + 8 * 257 + 257)
    assert trial.candidate.receive() is None
    assert trial.candidate.process.wait(timeout=60) == 0


def test_the_process_ends_when_its_supervisor_is_gone(child: Callable[[str], Trial]) -> None:
    candidate = child("while True: pass").candidate
    candidate.until(supervisor.Kind.HELLO)
    candidate.socket.close()
    assert candidate.process.wait(timeout=60) == 1


def test_on_a_cpu_the_threads_are_those_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    try:
        choose_device()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
