"""How much train.py learns, how fast, and what a step of it is made of.

    python -m benchmarks.train [--against CHECKOUT] [--seeds 1 2 3] [--steps N | --seconds S]
                               [--root FOLDER [--files GLOB]] [--vocab N]
                               [--set NAME=VALUE ...] [--small] [--no-parts]

Trains the bundled train.py for some steps of a session, without harness and referee, and prints
bits per byte of validation text, tokens per second, the share of the chip's peak that the model's
arithmetic makes (MFU), and a step by what its time went to. On CUDA with the `gpu` preset's
constants and sequence length, on a CPU scaled down.

`--against` also trains the model of a checkout of karpathy/autoresearch: same text, tokenizer,
windows in the same order, batch, steps, shape and evaluation. Of its train.py the definitions and
constants are run as they are; its loop is followed here, and its attention from a hub replaced by
torch's, which ours uses too. On a CPU both compute in float32, uncompiled.

With `--seconds` both get a time in place of steps, and each keeps the batch of its authors.
"""

import argparse
import ast
import math
import os
import time
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile, record_function

from scheduler.study.config_file import load_config
from train_template import device as devices
from train_template import train, wire
from train_template.packed import Packed
from train_template.prepare import prepare
from train_template.run import with_constants
from train_template.session import Batch, Plan, Session
from workers.bundle import cache_folder

PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "4090": 165e12}
"""Dense bfloat16 operations a second with sums in float32, by the makers' data sheets."""

PROFILED = 5  # steps
Train = Callable[[Session], nn.Module]


@dataclass(frozen=True)
class Case:
    """What both sides train: a shape, a batch and a length."""

    depth: int
    heads: int
    head_width: int
    sequence_length: int
    batch_tokens: int
    steps: int
    validation_tokens: int
    piece_tokens: int = train.PIECE_TOKENS
    seconds: float | None = None  # of training, in place of the steps

    @property
    def width(self) -> int:
        """Channels of the residual stream."""
        return self.heads * self.head_width


SMALL = Case(4, 2, 32, 128, 1024, 60, 65_536)
FULL = Case(4, 2, 64, 256, 2048, 300, 262_144)


class Timed(Session):
    """A session that notes when each real step began, and can be profiled."""

    def __init__(self, plan: Plan, device: torch.device, data: Packed) -> None:
        super().__init__(plan, device, Hand(data))
        self.made = time.perf_counter()
        self.began: list[float] = []
        self.at_start: Callable[[], object] = lambda: None

    def batches(self, batch_size: int, sequence_length: int | None = None) -> Iterator[Batch]:
        """As in training."""
        self.at_start()
        for batch in super().batches(batch_size, sequence_length):
            self.began.append(time.perf_counter())
            yield batch

    def _draw(self, *arguments: object) -> Batch:
        with record_function("part: data"):
            return super()._draw(*arguments)  # type: ignore[arg-type]


class Hand:
    """A transport that hands over the training text, and hears nothing."""

    def __init__(self, data: Packed) -> None:
        self._path = data.folder / "train.bin"

    def send(self, message: wire.Message) -> None:
        """Nobody listens."""

    def receive_data(self) -> int:
        """Open the training tokens."""
        return os.open(self._path, os.O_RDONLY)


@dataclass(frozen=True)
class Text:
    """What both sides read."""

    root: str | None = None  # a folder; None: the standard library
    files: str = "**/*"
    vocab: int | None = None  # ids of a BPE, in packed rows; None: bytes

    def packed(self, sequence_length: int) -> Packed:
        """Packed as a study would have it."""
        spec: dict[str, object] = {"source": "stdlib"}
        if self.root:
            spec = {"source": "path", "root": self.root, "paths": [self.files]}
        if self.vocab:
            spec |= {"tokenizer": "bpe", "vocab_size": self.vocab, "packing": "best_fit_all"}
            spec |= {"sequence_length": sequence_length}
        return prepare(cache_folder(), spec)

    def words(self) -> str:
        """For the head of the table."""
        where = f"{self.files} of a folder" if self.root else "standard library"
        return f"{where}, {f'{self.vocab} ids' if self.vocab else 'bytes'}"


