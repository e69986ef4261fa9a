"""The device a candidate trains on: choosing it, waiting for it, and what it used.

CUDA, then MPS, then the CPU. Which device of several is not decided here: the trial's process
sees one only.
"""

import os
import platform
import random
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import numpy as np
import torch


def choose_device() -> torch.device:
    """The accelerator that this process sees, or the CPU with the threads that it was given."""
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) > 0:
        torch.set_num_threads(int(threads))
    return torch.device("cpu")


def device_name(device: torch.device) -> str:
    """The accelerator's product name, or the CPU's with the threads that this process may use.

    Figures compare within one class of hardware only. Under a budget of seconds a laptop's core is
    not a server's, and one thread is not four: "cpu" alone would let them compare.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"{_cpu_model()} ({threads} thread{'s' if threads > 1 else ''})"
    return device.type


def _cpu_model() -> str:
    """The CPU's product name as Linux knows it; else its architecture, or "cpu"."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip() not in ("", "unknown"):
                return " ".join(value.split())
    return platform.machine() or "cpu"


def precision(device: torch.device) -> str:
    """The arithmetic that models are trained and scored in, as torch names it."""
    return str(_arithmetic(device)).removeprefix("torch.")


def _arithmetic(device: torch.device) -> torch.dtype:
    """bfloat16 where it is fast and safe."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given, on every stream."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int:
    """Most bytes that tensors held on the accelerator; 0 on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    return 0


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Around a model's work: lower precision where the device has one, else no change."""
    arithmetic = _arithmetic(device)
    if arithmetic is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=arithmetic)


def seed_everything(seed: int) -> None:
    """Seed every global random generator: Python's, NumPy's and torch's on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
