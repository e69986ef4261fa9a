"""What this machine offers a study, and what is missing and how to get it.

Out: findings, each with what was seen and, where it is not good, what to do. It starts small
processes (a sandbox, torch), and changes nothing.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from workers.bundle import cache_folder
from workers.sandbox import Level, probe_level

LEAST_DISK, LEAST_MEMORY = 2e9, 2e9  # bytes; below, a study soon stands still
TORCH_SECONDS = 120.0  # the first import on a slow disk takes long
ASK_TORCH = """
import json, torch
devices = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
devices += ["mps"] if torch.backends.mps.is_available() else []
print(json.dumps({"version": torch.__version__, "devices": devices}))
"""


class Grade(StrEnum):
    """How good a finding is."""

    OK = "ok"
    NOTE = "note"  # it works, and could be better
    MISSING = "missing"  # a study won't run


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    grade: Grade
    seen: str
    advice: str = ""  # what to do; empty where nothing needs doing


def examine() -> Iterator[Finding]:
    """Look at everything, one finding after the other."""
    yield _python()
    yield _ray()
    yield from _torch()
    yield _sandbox()
    yield _memory()
    yield _disk("cache", cache_folder(), "set AUTORESEARCH_CACHE to a folder on a larger disk")
    yield _disk("studies", Path.cwd(), "start studies on a larger disk: autoresearch run FOLDER")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", Grade.OK, f"{version}, {os.cpu_count()} CPU cores")


def _ray() -> Finding:
    address = os.environ.get("RAY_ADDRESS")
    where = f"the cluster at RAY_ADDRESS={address}" if address else "a Ray of its own, started here"
    return Finding("ray", Grade.OK, f"{importlib.metadata.version('ray')}; a study uses {where}")


def _torch() -> Iterator[Finding]:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", ASK_TORCH],
            capture_output=True,
            text=True,
            timeout=TORCH_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        advice = "install it: pip install -c constraints.txt torch"
        yield Finding("torch", Grade.MISSING, "can't be imported", advice)
        return
    yield Finding("torch", Grade.OK, found["version"])
    if found["devices"]:
        yield Finding("devices", Grade.OK, ", ".join(found["devices"]))
    elif shutil.which("nvidia-smi"):
        advice = "install a CUDA build of torch that fits the driver (see nvidia-smi)"
        yield Finding("devices", Grade.NOTE, "a GPU's driver, but torch sees no GPU", advice)
    else:
        yield Finding("devices", Grade.NOTE, "no GPU: trials run on CPU cores (--config local)")


def _sandbox() -> Finding:
    level, why = probe_level()
    if level is Level.STRICT:
        return Finding("sandbox", Grade.OK, "strict (bubblewrap)")
    seen = f"{level}: a trial's processes are ended whole, but little is hidden from them"
    return Finding("sandbox", Grade.NOTE, seen, why)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    seen = f"{memory.total / 1e9:.0f} GB, {memory.available / 1e9:.0f} GB of it free"
    if memory.available < LEAST_MEMORY:
        return Finding("memory", Grade.NOTE, seen, "end other programs, or set workers.slots=1")
    return Finding("memory", Grade.OK, seen)


def _disk(what: str, folder: Path, advice: str) -> Finding:
    free = shutil.disk_usage(folder).free
    seen = f"{free / 1e9:.0f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Finding(what, Grade.MISSING, f"{folder} can't be written to", advice)
    if free < LEAST_DISK:
        return Finding(what, Grade.NOTE, seen, advice)
    return Finding(what, Grade.OK, seen)
