"""What train.py is given: `train(session)` talks to the harness through this object alone.

    def train(session):
        model = ...                                          # on session.device
        for tokens, targets in session.warm_up(64):          # synthetic: compile, allocate
            ...
        for tokens, targets in session.batches(64):          # real text: the clock runs
            loss = ...
            session.log(loss=loss)
        return model                                         # tokens [B, T] -> logits [B, T, V]

Start-up and compilation are free up to a limit; the budget pays from the first real batch until
the batches end. In: a device, a seed, a budget, and a Transport for reports and data. The session
does not load the edited file, and does not score: see `harness` and `referee`.
"""

import math
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from train_template import device as devices
from train_template import wire
from train_template.draws import Rows, Windows
from train_template.errors import ContractError, DataError, DivergedError
from train_template.packed import DTYPE
from train_template.tokenizer import Ids
from train_template.transport import Transport

Batch = tuple[Tensor, Tensor]
"""Tokens and targets, int64 [batch_size, sequence_length], on the session's device. The target of
a token is the token that follows it."""


EXPLODES, EXPLODES_AFTER = 5.0, 0.1
"""A loss this many times that of guessing, after this share of the budget, won't come back in time:
the rest of the budget goes to another experiment."""


@dataclass(frozen=True)
class Plan:
    """What the harness fixes for a session: the same for every experiment but for the seed."""

    seed: int
    seconds: float | None  # the budget is either seconds of training or steps
    steps: int | None
    sequence_length: int
    vocab_size: int
    row: int | None = None  # tokens of a packed row; None: the text is one stream
    progress_seconds: float = 1.0  # the shortest time between two reports


