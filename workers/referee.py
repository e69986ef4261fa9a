"""The referee of a trial: the buffers it shares with the candidate, its tokens, its start, its GO.

In: the trial, what meta.json says, and how to fetch the exam's tokens, those of the validation
split and, where the trial has an audit, those of the audit split after them. Out: descriptors for
the candidate's job, and a referee's Process to listen to. What the referee asks and computes is its
own business (`train_template/referee.py`); what its messages amount to is the judge's.

It is started while the candidate trains, so that its imports cost no time of the slot, and told to
begin once the training is over. At the strict level it holds the tokens from its start, in memory
that the candidate can't see. At the basic level a candidate of the same user could look for them
there: so they are fetched only after the training, and come with GO.
"""

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from workers import wire
from workers.errors import ExamError, WorkerError
from workers.launch import start
from workers.memory import sealed, shared
from workers.process import Process, Program
from workers.sandbox import Level
from workers.trial import Trial

JUDGE = "referee, host memory"  # which path the logits took, as the study shows it
SCRATCH_BYTES = 1 << 24  # it writes nothing


@dataclass(frozen=True)
class Meta:
    """What the supervisor needs of the data's meta.json."""

    vocab_size: int
    token_bytes: tuple[int, ...]
    withheld: tuple[str, ...]
    validation_tokens: int  # of the whole split; in an exam's text the audit split begins there


def read_meta(path: Path) -> Meta:
    """Read meta.json; raises OSError, and ExamError if it describes no data."""
    try:
        raw = json.loads(path.read_bytes())
        meta = Meta(
            vocab_size=int(raw["vocab_size"]),
            token_bytes=tuple(map(int, raw["token_bytes"])),
            withheld=tuple(map(str, raw["withheld"])),
            validation_tokens=int(raw["splits"]["validation"]["tokens"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ExamError(f"{path} describes no packed data: {error!r}") from error
    if len(meta.token_bytes) != meta.vocab_size or not all(
        0 <= size < 1 << 32 for size in meta.token_bytes
    ):
        raise ExamError(f"{path} gives no bytes of text for each of {meta.vocab_size} tokens")
    return meta


class Exam:
    """One trial's exam. Whoever makes one closes it, which ends the referee."""

    referee: Process | None = None  # once it was started

    def __init__(
        self, trial: Trial, meta: Meta, *, task: Path, level: Level, fetch: Callable[[], bytes]
    ) -> None:
        """Make the buffers. Raises OSError, and ExamError where a size is missing."""
        try:
            length = trial.settings["sequence_length"]
            windows = max(1, trial.settings["eval_batch_tokens"] // length)
        except (KeyError, ZeroDivisionError) as error:
            raise ExamError(f"the trial's settings give no size of an exam: {error!r}") from error
        self._trial, self._meta, self._task, self._level = trial, meta, task, level
        self._fetch = fetch
        self._fetched: Future[bytes] | None = None
        self._tokens: int | None = None
        self._begun = False
        with ExitStack() as made:
            self._theirs, self._ours = socket.socketpair()
            made.enter_context(self._theirs)
            made.enter_context(self._ours)
            self._questions = shared("questions", windows * length * 2)
            made.callback(os.close, self._questions)
            self._answers = shared("answers", windows * length * meta.vocab_size * 4)
            made.callback(os.close, self._answers)
            # Not in the job: 50,000 of them are more than Linux takes as one argument.
            sizes = struct.pack(f"<{len(meta.token_bytes)}I", *meta.token_bytes)
            self._sizes = sealed("token bytes", sizes)
            made.callback(os.close, self._sizes)
            self._made = made.pop_all()

    @property
    def descriptors(self) -> dict[str, int]:
        """The candidate's end, as its job names it."""
        return self._end(self._theirs)

    def _end(self, side: socket.socket) -> dict[str, int]:
        return {"exam": side.fileno(), "questions": self._questions, "answers": self._answers}

    def hand_over(self) -> None:
        """Note that the candidate has its end: when it lets go of it, the referee sees that."""
        self._theirs.close()

    @property
    def begun(self) -> bool:
        """Whether the referee was told to begin: from then on, the candidate may be slow."""
        return self._begun

    def advance(
        self, *, trained: bool, ready: bool, environment: Mapping[str, str],
        cores: frozenset[int] | None,
    ) -> None:  # fmt: skip
        """Take the next step that is possible; call it again and again once GO was sent.

        `trained` says whether the candidate's clock has ended, `ready` whether the referee said
        HELLO. Raises OSError if the referee can't be started or the tokens do not come.
        """
        if self._fetched is None and (trained or self._level is Level.STRICT):
            self._fetched = _call(self._fetch)
        if self._tokens is None and self._fetched and self._fetched.done():
            try:
                self._tokens = sealed("tokens", self._fetched.result())
            except WorkerError as error:
                raise OSError(f"the validation tokens did not arrive: {error}") from error
            self._made.callback(os.close, self._tokens)
        if not self.referee and (self._tokens is not None or self._level is Level.BASIC):
            self._start(environment, cores)
        if self.referee and trained and ready and self._tokens is not None and not self._begun:
            handed = self._tokens if self._level is Level.BASIC else None
            wire.send_go(self.referee.channel, handed)
            self._begun = True

    def _start(self, environment: Mapping[str, str], cores: frozenset[int] | None) -> None:
        held = self._tokens if self._level is Level.STRICT else None
        end = self._end(self._ours)
        audit = None
        if self._trial.audit is not None:
            above, below = self._trial.audit
            audit = {"start": self._meta.validation_tokens, "above": above, "below": below}
        job = {
            **end,
            "tokens": held,
            "token_bytes": self._sizes,
            "settings": dict(self._trial.settings),
            "secret": int.from_bytes(os.urandom(8), "little"),
            "audit": audit,
        }
        program = Program(
            name="referee",
            job=job,
            task=self._task,
            environment=environment,
            descriptors=(*end.values(), self._sizes, *(() if held is None else (held,))),
            cpus=self._trial.resources.cpus,
            cores=cores,
            scratch_bytes=SCRATCH_BYTES,
        )
        self.referee = start(program, self._level)
        self._ours.close()

    def close(self) -> None:
        """End the referee and give the buffers back."""
        with self._made:
            if self.referee:
                self.referee.close()


def _call(fetch: Callable[[], bytes]) -> Future[bytes]:
    """Run it beside the loop: a node that fetches for the first time may wait for the network."""
    future: Future[bytes] = Future()

    def run() -> None:
        try:
            future.set_result(fetch())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="exam-fetch", daemon=True).start()
    return future
