"""The exam: how the referee asks a candidate for logits, and both ends of it.

A stream socket carries fixed-size messages, never pickles; the tokens and the logits lie in two
shared buffers, both inherited:

    referee -> candidate   ASK     batch, windows B, length T; the questions hold the tokens
    candidate -> referee   ANSWER  batch, B, T, vocabulary V, precision; the answers hold the logits
    referee -> candidate   END     nothing more will be asked

In: the socket, the descriptors of the buffers and the shape of a batch. Out, at the referee's end:
a copy of the logits that nobody else can reach. The candidate is not trusted: whatever is not
exactly an answer to the question that was asked is a RejectedError. What is asked is decided in
`probes`, and what the logits are worth in `score`. It keeps no time: the supervisor does.
"""

import mmap
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from train_template.errors import LeftError, RejectedError
from train_template.job import Settings
from train_template.tokenizer import Ids

MAGIC = b"ARX1"
LAYOUT = struct.Struct("<4sHHIIIII")  # magic, kind, a zero, then Message's other fields in order
TOKEN_BYTES = 2  # a question's token: uint16
LOOK_SECONDS = 0.25  # of a wait for an answer, between two calls of whoever wants to know of it


class Kind(IntEnum):
    """What a message says."""

    ASK = 1
    ANSWER = 2
    END = 3


class Precision(IntEnum):
    """The number format of logits."""

    FLOAT32 = 1
    BFLOAT16 = 2
    FLOAT16 = 3

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return 4 if self is Precision.FLOAT32 else 2


@dataclass(frozen=True)
class Message:
    """One message. Fields that a kind does not use are zero."""

    kind: int  # a Kind, unless the sender is hostile
    batch: int = 0  # counts from 0
    windows: int = 0
    length: int = 0  # tokens in a window
    vocabulary: int = 0
    precision: int = 0  # a Precision

    def pack(self) -> bytes:
        """The message as `LAYOUT.size` bytes."""
        numbers = (self.batch, self.windows, self.length, self.vocabulary, self.precision)
        return LAYOUT.pack(MAGIC, self.kind, 0, *numbers)


@dataclass(frozen=True)
class Shape:
    """What goes through the model at once: the same for every batch of an exam."""

    windows: int
    length: int  # tokens in a window
    vocabulary: int

    @property
    def question_bytes(self) -> int:
        """Size of the buffer of questions."""
        return self.windows * self.length * TOKEN_BYTES

    @property
    def answer_bytes(self) -> int:
        """Size of the buffer of answers: room for float32."""
        return self.windows * self.length * self.vocabulary * Precision.FLOAT32.size