class Session:
    """One training run: its device, its data and its budget."""

    device: torch.device  # cuda, mps or cpu; the one that this run may use
    seed: int  # every global generator is seeded with it before train() and after warm_up()
    vocab_size: int  # token ids are 0 to vocab_size - 1: the last dimension of the logits
    sequence_length: int  # tokens in a window when the model is scored

    def __init__(self, plan: Plan, device: torch.device, transport: Transport) -> None:
        self.device = device
        self.seed = plan.seed
        self.vocab_size = plan.vocab_size
        self.sequence_length = plan.sequence_length
        self._plan = plan
        self._transport = transport
        self._text: Ids | None = None  # the training tokens, once the clock runs
        self._draws: Rows | Windows | None = None
        self._started = 0.0
        self._reported = 0.0
        self._step = 0
        self._tokens = 0
        self._progress = 0.0
        self._pending: Tensor | float | None = None  # logged, not yet looked at
        self._loss = math.nan
        self._guessing = math.log(max(2, plan.vocab_size))  # nats per token of a uniform guess
        self._failure: DivergedError | None = None
        self._ended = False

    @property
    def progress(self) -> float:
        """Share of the budget used when the current batch was handed out, 0 to 1.

        It stands still within a step and is 1 once the batches have ended.
        """
        return self._progress

    @property
    def step(self) -> int:
        """Real batches handed out so far."""
        return self._step

    @property
    def tokens(self) -> int:
        """Real tokens handed out so far."""
        return self._tokens

    def autocast(self) -> AbstractContextManager[None]:
        """The precision that the model is scored in: bfloat16 on CUDA, else no change."""
        return devices.autocast(self.device)

    def warm_up(
        self, batch_size: int, sequence_length: int | None = None, steps: int = 3
    ) -> Iterator[Batch]:
        """Synthetic batches, uniformly random tokens in the shape of real ones, off the clock.

        For compilation and allocation. When the loop ends, or is left, every random generator is
        seeded again, so that the run does not depend on how long it warmed up; what the model
        and the optimizer took from synthetic batches is train.py's to reset.
        """
        shape = (batch_size, (sequence_length or self.sequence_length) + 1)
        random = np.random.default_rng(self.seed)
        try:
            for _ in range(steps):
                ids = random.integers(self.vocab_size, size=shape, dtype=np.int64)
                yield self._on_device(ids)
        finally:
            devices.synchronize(self.device)
            devices.seed_everything(self.seed)

    def batches(self, batch_size: int, sequence_length: int | None = None) -> Iterator[Batch]:
        """Real batches of the training text, in random order, until the budget ends (see `draws`).

        The first starts the clock. Each waits until the device has finished the previous step,
        so that progress is true and the run ends at most one step over its budget. A batch is a
        step: to accumulate gradients, ask for a large batch and split it. A second call goes on
        with what is left of the budget.

        Raises DivergedError once a logged loss is not finite or has exploded, ContractError for a
        batch of no size and DataError where the text is shorter than a window.
        """
        length = sequence_length or self.sequence_length
        if batch_size < 1 or length < 1:
            raise ContractError(f"batches({batch_size}, {length}): both must be 1 or more")
        if self._text is None or self._draws is None:
            self._text = self._start()
            self._draws = self._drawn(len(self._text))
        if self._draws.most() < length:
            raise DataError(
                f"the training text has {len(self._text)} tokens: no window of {length}"
            )
        while True:
            # Drawn before the wait: the device still works while the host prepares the batch.
            batch = None if self._ended else self._draw(self._text, self._draws, batch_size, length)
            self._settle()
            if batch is None or self._ended:
                return
            self._step += 1
            self._tokens += batch_size * length
            yield batch

    def log(self, loss: Tensor | float) -> None:
        """Note the training loss of this step, in nats per token.

        Costs nothing: the number is read when the device has finished the step anyway.
        """
        self._pending = loss.detach() if isinstance(loss, Tensor) else loss

    def finish(self) -> None:
        """End the training phase, if the budget has not; the harness calls it after train().

        Raises DivergedError if a logged loss was not finite, even where train() went on.
        """
        if self._text is not None and not self._ended:
            self._settle()
            if not self._ended:
                self._end()

    def report(self, kind: wire.Kind, **fields: object) -> None:
        """Send a message with the session's counts in it; the harness calls it."""
        known = {
            "step": self._step,
            "tokens": self._tokens,
            "device_memory": devices.peak_memory(self.device),
            "fraction": self._progress,
            "loss": self._loss,
        }
        self._transport.send(wire.Message(kind, **(known | fields)))  # type: ignore[arg-type]

    def _start(self) -> Ids:
        """Ask for the data, wait until it comes, and start the clock."""
        devices.synchronize(self.device)
        self.report(wire.Kind.READY)
        descriptor = self._transport.receive_data()
        self._started = self._reported = time.perf_counter()
        try:
            view = mmap.mmap(descriptor, os.fstat(descriptor).st_size, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        text: Ids = np.frombuffer(view, dtype=DTYPE)
        return text

    def _drawn(self, tokens: int) -> Rows | Windows:
        random = np.random.default_rng(self._plan.seed)  # not train.py's
        if self._plan.row is None:
            return Windows(tokens, random)
        return Rows(tokens, self._plan.row, random)

    def _draw(self, text: Ids, draws: Rows | Windows, batch_size: int, length: int) -> Batch:
        starts = draws.draw(batch_size, length)
        windows = np.lib.stride_tricks.sliding_window_view(text, length + 1)[starts]
        return self._on_device(windows.astype(np.int64))

    def _on_device(self, ids: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Batch:
        """Windows of T + 1 ids, [B, T + 1], as tokens and targets on the device."""
        windows = torch.from_numpy(ids)
        if self.device.type == "cuda":
            windows = windows.pin_memory()  # so that the copy does not wait for the device
        windows = windows.to(self.device, non_blocking=True)
        return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()

    def _settle(self) -> None:
        """Wait for the step before; then look at its loss, the clock, and whether to report."""
        devices.synchronize(self.device)
        now = time.perf_counter()
        self._read_loss()
        if self._plan.steps is not None:
            self._progress = min(1.0, self._step / self._plan.steps)
        elif self._plan.seconds is not None:
            self._progress = min(1.0, (now - self._started) / self._plan.seconds)
        if self._progress >= 1.0 and not self._ended:
            self._end()
        elif not self._ended and now - self._reported >= self._plan.progress_seconds:
            self._reported = now
            self.report(wire.Kind.PROGRESS)

    def _read_loss(self) -> None:
        if self._failure is None and self._pending is not None:
            self._loss = float(self._pending)
            self._pending = None
            if not math.isfinite(self._loss):
                self._failure = DivergedError(
                    f"the training loss became {self._loss} at step {self._step}"
                )
            elif self._progress > EXPLODES_AFTER and self._loss > EXPLODES * self._guessing:
                self._failure = DivergedError(
                    f"the training loss exploded: {self._loss:.1f} nats at step {self._step} "
                    f"(guessing: {self._guessing:.1f})"
                )
        if self._failure is not None:
            raise self._failure

    def _end(self) -> None:
        self._ended = True
        self.report(wire.Kind.TRAINED)