def main(*, full: bool = False) -> None:
    """Print a table for the bundled train.py."""
    run(FULL if full else SMALL, None, [1], Text(), [])


def run(
    case: Case,
    against: Path | None,
    seeds: list[int],
    text: Text,
    others: list[str],
    *,
    parts: bool = True,
) -> None:
    """Train each side with each seed, and print what came of it."""
    device = devices.choose_device()
    torch.set_float32_matmul_precision("high")
    if device.type == "cuda":
        case = on_cuda(case)
    data = text.packed(case.sequence_length)
    sides: dict[str, Train] = {"ours": ours(case, others)}
    if against:
        sides["theirs"] = theirs(case, against, device)
    print(f"{devices.device_name(device)}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{case}; {text.words()}")
    rates: dict[str, list[float]] = {name: [] for name in sides}
    scores: dict[str, list[float]] = {name: [] for name in sides}
    for seed in seeds:
        for name, side in sides.items():  # one after the other: the machine's moods hit both
            session = start(case, data, device, seed)
            model = side(session)
            gaps = [b - a for a, b in zip(session.began, session.began[1:], strict=False)]
            if not gaps:
                raise SystemExit(f"{name} came to {session.step} steps: give it time for two")
            rates[name].append(session.tokens / session.step / median(gaps))
            scores[name].append(bits_per_byte(model, data, case, device))
            print(
                f"  {name}, seed {seed}: {scores[name][-1]:.4f} after {session.step} steps, "
                f"{session.tokens / 1e6:.1f} M tokens; {session.began[0] - session.made:.1f} s "
                f"until the first, {devices.peak_memory(device) / 2**30:.1f} GiB",
                flush=True,
            )
    for name, side in sides.items():
        rate = median(rates[name])
        print(
            f"{name}: val_bpb {median(scores[name]):.4f} ({min(scores[name]):.4f} to "
            f"{max(scores[name]):.4f}), {rate:,.0f} tokens/s, "
            f"{share_of_peak(case, data.meta.vocab_size, device, rate)}"
        )
        if parts:
            report(side, case, data, device)
    if others:
        print(f"ours with {', '.join(others)}")


def start(case: Case, data: Packed, device: torch.device, seed: int) -> Timed:
    """A session of the case's length."""
    steps = case.steps if case.seconds is None else None
    meta = data.meta
    length = (case.seconds, steps, case.sequence_length)
    plan = Plan(seed, *length, meta.vocab_size, row=meta.row, progress_seconds=1e9)
    devices.seed_everything(seed)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    return Timed(plan, device, data)


def on_cuda(case: Case) -> Case:
    """The `gpu` preset's shape and length, for as many steps as were asked for."""
    config = load_config("gpu", [], {})
    values = {name: value for name, value in vars(train).items() if name.isupper()}
    values |= config.task.constants
    return replace(
        case,
        depth=int(values["DEPTH"]),
        heads=int(values["HEADS"]),
        head_width=int(values["HEAD_WIDTH"]),
        batch_tokens=int(values["BATCH_TOKENS"]),
        sequence_length=config.data.sequence_length,
        validation_tokens=config.data.validation_tokens,
    )


def ours(case: Case, others: list[str]) -> Train:
    """`train` of the bundled script, with the case's constants and others."""
    path = Path(train.__file__)
    settings = [
        f"DEPTH={case.depth}",
        f"HEADS={case.heads}",
        f"HEAD_WIDTH={case.head_width}",
        f"BATCH_TOKENS={case.batch_tokens}",
        f"PIECE_TOKENS={case.piece_tokens}",
        *others,
    ]
    module = types.ModuleType("ours")
    exec(compile(with_constants(path.read_text(), settings), str(path), "exec"), vars(module))
    for kind in (module.Muon, module.AdamW):
        kind.step = labelled(kind.step)
    found: Train = module.train
    return found


