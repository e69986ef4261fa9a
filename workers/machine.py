"""What a node is made of, for programs that don't tell: the device's name, the GPUs' memory in use.

In: which GPUs a trial was given. Out: names and bytes, read from /proc and asked of `nvidia-smi`,
so that a worker needs no CUDA of its own. What can't be told is "" or 0; a figure of none is 1
byte (`NONE_USED`), so that the two stay apart.
"""

import platform
import shutil
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

ASK_SECONDS = 10.0  # for nvidia-smi, which takes 30 ms to a second
SAMPLE_SECONDS = 2.0  # between two looks at the memory of the GPUs


NONE_USED = 1  # bytes


@cache
def device_of(gpus: tuple[str, ...], cpus: float) -> str:
    """The GPU's product name, or the CPU's with the cores that a trial claims.

    Figures compare within one class of hardware only; see `train_template/device.py`.
    """
    if gpus:
        return next(iter(_ask("name", gpus[:1])), "GPU")
    cores = max(1, int(cpus))
    return f"{_cpu_model()} ({cores} thread{'s' if cores > 1 else ''})"


def gpu_memory(gpus: Sequence[str]) -> int:
    """Bytes of these GPUs' memory that are in use now, the largest of them; 0 if nobody can say."""
    used = [int(each) for each in _ask("memory.used", tuple(gpus)) if each.isdecimal()]
    return max(NONE_USED, max(used) * 1024 * 1024) if used else 0


class MemoryWatch:
    """Looks at the memory of a trial's GPUs from time to time, beside everything else.

    nvidia-smi counts whoever uses the GPU: the figure is the trial's own where it has the GPU to
    itself, which is so unless `workers.gpus_per_trial` is a fraction.
    """

    def __init__(self, gpus: Sequence[str]) -> None:
        self.peak = 0  # bytes
        self._gpus = tuple(gpus)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-memory", daemon=True)
        if self._gpus and shutil.which("nvidia-smi"):
            self._thread.start()

    def _watch(self) -> None:
        while True:  # at once, so that a short run has a figure too
            self.peak = max(self.peak, gpu_memory(self._gpus))
            if self._over.wait(SAMPLE_SECONDS):
                return

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(ASK_SECONDS)


def _ask(what: str, gpus: tuple[str, ...]) -> list[str]:
    command = shutil.which("nvidia-smi")
    if command is None or not gpus:
        return []
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [command, f"--query-gpu={what}", "--format=csv,noheader,nounits", "-i", ",".join(gpus)],
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            return [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return []


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip() not in ("", "unknown"):
                return " ".join(value.split())
    return platform.machine() or "cpu"
