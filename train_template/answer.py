"""The candidate's side of the exam: token batches to logits, through the trained model.

In: the model that train() returned, the session, and the candidate's end of the exam. Out: logits
in the shared buffer, as bfloat16 where the model gives that, else as float32. What is wrong with a
model's logits is said here in a sentence that helps to mend it; the referee looks again for itself,
because this code runs in the same process as the edited file.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from train_template import device as devices
from train_template.errors import RejectedError
from train_template.exam import CandidateEnd, Precision, Shape
from train_template.session import Session

Model = Callable[[Tensor], Tensor]
"""Tokens, int64 [B, T], to logits [B, T, vocabulary], where [:, t] sees tokens [:, :t+1] only."""


def serve(model: Model, end: CandidateEnd, session: Session) -> None:
    """Answer until the referee ends the exam or is gone.

    Raises RejectedError for logits that can't be sent, whatever the model raises, and OSError.
    """
    prepare = getattr(model, "eval", None)
    if callable(prepare):
        prepare()
    buffer = _Buffer(end, session.device)
    with torch.inference_mode(), session.autocast():
        while (question := end.receive()) is not None:
            tokens = torch.from_numpy(question.tokens.astype("int64")).to(session.device)
            logits = _checked(model(tokens), end.shape)
            end.answer(question, buffer.take(logits))


def _checked(logits: object, shape: Shape) -> Tensor:
    if not isinstance(logits, Tensor):
        raise RejectedError(f"the model gave {type(logits).__name__}, not a tensor of logits")
    asked = [shape.windows, shape.length, shape.vocabulary]
    if list(logits.shape) != asked:
        raise RejectedError(
            f"the model gave logits of shape {list(logits.shape)}, not {asked} "
            "(batch, sequence, vocabulary)"
        )
    if not logits.is_floating_point():
        raise RejectedError(f"the model gave logits of {logits.dtype}: they must be floating-point")
    return logits


class _Buffer:
    """The shared buffer of answers, as a tensor of either precision."""

    def __init__(self, end: CandidateEnd, device: torch.device) -> None:
        shape = (end.shape.windows, end.shape.length, end.shape.vocabulary)
        numbers = shape[0] * shape[1] * shape[2]
        self._shared = {
            dtype: torch.frombuffer(end.answers, dtype=dtype, count=numbers).view(shape)
            for dtype in (torch.float32, torch.bfloat16)
        }
        self._device = device
        self._staged: Tensor | None = None

    def take(self, logits: Tensor) -> Precision:
        """Put one batch of logits into the buffer, in one copy from the device."""
        dtype = torch.bfloat16 if logits.dtype is torch.bfloat16 else torch.float32
        shared = self._shared[dtype]
        if self._device.type == "cuda":
            # Pinned memory takes what the device sends at the full speed of its bus.
            if self._staged is None or self._staged.dtype is not dtype:
                self._staged = torch.empty(shared.shape, dtype=dtype, pin_memory=True)
            self._staged.copy_(logits, non_blocking=True)
            devices.synchronize(self._device)
            shared.copy_(self._staged)
        else:
            shared.copy_(logits)
        return Precision.BFLOAT16 if dtype is torch.bfloat16 else Precision.FLOAT32
