"""A process that is started for the next trial before there is one, and waits for its job.

In: the program of a trial that is being scored. Out: for the next trial, a process in a sandbox of
its own that has imported what it needs, if its program is the same but for the job; else None, and
a cold start. At most one is kept, by the Ray worker of a slot, and it is never used again once a
candidate has run in it. It was started from fixed code alone, knows nothing of any trial and holds
no secret. When the worker ends, even by SIGKILL, its keeper ends it like any other; when nobody
takes it for `IDLE_SECONDS`, or nobody is there to send a trial, it is closed.

It is started once its predecessor's exam has begun, never in training: on the cores of its own slot
and those of no slot, at the lowest priority (see `train_template/spare.py`). At the basic level
there is none: a candidate of the same user could reach into it, and so into the next trial.
"""

import contextlib
import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from workers import wire
from workers.cores import unclaimed
from workers.environment import passed_on
from workers.errors import WorkerError
from workers.files import check_names
from workers.launch import start
from workers.memory import sealed
from workers.process import Process, Program
from workers.sandbox import Level

IDLE_SECONDS = 60.0  # the next trial comes within a second, or the slot has no work
LOOK_SECONDS = 0.5  # between two looks at whether anyone is still there
START_SECONDS, SHARE_SECONDS = 1.0, 0.5  # to find the program, and for other slots to be served
LOWEST, USUAL = 19, 0  # nice(2)
_MODULE = "spare"


@dataclass(frozen=True)
class _Spare:
    """A process, and all that has to be equal for a trial to run in it."""

    process: Process
    program: Program
    hashes: tuple[str, ...]
    lowered: bool  # its session has the lowest share


def _nobody_left() -> str:
    return ""


class Spares:
    """Keeps at most one spare process. Its methods may be called from any one thread at a time."""

    def __init__(self, orphaned: Callable[[], str] = _nobody_left) -> None:
        """`orphaned` says why nobody will send a trial any more, or ""; it must not wait."""
        self._orphaned = orphaned
        self._lock = threading.Lock()
        self._kept: _Spare | None = None
        self._starting: threading.Thread | None = None

    def prepare(self, program: Program, level: Level, *hashes: str, compiles: bool = False) -> None:
        """Begin to start a process for a trial like this one; never waits.

        `compiles` has it import torch's compiler too. `hashes` name what lies behind the program's
        paths. What can't be started is left out: the next trial says why, when it can't be either.
        """
        module = program.task / "train_template" / f"{_MODULE}.py"
        if level is not Level.STRICT or not module.is_file():
            return
        if self._starting is not None and self._starting.is_alive():
            return
        wanted = _without_a_job(program)
        thread = threading.Thread(
            target=self._start, args=(wanted, program.cores, level, hashes, compiles), daemon=True
        )
        self._starting = thread
        thread.name = "spare"
        thread.start()

    def take(self, program: Program, level: Level, *hashes: str) -> Process | None:
        """The spare process, with the program's job and files handed over; None if none fits.

        Whoever gets one closes it. Raises BundleError for a bad name of a file.
        """
        check_names(name for name, _ in program.files)
        if self._starting is not None:
            self._starting.join()  # it takes some 50 ms, and began when the last exam did
        kept = self._forget()
        if kept is None:
            return None
        fits = kept.program == _without_a_job(program) and kept.hashes == hashes
        if level is Level.STRICT and fits and _is_waiting(kept.process):
            with contextlib.suppress(OSError):
                _pin(kept.process, program.cores)
                if not kept.lowered or _share(kept.process, USUAL, SHARE_SECONDS):
                    _hand_over(kept.process, program)
                    return kept.process
        kept.process.close()
        return None

    def close(self) -> None:
        """End the spare process, if there is one."""
        if self._starting is not None:
            self._starting.join()
        if (kept := self._forget()) is not None:
            kept.process.close()

    def _forget(self) -> _Spare | None:
        with self._lock:
            kept, self._kept = self._kept, None
        return kept

    def _start(
        self,
        wanted: Program,
        own: frozenset[int] | None,
        level: Level,
        hashes: tuple[str, ...],
        compiles: bool,
    ) -> None:
        """Replace what is kept, and see to it that it does not wait for ever."""
        if (old := self._forget()) is not None:
            old.process.close()
        cores = None if own is None else own | unclaimed()
        try:
            process = start(replace(wanted, job={"compiles": compiles}, cores=cores), level)
        except (OSError, WorkerError):
            return
        lowered = _share(process, LOWEST, START_SECONDS)
        kept = self._kept = _Spare(process, wanted, hashes, lowered)
        threading.Thread(target=self._outwait, args=(kept,), name="spare-idle", daemon=True).start()

    def _outwait(self, kept: _Spare) -> None:
        limit = time.monotonic() + IDLE_SECONDS
        while self._kept is kept and time.monotonic() < limit and not self._orphaned():
            time.sleep(LOOK_SECONDS)
        with self._lock:
            if self._kept is not kept:
                return
            self._kept = None
        kept.process.close()


def _without_a_job(program: Program) -> Program:
    return replace(
        program,
        name=_MODULE,
        job={},
        descriptors=(),
        named=(),
        files=(),
        cores=None,
        environment=passed_on(program.environment),
    )


def _is_waiting(process: Process) -> bool:
    """Whether it is alive and has said nothing."""
    poller = select.poll()
    for descriptor in (process.lifeline, process.channel.fileno()):
        poller.register(descriptor, select.POLLIN)
    return not poller.poll(0)


def _pin(process: Process, cores: frozenset[int] | None) -> None:
    """Give every thread of it the cores of its trial. Raises OSError where that fails."""
    if sys.platform != "linux":
        return
    if (main := process.main) is None:
        raise ProcessLookupError("it is not there yet")
    wanted = os.sched_getaffinity(0) if cores is None else cores
    pinned: set[str] = set()
    while left := set(os.listdir(f"/proc/{main}/task")) - pinned:  # noqa: PTH208 - as in tree.py
        for thread in left:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread), wanted)
                with contextlib.suppress(
                    PermissionError
                ):  # root alone may hurry what still imports
                    os.setpriority(os.PRIO_PROCESS, int(thread), os.nice(0))
        pinned |= left


def _share(process: Process, nice: int, patience: float) -> bool:
    """Set the share of its session where sessions share processors; whether that is settled.

    Under autogroups (sched(7)) the nice of a thread counts within its session alone, and a sandbox
    is a session of its own. Anyone may set it back to the usual, ten times a second on one machine.
    """
    limit = time.monotonic() + patience
    while True:
        path = Path(f"/proc/{process.main}/autogroup")
        try:
            path.write_text(str(nice))
        except FileNotFoundError:  # not there yet; or this kernel has none, and nice is enough
            if process.main is not None and not Path("/proc/self/autogroup").exists():
                return True
        except BlockingIOError:
            pass  # another slot was first
        except OSError:
            return False
        else:
            return True
        if time.monotonic() >= limit:
            return False
        time.sleep(0.01)


def _hand_over(process: Process, program: Program) -> None:
    head = {
        "job": {key: value for key, value in program.job.items() if key not in program.named},
        "named": program.named,
        "files": [[name, len(content)] for name, content in program.files],
    }
    text = json.dumps(head).encode() + b"\n"
    parcel = sealed("job", text + b"".join(content for _, content in program.files))
    try:
        named = [int(str(program.job[key])) for key in program.named]
        wire.send_job(process.channel, [parcel, *named])
    finally:
        os.close(parcel)
