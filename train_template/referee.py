"""The referee's process: `python -P -m train_template.referee --job JSON` (see `job`).

In: a job, the validation tokens, a socket to the supervisor (see `wire`) and the exam with the
candidate (see `exam`). Out, to the supervisor: HELLO when it could ask; PROGRESS while it does,
with the share that was answered and the seconds that went by waiting for answers, so that the
supervisor can tell a slow candidate from a referee that hangs; then SCORED with val_bpb, or FAILED
with a status and one sentence. Where the job wants it, the same model is then asked the audit split
in the same way, with probes of its own, and AUDITED follows. It begins on GO, which brings the
tokens along where the job has none.

It imports NumPy and none of the edited code, so that it is there in a tenth of a second, and it
believes nothing that the candidate says. It ends at once when the supervisor goes away. It keeps no
time limit, because the supervisor's clock judges, and it is no sandbox.
"""

import argparse
import contextlib
import math
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import numpy.typing as npt

from train_template import exam, wire
from train_template.errors import DataError, LeftError, RejectedError
from train_template.exam import RefereeEnd
from train_template.job import RefereeJob, Settings, parse_referee_job
from train_template.probes import Plan, find_fault, make_plan
from train_template.score import Floats, bits_per_byte, log_probabilities
from train_template.tokenizer import Ids
from train_template.transport import end_with

NAME = "referee, host memory"  # what judges, and how the logits reach it
DTYPE, SIZE_DTYPE = "<u2", "<u4"
PROGRESS_SECONDS = 0.5  # the shortest time between two reports


@dataclass(frozen=True)
class Patience:
    """How long an answer may take, in seconds: without end where a person trains by hand."""

    beyond: float = math.inf  # twice the usual
    first: float = math.inf  # for the first one, whatever is usual


class _Watch:
    """The wait for one answer, told of while it lasts."""

    def __init__(self, report: Callable[[float, float], None], share: float, idle: float) -> None:
        self._report, self._share = report, share
        self._since = time.monotonic() - idle

    @property
    def idle(self) -> float:
        """Seconds spent waiting for answers, in this wait and in those before."""
        return time.monotonic() - self._since

    def look(self) -> None:
        self._report(self._share, self.idle)


def examine(
    end: RefereeEnd,
    plan: Plan,
    token_bytes: Sequence[int] | npt.NDArray[np.uint32],
    *,
    threads: int,
    report: Callable[[float, float], None],
    patience: Patience = Patience(),
    first: int = 0,
) -> float:
    """Ask everything that the plan holds; return the candidate's bits per byte.

    `first` is the number of the first batch: numbers go on through all that a candidate is asked.

    `report` is called with the share that was answered, 0 to 1, and the seconds spent waiting for
    answers, after each batch and about every `exam.LOOK_SECONDS` of a wait. Raises RejectedError
    where the answers can't be believed, LeftError where they end, and DataError where the windows
    stand for no text.
    """
    shape = end.shape
    questions = plan.windows[:, :-1].reshape(-1, shape.windows, shape.length)
    targets = np.stack([plan.targets, plan.genuine], axis=-1)
    log_p: Floats = np.empty(targets.shape, dtype=np.float32)
    waits: list[float] = []  # seconds for each answer; the first begins when the training ends
    idle = 0.0  # of them, those in which there was nothing to do but wait
    asked = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        end.ask(first, questions[0])
        for batch in range(len(questions)):
            watch = _Watch(report, batch / len(questions), idle)
            answer = end.receive(first + batch, watch.look)
            idle = watch.idle
            waits.append(time.monotonic() - asked)
            asked = time.monotonic()
            if batch + 1 < len(questions):  # the candidate computes while this one is judged
                end.ask(first + batch + 1, questions[batch + 1])
            part = slice(batch * shape.windows, (batch + 1) * shape.windows)
            flat = log_probabilities(answer, targets[part].reshape(-1, 2), pool)
            log_p[part] = flat.reshape(-1, shape.length, 2)
            report((batch + 1) / len(questions), idle)
    check_waits(waits, patience)
    own, genuine = log_p[..., 0], log_p[..., 1]
    if not np.isfinite(own).all():
        raise RejectedError("the logits are so far apart that a token that came had no probability")
    fault = find_fault(plan, own, genuine, answer.precision)
    if fault:
        raise RejectedError(fault)
    return bits_per_byte(own[plan.scored], plan.targets[plan.scored], token_bytes)


def check_waits(waits: list[float], patience: Patience) -> None:
    """Raise RejectedError if one answer took far longer than the others, or the first too long.

    A model that has stopped training answers at once, and every time alike. Without this limit a
    candidate could train on batches that it kept, from the end of its budget to its first answer.
    Later it would be seen: what came first is asked again last. Who sleeps in all other answers
    makes a long one usual: so the first has a limit of its own.
    """
    longest, usual = max(waits), median(waits)
    if longest > patience.beyond + 2 * usual:
        raise RejectedError(
            f"an answer in the exam took {longest:.1f} s, where most took {usual:.2f} s: "
            "there is no training after the budget"
        )
    if waits[0] > patience.first:
        raise RejectedError(
            f"the first answer in the exam took {waits[0]:.1f} s, and {patience.first:g} s is the "
            "limit: there is no training after the budget (if the model is as slow as that, "
            "data.eval_batch_tokens can be made smaller)"
        )