def batch_shape(settings: Settings, vocabulary: int) -> Shape:
    """As many windows as `eval_batch_tokens` hold, and at least one."""
    length = settings.sequence_length
    return Shape(max(1, settings.eval_batch_tokens // length), length, vocabulary)


@dataclass(frozen=True)
class Answer:
    """The logits of one batch, in memory that belongs to the referee alone."""

    logits: npt.NDArray[np.uint8]  # the raw bytes of [windows * length, vocabulary] numbers
    precision: Precision


def _patiently() -> None:
    """Wait on."""


class RefereeEnd:
    """Asks, and takes answers without trusting them."""

    def __init__(
        self, connection: socket.socket, questions: int, answers: int, shape: Shape
    ) -> None:
        """Map the buffers; raises OSError or ValueError where they are too small."""
        connection.setblocking(True)  # whatever whoever made it left it at
        self.shape = shape
        self._connection = connection
        self._poller = select.poll()
        self._poller.register(connection, select.POLLIN)
        self._questions = mmap.mmap(questions, shape.question_bytes)
        self._answers = mmap.mmap(answers, shape.answer_bytes, prot=mmap.PROT_READ)
        self._private = np.empty(shape.answer_bytes, dtype=np.uint8)
        self._precision: Precision | None = None

    def ask(self, batch: int, tokens: Ids) -> None:
        """Send one batch, shape [windows, length]; raises LeftError if nobody listens."""
        assert tokens.shape == (self.shape.windows, self.shape.length)
        self._questions[:] = tokens.astype("<u2").tobytes()
        message = Message(Kind.ASK, batch, self.shape.windows, self.shape.length)
        try:
            self._connection.sendall(message.pack())
        except OSError as error:
            raise LeftError(f"the candidate closed the exam before batch {batch}") from error

    def receive(self, batch: int, waiting: Callable[[], None] = _patiently) -> Answer:
        """Wait for the answer to `batch` and copy it; `waiting` is called while it does not come.

        What is returned is valid until the next call. Raises RejectedError for anything that is
        no answer to this batch in this shape, and LeftError if the candidate is gone.
        """
        message = self._read(batch, waiting)
        if message.kind != Kind.ANSWER or message.batch != batch:
            raise RejectedError(
                f"it answered batch {message.batch} with a message of kind {message.kind}, where "
                f"an answer to batch {batch} was asked for"
            )
        given = (message.windows, message.length, message.vocabulary)
        asked = (self.shape.windows, self.shape.length, self.shape.vocabulary)
        if given != asked:
            raise RejectedError(
                f"it answered with logits of shape {list(given)}, not {list(asked)}"
            )
        precision = self._checked(message.precision)
        size = self.shape.answer_bytes // Precision.FLOAT32.size * precision.size
        # The one look at memory that the candidate can write: it may go on writing there while
        # this copy is judged.
        self._private[:size] = np.frombuffer(self._answers, dtype=np.uint8, count=size)
        return Answer(self._private[:size], precision)

    def end(self) -> None:
        """Say that nothing more will be asked; raises OSError if nobody listens."""
        self._connection.sendall(Message(Kind.END).pack())

    def _checked(self, code: int) -> Precision:
        """The precision of all answers, which the first one fixes: tolerances depend on it."""
        if code not in tuple(Precision):
            raise RejectedError(f"it answered with logits of unknown number format {code}")
        precision = Precision(code)
        if self._precision not in (None, precision):
            raise RejectedError("it changed the number format of its logits from batch to batch")
        self._precision = precision
        return precision

    def _read(self, batch: int, waiting: Callable[[], None]) -> Message:
        data = b""
        while len(data) < LAYOUT.size:  # it may send half a message, and keep the rest
            if not self._poller.poll(LOOK_SECONDS * 1000):
                waiting()
                continue
            try:
                more = self._connection.recv(LAYOUT.size - len(data))
            except OSError as error:
                raise LeftError(f"the candidate closed the exam in batch {batch}") from error
            if not more:
                raise LeftError(f"the candidate closed the exam in batch {batch}")
            data += more
        magic, kind, zero, *numbers = LAYOUT.unpack(data)
        if magic != MAGIC or zero != 0:
            raise RejectedError(f"it sent something that is no message in batch {batch}")
        return Message(kind, *numbers)


@dataclass(frozen=True)
class Question:
    """One batch to answer."""

    batch: int
    tokens: Ids  # [windows, length], a copy


class CandidateEnd:
    """Takes questions and sends answers, for as long as there are any."""

    def __init__(
        self, connection: socket.socket, questions: int, answers: int, shape: Shape
    ) -> None:
        """Map the buffers; raises OSError or ValueError where they are too small."""
        connection.setblocking(True)
        self.shape = shape
        self.answers = mmap.mmap(answers, shape.answer_bytes)  # where logits are put
        self._connection = connection
        self._questions = mmap.mmap(questions, shape.question_bytes, prot=mmap.PROT_READ)

    def receive(self) -> Question | None:
        """Wait for a question; None when the exam is over or the referee gone.

        Raises ConnectionError for what is no question in the agreed shape.
        """
        data = self._connection.recv(LAYOUT.size, socket.MSG_WAITALL)
        if len(data) < LAYOUT.size:
            return None
        magic, kind, _, batch, windows, length, _, _ = LAYOUT.unpack(data)
        if (magic, kind) == (MAGIC, Kind.END):
            return None
        asked = (windows, length)
        if (magic, kind, asked) != (MAGIC, Kind.ASK, (self.shape.windows, self.shape.length)):
            raise ConnectionError("the referee asked something that is no question")
        tokens: Ids = np.frombuffer(self._questions, dtype="<u2").reshape(asked).copy()
        return Question(batch, tokens)

    def answer(self, question: Question, precision: Precision) -> None:
        """Say that the logits of `question` lie in `answers`; raises OSError if nobody listens."""
        shape = self.shape
        message = Message(
            Kind.ANSWER, question.batch, shape.windows, shape.length, shape.vocabulary, precision
        )
        self._connection.sendall(message.pack())
