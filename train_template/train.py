"""A small GPT that learns as much as it can within the budget. This is the file to edit.

`train(session)` builds a model, trains it on what the session hands out, and returns it; fixed
code then measures it in bits per byte of text that it has not seen (val_bpb, lower is better).
Budget, data, seed and scoring belong to the session (`train_template/session.py`); everything
else is here: architecture, optimizer, schedules, batch size.

The model: token embeddings, each with some of the token before it; DEPTH blocks of causal attention
(rotary positions, normalised queries and keys) and a squared-ReLU MLP, RMS norm before each; in
every VALUE_EVERY-th block embeddings of the tokens beside the values; an untied head. Muon trains
the matrices, AdamW the rest. One file for CUDA, MPS and CPU.

Much of it was found in the open, by people who train such models against the clock: modded-nanogpt
(Keller Jordan and others), nanochat and autoresearch (Andrej Karpathy).
"""

from __future__ import annotations

import gc
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
    linear,
    pad,
    relu,
    rms_norm,
    scaled_dot_product_attention,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from train_template.session import Session

# Sizes of the model.
DEPTH = 8  # blocks
HEADS = 4  # attention heads in a block; the model's width is HEADS * HEAD_WIDTH
HEAD_WIDTH = 128  # channels a head, rounded to a multiple of 8
MLP_RATIO = 4.0  # hidden channels of the MLP for each channel of the model
VALUE_EVERY = 2  # one block in so many has embeddings beside its values, the last too; 0: none
LOGIT_CAP = 15.0  # logits are bent softly to within this of their middle

# Size of a step.
BATCH_TOKENS = 131072  # tokens in one optimizer step, rounded to whole sequences

# Muon, for the matrices inside the blocks.
MATRIX_LR = 0.02  # learning rate
MOMENTUM = 0.95  # share of the averaged gradient kept from step to step, once under way
WEIGHT_DECAY = 0.1  # pull towards zero, relative to the learning rate; it ends with the budget

# AdamW, for everything else.
EMBED_LR = 0.2  # learning rate of the embeddings, of tokens and of values
HEAD_LR = 0.004  # learning rate of the head
SCALAR_LR = 0.02  # learning rate of the scalars and gates that mix the residual stream
ADAMW_DECAY = 0.01  # pull of embeddings and head towards zero, relative to the learning rate
BETA1 = 0.8  # decay of the averaged gradient
BETA2 = 0.95  # decay of the averaged squared gradient

# The schedule of all learning rates, in shares of the budget.
WARM_UP = 0.02  # rising from zero
COOL_DOWN = 0.5  # falling to zero, at the end


def train(session: Session) -> nn.Module:
    """Train one model within the session's budget and return it."""
    torch.set_float32_matmul_precision("high")
    sequences, pieces = batch_shape(session.sequence_length)
    model = GPT(session.vocab_size, session.sequence_length).to(session.device)
    loss_of: Callable[[nn.Module, Tensor, Tensor], Tensor] = next_token_loss
    if session.device.type == "cuda":
        loss_of = torch.compile(next_token_loss, dynamic=False)

    def step(optimizers: Iterable[Muon | AdamW], tokens: Tensor, targets: Tensor) -> Tensor:
        """One optimizer step on one batch, a piece at a time; return its mean loss."""
        total = torch.zeros((), device=session.device)
        for piece in zip(tokens.chunk(pieces), targets.chunk(pieces), strict=True):
            with session.autocast():
                loss = loss_of(model, *piece) / pieces
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        for optimizer in optimizers:
            optimizer.step(schedule(session.progress), session.progress)
        model.zero_grad(set_to_none=True)
        return total

    # Synthetic batches compile and allocate; then nothing that they taught must remain.
    optimizers = make_optimizers(model)
    for tokens, targets in session.warm_up(sequences, steps=2):
        step(optimizers, tokens, targets)
    model.reset()
    optimizers = make_optimizers(model)
    gc.freeze()  # what is there now stays: no need for the collector to look at it in every round

    for tokens, targets in session.batches(sequences):
        session.log(loss=step(optimizers, tokens, targets))
    return model


# Tokens that go through the model at once. Memory, not learning: so it is not one of the knobs
# at the top, which the tuner turns.
PIECE_TOKENS = 65536


def batch_shape(sequence_length: int) -> tuple[int, int]:
    """Sequences in a batch, and equal pieces that it goes through the model in."""
    sequences = max(1, round(BATCH_TOKENS / sequence_length))
    at_once = min(sequences, max(1, round(PIECE_TOKENS / sequence_length)))
    pieces = math.ceil(sequences / at_once)
    return pieces * at_once, pieces


def schedule(progress: float) -> float:
    """Factor of every learning rate: up, level, down to zero, over the share of the budget."""
    rising = (progress + 1e-3) / (WARM_UP + 1e-3)
    falling = (1.0 - progress) / (COOL_DOWN + 1e-3)
    return min(1.0, rising, falling)


