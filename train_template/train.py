"""A small GPT that learns as much as it can within the budget. This is the file to edit.

`train(session)` builds a model, trains it on what the session hands out, and returns it; fixed
code then measures it in bits per byte of text that it has not seen (val_bpb, lower is better).
Budget, data, seed and scoring belong to the session (`train_template/session.py`); everything
else is here: architecture, optimizer, schedules, batch size.

The model: token embeddings, DEPTH blocks of causal attention (rotary positions, normalised queries
and keys) and a squared-ReLU MLP, RMS norm before each, an untied head. Muon trains the matrices,
AdamW the embeddings, the head and the scalars. One file for CUDA, MPS and CPU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu, rms_norm, scaled_dot_product_attention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from train_template.session import Session

# Sizes of the model.
DEPTH = 8  # blocks
HEADS = 4  # attention heads in a block; the model's width is HEADS * HEAD_WIDTH
HEAD_WIDTH = 128  # channels a head, rounded to a multiple of 8
MLP_RATIO = 4.0  # hidden channels of the MLP for each channel of the model
LOGIT_CAP = 15.0  # logits are bent softly into (-LOGIT_CAP, LOGIT_CAP)

# Size of a step.
BATCH_TOKENS = 131072  # tokens in one optimizer step, rounded to whole sequences

# Muon, for the matrices inside the blocks.
MATRIX_LR = 0.02  # learning rate
MOMENTUM = 0.95  # share of the averaged gradient kept from step to step
WEIGHT_DECAY = 0.1  # pull towards zero, relative to the learning rate

# AdamW, for everything else.
EMBED_LR = 0.2  # learning rate of the token embeddings
HEAD_LR = 0.004  # learning rate of the head
SCALAR_LR = 0.02  # learning rate of the scalars that mix the residual stream
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
            optimizer.step(schedule(session.progress))
        model.zero_grad(set_to_none=True)
        return total

    # Synthetic batches compile and allocate; then nothing that they taught must remain.
    optimizers = make_optimizers(model)
    for tokens, targets in session.warm_up(sequences, steps=2):
        step(optimizers, tokens, targets)
    model.reset()
    optimizers = make_optimizers(model)

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
    """Causal self-attention, [B, T, width] to [B, T, width]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Each position looks at itself and those before it."""

        def split(y: Tensor) -> Tensor:
            return y.view(*y.shape[:2], self.heads, -1).transpose(1, 2)

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        query, key = rotate(norm(query), cosine, sine), rotate(norm(key), cosine, sine)
        query, key = query.to(value.dtype), key.to(value.dtype)  # the angles are float32
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention and MLP, each adding to the residual stream."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.mix = nn.Parameter(torch.empty(2))  # how much of the stream, of the embedding

    def forward(self, x: Tensor, embedded: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """[B, T, width] to the same; the token's embedding can be mixed in again."""
        x = self.mix[0] * x + self.mix[1] * embedded
        x = x + self.attention(norm(x), cosine, sine)
        change: Tensor = self.down(relu(self.up(norm(x))).square())
        return x + change


class GPT(nn.Module):
    """Tokens [B, T] to logits [B, T, vocabulary], T up to the session's sequence length."""

    cosine: Tensor  # [T, head_width / 2]: the angles of each position
    sine: Tensor

    def __init__(self, vocab_size: int, sequence_length: int) -> None:
        super().__init__()
        heads = max(1, HEADS)
        head_width = 8 * max(1, round(HEAD_WIDTH / 8))
        width = heads * head_width
        hidden = 8 * max(1, round(MLP_RATIO * width / 8))
        self.embed = nn.Embedding(vocab_size, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(max(1, DEPTH)))
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
                parameter.copy_(torch.tensor([1.0, 0.0]))
            elif name.endswith(("out.weight", "down.weight", "head.weight")):
                parameter.zero_()
            elif name == "embed.weight":
                parameter.normal_()
            else:
                bound = math.sqrt(3 / parameter.size(1))
                parameter.uniform_(-bound, bound)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits in float32."""
        length = tokens.size(1)
        cosine, sine = self.cosine[:length], self.sine[:length]
        x = embedded = norm(self.embed(tokens))
        for block in self.blocks:
            x = block(x, embedded, cosine, sine)
        logits: Tensor = self.head(norm(x)).float()
        return LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)


def make_optimizers(model: GPT) -> tuple[Muon | AdamW, ...]:
    """Fresh optimizers: Muon for the matrices of the blocks, AdamW for the rest."""
    blocks = list(model.blocks.parameters())
    return (
        Muon([parameter for parameter in blocks if parameter.ndim == 2]),
        AdamW(list(model.embed.parameters()), EMBED_LR, ADAMW_DECAY),
        AdamW(list(model.head.parameters()), HEAD_LR, ADAMW_DECAY),
        AdamW([parameter for parameter in blocks if parameter.ndim < 2], SCALAR_LR, 0.0),
    )


class AdamW:
    """Adam with decoupled weight decay. Loshchilov and Hutter, https://arxiv.org/abs/1711.05101.

    Written out, because the import of torch.optim's compiler hooks takes seconds on a CPU.
    """

    def __init__(self, parameters: list[nn.Parameter], rate: float, decay: float) -> None:
        self.parameters = parameters
        self.rate = rate
        self.decay = decay
        self.mean = [torch.zeros_like(parameter) for parameter in parameters]
        self.square = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Move by about `factor` times the learning rate in every coordinate."""
        self.steps += 1
        rate = factor * self.rate
        for parameter, mean, square in zip(self.parameters, self.mean, self.square, strict=True):
            assert parameter.grad is not None
            mean.lerp_(parameter.grad, 1 - BETA1)
            square.lerp_(parameter.grad.square(), 1 - BETA2)
            scale = (square / (1 - BETA2**self.steps)).sqrt() + 1e-10
            parameter.mul_(1 - rate * self.decay)
            parameter.addcdiv_(mean, scale, value=-rate / (1 - BETA1**self.steps))


class Muon:
    """Momentum whose direction is made orthogonal: every direction of a matrix learns as fast.

    Keller Jordan, https://kellerjordan.github.io/posts/muon. Matrices of one shape go together.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        shapes = dict.fromkeys(parameter.shape for parameter in parameters)
        self.groups = [[p for p in parameters if p.shape == shape] for shape in shapes]
        self.momenta = [torch.stack([torch.zeros_like(p) for p in g]) for g in self.groups]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Move each matrix by `factor * MATRIX_LR` in spectral norm, up to its shape."""
        for group, momentum in zip(self.groups, self.momenta, strict=True):
            gradients = torch.stack([p.grad for p in group if p.grad is not None])
            momentum.lerp_(gradients, 1 - MOMENTUM)
            direction = orthogonal(gradients.lerp(momentum, MOMENTUM))  # Nesterov: a look ahead
            rows, columns = direction.shape[-2:]
            rate = factor * MATRIX_LR * max(1.0, rows / columns) ** 0.5
            for parameter, change in zip(group, direction.to(momentum.dtype), strict=True):
                parameter.mul_(1 - factor * MATRIX_LR * WEIGHT_DECAY).add_(change, alpha=-rate)


def orthogonal(x: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly; [N, rows, columns].

    Five steps of a Newton-Schulz iteration: they bring every singular value to about 1.
    """
    if x.is_cuda:
        x = x.bfloat16()
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.775 * gram) @ x
    return x.mT if tall else x
