"""What a tree of processes uses now: its members, their memory, their number.

In: the id of the process at the top. Out: figures read from /proc, or through psutil where there is
none (macOS). It ends nothing, and what vanishes while it looks is left out.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

# One small file a thread, instead of the status of every process of the node as psutil reads it:
# 0.1 ms against 10 ms for each 500 processes, several times a second and slot.
_LISTED = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()


@dataclass(frozen=True)
class Usage:
    """What a tree of processes holds."""

    memory: int = 0  # resident bytes; a page that is shared counts in each process
    peak: int = 0  # the most of them since the look before; see `measure`
    processes: int = 0
    threads: int = 0  # the main thread of each process included
    disk: int = 0  # bytes in its own folders, where no size is set to them


def descendants(top: int) -> list[int]:
    """The ids of every process below `top`, which is not among them."""
    found = children(top)
    for pid in found:  # the list grows while it is walked
        found.extend(children(pid))
    return found


def measure(top: int, marks: dict[int, int]) -> Usage:
    """What the processes below `top` use together.

    `marks`: of each process the most that it ever had resident, in bytes, as the last look found
    it; this look replaces them. Where the kernel's mark has risen since, the process counts for
    `peak` with that, else with what it has now: a burst between two looks is seen, and what two
    processes held at different times is not added up.
    """
    memory = peak = processes = threads = 0
    before = marks.copy()
    marks.clear()
    for pid in descendants(top):
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            now, mark, count = _status(pid) if _LISTED else _asked(pid)
            memory += now
            peak += mark if mark > before.get(pid, 0) else now
            threads += count
            processes += 1
            marks[pid] = mark
    return Usage(memory, peak, processes, threads)


def _status(pid: int) -> tuple[int, int, int]:
    """Resident bytes of a process now and at their most, and its threads: proc_pid_status(5)."""
    found = {b"VmRSS": 0, b"VmHWM": 0, b"Threads": 0}  # a process that has ended has no memory
    for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
        name, _, value = line.partition(b":")
        if name in found:
            found[name] = int(value.split()[0])
    return found[b"VmRSS"] * 1024, found[b"VmHWM"] * 1024, found[b"Threads"]


def _asked(pid: int) -> tuple[int, int, int]:
    """The same where there is no /proc; nobody knows the most."""
    process = psutil.Process(pid)
    now = process.memory_info().rss
    return now, now, process.num_threads()


def stored(folder: Path) -> int:
    """Bytes on the disk of the files below a folder; what can't be read counts nothing."""
    total, folders = 0, [str(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with contextlib.suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


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