def judge(
    end: RefereeEnd,
    plan: Plan,
    token_bytes: npt.NDArray[np.uint32],
    settings: Settings,
    connection: socket.socket,
    *,
    audit: Callable[[float], Plan | None] = lambda _: None,
) -> bool:
    """Hold the exam to its end and report how it ended; return whether there is a metric.

    `audit` makes the plan of a second exam from the metric; None: there is none. Raises OSError
    where the supervisor is gone.
    """
    last = 0.0

    def report(fraction: float, waited: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_SECONDS:
            last = now
            message = wire.Message(wire.Kind.PROGRESS, fraction=fraction, value=waited)
            wire.send(connection, message)

    hold = partial(
        examine,
        end,
        token_bytes=token_bytes,
        threads=available_threads(),
        patience=Patience(settings.patience_seconds, settings.first_answer_seconds),
        report=report,
    )
    try:
        said = wire.Message(wire.Kind.SCORED, value=hold(plan))
        if (again := audit(said.value)) is not None:
            wire.send(connection, said)
            asked = len(plan.windows) // end.shape.windows
            said = wire.Message(wire.Kind.AUDITED, value=hold(again, first=asked))
    except (RejectedError, LeftError, DataError) as error:
        # Who has left may have failed in its own code, and then says so to the supervisor itself.
        status = "rejected" if isinstance(error, RejectedError) else "crash"
        wire.send(connection, wire.Message(wire.Kind.FAILED, text=f"{status}\n{error}"))
        return False
    finally:
        with contextlib.suppress(OSError):  # it may be gone
            end.end()
    wire.send(connection, said)
    return True


def available_threads() -> int:
    """The threads that this process was given: `OMP_NUM_THREADS`, or the cores it may run on."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_tokens(descriptor: int) -> Ids:
    """The tokens of a file, shape [N], read-only; closes the descriptor. Raises OSError."""
    tokens: Ids = np.frombuffer(_map(descriptor), dtype=DTYPE)
    return tokens


def _map(descriptor: int) -> mmap.mmap:
    try:
        return mmap.mmap(descriptor, os.fstat(descriptor).st_size, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)


def await_go(connection: socket.socket) -> int | None:
    """Wait for GO; return the descriptor that came with it, if one did.

    Raises ConnectionError if the supervisor is gone or sends anything else.
    """
    data, descriptors, _, _ = socket.recv_fds(connection, wire.SIZE, 1)
    while data and len(data) < wire.SIZE:
        more = connection.recv(wire.SIZE - len(data))
        if not more:
            break
        data += more
    if len(data) != wire.SIZE or wire.LAYOUT.unpack(data)[:2] != (wire.MAGIC, wire.Kind.GO):
        raise ConnectionError("the supervisor closed the connection before the exam")
    return descriptors[0] if descriptors else None


def run(job: RefereeJob, connection: socket.socket) -> bool:
    """Get ready, wait for GO, judge; return whether there is a metric.

    Raises OSError where the supervisor is gone or a buffer is too small.
    """
    token_bytes: npt.NDArray[np.uint32] = np.frombuffer(_map(job.token_bytes), dtype=SIZE_DTYPE)
    shape = exam.batch_shape(job.settings, len(token_bytes))
    end = RefereeEnd(socket.socket(fileno=job.exam), job.questions, job.answers, shape)

    wanted = job.audit

    def prepare(descriptor: int | None) -> tuple[Plan, Ids] | None:
        if descriptor is None:
            return None
        tokens = map_tokens(descriptor)
        start = len(tokens) if wanted is None else wanted.start
        return make_plan(tokens[:start], job.settings, shape.windows, job.secret), tokens[start:]

    def audit(value: float) -> Plan | None:
        if wanted is None or not wanted.above < value < wanted.below:
            return None
        return make_plan(rest, job.settings, shape.windows, job.secret + 1)

    try:
        made = prepare(job.tokens)  # now, while the candidate trains
        wire.send(connection, wire.Message(wire.Kind.HELLO, text=NAME))
        made = prepare(await_go(connection)) or made
        if made is None:
            raise ConnectionError("GO came without the validation tokens, and so did the job")
        plan, rest = made
        return judge(end, plan, token_bytes, job.settings, connection, audit=audit)
    except DataError as error:
        wire.send(connection, wire.Message(wire.Kind.FAILED, text=f"crash\n{error}"))
        return False


def main() -> int:
    """Run the job of the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="train_template.referee", description="Score a model.")
    parser.add_argument("--job", required=True, help="JSON: see train_template/job.py")
    try:
        job = parse_referee_job(parser.parse_args().job)
    except ValueError as error:
        parser.error(str(error))
    connection = socket.socket(fileno=job.socket)
    end_with(connection)
    return 0 if run(job, connection) else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
