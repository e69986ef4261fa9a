"""Which GPUs a trial without Ray may have: Ray names them otherwise.

In: the environment, and how many are wanted. Out: ids for CUDA_VISIBLE_DEVICES. Those that the
variable names go in its order; without it, the ones with the least memory in use go first.
Reserves nothing.
"""

import shutil
import subprocess
from collections.abc import Mapping

from workers.environment import visible_gpus

QUERY = ("--query-gpu=index,memory.used", "--format=csv,noheader,nounits")
SECONDS = 20.0  # a driver that sleeps takes some to wake


def choose_gpus(wanted: float, environ: Mapping[str, str]) -> tuple[str, ...]:
    """So many, a part of one counting as one; fewer where there are not as many."""
    count = -int(-wanted // 1)
    if "CUDA_VISIBLE_DEVICES" in environ:
        named = visible_gpus(environ)
        return () if "-1" in named else named[:count]
    return _by_memory_in_use(environ)[:count]


def _by_memory_in_use(environ: Mapping[str, str]) -> tuple[str, ...]:
    command = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if command is None:
        return ()
    try:
        ended = subprocess.run(
            [command, *QUERY], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.split(",") for line in ended.stdout.splitlines() if line.count(",") == 1]
    found = [(used.strip(), index.strip()) for index, used in rows if index.strip().isdigit()]
    found.sort(key=lambda each: (int(each[0]) if each[0].isdigit() else 0, int(each[1])))
    return tuple(index for _, index in found)