def next_token_loss(model: nn.Module, tokens: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats; tokens and targets are [B, T]."""
    return cross_entropy(model(tokens).flatten(0, 1), targets.flatten())


def norm(x: Tensor) -> Tensor:
    """RMS norm over the channels, without weights."""
    return rms_norm(x, (x.size(-1),))


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn pairs of channels by an angle that grows with the position; x is [B, heads, T, C]."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cosine + right * sine, right * cosine - left * sine), dim=-1)


class Attention(nn.Module):
    """Causal self-attention, [B, T, width] to [B, T, width].

    With `vocab_size`, each token has an embedding of its own that is added to its values, head by
    head as far as a gate lets it (after Zhou et al., https://arxiv.org/abs/2410.17897).
    """

    def __init__(self, width: int, heads: int, vocab_size: int | None) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Parameter(torch.empty(3, width, width))  # one product, three directions
        self.out = nn.Linear(width, width, bias=False)
        self.embed = nn.Embedding(vocab_size, width) if vocab_size else None
        self.gate = nn.Parameter(torch.empty(heads, min(32, width))) if vocab_size else None

    def forward(self, x: Tensor, tokens: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Each position looks at itself and those before it."""

        def split(y: Tensor) -> Tensor:
            """[B, T, n * width] to [n, B, heads, T, C]."""
            return y.view(*x.shape[:2], -1, self.heads, x.size(2) // self.heads).permute(
                2, 0, 3, 1, 4
            )

        qkv = split(linear(x, self.qkv.flatten(0, 1)))
        query, key = rotate(norm(qkv[:2]), cosine, sine).to(qkv.dtype)  # the angles are float32
        value = qkv[2]
        if self.embed is not None and self.gate is not None:
            open_by = 2 * linear(x[..., : self.gate.size(1)], self.gate).sigmoid()
            own = split(self.embed(tokens))[0] * open_by.mT[..., None]
            value = value + own.to(value.dtype)
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention and MLP, each adding to the residual stream."""

    def __init__(self, width: int, heads: int, hidden: int, vocab_size: int | None) -> None:
        super().__init__()
        self.attention = Attention(width, heads, vocab_size)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.mix = nn.Parameter(torch.empty(2))  # how much of the stream, of the embedding

    def forward(
        self, x: Tensor, embedded: Tensor, tokens: Tensor, cosine: Tensor, sine: Tensor
    ) -> Tensor:
        """[B, T, width] to the same; the token's embedding can be mixed in again."""
        x = self.mix[0] * x + self.mix[1] * embedded
        x = x + self.attention(norm(x), tokens, cosine, sine)
        change: Tensor = self.down(relu(self.up(norm(x))).square())
        return x + change


class GPT(nn.Module):
    """Tokens [B, T] to logits [B, T, vocabulary], T up to the session's sequence length."""

    cosine: Tensor  # [T, head_width / 2]: the angles of each position
    sine: Tensor

    def __init__(self, vocab_size: int, sequence_length: int) -> None:
        super().__init__()
        heads, depth = max(1, HEADS), max(1, DEPTH)
        head_width = 8 * max(1, round(HEAD_WIDTH / 8))
        width = heads * head_width
        hidden = 8 * max(1, round(MLP_RATIO * width / 8))
        self.embed = nn.Embedding(vocab_size, width)
        self.before = nn.Parameter(torch.empty(width))  # how much of the token before is mixed in
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, vocab_size if embeds_values(n, depth) else None)
            for n in range(depth)
        )
        self.head = nn.Linear(width, vocab_size, bias=False)
        rate = 10_000.0 ** -torch.linspace(0, 1, head_width // 2)
        angle = torch.arange(sequence_length)[:, None] * rate
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Fresh weights, in place. Each block starts as the identity: its outputs are zero."""
        for name, parameter in self.named_parameters():
            if name.endswith("mix"):
                parameter.copy_(torch.tensor([1.0, 0.1]))
            elif name.endswith(("out.weight", "down.weight", "head.weight", "gate", "before")):
                parameter.zero_()
            elif name == "embed.weight":
                parameter.normal_()
            else:
                bound = math.sqrt(3 / parameter.size(-1))
                parameter.uniform_(-bound, bound)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits in float32."""
        length = tokens.size(1)
        cosine, sine = self.cosine[:length], self.sine[:length]
        x = norm(self.embed(tokens))
        x = x + self.before * pad(x, (0, 0, 1, -1))  # the first has none before it
        # In bfloat16 on CUDA: the stream is half as much to move, and learned as well.
        x = embedded = x.bfloat16() if x.is_cuda else x
        for block in self.blocks:
            x = block(x, embedded, tokens, cosine, sine)
        logits: Tensor = self.head(norm(x)).float()
        # LOGIT_CAP * tanh(logits / LOGIT_CAP), shifted: a sixth of its time on a CPU.
        return 2 * LOGIT_CAP * torch.sigmoid(logits * (2 / LOGIT_CAP))


def embeds_values(block: int, depth: int) -> bool:
    """Whether this block has embeddings as values: the last has, and every so many before it."""
    return VALUE_EVERY > 0 and (depth - 1 - block) % VALUE_EVERY == 0


def make_optimizers(model: GPT) -> tuple[Muon | AdamW, ...]:
    """Fresh optimizers: Muon for the matrices of the blocks, AdamW for the rest."""
    matrices, embeddings, scalars = [], [], []
    for name, parameter in model.named_parameters():
        if name.endswith("embed.weight"):
            embeddings.append(parameter)
        elif parameter.ndim < 2 or name.endswith("gate"):
            scalars.append(parameter)
        elif name != "head.weight":
            matrices.append(parameter)
    return (
        Muon(matrices),
        AdamW(embeddings, EMBED_LR, ADAMW_DECAY),
        AdamW(list(model.head.parameters()), HEAD_LR, ADAMW_DECAY),
        AdamW(scalars, SCALAR_LR, 0.0),
    )


class AdamW:
    """Adam with decoupled weight decay. Loshchilov and Hutter, https://arxiv.org/abs/1711.05101.

    torch's fused step, called directly: it is one pass over the memory, and the import of
    torch.optim's compiler hooks takes seconds on a CPU.
    """

    def __init__(self, parameters: list[nn.Parameter], rate: float, decay: float) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.rate = rate
        self.decay = decay
        self.mean = [torch.zeros_like(parameter) for parameter in parameters]
        self.square = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in parameters]

    @torch.no_grad()
    def step(self, factor: float, _progress: float) -> None:
        """Move by about `factor` times the learning rate in every coordinate."""
        torch._foreach_add_(self.steps, 1.0)
        torch._fused_adamw_(
            self.parameters,
            gradients(self.parameters),
            self.mean,
            self.square,
            [],
            self.steps,
            lr=factor * self.rate,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=self.decay,
            eps=1e-10,
            amsgrad=False,
            maximize=False,
        )


