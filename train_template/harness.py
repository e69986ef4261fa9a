"""One candidate's process: `python -P -m train_template.harness --job JSON` (see `job`).

Or one that was started before there was a job: see `spare`.

In: a job, a socket to the supervisor (see `wire`) and the exam with the referee (see `exam`). Out,
to the supervisor: HELLO, READY, PROGRESS, TRAINED and one more PROGRESS with the number of
parameters, or FAILED with a status and one sentence; and to the referee, after TRAINED, the logits
that it asks for. It never sees before that what it is scored on, and computes no metric. What
train.py prints goes to stdout and stderr as it is, and so does the traceback of a failure.

The process ends at once when the supervisor goes away. It keeps no time limit, because the
supervisor's clock judges, and it is no sandbox.
"""

import argparse
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import traceback

import torch

from train_template import compiled, exam, packed, wire
from train_template.answer import Model, serve
from train_template.candidate import explain, train_candidate
from train_template.device import choose_device, device_name, precision, seed_everything
from train_template.exam import CandidateEnd
from train_template.job import Job, parse_job
from train_template.session import Plan, Session
from train_template.transport import SocketTransport, Transport, end_with


def run(job: Job, transport: Transport) -> bool:
    """Train as the job says and sit the exam; return whether it was answered to its end.

    Never raises for what the candidate does: a failure is reported. Raises OSError where nobody
    listens or a buffer is too small, and DataError where there is no packed data.
    """
    device = choose_device()
    meta = packed.read(job.data).meta
    plan = Plan(
        seed=job.seed,
        seconds=job.seconds,
        steps=job.steps,
        sequence_length=job.settings.sequence_length,
        vocab_size=meta.vocab_size,
        row=meta.row,
        progress_seconds=job.progress_seconds,
    )
    session = Session(plan, device, transport)
    shape = exam.batch_shape(job.settings, meta.vocab_size)
    seed_everything(job.seed)
    hello = f"{device_name(device)}\n{precision(device)}\n{device.type}"
    transport.send(wire.Message(wire.Kind.HELLO, text=hello))
    with socket.socket(fileno=job.exam) as connection:
        connection.set_inheritable(False)
        end = CandidateEnd(connection, job.questions, job.answers, shape)
        try:
            model = train_candidate(job.work, session)
            session.report(wire.Kind.PROGRESS, parameters=_count_parameters(model))
            serve(model, end, session)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in train.py is a failure too
            failure = explain(error, job.work)
            traceback.print_exception(error)
            session.report(wire.Kind.FAILED, text=f"{failure.status}\n{failure.sentence}")
            return False
    return True


def _count_parameters(model: Model) -> int:
    if not isinstance(model, torch.nn.Module):
        return 0
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> int:
    """Run the job of the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="train_template.harness", description="Train once, and sit the exam."
    )
    parser.add_argument("--job", required=True, help="JSON: see train_template/job.py")
    try:
        job = parse_job(parser.parse_args().job)
    except ValueError as error:
        parser.error(str(error))
    # Who runs out of time is asked where it is: the answer stands in the log.
    faulthandler.register(signal.SIGUSR1)
    connection = socket.socket(fileno=job.socket)
    connection.set_inheritable(False)
    return hold(job, connection)


def hold(job: Job, connection: socket.socket) -> int:
    """Run the job for the supervisor at the other end of the socket; return the exit code."""
    end_with(connection)
    folder = compiled.folder()
    if folder and job.compiled_before is not None:
        # Whatever is wrong with what an earlier trial left: this one compiles anew.
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            compiled.unpack(job.compiled_before, folder)

    def pack() -> None:
        if folder and job.compiled is not None:
            with contextlib.suppress(OSError):
                compiled.pack(folder, job.compiled)

    return 0 if run(job, SocketTransport(connection, before_ready=pack)) else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # tearing torch and CUDA down in good order takes seconds of the slot
