"""The bundled train.py, and running it by hand."""

import ast
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from train_template import run, train, wire
from train_template.alone import train_and_judge
from train_template.errors import TemplateError
from train_template.job import Settings
from train_template.prepare import prepare

SCRIPT = Path(train.__file__).read_text()
TINY = ["DEPTH=1", "HEADS=2", "HEAD_WIDTH=8", "BATCH_TOKENS=128", "PIECE_TOKENS=128"]
SETTINGS = Settings(sequence_length=16, validation_tokens=512, eval_batch_tokens=128)


def constants() -> dict[str, int | float]:
    """The assignments of numbers to names in capitals, before the first function."""
    found: dict[str, int | float] = {}
    for node in ast.parse(SCRIPT).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            break
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "text.txt").write_text("to be or not to be, that is the question\n" * 1000)
    return prepare(
        folder / "cache", {"source": "path", "root": str(folder), "paths": ["text.txt"]}
    ).folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, so that equal runs are equal; and two cores are shared by many tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class LastMessage:
    """A transport that hands over the data, and keeps the last message with what was counted."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.message = wire.Message(wire.Kind.HELLO)

    def send(self, message: wire.Message) -> None:
        if message.kind is wire.Kind.SCORED:  # the referee's: it counts nothing
            before = self.message
            message = dataclasses.replace(message, loss=before.loss, tokens=before.tokens)
        self.message = message

    def receive_data(self) -> int:
        return os.open(self.data / "train.bin", os.O_RDONLY)


Train = Callable[..., wire.Message]


@pytest.fixture
def trained(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train with these constants, and return the last message."""

    def start(*settings: str, steps: int = 2, seed: int = 1, text: str = SCRIPT) -> wire.Message:
        monkeypatch.setattr("sys.path", list(sys.path))  # the harness adds the work folder
        (tmp_path / "train.py").write_text(run.with_constants(text, [*TINY, *settings]))
        transport = LastMessage(data)
        train_and_judge(
            *(tmp_path, data, SETTINGS, transport), seed=seed, steps=steps, progress_seconds=60.0
        )
        return transport.message

    return start


def test_it_learns(trained: Train) -> None:
    message = trained(steps=100)
    assert message.kind is wire.Kind.SCORED, message.text
    assert message.value < 3  # 8 bits before training, over 4 from the frequencies of letters


def test_equal_seeds_give_equal_results_and_other_seeds_others(trained: Train) -> None:
    first, again, other = (trained(steps=10, seed=seed).value for seed in (1, 1, 2))
    assert again == pytest.approx(first, abs=1e-6)
    assert other != pytest.approx(first, abs=1e-6)


def test_nothing_that_synthetic_batches_taught_remains(trained: Train) -> None:
    longer = SCRIPT.replace("session.warm_up(sequences, steps=2)", "session.warm_up(3, steps=7)")
    assert longer != SCRIPT
    assert trained(text=longer).value == pytest.approx(trained().value, abs=1e-6)


def test_a_batch_in_pieces_teaches_the_same(trained: Train) -> None:
    whole, pieces = trained("PIECE_TOKENS=128"), trained("PIECE_TOKENS=32")
    assert pieces.loss == pytest.approx(whole.loss, abs=1e-5)
    assert pieces.value == pytest.approx(whole.value, abs=1e-3)