class Muon:
    """Momentum whose direction is made orthogonal: every direction of a matrix learns as fast.

    Keller Jordan, https://kellerjordan.github.io/posts/muon. Each neuron's share of the step is
    then brought to one size over time (NorMuon, Li et al., https://arxiv.org/abs/2510.05491), and
    weights decay only where the step makes them smaller too (Chen et al.,
    https://arxiv.org/abs/2510.12402). Matrices of one shape go together, as [N, rows, columns].
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        shapes = dict.fromkeys(parameter.shape[-2:] for parameter in parameters)
        self.groups = [[p for p in parameters if p.shape[-2:] == shape] for shape in shapes]
        self.momenta = [torch.zeros_like(stacked(group)) for group in self.groups]
        self.squares = [neurons(momentum) for momentum in self.momenta]

    @torch.no_grad()
    def step(self, factor: float, progress: float) -> None:
        """Move each matrix by `factor * MATRIX_LR` in spectral norm, up to its shape."""
        momentum_kept = MOMENTUM - 0.1 * MOMENTUM * max(0.0, 1.0 - progress / 0.1)
        decay = WEIGHT_DECAY * (1.0 - progress)
        for group, momentum, square in zip(self.groups, self.momenta, self.squares, strict=True):
            gradient = stacked(gradients(group))
            momentum.lerp_(gradient, 1 - momentum_kept)
            ahead = gradient.lerp_(momentum, momentum_kept)  # Nesterov: a look ahead
            change = orthogonal(ahead).to(momentum.dtype)
            size = change.norm(dim=(-2, -1), keepdim=True)
            square.lerp_(neurons(change), 0.05)
            change *= square.clamp_min(1e-10).rsqrt()
            change *= size / change.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-10)
            weights = stacked(group)
            change += decay * weights * (change * weights > 0)
            rows, columns = weights.shape[-2:]
            weights -= factor * MATRIX_LR * max(1.0, rows / columns) ** 0.5 * change
            for parameter in group:
                count = parameter.numel() // (rows * columns)
                parameter.copy_(weights[:count].view_as(parameter))
                weights = weights[count:]


def gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    """One for each parameter: zeros for one that took no part in the loss."""
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]


def stacked(matrices: Iterable[Tensor]) -> Tensor:
    """Matrices of one shape, [rows, columns] or [n, rows, columns], as one [N, rows, columns]."""
    return torch.cat([m.reshape(-1, *m.shape[-2:]) for m in matrices])


def neurons(x: Tensor) -> Tensor:
    """Mean square of each row of [N, rows, columns], or of each column where those are more."""
    return x.square().mean(-1 if x.size(-2) >= x.size(-1) else -2, keepdim=True)


def orthogonal(x: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly; [N, rows, columns].

    Each step is the odd polynomial of degree 5 that brings what the step before has left of the
    singular values, from 0.001 at first, nearest to 1 (Polar Express, Amsel et al.,
    https://arxiv.org/abs/2505.16932). They end between 0.88 and 1.12.
    """
    if x.is_cuda:
        x = x.bfloat16()
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    x = x / (1.01 * x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for first, third, fifth in POLAR:
        gram = x @ x.mT
        x = first * x + (third * gram + fifth * gram @ gram) @ x
    return x.mT if tall else x


POLAR = (
    (8.3197, -23.8595, 17.5314),
    (4.1227, -2.9806, 0.5521),
    (3.9616, -2.9403, 0.5591),
    (3.3104, -2.4825, 0.5094),
    (2.2938, -1.6627, 0.4181),
)