def theirs(case: Case, checkout: Path, device: torch.device) -> Train:
    """A `train` that builds and steps the checkout's model, as its own loop does."""
    path = checkout / "train.py"
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if defines(node)]
    module = types.ModuleType("theirs")
    if device.type != "cuda":
        torch.compiler.set_stance("force_eager")
    exec(compile(tree, str(path), "exec"), vars(module))
    vars(module)["fa3"] = types.SimpleNamespace(flash_attn_func=windowed_attention)
    kind = module.MuonAdamW
    kind.step = labelled(kind.step)

    batch_tokens, piece_tokens = case.batch_tokens, case.piece_tokens
    if case.seconds is not None:
        batch_tokens = module.TOTAL_BATCH_SIZE
        piece_tokens = module.DEVICE_BATCH_SIZE * case.sequence_length

    def fit(session: Session) -> nn.Module:
        sequences = batch_tokens // case.sequence_length
        pieces = max(1, batch_tokens // piece_tokens)
        config = module.GPTConfig(
            sequence_len=case.sequence_length,
            vocab_size=session.vocab_size,
            n_layer=case.depth,
            n_head=case.heads,
            n_kv_head=case.heads,
            n_embd=case.width,
            window_pattern=module.WINDOW_PATTERN,
        )
        model: nn.Module = module.GPT(config).to(device)
        model.init_weights()  # type: ignore[operator]
        if device.type != "cuda":
            model = model.float()
            model.cos, model.sin = model.cos.float(), model.sin.float()
        loss_of = torch.compile(model, dynamic=False)

        def optimizer_of() -> torch.optim.Optimizer:
            made: torch.optim.Optimizer = model.setup_optimizer(  # type: ignore[operator]
                unembedding_lr=module.UNEMBEDDING_LR,
                embedding_lr=module.EMBEDDING_LR,
                scalar_lr=module.SCALAR_LR,
                adam_betas=module.ADAM_BETAS,
                matrix_lr=module.MATRIX_LR,
                weight_decay=module.WEIGHT_DECAY,
            )
            return made

        def step(optimizer: torch.optim.Optimizer, tokens: Tensor, targets: Tensor) -> Tensor:
            total = torch.zeros((), device=device)
            for piece in zip(tokens.chunk(pieces), targets.chunk(pieces), strict=True):
                with session.autocast():
                    loss = loss_of(*piece) / pieces
                loss.backward()
                total += loss.detach()
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * module.get_lr_multiplier(session.progress)
                if group["kind"] == "muon":
                    group["momentum"] = module.get_muon_momentum(session.step - 1)
                    group["weight_decay"] = module.get_weight_decay(session.progress)
            optimizer.step()
            model.zero_grad(set_to_none=True)
            return total

        optimizer = optimizer_of()
        for tokens, targets in session.warm_up(sequences, steps=2):
            step(optimizer, tokens, targets)
        model.init_weights()  # type: ignore[operator]
        if device.type != "cuda":
            model = model.float()
            model.cos, model.sin = model.cos.float(), model.sin.float()
        optimizer = optimizer_of()
        for tokens, targets in session.batches(sequences):
            session.log(loss=step(optimizer, tokens, targets))
        return model

    return fit


def defines(node: ast.stmt) -> bool:
    """Whether a statement only defines: a function, a class, an import, a constant."""
    match node:
        case ast.FunctionDef() | ast.ClassDef() | ast.Import():
            return True
        case ast.ImportFrom(module=name):
            return name not in ("kernels", "prepare")
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            calls = any(isinstance(part, ast.Call) for part in ast.walk(value))
            return not calls and (name.isupper() or isinstance(value, ast.List))
    return False


def windowed_attention(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, window_size: tuple[int, int]
) -> Tensor:
    """torch's attention with the arguments and the layout, [B, T, heads, C], of Flash Attention.

    The window is left out where torch's kernels would need a mask that costs more than it saves:
    on CUDA each position sees all before it.
    """
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    length, window = query.size(2), window_size[0]
    if query.is_cuda or window >= length - 1:
        out = scaled_dot_product_attention(query, key, value, is_causal=causal)
    else:
        back = torch.arange(length)[:, None] - torch.arange(length)
        seen = (back >= 0) & (back <= window)
        out = scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return out.transpose(1, 2)


def labelled(step: Callable[..., None]) -> Callable[..., None]:
    """A method with its name in the profile."""

    def inner(*arguments: object) -> None:
        with record_function("part: optimizer"):
            step(*arguments)

    return inner


@torch.inference_mode()
def bits_per_byte(model: nn.Module, data: Packed, case: Case, device: torch.device) -> float:
    """Over whole windows of the validation text, as the referee counts, without its probes."""
    ids = torch.tensor(data.tokens("validation")[: case.validation_tokens].astype("int64"))
    size = case.sequence_length + 1
    windows = ids[: len(ids) // size * size].view(-1, size)
    lengths = torch.tensor(data.meta.token_bytes)[windows[:, 1:]]
    nats = 0.0
    model.eval()
    for first in range(0, len(windows), 16):
        moved = windows[first : first + 16].to(device)
        with devices.autocast(device):
            logits: Tensor = model(moved[:, :-1])
        losses = cross_entropy(
            logits.float().flatten(0, 1), moved[:, 1:].flatten(), reduction="none"
        )
        counts = (lengths[first : first + 16].flatten() > 0).to(device)
        nats += float((losses * counts).double().sum())
    return nats / math.log(2) / float(lengths.sum())


def share_of_peak(case: Case, vocab: int, device: torch.device, rate: float) -> str:
    """MFU, where the chip's peak is known.

    Operations of a token, forward and back: six for each weight that it is multiplied with, and for
    attention twelve for each channel and position that it sees, half of the window on average.
    """
    hidden = round(train.MLP_RATIO * case.width)
    weights = case.depth * (4 * case.width**2 + 2 * case.width * hidden)
    head = vocab * case.width
    attention = 12 * case.depth * case.width * case.sequence_length / 2
    name = devices.device_name(device)
    peak = next((value for part, value in PEAK.items() if part in name), None)
    done = (6 * (weights + head) + attention) * rate
    if device.type != "cuda" or peak is None:
        return f"{done / 1e9:,.1f} GFLOP/s"
    return f"MFU {done / peak:.1%}"


def report(side: Train, case: Case, data: Packed, device: torch.device) -> None:
    """Print the parts of a step, by torch's profiler."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    session = start(replace(case, seconds=None, steps=PROFILED), data, device, 1)
    seen = profile(activities=activities)
    session.at_start = seen.start  # not before: the warm-up compiles and allocates
    side(session)
    seen.stop()
    parts: dict[str, float] = {}
    for event in seen.events() or ():  # type: ignore[no-untyped-call]
        on_device = device.type == "cuda"
        took = event.self_device_time_total if on_device else event.self_cpu_time_total
        part = part_of(names_above(event))
        parts[part] = parts.get(part, 0.0) + took
    total = sum(parts.values()) or 1.0
    listed = sorted(parts.items(), key=lambda item: -item[1])
    print("  a step: " + ", ".join(f"{name} {took / total:.0%}" for name, took in listed))


def names_above(event: object) -> Iterable[str]:
    """The name of an event and of all that it happened in."""
    while event is not None:
        yield getattr(event, "name", "")
        event = getattr(event, "cpu_parent", None)


PARTS = {
    "optimizer": ("part: optimizer",),
    "data": ("part: data",),
    "attention": ("scaled_dot_product", "flash", "fmha", "cudnn_generated"),
    "loss": ("log_softmax", "nll_loss", "cross_entropy", "sigmoid"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "gemm", "nvjet", "cutlass"),
}
"""What the names in a profile belong to; the first that fits, from the outermost name in."""


def part_of(names: Iterable[str]) -> str:
    """The part of a step that an event belongs to."""
    every = list(names)
    for part, marks in PARTS.items():
        if any(mark in name.lower() for name in every for mark in marks):
            return part
    return "all else"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=FULL.steps)
    length.add_argument("--seconds", type=float, help="each side with the batch of its authors")
    parser.add_argument("--root", help="a folder of text, in place of the standard library")
    parser.add_argument("--files", default=Text.files, metavar="GLOB", help="which of its files")
    parser.add_argument("--vocab", type=int, help="ids of a BPE, in place of bytes")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="for ours")
    parser.add_argument("--small", action="store_true", help="the shape of `make bench`")
    parser.add_argument("--no-parts", action="store_true", help="no profile of a step")
    given = parser.parse_args()
    chosen = replace(SMALL if given.small else FULL, steps=given.steps, seconds=given.seconds)
    text = Text(given.root, given.files, given.vocab)
    run(chosen, given.against, given.seeds, text, given.set, parts=not given.no_parts)
