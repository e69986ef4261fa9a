"""A trial without a supervisor: candidate and referee in one process, and a real exam.

In: the work folder, packed data, a seed, a budget and a transport. Out: the candidate's messages on
that transport, and then SCORED or FAILED from the referee, as a supervisor would hear them. For
training by hand and for tests: it limits nothing, and hides the validation text from nobody.
"""

import os
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from train_template import exam, harness, packed, wire
from train_template.errors import LeftError, RejectedError
from train_template.exam import RefereeEnd
from train_template.job import Job, Settings
from train_template.probes import Plan, make_plan
from train_template.referee import available_threads, examine
from train_template.transport import Transport


def train_and_judge(
    work: Path,
    data: Path,
    settings: Settings,
    transport: Transport,
    *,
    seed: int,
    seconds: float | None = None,
    steps: int | None = None,
    progress_seconds: float = 1.0,
) -> bool:
    """Run one trial, with a budget of either seconds or steps; return whether there is a metric.

    Raises DataError where the data can't be used, and OSError.
    """
    text = packed.read(data)
    shape = exam.batch_shape(settings, text.meta.vocab_size)
    plan = make_plan(text.tokens("validation"), settings, shape.windows, secret=_secret())
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        questions = stack.enter_context(_buffer(shape.question_bytes))
        answers = stack.enter_context(_buffer(shape.answer_bytes))
        end = RefereeEnd(ours, questions, answers, shape)
        # A thread, because the referee is busy only while the candidate waits, and the other way.
        referee = stack.enter_context(ThreadPoolExecutor(1))
        value = referee.submit(_examine, end, plan, text.meta.token_bytes)
        # Whatever happens below, the referee must not wait for answers that never come.
        stack.callback(_hang_up, ours)
        job = Job(
            *(-1, theirs.detach(), questions, answers, work, text.folder),
            *(seed, seconds, steps, settings, progress_seconds),
        )
        answered = harness.run(job, transport)  # closes the candidate's end of the exam
        return _report(value, transport) if answered else False


def _examine(end: RefereeEnd, plan: Plan, token_bytes: tuple[int, ...]) -> float:
    try:
        return examine(end, plan, token_bytes, threads=available_threads(), report=lambda *_: None)
    finally:
        with suppress(OSError):  # the candidate has left
            end.end()


def _report(value: Future[float], transport: Transport) -> bool:
    try:
        transport.send(wire.Message(wire.Kind.SCORED, value=value.result()))
    except (RejectedError, LeftError) as error:
        transport.send(wire.Message(wire.Kind.FAILED, text=f"rejected\n{error}"))
        return False
    return True


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # the candidate was first
        connection.shutdown(socket.SHUT_RDWR)


def _secret() -> int:
    return int.from_bytes(os.urandom(8), "little")


@contextmanager
def _buffer(size: int) -> Iterator[int]:
    """The descriptor of a file without a name, of so many zero bytes."""
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        yield file.fileno()