def test_every_constant_may_be_a_quarter_or_four_times_as_large(trained: Train) -> None:
    defaults = constants()
    tiny = dict(setting.split("=") for setting in TINY)
    assert len(defaults) >= 15
    for name, default in defaults.items():
        value = type(default)(tiny.get(name, default))
        for other in (value * 4, max(1, value // 4) if isinstance(value, int) else value / 4):
            if name in ("MOMENTUM", "BETA1", "BETA2") and other >= 1:
                continue  # a share that is kept: below 1 by its meaning
            message = trained(f"{name}={other}")
            assert message.kind is wire.Kind.SCORED, f"{name}={other}: {message.text}"


def test_sizes_need_not_divide_each_other(trained: Train) -> None:
    message = trained(
        "HEADS=3", "HEAD_WIDTH=13", "MLP_RATIO=1.7", "BATCH_TOKENS=333", "PIECE_TOKENS=100"
    )
    assert message.kind is wire.Kind.SCORED, message.text
    assert message.tokens >= 2 * 320


def test_no_position_sees_what_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DEPTH": 2, "HEADS": 2, "HEAD_WIDTH": 8}.items():
        monkeypatch.setattr(train, name, value)
    torch.manual_seed(0)
    model = train.GPT(257, 16)
    with torch.no_grad():
        for parameter in model.parameters():  # zero at the start: give every path a weight
            parameter.normal_(std=0.3)
        tokens = torch.randint(257, (3, 16))
        changed = tokens.clone()
        changed[:, 9:] = torch.randint(257, (3, 7))
        before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_muon_moves_every_direction_about_equally() -> None:
    torch.manual_seed(0)
    for shape in ((3, 32, 32), (2, 64, 16), (2, 16, 64)):
        values = torch.linalg.svdvals(train.orthogonal(torch.randn(shape)))
        assert values.min() > 0.2  # a square matrix's least direction starts near zero
        assert values.max() < 1.13
    steep = torch.diag(torch.logspace(-2.5, 0, 32)).expand(1, 32, 32)
    values = torch.linalg.svdvals(train.orthogonal(steep))
    assert values.min() > 0.87


def test_muon_takes_matrices_that_lie_in_one_parameter_as_it_takes_them_singly() -> None:
    torch.manual_seed(0)
    weights, gradients = torch.randn(3, 16, 16), torch.randn(3, 3, 16, 16)
    together = [torch.nn.Parameter(weights.clone())]
    singly = [torch.nn.Parameter(matrix.clone()) for matrix in weights]
    optimizers = train.Muon(together), train.Muon(singly)
    for progress, gradient in zip((0.0, 0.05, 0.5), gradients, strict=True):
        for parameter, part in zip((*together, *singly), (gradient, *gradient), strict=True):
            parameter.grad = part.clone()
        for optimizer in optimizers:
            optimizer.step(1.0, progress)
    torch.testing.assert_close(together[0].data, torch.stack([p.data for p in singly]))
    assert not torch.allclose(together[0].data, weights)


def test_what_an_edit_leaves_unused_stands_still_and_the_rest_learns() -> None:
    torch.manual_seed(0)
    for kind in (train.Muon, lambda parameters: train.AdamW(parameters, 0.1, 0.0)):
        used, unused = (torch.nn.Parameter(torch.randn(16, 16)) for _ in range(2))
        before = used.detach().clone(), unused.detach().clone()
        optimizer = kind([unused, used])
        for _ in range(2):
            used.square().sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step(1.0, 1.0)  # at its end nothing decays
        assert torch.equal(unused, before[1])
        assert used.isfinite().all()
        assert not torch.allclose(used, before[0])


def test_a_token_is_seen_with_the_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DEPTH": 1, "HEADS": 1, "HEAD_WIDTH": 8}.items():
        monkeypatch.setattr(train, name, value)
    torch.manual_seed(0)
    model = train.GPT(257, 4)
    with torch.no_grad():  # the block adds nothing yet: all that differs comes by this way
        model.head.weight.normal_()
        model.before.fill_(0.5)
        ab, cb = model(torch.tensor([[65, 66]])), model(torch.tensor([[67, 66]]))
    assert not torch.allclose(ab[:, 1], cb[:, 1])


def test_the_schedule_rises_and_falls_within_the_budget() -> None:
    rates = [train.schedule(step / 100) for step in range(101)]
    assert 0 < rates[0] < 0.1
    assert max(rates) == 1.0
    assert rates[-1] == 0.0
    assert rates[60:] == sorted(rates[60:], reverse=True)


def test_by_hand_it_prints_the_metric(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--steps", "2", "--sequence-length", "16"]
    for setting in TINY:
        arguments += ["--set", setting]
    assert run.main(arguments) == 0
    assert "\nval_bpb " in capsys.readouterr().out


def test_by_hand_an_unknown_constant_is_refused() -> None:
    with pytest.raises(TemplateError, match="DEEP=2"):
        run.with_constants(SCRIPT, ["DEEP=2"])
