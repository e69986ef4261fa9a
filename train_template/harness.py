"""One candidate's process: `python -P -m train_template.harness --job JSON` (see `job`).

In: a job, and a socket to the supervisor (see `wire`). Out, on that socket: HELLO, READY,
PROGRESS, TRAINED, and then SCORED with the metric, or FAILED with a status and one sentence. What
train.py prints goes to stdout and stderr as it is, and so does the traceback of a failure.

The process ends at once when the supervisor goes away. It keeps no time limit, because the
supervisor's clock judges, and it is no sandbox.
"""

import argparse
import os
import socket
import sys
import traceback

import torch

from train_template import packed, wire
from train_template.candidate import explain, train_candidate
from train_template.device import choose_device, device_name, seed_everything
from train_template.errors import RejectedError
from train_template.job import Job, Settings, parse_job
from train_template.packed import Packed
from train_template.score import Model, bits_per_byte
from train_template.session import Plan, Session
from train_template.transport import SocketTransport, Transport, end_with


def run(job: Job, transport: Transport) -> bool:
    """Train and score as the job says, and report it; return whether there is a metric.

    Never raises for what the candidate does: a failure is reported like a result. Raises OSError
    where nobody listens, and DataError where there is no packed data.
    """
    device = choose_device()
    data = packed.read(job.data)
    plan = Plan(
        seed=job.seed,
        seconds=job.seconds,
        steps=job.steps,
        sequence_length=job.settings.sequence_length,
        vocab_size=data.meta.vocab_size,
        progress_seconds=job.progress_seconds,
    )
    session = Session(plan, device, transport)
    seed_everything(job.seed)
    transport.send(wire.Message(wire.Kind.HELLO, text=device_name(device)))
    try:
        model = train_candidate(job.work, session)
        value = _score(model, data, session, job.settings)
    except BaseException as error:  # noqa: BLE001 - sys.exit() in train.py is a failure too
        failure = explain(error, job.work)
        traceback.print_exception(error)
        session.report(wire.Kind.FAILED, text=f"{failure.status}\n{failure.sentence}")
        return False
    session.report(wire.Kind.SCORED, value=value, parameters=_count_parameters(model))
    return True


def _score(model: Model, data: Packed, session: Session, settings: Settings) -> float:
    with session.autocast():
        value = bits_per_byte(
            model,
            data.tokens("validation")[: settings.validation_tokens + 1],
            data.meta.token_bytes,
            sequence_length=settings.sequence_length,
            batch_size=max(1, settings.eval_batch_tokens // settings.sequence_length),
            device=session.device,
        )
    if not 0.0 <= value < float("inf"):
        raise RejectedError(f"val_bpb is {value}: not a finite number of bits")
    return value


def _count_parameters(model: Model) -> int:
    if not isinstance(model, torch.nn.Module):
        return 0
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> int:
    """Run the job of the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="train_template.harness", description="Train and score once."
    )
    parser.add_argument("--job", required=True, help="JSON: see train_template/job.py")
    try:
        job = parse_job(parser.parse_args().job)
    except ValueError as error:
        parser.error(str(error))
    connection = socket.socket(fileno=job.socket)
    connection.set_inheritable(False)
    end_with(connection)
    return 0 if run(job, SocketTransport(connection)) else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # tearing torch and CUDA down in good order takes seconds of the slot
