"""The accelerators: what torch sees, what the driver says, and whether the two fit.

torch is asked in a process of its own, because its import takes seconds and may hang on a broken
driver; so is `nvidia-smi`.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scheduler.doctor.finding import Finding, missing, note, ok

TORCH_SECONDS = 60.0  # the first import on a slow disk takes long
DRIVER_SECONDS = 15.0
GIB = 2**30
USED = 0.1  # of a GPU's memory: more is another program's
SMI = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used,driver_version"]
SMI += ["--format=csv,noheader,nounits"]
ASK_TORCH = """
import json, torch
found = []
for n in range(torch.cuda.device_count()):
    about = torch.cuda.get_device_properties(n)
    found.append({
        "name": about.name, "memory": about.total_memory, "bf16": about.major >= 8,
        "architecture": f"sm_{about.major}{about.minor}",
    })
print(json.dumps({
    "version": torch.__version__, "cuda": torch.version.cuda or torch.version.hip, "gpus": found,
    "architectures": torch.cuda.get_arch_list(), "mps": torch.backends.mps.is_available(),
}))
"""


@dataclass(frozen=True)
class Gpu:
    """One that torch can use."""

    name: str
    memory: int  # bytes
    bf16: bool  # whether its hardware knows bfloat16
    architecture: str  # such as sm_90


@dataclass(frozen=True)
class Devices:
    """What torch answers."""

    version: str = ""  # "": it could not be asked
    trouble: str = ""
    cuda: str | None = None  # that this torch was built for
    gpus: tuple[Gpu, ...] = ()
    architectures: tuple[str, ...] = ()  # that this torch holds code for
    mps: bool = False

    @classmethod
    @contextmanager
    def asked(cls) -> "Iterator[Answer]":
        """Start to ask; the process is gone with the block."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", ASK_TORCH],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield Answer(process)
            finally:
                process.kill()


@dataclass(frozen=True)
class Answer:
    """An answer that is on its way."""

    _process: "subprocess.Popen[str]"

    def get(self) -> Devices:
        """Wait for it; not for ever."""
        try:
            out, err = self._process.communicate(timeout=TORCH_SECONDS)
        except subprocess.TimeoutExpired:
            return Devices(trouble=f"its import takes more than {TORCH_SECONDS:g} s")
        try:
            found = json.loads(out)
        except ValueError:
            lines = err.strip().splitlines()
            return Devices(trouble=lines[-1] if lines else f"exit code {self._process.returncode}")
        return Devices(
            version=found["version"],
            cuda=found["cuda"],
            gpus=tuple(Gpu(**each) for each in found["gpus"]),
            architectures=tuple(found["architectures"]),
            mps=found["mps"],
        )


@dataclass(frozen=True)
class Driver:
    """What nvidia-smi says."""

    version: str
    gpus: tuple[tuple[str, int, int], ...]  # name, MiB, MiB in use
    cuda: str = ""  # the newest that it serves; "" where it does not say

    def words(self) -> str:
        """For a person."""
        return f"driver {self.version}" + (f" for CUDA up to {self.cuda}" if self.cuda else "")


def devices(seen: Devices, driver: Driver | None = None) -> Iterator[Finding]:
    """torch, the GPUs, and whether torch and driver fit. `driver`: as if nvidia-smi said so."""
    if not seen.version:
        advice = "install it anew: pip install -c constraints.txt torch"
        yield missing("torch", f"can't be used: {seen.trouble}", advice)
        return
    built = f"built for CUDA {seen.cuda}" if seen.cuda else "built for CPUs"
    yield ok("torch", f"{seen.version}, {built}")
    driver = driver or _ask_driver()
    if seen.gpus:
        yield from _gpus(seen, driver)
    elif seen.mps:
        yield ok("devices", "mps (Apple)")
    elif driver is not None and driver.gpus:
        names = ", ".join(name for name, *_ in driver.gpus)
        which = (
            f"this torch is for CUDA {seen.cuda}: update the driver, or install an older CUDA build"
            if seen.cuda
            else "this torch is for CPUs: install a CUDA build of it"
        )
        sight = f"{names} with {driver.words()}, but torch sees no GPU"
        yield note("devices", sight, f"{which} (see https://pytorch.org/get-started)")
    else:
        yield note("devices", "no GPU: trials run on CPU cores (--config local)")


def _gpus(seen: Devices, driver: Driver | None) -> Iterator[Finding]:
    for number, gpu in enumerate(seen.gpus):
        words = f"GPU {number}: {gpu.name}, {gpu.memory / GIB:.0f} GiB"
        words += "" if gpu.bf16 else ", no bfloat16 in hardware"
        # Code for sm_80 runs on sm_86 as well, not on sm_90.
        generation = gpu.architecture.removeprefix("sm_")[:-1]
        fits = any(each.partition("_")[2][:-1] == generation for each in seen.architectures)
        if seen.architectures and not fits:
            which = ", ".join(seen.architectures)
            advice = f"this torch holds code for {which}: install one for {gpu.architecture}"
            yield note("devices", words, advice)
        else:
            yield ok("devices", words)
    if driver is None:
        return
    yield _fit(seen, driver)
    # nvidia-smi counts all GPUs of the machine, torch those that it may see.
    for number, (name, total, used) in enumerate(driver.gpus):
        if used > USED * total:
            seen_in_use = f"{used / 1024:.0f} of {total / 1024:.0f} GiB of {name} {number} in use"
            yield note("driver", seen_in_use, "another program runs there (nvidia-smi names it)")


def _fit(seen: Devices, driver: Driver) -> Finding:
    """Whether the driver is as new as this torch wants.

    Within one major version NVIDIA keeps older drivers working, but for code that is compiled at
    run time (CUDA's "minor version compatibility"), which is what `torch.compile` makes.
    """
    if seen.cuda and driver.cuda and _numbers(seen.cuda) > _numbers(driver.cuda):
        advice = "update the driver, or install a torch for an older CUDA"
        return note("driver", f"{driver.words()}, and this torch is for CUDA {seen.cuda}", advice)
    return ok("driver", driver.words().removeprefix("driver "))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split(".") if each.isdigit())


def _ask_driver() -> Driver | None:
    if not shutil.which(SMI[0]):
        return None
    answers = []
    for command in (SMI, SMI[:1]):  # the table alone names the CUDA that the driver serves
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=DRIVER_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        answers.append(done.stdout)
    return read_driver(*answers)


def read_driver(text: str, table: str = "") -> Driver | None:
    """The answers of nvidia-smi: one line a GPU, and the usual table. None where it is none."""
    found, version = [], ""
    for line in text.splitlines():
        fields = [each.strip() for each in line.split(",")]
        if len(fields) == 4 and fields[1].isdigit() and fields[2].isdigit():
            found.append((fields[0], int(fields[1]), int(fields[2])))
            version = fields[3]
    cuda = re.search(r"CUDA (?:\w+ )?Version:\s*([\d.]+)", table)
    return Driver(version, tuple(found), cuda[1] if cuda else "") if found else None
