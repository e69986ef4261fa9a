"""The metric: bits per byte of held-out text, from a model's logits.

In: a model, the tokens of a split, and how many bytes of text each token stands for. Out: one
number, the same for any batch size up to rounding. No input or output, no session and no clock:
whoever calls it says which tokens, under which precision, and what becomes of the number.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from train_template.errors import DataError, RejectedError
from train_template.tokenizer import Ids

Model = Callable[[Tensor], Tensor]
"""Tokens, int64 [B, T], to logits [B, T, vocabulary], where [:, t] sees tokens [:, :t+1] only."""


def bits_per_byte(
    model: Model,
    tokens: Ids,
    token_bytes: Sequence[int],
    *,
    sequence_length: int,
    batch_size: int,
    device: torch.device,
) -> float:
    """Mean bits that the model needs for a byte of the text: lower is better.

    `tokens`, shape [N], is cut into (N - 1) // T windows of T = `sequence_length` inputs; each
    window's targets are its inputs moved on by one, so that every token but the first is predicted
    once. A rest that fills no window is left out. Tokens of no bytes are read but not
    predicted. With p the model's probability of the target,

        sum(-log2 p over targets with bytes) / sum(bytes of targets)

    Log-softmax and each batch's sum are computed in float32, their sum in float64. Raises
    DataError where there is no window or no byte, and RejectedError where logits have the wrong
    shape or are not finite.
    """
    windows = (len(tokens) - 1) // sequence_length
    if windows < 1:
        raise DataError(
            f"{len(tokens)} validation tokens hold no window of {sequence_length} and its target: "
            "use more text, or a shorter data.sequence_length"
        )
    ids = torch.from_numpy(tokens[: windows * sequence_length + 1].astype("int64"))
    inputs = ids[:-1].view(windows, sequence_length)
    targets = ids[1:].view(windows, sequence_length)
    sizes = torch.tensor(token_bytes, device=device)
    text_bytes = int(torch.tensor(token_bytes)[targets].sum())
    if text_bytes == 0:
        raise DataError("the validation tokens stand for no text")

    prepare = getattr(model, "eval", None)
    if callable(prepare):
        prepare()
    # The device is asked for numbers once, at the end: each question would be a wait.
    partial_sums = []
    finite = torch.ones((), dtype=torch.bool, device=device)
    with torch.inference_mode():
        for batch, answers in zip(
            torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True
        ):
            wanted = answers.to(device)
            logits = _checked(model(batch.to(device)), (*batch.shape, len(token_bytes)))
            finite &= logits.isfinite().all()
            losses = cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none")
            partial_sums.append((losses * (sizes[wanted.flatten()] > 0)).sum())
        nats = torch.stack(partial_sums).cpu().double().sum()
    if not finite:
        raise RejectedError("val_bpb is nan: the model's logits are not finite numbers")
    return nats.item() / math.log(2) / text_bytes


def _checked(logits: object, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(logits, Tensor):
        raise RejectedError(f"the model gave {type(logits).__name__}, not a tensor of logits")
    if tuple(logits.shape) != shape:
        raise RejectedError(
            f"the model gave logits of shape {list(logits.shape)}, not {list(shape)} "
            "(batch, sequence, vocabulary)"
        )
    return logits
