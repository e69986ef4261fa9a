"""A process that imports before there is anything to run: `python -P -m train_template.spare`.

In: a job on the command line that names this end of the wire, the work folder and the data, and no
more. It imports what the harness needs, and waits. Then JOB comes over the wire, with descriptors:
a parcel with the rest of the job and the edited files, and those that the job names. From there on
it is the harness, started as ever: nothing of a trial was known here before.

Imports, but for NumPy's tenth of a second, run in a thread of the lowest priority, because they
happen while another trial is being scored or, on a core that no trial claims, trains. The main
thread, which will train, keeps its own: whoever has lowered it can't raise it again without
privileges.
CUDA is not touched: what a trial finds on its device must not depend on how it was started.
"""

import argparse
import faulthandler
import importlib
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from train_template import wire

LOWEST = 19  # nice(2)
HARNESS = "train_template.harness"
COMPILER = ("torch._dynamo", "torch._inductor.compile_fx")  # 2 s more, and 100 MB


def receive_job(connection: socket.socket, known: dict[str, object]) -> str:
    """Wait for a job; write its files, and return it as JSON for `parse_job`.

    `known` is what the command line said, which stays. Raises ConnectionError if the supervisor is
    gone, and OSError.
    """
    parcel, *descriptors = wire.receive_job(connection)
    with os.fdopen(parcel, "rb") as file:
        head = json.loads(file.readline())
        for name, size in head["files"]:
            path = Path(str(known["work"]), name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read(size))
    named = dict(zip(head["named"], descriptors, strict=True))
    return json.dumps({**head["job"], **named, **known})


def _import(names: tuple[str, ...]) -> None:
    if sys.platform == "linux":  # there it is a thread's own, and elsewhere the whole process's
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)
    for name in names:
        importlib.import_module(name)


def main() -> int:
    """Import, wait, and run the job that comes; return the exit code."""
    parser = argparse.ArgumentParser(prog="train_template.spare", description="Wait for a job.")
    parser.add_argument("--job", required=True, help="JSON: what is known of the job already")
    known: dict[str, object] = json.loads(parser.parse_args().job)
    faulthandler.register(signal.SIGUSR1)
    connection = socket.socket(fileno=int(str(known["socket"])))
    connection.set_inheritable(False)
    # Where the trial before has compiled, the next one most likely will.
    names = (HARNESS, *(COMPILER if known.pop("compiles", False) else ()))
    # At the usual priority, which the threads of its matrix products keep as they begin.
    importlib.import_module("numpy")
    imports = threading.Thread(target=_import, args=(names,))
    imports.start()
    imports.join()
    harness = importlib.import_module(HARNESS)
    try:
        job = receive_job(connection, known)
    except ConnectionError:  # the supervisor had no use for it
        return 0
    code: int = harness.hold(harness.parse_job(job), connection)
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as the harness does
