"""Whether CUDA starts in the strict sandbox: bubblewrap may allow all, and the driver want more.

In: which GPUs. Out: why it does not, in words. The driver itself is asked (cuInit, a third of a
second), in a process outside of the sandbox and in one inside, once each in a worker: `nvidia-smi`
answers where CUDA fails. The first also makes the driver's device nodes where nobody has used CUDA
since the machine was started, which nothing in a sandbox may do.

A machine has NVIDIA's driver where its device is there. GPUs that exist in Ray's books only, those
of other makers, and torch are nobody's business here.
"""

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workers.environment import passed_on
from workers.mounts import gpu_nodes, gpus_inside
from workers.sandbox import View, command

DRIVER = Path("/dev/nvidiactl")
START_SECONDS = 60.0  # a driver that sleeps takes seconds to wake
_START = """
import ctypes, sys
code = ctypes.CDLL("libcuda.so.1").cuInit(0)
sys.exit(f"cuInit ends with error {code}" if code else 0)
"""


def driver_is_here() -> bool:
    """Whether this machine has NVIDIA's driver."""
    return DRIVER.exists()


def gpus_here() -> tuple[str, ...]:
    """The numbers of all GPUs of this machine or container, as CUDA and Ray count them."""
    return tuple(str(number) for number, _ in enumerate(gpu_nodes()))


@functools.cache
def closed_out(gpus: tuple[str, ...]) -> str:
    """Why CUDA does not start in the sandbox with these GPUs, though it does outside; "" if so.

    Also "" where it starts nowhere: then no sandbox is to blame. Raises OSError where that can't
    be told now: a driver that does not answer may do so later.
    """
    if not gpus or not driver_is_here():
        return ""
    ask = [sys.executable, "-I", "-S", "-c", _START]
    if _trouble(ask, gpus):
        return ""
    trouble = _trouble(command(View(gpus=gpus), ask), gpus_inside(gpus))
    return f"CUDA does not start in bubblewrap here: {trouble}" if trouble else ""


def _trouble(argv: Sequence[str], gpus: Sequence[str]) -> str:
    """The last line of why it failed, or ""."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=passed_on(os.environ) | {"CUDA_VISIBLE_DEVICES": ",".join(gpus)},
            timeout=START_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"CUDA takes more than {START_SECONDS:g} s to start") from error
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return "" if done.returncode == 0 else (lines or [f"exit code {done.returncode}"])[-1]
