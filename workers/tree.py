"""What a tree of processes uses now: its members, their memory, their number.

In: the id of the process at the top. Out: figures read from /proc, or through psutil where there is
none (macOS). It ends nothing, and what vanishes while it looks is left out.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE")
# One small file a thread, instead of the status of every process of the node as psutil reads it:
# 0.1 ms against 10 ms for each 500 processes, several times a second and slot.
_LISTED = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()


@dataclass(frozen=True)
class Usage:
    """What a tree of processes holds."""

    memory: int = 0  # resident bytes; a page that is shared counts in each process
    processes: int = 0
    threads: int = 0  # the main thread of each process included


def descendants(top: int) -> list[int]:
    """The ids of every process below `top`, which is not among them."""
    found = children(top)
    for pid in found:  # the list grows while it is walked
        found.extend(children(pid))
    return found


def measure(top: int) -> Usage:
    """What the processes below `top` use together."""
    memory = processes = threads = 0
    for pid in descendants(top):
        with contextlib.suppress(psutil.Error, OSError, ValueError, IndexError):
            if _LISTED:
                memory += int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
                threads += len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - no Path needed
            else:
                process = psutil.Process(pid)
                memory += process.memory_info().rss
                threads += process.num_threads()
            processes += 1
    return Usage(memory, processes, threads)


def kernel_kills() -> int | None:
    """How many processes the kernel has killed for want of memory since it started; or None."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


def children(pid: int) -> list[int]:
    """The ids of a process's children, in the order in which it got them."""
    if not _LISTED:
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
        return []
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                listed = Path(f"/proc/{pid}/task/{thread}/children").read_bytes()
                found.extend(map(int, listed.split()))
    return found
