"""The machine itself: versions, processor, memory, disks, git, and the sandbox that it allows."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from scheduler.doctor.finding import Finding, missing, note, ok
from workers.bundle import cache_folder
from workers.cuda import gpus_here
from workers.launch import best_level
from workers.sandbox import Level

LEAST_DISK, LEAST_MEMORY = 2e9, 2e9  # bytes; below, a study soon stands still
LEAST_SHARED = 1e9  # bytes of /dev/shm: Docker gives 64 MB, on which Ray falls back to the disk
PACKAGES = ("torch", "ray", "litellm")
GIT_SECONDS = 10.0
SHARED = Path("/dev/shm")  # noqa: S108 - looked at, not written to
CPU_INFO = Path("/proc/cpuinfo")


def machine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that is there whatever a study wants."""
    yield _versions()
    yield _processor()
    yield _memory()
    yield from _shared_memory()
    yield disk(
        "cache", cache_folder(environ), "set AUTORESEARCH_CACHE to a folder on a larger disk"
    )
    yield disk("studies", Path.cwd(), "start studies on a larger disk: autoresearch run FOLDER")
    yield _git()
    yield _sandbox()


def disk(what: str, folder: Path, advice: str) -> Finding:
    """The room in a folder, which is there."""
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return missing(what, f"{folder} can't be written to", advice)
    seen = f"{free / 1e9:.0f} GB free in {folder}"
    return note(what, seen, advice) if free < LEAST_DISK else ok(what, seen)


def _versions() -> Finding:
    found = {"autoresearch-ray": _version("autoresearch-ray")}
    found |= {name: _version(name) for name in PACKAGES}
    python = ".".join(map(str, sys.version_info[:3]))
    seen = ", ".join([f"python {python}", *(f"{n} {v or 'missing'}" for n, v in found.items())])
    if lacking := [name for name in PACKAGES if not found[name]]:
        return missing("versions", seen, f"pip install -c constraints.txt {' '.join(lacking)}")
    return ok("versions", seen)


def _version(package: str) -> str | None:
    """What is installed, without importing it: torch alone takes seconds."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> Finding:
    threads, cores = os.cpu_count(), psutil.cpu_count(logical=False)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads
    seen = f"{threads} threads on {cores or '?'} cores, {platform.machine()}"
    seen += f", {usable} of them for this process" if usable != threads else ""
    if CPU_INFO.is_file():
        flags = CPU_INFO.read_text("utf-8", "replace")
        seen += ", bfloat16 in hardware" if "bf16" in flags else ", no bfloat16 in hardware"
    return ok("cpu", seen)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    seen = f"{memory.total / 1e9:.0f} GB, {memory.available / 1e9:.0f} GB of it free"
    if memory.available < LEAST_MEMORY:
        return note("memory", seen, "end other programs, or set workers.slots=1")
    return ok("memory", seen)


def _shared_memory() -> Iterator[Finding]:
    if not SHARED.is_dir():  # macOS
        return
    total = shutil.disk_usage(SHARED).total
    seen = f"{total / 1e9:.2g} GB of shared memory in {SHARED}"
    if total < LEAST_SHARED:
        yield note("shm", seen, "in a container: docker run --shm-size=2g")
    else:
        yield ok("shm", seen)


def _git() -> Finding:
    try:
        done = subprocess.run(
            ["git", "--version"],  # noqa: S607 - whichever PATH names
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        advice = "apt install git, for a checkout of this project and for repositories by URL"
        return note("git", "not found", advice)
    return ok("git", done.stdout.strip().removeprefix("git version "))


def _sandbox() -> Finding:
    try:
        level, why = best_level(gpus_here())
    except OSError as error:
        return missing("sandbox", str(error), "see what nvidia-smi says, and the kernel's log")
    if level is Level.STRICT:
        return ok("sandbox", "strict (bubblewrap)")
    seen = f"{level}: a trial's processes are ended whole, but little is hidden from them"
    return note("sandbox", seen, why)
