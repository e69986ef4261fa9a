"""The device a candidate trains on: choosing it, waiting for it, and what it used.

CUDA, then MPS, then the CPU. Which device of several is not decided here: the trial's process
sees one only.
"""

import os
import random
from contextlib import AbstractContextManager, nullcontext

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
    """The accelerator's product name, or the device's type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


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
    """bfloat16 where it is fast and safe (CUDA); elsewhere nothing changes."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def seed_everything(seed: int) -> None:
    """Seed every global random generator: Python's, NumPy's and torch's on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
